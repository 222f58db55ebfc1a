/* SPDX-License-Identifier: MIT */
/* From keys to the typed config: values and their units, defaults, what is refused and what is said of it. */
#include "conf/decode.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "conf/field.h"
#include "daemon/base/clock.h"
#include "fixture.h"

#define TCP "    listen: tcp:7007\n    "
#define UDP "    listen: udp:7007\n    "

/* Each key as it is written, and as it is told of afterwards. */
static void test_values(void **state) {
    static const struct {
        const char *body, *path, *value;
    } cases[] = {
        {TCP "description: 7", "description", "7"},
        {TCP "enabled: off", "enabled", "false"},
        {TCP "enabled: yes", "enabled", "true"},
        {TCP "model: on-demand", "model", "on-demand"},
        {TCP "pass: listen_fds", "pass", "listen_fds"},
        {UDP "start: now", "start", "now"},
        {UDP "start: traffic", "start", "traffic"},
        {TCP "argv0: in.echod", "argv0", "in.echod"},
        {TCP "umask: 0027", "umask", "\"0027\""},
        {TCP "umask: \"0o7\"", "umask", "\"0007\""},
        {TCP "working_directory: /tmp", "working_directory", "/tmp"},
        {TCP "pass_environment: TZ", "pass_environment", "[TZ]"},
        {TCP "pass_environment: [TZ, \"OTEL_*\"]", "pass_environment", "[TZ, OTEL_*]"},
        {TCP "limits: {instances: 1000000}", "limits.instances", "1000000"},
        {TCP "limits:\n      instances: 1\n      when_full: refuse", "limits.when_full", "refuse"},
        {TCP "timeouts: {lifetime: 1h30m}", "timeouts.lifetime", "1h30m"},
        {TCP "timeouts: {lifetime: none}", "timeouts.lifetime", "none"},
        {TCP "timeouts: {lifetime: infinity}", "timeouts.lifetime", "none"},
        {TCP "timeouts: {stop: 90}", "timeouts.stop", "1m30s"},
        {TCP "timeouts: {stop: 0}", "timeouts.stop", "0s"},
        {UDP "restart: {policy: on-failure}", "restart.policy", "on-failure"},
        {UDP "restart: {limit: 5/10s}", "restart.limit", "5/10s"},
        {UDP "restart: {limit: 5/m burst 9}", "restart.limit", "5/m burst 9"},
        {TCP "report: true", "report", "true"},
        {TCP "stderr: discard", "stderr", "discard"},
        {TCP "resources: {nofile: 256}", "resources.nofile", "256"},
        {TCP "resources: {memory: 64MiB}", "resources.memory", "64M"},
        {TCP "resources: {core: unlimited}", "resources.core", "unlimited"},
        {TCP "resources: {cpu_time: 1m}", "resources.cpu_time", "1m"},
        {TCP "resources: {nice: -20}", "resources.nice", "-20"},
        {TCP "resources: {io_priority: idle}", "resources.io_priority", "idle"},
        {TCP "resources: {cpus: \"0-3,8\"}", "resources.cpus", "0-3,8"},
        {TCP "sandbox: {no_new_privileges: false}", "sandbox.no_new_privileges", "false"},
        {TCP "restart:", "description", ""},
    };
    Fixture *f = *state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        CLEANUP_TEXT Text value = {0};
        (void)fixture_load_service(f, cases[i].body);
        const ServiceConfig *s = fixture_service(f, cases[i].body, "s");
        field_format(schema_find(KEY_SCOPE_SERVICE, cases[i].path), s, &value);
        if (!streq(value.s ? value.s : "", cases[i].value))
            fail_msg("%s: '%s', not '%s'", cases[i].body, value.s, cases[i].value);
    }
}

static rlim_t rlimit_of(const ServiceConfig *s, int resource) {
    for (size_t i = 0; i < service_config_resources(s)->n_rlimits; i++)
        if (service_config_resources(s)->rlimits[i].resource == resource)
            return service_config_resources(s)->rlimits[i].value;
    return 12345;
}

/* What the rest of the daemon counts in: microseconds, bytes, seconds. */
static void test_units(void **state) {
    Fixture *f = *state;
    (void)fixture_load_service(
        f, UDP "timeouts: {lifetime: 1500ms, stop: 250ms}\n"
               "    restart: {delay: 2ms, max_delay: 1h, limit: 7/10s burst 9}\n"
               "    umask: 077\n"
               "    resources: {nofile: 256, memory: 512M, cpu_time: 2m, core: unlimited, file_size: 0,\n"
               "                nice: 5, oom_score_adjust: -3, cpus: \"1,64\"}");
    const ServiceConfig *s = fixture_service(f, "units", "s");
    assert_int_equal(s->terms->timeout_lifetime_usec, 1500000);
    assert_int_equal(s->terms->timeout_stop_usec, 250000);
    assert_int_equal(s->terms->restart_delay_usec, 2000);
    assert_int_equal(s->terms->restart_max_delay_usec, 3600 * USEC_PER_SEC);
    assert_int_equal(s->terms->restart_limit.count, 7);
    assert_int_equal(s->terms->restart_limit.per_usec, 10 * USEC_PER_SEC);
    assert_int_equal(s->terms->restart_limit.burst, 9);
    assert_int_equal(s->umask, 077);
    assert_int_equal(service_config_resources(s)->n_rlimits, 5);
    assert_int_equal(rlimit_of(s, RLIMIT_NOFILE), 256);
    assert_int_equal(rlimit_of(s, RLIMIT_AS), 512 << 20);
    assert_int_equal(rlimit_of(s, RLIMIT_CPU), 120);
    assert_true(rlimit_of(s, RLIMIT_CORE) == RLIM_INFINITY);
    assert_int_equal(rlimit_of(s, RLIMIT_FSIZE), 0);
    assert_true(service_config_resources(s)->has_nice && service_config_resources(s)->has_oom_score_adjust &&
                service_config_resources(s)->has_cpus);
    assert_false(service_config_resources(s)->has_io_priority);
    assert_int_equal(service_config_resources(s)->nice, 5);
    assert_int_equal(service_config_resources(s)->oom_score_adjust, -3);
    assert_int_equal(service_config_resources(s)->cpus[0], 2);
    assert_int_equal(service_config_resources(s)->cpus[1], 1);
}

static void test_standards(void **state) {
    Fixture *f = *state;
    (void)fixture_load_service(f, "    listen: tcp:7007");
    const ServiceConfig *s = fixture_service(f, "minimal", "s");
    const Config *c = f->config;
    assert_true(s->enabled && s->no_new_privileges);
    assert_string_equal(s->description, "");
    assert_string_equal(s->working_directory, "/");
    assert_null(s->root_directory);
    assert_null(s->argv0);
    assert_null(s->supplementary_groups);
    assert_int_equal(s->umask, 022);
    assert_int_equal(s->terms->limits.instances, 1000);
    assert_int_equal(s->terms->limits.when_full, WHEN_FULL_WAIT);
    assert_true(s->terms->timeout_lifetime_usec == USEC_INFINITY);
    assert_int_equal(s->terms->timeout_stop_usec, 10 * USEC_PER_SEC);
    assert_int_equal(s->terms->restart_policy, RESTART_NEVER);
    assert_int_equal(s->stderr_target, STDERR_LOG);
    assert_int_equal(service_config_resources(s)->n_rlimits, 0);
    assert_int_equal(s->n_origins, 4); /* listen and its endpoint, exec, user */
    assert_int_equal(s->pos.line, 3);
    assert_int_equal(s->exec_pos.line, 4);
    assert_int_equal(s->exec_pos.column, 12);
    assert_int_equal(s->user_pos.line, 5);
    assert_null(c->control_socket);
    assert_int_equal(c->control_mode, 0660);
    assert_int_equal(c->log_level, LOG_LEVEL_INFO);
    assert_int_equal(c->log_format, LOG_FORMAT_TEXT);
    assert_int_equal(c->shutdown_children, SHUTDOWN_END);
    assert_int_equal(c->shutdown_drain_usec, 10 * USEC_PER_SEC);
}

/* What follows from the endpoints, the model and the handoff. */
static void test_implied(void **state) {
    static const struct {
        const char *body;
        Model model;
        Handoff pass;
        bool report;
    } cases[] = {
        {"    listen: tcp:7", MODEL_PER_CONNECTION, HANDOFF_STDIO, false},
        {"    listen: unix:/run/x", MODEL_PER_CONNECTION, HANDOFF_STDIO, false},
        {"    listen: unix-seqpacket:/run/x", MODEL_PER_CONNECTION, HANDOFF_STDIO, false},
        {"    listen: udp:7", MODEL_ON_DEMAND, HANDOFF_LISTEN_FDS, true},
        {"    listen: [udp:7, unix-dgram:/run/x]", MODEL_ON_DEMAND, HANDOFF_LISTEN_FDS, true},
        {"    listen: udp:7\n    pass: stdio", MODEL_ON_DEMAND, HANDOFF_STDIO, false},
        {"    listen: udp:7\n    report: false", MODEL_ON_DEMAND, HANDOFF_LISTEN_FDS, false},
        {"    listen: tcp:7\n    model: on-demand", MODEL_ON_DEMAND, HANDOFF_LISTEN_FDS, true},
        {"    listen: tcp:7\n    pass: listen_fds", MODEL_PER_CONNECTION, HANDOFF_LISTEN_FDS, false},
        {"    listen: [tcp:7, udp:7]\n    model: on-demand", MODEL_ON_DEMAND, HANDOFF_LISTEN_FDS, true},
    };
    Fixture *f = *state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        (void)fixture_load_service(f, cases[i].body);
        const ServiceConfig *s = fixture_service(f, cases[i].body, "s");
        if (s->model != cases[i].model || s->pass != cases[i].pass || s->report != cases[i].report)
            fail_msg("%s: %s %s %d", cases[i].body, model_to_string(s->model), handoff_to_string(s->pass),
                     s->report);
    }
}

static void test_refused(void **state) {
    static const struct {
        const char *body, *codes, *text;
    } cases[] = {
        {TCP "nothing_near: 1", "unknown-key", "unknown key 'nothing_near' in service 's'"},
        {TCP "umsk: 022", "unknown-key", "did you mean 'umask'?"},
        {TCP "limits: {instance: 5}", "unknown-key", "did you mean 'instances'?"},
        {TCP "limits: {instance: 5}", "unknown-key", "unknown key 'instance' in limits"},
        {TCP "when_full: wait", "unknown-key", "it belongs in another place: limits: {when_full: …}"},
        {TCP "limits.instances: 5", "unknown-key", "write: limits: {instances: …}"},
        {TCP "limits: {umask: 022}", "unknown-key", "'umask' is a key of its own"},
        {TCP "x-mine: 5", "unknown-key", "unknown key 'x-mine'"},
        {TCP "server_args: -x", "foreign-key", "'server_args' is xinetd's word"},
        {TCP "model: per-conection", "bad-value", "did you mean 'per-connection'?"},
        {TCP "model: Per-connection", "bad-value", "unknown value"},
        {TCP "stderr: screen", "bad-value", "one of log, socket, discard, inherit"},
        {TCP "enabled: maybe", "bad-value", "enabled"},
        {TCP "enabled: [true]", "wrong-type", "enabled takes"},
        {TCP "enabled:", "wrong-type", "enabled has no value"},
        {TCP "limits: 5", "wrong-type", "write: limits: {instances: 50}"},
        {TCP "limits: {instances: 0}", "out-of-range", "limits.instances"},
        {TCP "limits: {instances: 1000001}", "out-of-range", "limits.instances"},
        {TCP "limits: {instances: 10.5}", "bad-value", "limits.instances"},
        {TCP "limits: {instances: many}", "bad-value", "limits.instances"},
        {TCP "timeouts: {stop: 25h}", "out-of-range", "timeouts.stop"},
        {TCP "timeouts: {stop: none}", "bad-value", "timeouts.stop"},
        {TCP "timeouts: {stop: 1.5s}", "bad-value", "1500ms for 1.5s"},
        {TCP "instances: 5", "foreign-key", "write: limits: {instances: 5}"},
        {TCP "timeouts: {stop: 5x}", "bad-value", "timeouts.stop"},
        {TCP "timeouts: {lifetime: 0}", "out-of-range", "timeouts.lifetime"},
        {TCP "umask: 1000", "out-of-range", "umask"},
        {TCP "umask: 8", "bad-value", "umask"},
        {TCP "working_directory: tmp", "bad-value", "'tmp' is not an absolute path"},
        {TCP "resources: {nofile: 3}", "out-of-range", "resources.nofile"},
        {TCP "resources: {cpu_time: 1500ms}", "bad-value", "only whole seconds"},
        {TCP "resources: {memory: 1X}", "bad-value", "resources.memory"},
        {TCP "resources: {nice: 20}", "out-of-range", "resources.nice"},
        {TCP "resources: {cpus: \"9999\"}", "out-of-range", "resources.cpus"},
        {UDP "restart: {limit: 0/s}", "out-of-range", "restart.limit"},
        {UDP "restart: {limit: often}", "bad-value", "restart.limit"},
    };
    Fixture *f = *state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        (void)fixture_load_service(f, cases[i].body);
        fixture_expect(f, cases[i].body, cases[i].codes, cases[i].text);
    }
}

/* Lists and variables, keys that do not fit the model, endpoints. */
static void test_refused_more(void **state) {
    static const struct {
        const char *body, *codes, *text;
    } cases[] = {
        {TCP "supplementary_groups: {a: b}", "wrong-type", "supplementary_groups takes"},
        {TCP "supplementary_groups: [[a]]", "wrong-type", "list of plain values, not of lists"},
        {TCP "supplementary_groups: [a, ~]", "wrong-type", "list of plain values, not of nothing"},
        {TCP "environment: [A=b]", "wrong-type", "write NAME: VALUE lines below it"},
        {TCP "environment:", "wrong-type", "environment takes"},
        {TCP "environment: {1A: b}", "bad-value", "'1A' is not the name of a variable"},
        {TCP "environment: {A: [b]}", "wrong-type", "the variable A takes one value"},
        {TCP "environment: {A: }", "wrong-type", "for an empty one write \"\""},
        {TCP "start: now", "conflict", "'start' does not fit model per-connection"},
        {TCP "restart: {policy: always}", "conflict", "it is for model on-demand"},
        {"    listen: [tcp:7, udp:7]", "conflict", "need a 'model'"},
        {"    description: x", "missing-key", "service 's' has no 'listen'"},
        {"    listn: tcp:7", "unknown-key", "did you mean 'listen'?"},
        {"    listen:", "wrong-type", "listen names no endpoint"},
        {"    listen: []", "bad-value", "listen names no endpoint"},
        {"    listen: [[tcp:7]]", "wrong-type", "listen takes"},
        {"    listen: tcp:99999", "bad-value", "endpoint 'tcp:99999'"},
        {"    listen: fifo:run/f", "bad-value", "the path is not absolute"},
        {TCP "umask: 8\n    enabled: 7\n    umsk: 1", "bad-value bad-value unknown-key", NULL},
    };
    Fixture *f = *state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        (void)fixture_load_service(f, cases[i].body);
        fixture_expect(f, cases[i].body, cases[i].codes, cases[i].text);
    }
}

/* Whole configs: what stands outside of a service, and what a service must have. */
static void test_files_refused(void **state) {
    static const struct {
        const char *text, *codes, *says;
    } cases[] = {
        {"version: 1\n", "", NULL},
        {"version: 1\nx-any: [{a: b}]\nservices:\n", "", NULL},
        {"version: 2\n", "out-of-range", "write 1"},
        {"version: one\n", "bad-value", "version"},
        {"services: {}\n", "missing-key", "the file has no 'version'"},
        {"", "missing-key", "begin with: version: 1"},
        {"- version: 1\n", "wrong-type", "a config is a mapping of keys"},
        {"version: 1\nservices: [a]\n", "wrong-type", "services takes"},
        {"version: 1\nservices: {s: }\n", "wrong-type", "write at least listen and exec"},
        {"version: 1\nservices: {s: [a]}\n", "wrong-type", "takes keys of its own"},
        {"version: 1\ndefaults: nobody\n", "wrong-type", "defaults takes"},
        {"version: 1\nlog: {level: verbose}\n", "bad-value", "one of error, warning, info, debug"},
        {"version: 1\nlog: {levl: info}\n", "unknown-key", "did you mean 'level'?"},
        {"version: 1\nshutdown: {drain: 25h}\n", "out-of-range", "shutdown.drain"},
        {"version: 1\ncontrol: {mode: 1777}\n", "out-of-range", "control.mode"},
        {"version: 1\nservice: {}\n", "unknown-key", "did you mean 'services'?"},
        {"version: 1\numask: 022\n", "unknown-key", "it is a key of a service, or of 'defaults'"},
        {"version: 1\nweb: {listen: tcp:80, exec: [a]}\n", "unknown-key", "services stand below 'services:'"},
        {"version: 1\nservices: {s: {listen: tcp:7, user: root}}\n", "missing-key", "has no 'exec'"},
        {"version: 1\nservices: {s: {listen: tcp:7, exec: [mp-echo]}}\n", "missing-key", "has no 'user'"},
        {"version: 1\nservices: {s: {listen: tcp:7, user: root, exec: []}}\n", "bad-value", "an empty list"},
        {"version: 1\nservices: {s: {listen: tcp:7, user: root, exec: [\"\"]}}\n", "bad-value",
         "name is empty"},
        {"version: 1\nservices: {s: {listen: tcp:7, user: root, exec: \"'a\"}}\n", "bad-value", "exec"},
        {"version: 1\nservices: {s: {listen: tcp:7, user: root, exec: {a: b}}}\n", "wrong-type",
         "exec takes"},
        {"version: 1\nservices: {s: {listen: tcp:7, user: \"\", exec: [mp-echo]}}\n", "bad-value",
         "empty name"},
    };
    Fixture *f = *state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        (void)fixture_load_text(f, cases[i].text);
        fixture_expect(f, cases[i].text, cases[i].codes, cases[i].says);
    }
}

static void test_names(void **state) {
#define SIXTY "a23456789b123456789c123456789d123456789e123456789f123456789"
    static const struct {
        const char *name;
        bool good;
    } cases[] = {
        {"a", true},
        {"7", true},
        {"web.example_1@+-", true},
        {SIXTY "z1234", true},
        {"_a", false},
        {"\"a b\"", false},
        {"a/b", false},
        {SIXTY "z12345", false},
        {"\"\"", false},
        {"\"a\\n\"", false},
        {"\xc3\xa4", false},
        {"-a", false},
    };
    Fixture *f = *state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        char text[256];
        (void)snprintf(text, sizeof(text),
                       "version: 1\nservices: {%s: {listen: tcp:7, exec: [mp-echo], user: root}}\n",
                       cases[i].name);
        (void)fixture_load_text(f, text);
        fixture_expect(f, text, cases[i].good ? "" : "bad-value",
                       cases[i].good ? NULL : "not a name for a service");
    }
}

static void test_file_keys(void **state) {
    Fixture *f = *state;
    (void)fixture_load_text(f, "version: 1\n"
                               "control: {socket: /run/c.sock, mode: 0600, group: \"77\"}\n"
                               "log: {level: debug, format: json, addresses: prefix}\n"
                               "shutdown: {children: leave, drain: 1m}\n");
    fixture_expect(f, "file keys", "", NULL);
    assert_string_equal(f->config->control_socket, "/run/c.sock");
    assert_int_equal(f->config->control_mode, 0600);
    assert_int_equal(f->config->control_gid, 77);
    assert_int_equal(f->config->log_level, LOG_LEVEL_DEBUG);
    assert_int_equal(f->config->log_format, LOG_FORMAT_JSON);
    assert_int_equal(f->config->log_addresses, LOG_ADDRESSES_PREFIX);
    assert_int_equal(f->config->shutdown_children, SHUTDOWN_LEAVE);
    assert_int_equal(f->config->shutdown_drain_usec, 60 * USEC_PER_SEC);
}

/* Whether @v is the words of @joined, which end with a '|' each. */
static bool are_words(char *const *v, const char *joined) {
    CLEANUP_TEXT Text text = {0};
    for (; v && *v; v++)
        text_addf(&text, "%s|", *v);
    return v && streq(text.s ? text.s : "", joined);
}

static void test_environment(void **state) {
    Fixture *f = *state;
    (void)fixture_load_text(f, "version: 1\n"
                               "defaults:\n  user: root\n  environment: {A: one, B: two}\n"
                               "  pass_environment: [TZ, LANG]\n"
                               "services:\n"
                               "  own: {listen: tcp:7, exec: [mp-echo], environment: {B: \"\", C: a=b},\n"
                               "        pass_environment: [HOME]}\n"
                               "  none: {listen: tcp:8, exec: [mp-echo], pass_environment: []}\n");
    const ServiceConfig *s = fixture_service(f, "environment", "own");
    assert_true(are_words(s->environment, "A=one|B=|C=a=b|"));
    assert_true(are_words(s->pass_environment, "HOME|"));
    s = fixture_service(f, "environment", "none");
    assert_true(are_words(s->environment, "A=one|B=two|"));
    assert_true(are_words(s->pass_environment, ""));
}

static void test_exec(void **state) {
    static const struct {
        const char *exec, *words;
    } cases[] = {
        {"[mp-echo, -v, 7]", "mp-echo|-v|7|"},
        {"mp-echo", "mp-echo|"},
        {"mp-echo 'a b' \"c d\" e\\ f", "mp-echo|a b|c d|e f|"},
        {"[mp-echo, \"\", \"a b\"]", "mp-echo||a b|"},
        {"mp-echo $HOME *", "mp-echo|$HOME|*|"},
    };
    Fixture *f = *state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        char text[256];
        (void)snprintf(text, sizeof(text),
                       "version: 1\nservices:\n  s:\n    listen: tcp:7\n    user: root\n    exec: %s\n",
                       cases[i].exec);
        (void)fixture_load_text(f, text);
        if (!are_words(fixture_service(f, text, "s")->exec, cases[i].words))
            fail_msg("%s was split in another way", cases[i].exec);
    }
}

static void test_defaults(void **state) {
    Fixture *f = *state;
    (void)fixture_load_text(
        f, "version: 1\n"
           "defaults: {user: root, umask: 077, limits: {instances: 5, when_full: refuse},\n"
           "           start: now, restart: {delay: 1s}, resources: {nofile: 64, nice: 1}}\n"
           "services:\n"
           "  a: {listen: tcp:7, exec: [mp-echo], limits: {instances: 9}, resources: {nofile: 99}}\n"
           "  b: {listen: udp:7, exec: [mp-echo], umask: 007, restart: {delay: 2s}}\n");
    const ServiceConfig *a = fixture_service(f, "defaults", "a");
    const ServiceConfig *b = fixture_service(f, "defaults", "b");
    assert_string_equal(a->user, "root");
    assert_int_equal(a->umask, 077);
    assert_int_equal(b->umask, 007);
    assert_int_equal(a->terms->limits.instances, 9);
    assert_int_equal(b->terms->limits.instances, 5);
    assert_int_equal(a->terms->limits.when_full, WHEN_FULL_REFUSE);
    assert_int_equal(rlimit_of(a, RLIMIT_NOFILE), 99);
    assert_int_equal(rlimit_of(b, RLIMIT_NOFILE), 64);
    assert_int_equal(service_config_resources(a)->n_rlimits, 1);
    assert_int_equal(service_config_resources(a)->nice, 1);
    /* These do not fit a process for each connection. */
    assert_false(a->start_now);
    assert_true(b->start_now);
    assert_int_equal(a->terms->restart_delay_usec, 100000);
    assert_int_equal(b->terms->restart_delay_usec, 2 * USEC_PER_SEC);
    /* Where it all came from. */
    assert_true(service_origin(a, "umask")->from_defaults);
    assert_int_equal(service_origin(a, "umask")->pos.line, 2);
    assert_false(service_origin(b, "umask")->from_defaults);
    assert_int_equal(service_origin(b, "umask")->pos.line, 6);
    assert_null(service_origin(a, "start"));
    assert_null(service_origin(a, "stderr"));
    assert_null(service_origin(a, "nothing"));
    bool ignored = false;
    for (size_t i = 0; i < a->n_origins; i++)
        ignored = ignored || (a->origins[i].ignored && streq(schema_key(a->origins[i].key)->path, "start"));
    assert_true(ignored);
}

#define TWO                                                                                                  \
    "\nservices:\n  a: {listen: tcp:7, exec: [mp-echo], user: root}\n"                                       \
    "  b: {listen: tcp:8, exec: [mp-echo], user: root}\n"

/* Whatever is wrong in defaults is told once, not once a service. */
static void test_defaults_refused(void **state) {
    static const struct {
        const char *text, *codes, *says;
    } cases[] = {
        {"version: 1\ndefaults: {umask: 022}" TWO, "", NULL},
        {"version: 1\ndefaults: " TWO, "", NULL},
        {"version: 1\ndefaults: {model: per-connection}" TWO, "", NULL},
        {"version: 1\ndefaults: {umask: 8}" TWO, "bad-value", "umask"},
        {"version: 1\ndefaults: {limits: {instances: 0}}" TWO, "out-of-range", "limits.instances"},
        {"version: 1\ndefaults: {umsk: 8}" TWO, "unknown-key", "unknown key 'umsk' in defaults"},
        {"version: 1\ndefaults: {exec: [a]}" TWO, "conflict", "'exec' cannot stand in defaults"},
        {"version: 1\ndefaults: {listen: tcp:7}" TWO, "conflict", "write it in each service"},
        {"version: 1\ndefaults: {model: walking}" TWO, "bad-value", "unknown value 'walking' of model"},
        {"version: 1\ndefaults: {umask: 8}\n", "bad-value", "umask"},
    };
    Fixture *f = *state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        (void)fixture_load_text(f, cases[i].text);
        fixture_expect(f, cases[i].text, cases[i].codes, cases[i].says);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_values),           TEST(test_units),        TEST(test_standards),     TEST(test_implied),
        TEST(test_refused),          TEST(test_refused_more), TEST(test_files_refused), TEST(test_names),
        TEST(test_file_keys),        TEST(test_environment),  TEST(test_exec),          TEST(test_defaults),
        TEST(test_defaults_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

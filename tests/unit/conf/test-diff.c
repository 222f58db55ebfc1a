/* SPDX-License-Identifier: MIT */
/* What differs between two loads of a config, as the plan of a reload shows it. */
#include "conf/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/base/text.h"
#include "fixture.h"

static void emit(const char *key, const char *from, const char *to, void *userdata) {
    /* What is not given is not an empty text. */
    assert_true((!from || *from) && (!to || *to));
    text_addf(userdata, "%s: %s -> %s\n", key, from ? from : "", to ? to : "");
}

/* Loads the config of service "s" with these lines; the caller keeps it. */
static Config *load_service(Fixture *f, const char *body) {
    (void)fixture_load_service(f, body);
    (void)fixture_service(f, body, "s");
    return config_ref(f->config);
}

#define TCP "    listen: tcp:7\n    "
#define UDP "    listen: udp:7\n    "
#define LONG(options) "    listen: {endpoint: tcp:7, " options "}"

static void test_service(void **state) {
    static const struct {
        const char *from, *to, *differences;
    } cases[] = {
        {TCP, TCP, ""},
        {TCP "umask: 022", TCP "umask: 0022", ""},
        {TCP "timeouts: {stop: 60}", TCP "timeouts: {stop: 1m}", ""},
        {TCP, TCP "timeouts: {stop: 10s}\n    description: \"\"", ""},
        {TCP "limits: {instances: 50}", TCP "limits: {instances: 80}", "limits.instances: 50 -> 80\n"},
        {TCP, TCP "limits: {instances: 80}", "limits.instances: 1000 -> 80\n"},
        {TCP, TCP "description: new", "description:  -> new\n"},
        {TCP "description: old", TCP, "description: old -> \n"},
        {TCP, TCP "enabled: false", "enabled: true -> false\n"},
        {TCP, TCP "umask: 077", "umask: \"0022\" -> \"0077\"\n"},
        {TCP, TCP "timeouts: {lifetime: 90}", "timeouts.lifetime: none -> 1m30s\n"},
        {UDP "restart: {limit: 5/10s}", UDP "restart: {limit: 6/10s burst 7}",
         "restart.limit: 5/10s -> 6/10s burst 7\n"},
        {UDP, UDP "start: now", "start: traffic -> now\n"},
        {TCP "argv0: a", TCP "argv0: b", "argv0: a -> b\n"},
        {TCP, TCP "supplementary_groups: []", "supplementary_groups:  -> []\n"},
        {TCP "supplementary_groups: [5, 6]", TCP "supplementary_groups: [6]",
         "supplementary_groups: [5, 6] -> [6]\n"},
        {TCP, TCP "resources: {nofile: 64}", "resources.nofile:  -> 64\n"},
        {TCP "resources: {core: unlimited}", TCP "resources: {core: 1M}",
         "resources.core: unlimited -> 1M\n"},
        {TCP, TCP "resources: {nice: 0}", "resources.nice:  -> 0\n"},
        {TCP "limits: {load: 8}", TCP "limits: {load: 8.5}", "limits.load: 8 -> 8.5\n"},
        {TCP "limits: {rate: 5/s}", TCP "limits: {rate: none}", "limits.rate: 5/s -> \n"},
        {TCP, TCP "limits: {source_prefix: {ipv6: 48}}", "limits.source_prefix.ipv6: 64 -> 48\n"},
        {TCP, TCP "access: {allow: [any]}", "access.allow:  -> [any]\n"},
        {TCP "access: {deny: [10.0.0.1]}", TCP "access: {deny: [10.0.0.1/32]}",
         "access.deny: [10.0.0.1] -> [10.0.0.1/32]\n"},
        {TCP, TCP "access: {hours: [Mon]}", "access.hours:  -> [Mon]\n"},
        {TCP, TCP "sensor: true", "sensor: false -> true\n"},
        {TCP "ban: {after: 5/m}", TCP "ban: {after: 5/1m, for: 1h}", "ban.for: 10m -> 1h\n"},
        {TCP, TCP "banner: {refused: no}", "limits.refuse_with: close -> banner\nbanner.refused:  -> no\n"},
        {TCP, TCP "log: {success: [pid]}", "log.success:  -> [pid]\n"},
        {TCP "resources: {cpus: \"0\"}", TCP "resources: {cpus: \"0-1\"}", "resources.cpus: 0 -> 0-1\n"},
        {TCP "environment: {PASSWORD: a}", TCP "environment: {PASSWORD: b}", "environment: … -> …\n"},
        {TCP, TCP "environment: {PASSWORD: b}", "environment: … -> …\n"},
        {TCP "environment: {PASSWORD: b}", TCP "environment: {PASSWORD: b}", ""},
        {TCP "umask: 1\n    stderr: log", TCP "umask: 2\n    stderr: discard",
         "umask: \"0001\" -> \"0002\"\nstderr: log -> discard\n"},
        /* Endpoints */
        {"    listen: tcp:7", "    listen: [tcp:7, tcp:8]", "listen: [tcp:7] -> [tcp:7, tcp:8]\n"},
        {"    listen: [tcp:7, tcp:8]", "    listen: [tcp:8, tcp:7]",
         "listen: [tcp:7, tcp:8] -> [tcp:8, tcp:7]\n"},
        {"    listen: tcp:7", LONG("name: s"), ""},
        {"    listen: tcp:7", LONG("backlog: 5"), "listen.backlog:  -> 5\n"},
        {LONG("backlog: 5"), LONG("backlog: 6"), "listen.backlog: 5 -> 6\n"},
        {"    listen: tcp:7", LONG("nodelay: false"), "listen.nodelay:  -> false\n"},
        {"    listen: tcp:7", LONG("keepalive: {}"), "listen.keepalive: false -> true\n"},
        {LONG("keepalive: {idle: 1m}"), LONG("keepalive: {idle: 2m}"), "listen.keepalive.idle: 1m -> 2m\n"},
        {LONG("receive_buffer: 64K"), LONG("receive_buffer: 65536"), ""},
        {LONG("device: a"), "    listen: tcp:7", "listen.device: a -> \n"},
        {LONG("backlog: 5"), "    listen: [tcp:8, {endpoint: tcp:7, backlog: 6}]",
         "listen: [tcp:7] -> [tcp:8, tcp:7]\nlisten.backlog: 5 -> 6\n"},
    };
    Fixture *f = *state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        CLEANUP_CONFIG Config *a = load_service(f, cases[i].from);
        CLEANUP_CONFIG Config *b = load_service(f, cases[i].to);
        CLEANUP_TEXT Text text = {0};
        size_t n = service_config_diff(a->services[0], b->services[0], emit, &text);
        if (!streq(text.s ? text.s : "", cases[i].differences))
            fail_msg("%s\n%s\ngave:\n%s", cases[i].from, cases[i].to, text.s);
        assert_int_equal(service_config_diff(a->services[0], b->services[0], NULL, NULL), n);
        assert_int_equal(service_config_diff(b->services[0], a->services[0], NULL, NULL), n);
        size_t lines = 0;
        for (const char *s = cases[i].differences; *s; s++)
            lines += *s == '\n';
        assert_int_equal(n, lines);
    }
}

/* What follows from another key is told, too: it changes. */
static void test_implied(void **state) {
    Fixture *f = *state;
    CLEANUP_CONFIG Config *a = load_service(f, TCP);
    CLEANUP_CONFIG Config *b = load_service(f, TCP "model: on-demand");
    CLEANUP_TEXT Text text = {0};
    assert_int_equal(service_config_diff(a->services[0], b->services[0], emit, &text), 3);
    assert_string_equal(
        text.s, "model: per-connection -> on-demand\npass: stdio -> listen_fds\nreport: false -> true\n");
}

static void test_globals(void **state) {
    static const struct {
        const char *from, *to, *differences;
    } cases[] = {
        {"", "", ""},
        {"", "log: {level: info}\ncontrol: {mode: 660}\nshutdown: {drain: 10}\n", ""},
        {"", "log: {level: debug}\n", "log.level: info -> debug\n"},
        {"", "control: {socket: /run/c}\n", "control.socket:  -> /run/c\n"},
        {"control: {group: root}\n", "control: {group: \"0\"}\n", "control.group: root -> 0\n"},
        {"", "control: {mode: 600}\n", "control.mode: \"0660\" -> \"0600\"\n"},
        {"shutdown: {drain: 10s}\n", "shutdown: {drain: 0, children: leave}\n",
         "shutdown.children: end -> leave\nshutdown.drain: 10s -> 0s\n"},
        {"", "control: {manage: [12345, \"%77\"]}\n", "control.manage:  -> [12345, %77]\n"},
        {"control: {manage: [root]}\n", "control: {manage: root}\n", ""},
        {"", "services: {s: {listen: tcp:7, exec: [mp-echo], user: root}}\n", ""},
        {"", "defaults: {umask: 077}\nx-a: 5\n", ""},
    };
    Fixture *f = *state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        const char *const bodies[] = {cases[i].from, cases[i].to};
        Config *configs[2];
        for (size_t k = 0; k < 2; k++) {
            char text[512];
            (void)snprintf(text, sizeof(text), "version: 1\n%s", bodies[k]);
            (void)fixture_load_text(f, text);
            fixture_expect(f, text, "", NULL);
            configs[k] = config_ref(f->config);
        }
        CLEANUP_CONFIG Config *a = configs[0];
        CLEANUP_CONFIG Config *b = configs[1];
        CLEANUP_TEXT Text text = {0};
        size_t n = config_diff_globals(a, b, emit, &text);
        if (!streq(text.s ? text.s : "", cases[i].differences))
            fail_msg("%s\n%s\ngave:\n%s", cases[i].from, cases[i].to, text.s);
        assert_int_equal(config_diff_globals(a, b, NULL, NULL), n);
        assert_true((n == 0) == (*cases[i].differences == '\0'));
    }
}

/* The words are the same, and what the files say is not. */
static void test_contents(void **state) {
    static const struct {
        const char *body, *from, *to, *differences;
    } cases[] = {
        {TCP "access: {deny: [\"file:${FOLDER}/f\"]}", "10.0.0.0/8", "# the same\n10.0.0.0/8", ""},
        {TCP "access: {deny: [\"file:${FOLDER}/f\"]}", "10.0.0.0/8", "10.0.0.0/8\n11.0.0.0/8",
         "access.deny: [file:F] (1 rule) -> [file:F] (2 rules)\n"},
        {TCP "access: {allow: [10.0.0.1, \"file:${FOLDER}/f\"], deny: [10.0.0.2]}", "10.0.0.0/8",
         "10.0.0.0/9", "access.allow: [10.0.0.1, file:F] (2 rules) -> [10.0.0.1, file:F] (2 other rules)\n"},
        {TCP "access: {allow: \"file:${FOLDER}/f\", deny: [10.0.0.2]}", "any", "",
         "access.allow: [file:F] (1 rule) -> [file:F] (0 rules)\n"},
        {TCP "access: {allow: \"file:${FOLDER}/f\"}", "any", "10.0.0.1",
         "access.allow: [file:F] (0 rules) -> [file:F] (1 rule)\n"},
        {TCP "proxy_protocol: {accept_from: \"file:${FOLDER}/f\"}", "::1", "::2",
         "proxy_protocol.accept_from: [file:F] (1 rule) -> [file:F] (1 other rule)\n"},
        {TCP "banner: {greeting: \"file:${FOLDER}/f\", refused: \"file:${FOLDER}/f\"}", "a", "aa",
         "banner.greeting: file:F (1 byte) -> file:F (2 bytes)\n"
         "banner.refused: file:F (1 byte) -> file:F (2 bytes)\n"},
        {TCP "banner: {greeting: \"file:${FOLDER}/f\"}", "aa", "ab",
         "banner.greeting: file:F (2 bytes) -> file:F (2 other bytes)\n"},
    };
    Fixture *f = *state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        fixture_write(f, "f", cases[i].from, 0644);
        CLEANUP_CONFIG Config *a = load_service(f, cases[i].body);
        fixture_write(f, "f", cases[i].to, 0644);
        CLEANUP_CONFIG Config *b = load_service(f, cases[i].body);
        CLEANUP_TEXT Text text = {0};
        CLEANUP_TEXT Text expected = {0};
        size_t n = service_config_diff(a->services[0], b->services[0], emit, &text);
        for (const char *s = cases[i].differences; *s; s++) { /* F is the file */
            if (starts_with(s, "file:F"))
                text_addf(&expected, "file:%s", fixture_path(f, "f"));
            else
                text_addc(&expected, *s);
            s += starts_with(s, "file:F") ? strlen("file:F") - 1 : 0;
        }
        if (!streq(text.s ? text.s : "", expected.s ? expected.s : ""))
            fail_msg("%s\n%s\nto\n%s\ngave:\n%s", cases[i].body, cases[i].from, cases[i].to, text.s);
        assert_true((n == 0) == (*cases[i].differences == '\0'));
        assert_int_equal(service_config_diff(a->services[0], a->services[0], NULL, NULL), 0);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {TEST(test_service), TEST(test_implied), TEST(test_globals),
                                       TEST(test_contents)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* The effective config, visited: as JSON, which YAML is a superset of, it loads to the same config again. */
#include "conf/effective.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "conf/expand.h"
#include "fixture.h"

/* What a visitor has written. */
typedef struct Page {
    Text out;
    bool comma;
    bool hide;
} Page;

static void begin(Page *p, const char *name) {
    text_add(&p->out, p->comma ? ", " : "");
    if (name)
        text_addf(&p->out, "\"%s\": ", name);
    p->comma = true;
}

static void add(Page *p, const char *name, const char *text) {
    begin(p, name);
    text_add(&p->out, text);
    p->comma = false;
}

static void on_open_map(const char *name, void *userdata) {
    add(userdata, name, "{");
}

static void on_close_map(void *userdata) {
    Page *p = userdata;
    text_addc(&p->out, '}');
    p->comma = true;
}

static void on_open_list(const char *name, void *userdata) {
    add(userdata, name, "[");
}

static void on_close_list(void *userdata) {
    Page *p = userdata;
    text_addc(&p->out, ']');
    p->comma = true;
}

/* As a file would have it: no ${…} that is expanded. */
static void add_text(Page *p, const char *s) {
    CLEANUP_TEXT Text doubled = {0};
    for (; *s; s++)
        text_addf(&doubled, *s == '$' ? "$$" : "%c", *s);
    text_add_json(&p->out, doubled.s ? doubled.s : "", doubled.len);
}

static void on_value(const char *name, const FieldValue *value, bool secret, void *userdata) {
    Page *p = userdata;
    begin(p, name);
    if (secret && p->hide)
        text_add(&p->out, "null");
    else if (value->kind == FIELD_BOOL)
        text_add(&p->out, value->truth ? "true" : "false");
    else if (value->kind == FIELD_INTEGER)
        text_addf(&p->out, "%lld", (long long)value->number);
    else if (value->kind == FIELD_NUMBER)
        text_addf(&p->out, "%.3f", (double)value->number / 1000);
    else
        add_text(p, value->text);
}

static const EffectiveVisitor writer = {
    .open_map = on_open_map,
    .close_map = on_close_map,
    .open_list = on_open_list,
    .close_list = on_close_list,
    .value = on_value,
};

static void write_config(const Config *c, Page *p) {
    add(p, NULL, "{");
    assert_int_equal(effective_globals(c, &writer, p), 0);
    add(p, "services", "{");
    for (size_t i = 0; i < c->n_services; i++)
        assert_int_equal(effective_service(c->services[i], NULL, &writer, p), 0);
    text_add(&p->out, "}}\n");
    assert_true(text_ok(&p->out));
}

static void page_done(Page *p) {
    text_done(&p->out);
}

static void complain(const char *key, const char *from, const char *to, void *userdata) {
    print_error("%s: %s: %s -> %s\n", (const char *)userdata, key, from ? from : "", to ? to : "");
}

/* Writes what was loaded, loads it, and holds it against what was there; and a second time nothing changes.
 */
static void check_round_trip(Fixture *f, const char *what) {
    CLEANUP_CONFIG Config *c = config_ref(f->config);
    CLEANUP(page_done) Page first = {0}, second = {0};
    write_config(c, &first);
    if (fixture_load_text(f, first.out.s) < 0)
        fixture_expect(f, first.out.s, "", NULL);
    const Config *again = f->config;
    size_t n = config_diff_globals(c, again, complain, (void *)(uintptr_t)what);
    assert_int_equal(again->n_services, c->n_services);
    for (size_t i = 0; i < c->n_services; i++) {
        assert_string_equal(again->services[i]->name, c->services[i]->name);
        n += service_config_diff(c->services[i], again->services[i], complain, (void *)(uintptr_t)what);
    }
    if (n > 0)
        fail_msg("%s", first.out.s);
    write_config(again, &second);
    assert_string_equal(second.out.s, first.out.s);
}

static void round_trip_folder(Fixture *f, const char *folder, const char *prefix) {
    DIR *d = opendir(folder);
    const struct dirent *e;
    size_t n = 0;
    assert_non_null(d);
    while ((e = readdir(d))) {
        char path[512];
        size_t length = strlen(e->d_name);
        if (!starts_with(e->d_name, prefix) || length < 5 || !streq(e->d_name + length - 5, ".yaml"))
            continue;
        (void)snprintf(path, sizeof(path), "%s/%s", folder, e->d_name);
        f->context.euid = streq(e->d_name, "good-user.yaml") ? FIXTURE_USER : FIXTURE_ROOT;
        diag_list_done(&f->diags);
        f->diags = (DiagList){0};
        f->config = config_unref(f->config);
        if (config_load(path, &f->context, &f->diags, &f->config) < 0)
            fixture_expect(f, path, "", NULL);
        check_round_trip(f, path);
        n++;
    }
    (void)closedir(d);
    assert_true(n > 3);
}

static void test_files(void **state) {
    static char port[] = "PORT=7100", name[] = "NAME=${golden} $$", empty[] = "EMPTY=";
    char *const environment[] = {port, name, empty, NULL};
    Fixture *f = *state;
    f->context.environ = environment;
    f->context.tolerate_missing = true; /* not every machine has git and rsync */
    fixture_write(f, "libexec/mp-time", "", 0755);
    round_trip_folder(f, SOURCE_ROOT "/tests/golden", "good-");
    round_trip_folder(f, SOURCE_ROOT "/conf/examples", "");
}

static void test_services(void **state) {
    static const char *const bodies[] = {
        "    listen: tcp:7",
        "    listen: [tcp:7, udp:7]\n    model: on-demand",
        "    listen: [{endpoint: tcp:7, name: s}]",
        "    listen: [{endpoint: tcp:7, keepalive: {}}, tcp:8]",
        "    listen: [{endpoint: tcp:7, keepalive: {idle: 5}, nodelay: no}]",
        "    listen: [{endpoint: \"unix:@x\", receive_buffer: 4097}]",
        "    listen: tcp:7\n    supplementary_groups: []\n    pass_environment: []",
        "    listen: tcp:7\n    exec: [mp-echo, \"\", \"a\\tb\\nc\", \"\\u00e9\\x85\", \"$${X}\", \"$$$$\"]",
        "    listen: tcp:7\n    environment: {A: \"\", B: \"a=b\", C: \"yes\", D: \"1_0\"}",
        "    listen: tcp:7\n    resources: {nofile: unlimited, core: 4097, nice: -5, cpus: \"1,3-5\"}",
        "    listen: udp:7\n    restart: {limit: 3/1m burst 9}\n    timeouts: {stop: 1500ms, lifetime: 90}",
    };
    Fixture *f = *state;
    for (size_t i = 0; i < ELEMENTS(bodies); i++) {
        char text[1024];
        (void)snprintf(text, sizeof(text), "version: 1\nservices:\n  s:\n    user: root\n%s%s\n",
                       strstr(bodies[i], "exec:") ? "" : "    exec: [mp-echo]\n", bodies[i]);
        (void)fixture_load_text(f, text);
        (void)fixture_service(f, text, "s");
        check_round_trip(f, bodies[i]);
    }
}

/* The document itself, whole. */
static void test_document(void **state) {
    Fixture *f = *state;
    (void)fixture_load_text(f, "version: 1\n"
                               "control: {mode: 600, manage: root}\n"
                               "defaults: {user: root, start: now, environment: {A: 1}}\n"
                               "services:\n"
                               "  s:\n"
                               "    listen: [tcp:7, {endpoint: tcp:8, backlog: 5, keepalive: {count: 3}}]\n"
                               "    exec: mp-echo -v\n"
                               "    environment: {B: two}\n");
    (void)fixture_service(f, "document", "s");
    CLEANUP(page_done) Page page = {.hide = true};
    write_config(f->config, &page);
    assert_string_equal(
        page.out.s,
        "{\"version\": 1, \"control\": {\"mode\": \"0600\", \"manage\": [\"root\"]}, "
        "\"log\": {\"level\": \"info\", \"format\": \"text\", \"addresses\": \"full\"}, "
        "\"shutdown\": {\"children\": \"end\", \"drain\": \"10s\"}, "
        "\"services\": {\"s\": {\"description\": \"\", \"enabled\": true, "
        "\"listen\": [\"tcp:7\", {\"endpoint\": \"tcp:8\", \"backlog\": 5, \"keepalive\": {\"count\": 3}}], "
        "\"model\": \"per-connection\", \"pass\": \"stdio\", \"exec\": [\"mp-echo\", \"-v\"], "
        "\"user\": \"root\", \"umask\": \"0022\", \"working_directory\": \"/\", "
        "\"environment\": {\"A\": null, \"B\": null}, "
        "\"limits\": {\"instances\": 1000, \"source_prefix\": {\"ipv4\": 32, \"ipv6\": 64}, "
        "\"when_full\": \"wait\", \"refuse_with\": \"close\"}, "
        "\"access\": {\"apply_to_existing\": false}, \"ban\": {\"for\": \"10m\"}, \"sensor\": false, "
        "\"timeouts\": {\"start\": \"30s\", \"idle\": \"none\", \"lifetime\": \"none\", \"stop\": \"10s\", "
        "\"watchdog\": \"none\"}, \"prespawn\": 0, "
        "\"notify\": \"none\", \"report\": false, \"stderr\": \"log\", "
        "\"sandbox\": {\"no_new_privileges\": true}}}}\n");
}

/* "KEY FROM LINE:COLUMN (NOTE)" of each origin. */
static void on_origin(const EffectiveOrigin *o, void *userdata) {
    Text *out = userdata;
    text_addf(out, "%s %s", o->key, config_from_to_string(o->from));
    if (o->pos.line > 0)
        text_addf(out, " %u:%u", o->pos.line, o->pos.column);
    assert_true((o->pos.line > 0) == (o->pos.file != NULL));
    if (o->note)
        text_addf(out, " (%s)", o->note);
    text_addc(out, '\n');
}

static const EffectiveVisitor teller = {.origin = on_origin};

static void test_origins(void **state) {
    Fixture *f = *state;
    (void)fixture_load_text(f, "version: 1\n"
                               "log:\n"
                               "  level: debug\n"
                               "defaults: {user: root, start: now, environment: {A: 1, B: 1}, umask: 7}\n"
                               "services:\n"
                               "  a.b:\n"
                               "    listen:\n"
                               "      - tcp:7\n"
                               "      - endpoint: tcp:8\n"
                               "        keepalive:\n"
                               "          count: 3\n"
                               "    exec: mp-echo\n"
                               "    environment:\n"
                               "      B: 2\n"
                               "      C: 2\n"
                               "    limits: {instances: 5}\n");
    const ServiceConfig *s = fixture_service(f, "origins", "a.b");
    CLEANUP_TEXT Text text = {0};
    assert_int_equal(effective_globals(f->config, &teller, &text), 0);
    assert_string_equal(text.s, "version file 1:10\n"
                                "control.mode default\n"
                                "log.level file 3:10\n"
                                "log.format default\n"
                                "log.addresses default\n"
                                "shutdown.children default\n"
                                "shutdown.drain default\n");
    text_reset(&text);
    const LimitsConfig limits = {
        .instances = 5, .source_ipv4 = 32, .source_ipv6 = 48, .load = 2.5, .when_full = WHEN_FULL_REFUSE};
    assert_int_equal(effective_service(s, &limits, &teller, &text), 0);
    assert_string_equal(text.s, "services.a.b.description default\n"
                                "services.a.b.enabled default\n"
                                "services.a.b.listen service 8:7\n"
                                "services.a.b.listen[0] service 8:9\n"
                                "services.a.b.listen[1] service 9:9\n"
                                "services.a.b.listen[1].endpoint service 9:19\n"
                                "services.a.b.listen[1].keepalive.count service 11:18\n"
                                "services.a.b.model default\n"
                                "services.a.b.pass default\n"
                                "services.a.b.exec service 12:11\n"
                                "services.a.b.user defaults 4:18\n"
                                "services.a.b.umask defaults 4:70\n"
                                "services.a.b.working_directory default\n"
                                "services.a.b.environment service 14:7\n"
                                "services.a.b.environment.A defaults 4:53\n"
                                "services.a.b.environment.B service 14:10\n"
                                "services.a.b.environment.C service 15:10\n"
                                "services.a.b.limits.instances service 16:25\n"
                                "services.a.b.limits.source_prefix.ipv4 default\n"
                                "services.a.b.limits.source_prefix.ipv6 set\n"
                                "services.a.b.limits.load set\n"
                                "services.a.b.limits.when_full set\n"
                                "services.a.b.limits.refuse_with default\n"
                                "services.a.b.access.apply_to_existing default\n"
                                "services.a.b.ban.for default\n"
                                "services.a.b.sensor default\n"
                                "services.a.b.timeouts.start default\n"
                                "services.a.b.timeouts.idle default\n"
                                "services.a.b.timeouts.lifetime default\n"
                                "services.a.b.timeouts.stop default\n"
                                "services.a.b.timeouts.watchdog default\n"
                                "services.a.b.prespawn default\n"
                                "services.a.b.notify default\n"
                                "services.a.b.report default\n"
                                "services.a.b.stderr default\n"
                                "services.a.b.sandbox.no_new_privileges default\n"
                                "services.a.b.start defaults 4:31 (does not fit model per-connection)\n");
}

/* What was set shows as it is now. */
static void test_limits(void **state) {
    Fixture *f = *state;
    (void)fixture_load_service(f, "    listen: tcp:7\n    limits: {instances: 5}");
    const ServiceConfig *s = fixture_service(f, "limits", "s");
    const LimitsConfig limits = {.instances = 6,
                                 .per_source = 2,
                                 .source_ipv4 = 24,
                                 .source_ipv6 = 56,
                                 .rate = {5, 1000000, 9},
                                 .load = 8.5};
    CLEANUP(page_done) Page page = {0};
    assert_int_equal(effective_service(s, &limits, &writer, &page), 0);
    assert_non_null(strstr(page.out.s, "\"limits\": {\"instances\": 6, \"per_source\": 2, \"source_prefix\": "
                                       "{\"ipv4\": 24, \"ipv6\": 56}, \"rate\": \"5/s burst 9\", \"load\": "
                                       "8.500, \"when_full\": \"wait\", \"refuse_with\": \"close\"}"));
    assert_int_equal(s->terms->limits.instances, 5);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_files), TEST(test_services), TEST(test_document), TEST(test_origins), TEST(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

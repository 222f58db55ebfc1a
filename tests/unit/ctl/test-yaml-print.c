/* SPDX-License-Identifier: MIT */
/* A config as YAML: what is printed loads to the same config again, in YAML 1.1 and 1.2 alike. */
#include "ctl/yaml-print.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "conf/yaml.h"
#include "ctl/proto/methods.h"
#include "ctl/yaml-scalar.h"
#include "tests/unit/conf/fixture.h"

static void test_scalars(void **state) {
    static const struct {
        const char *text, *scalar;
    } cases[] = {
        {"", "\"\""},
        {"nobody", "nobody"},
        {"two words", "two words"},
        {"tcp:7", "tcp:7"},
        {"tcp:[::1]:7", "tcp:[::1]:7"},
        {"/srv/git", "/srv/git"},
        {"a, b", "a, b"},
        {"OTEL_*", "OTEL_*"},
        {"-v", "-v"},
        {"--base-path=/srv", "--base-path=/srv"},
        /* Values of keys */
        {"10s", "10s"},
        {"1m30s", "1m30s"},
        {"64K", "64K"},
        {"50/s burst 100", "50/s burst 100"},
        {"10.0.0.0/8", "10.0.0.0/8"},
        /* Numbers, times and dates to YAML 1.1 or 1.2 */
        {"0", "\"0\""},
        {"0660", "\"0660\""},
        {"4711", "\"4711\""},
        {"1_000", "\"1_000\""},
        {"0x1F", "\"0x1F\""},
        {"0o17", "\"0o17\""},
        {"0b1", "\"0b1\""},
        {"1e3", "\"1e3\""},
        {"1.5", "\"1.5\""},
        {"1:30", "\"1:30\""},
        {"2001-12-14", "\"2001-12-14\""},
        {"0-3,8", "\"0-3,8\""},
        {"-5", "\"-5\""},
        {"+5", "\"+5\""},
        {".5", "\".5\""},
        {".inf", "\".inf\""},
        {"-.inf", "\"-.inf\""},
        {"127.0.0.1", "\"127.0.0.1\""},
        /* Words */
        {"yes", "\"yes\""},
        {"No", "\"No\""},
        {"ON", "\"ON\""},
        {"y", "\"y\""},
        {"True", "\"True\""},
        {"null", "\"null\""},
        {"~", "\"~\""},
        {"<<", "\"<<\""},
        {"=", "\"=\""},
        {"none", "none"},
        {"yesterday", "yesterday"},
        /* What means something to YAML */
        {"a: b", "\"a: b\""},
        {"a:", "\"a:\""},
        {"a #b", "\"a #b\""},
        {" a", "\" a\""},
        {"a ", "\"a \""},
        {"-", "\"-\""},
        {"---", "\"---\""},
        {"- a", "\"- a\""},
        {"%sudo", "\"%sudo\""},
        {"@at", "\"@at\""},
        {"*a", "\"*a\""},
        {"&a", "\"&a\""},
        {"!a", "\"!a\""},
        {"[a]", "\"[a]\""},
        {"{a}", "\"{a}\""},
        {"a\"b", "\"a\\\"b\""},
        {"a\\b", "\"a\\\\b\""},
        {"it's", "\"it's\""},
        {"a\tb", "\"a\\tb\""},
        {"\033\177", "\"\\x1b\\x7f\""},
        {"\xc2\x85", "\"\\x85\""},
        {"\xe2\x80\xa8", "\"\\u2028\""},
        {"\xc3\xa9\xf0\x9f\x90\x99", "\"\xc3\xa9\xf0\x9f\x90\x99\""},
        {"\xff", "\"\\ufffd\""},
        /* Variables */
        {"$HOME", "$HOME"},
        {"${HOME}", "\"$${HOME}\""},
        {"a$$b", "a$$$b"},
        {"$$", "$$$"},
        {"$", "$"},
    };
    (void)state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        CLEANUP_TEXT Text text = {0};
        yaml_add_scalar(&text, cases[i].text);
        assert_string_equal(text.s, cases[i].scalar);
    }
}

static const char *look_up(const char *name, void *userdata) {
    (void)userdata;
    fail_msg("%s was expanded", name);
    return NULL;
}

/* Reads @yaml as the config is read. */
static YamlFile *parse(const Text *yaml) {
    CLEANUP_DIAGS DiagList diags = {0};
    CLEANUP_TEXT Text shown = {0};
    YamlBudget budget = {0};
    YamlFile *file = NULL;
    if (yaml_parse("test", yaml->s, yaml->len, &budget, look_up, NULL, &diags, &file) == 0 && diags.n == 0)
        return file;
    diag_list_format(&diags, NULL, &shown);
    fail_msg("%s\n%s", yaml->s, shown.s);
    return NULL;
}

/* Whatever the text, it comes back: as a value, as an item, below keys. */
static void test_any_text(void **state) {
    static const char *const pieces[] = {
        "a",
        "b",
        "Z",
        "0",
        "7",
        "e",
        "x",
        "y",
        "no",
        " ",
        " ",
        "\n",
        "\n",
        "\t",
        ":",
        "#",
        "-",
        "- ",
        "$",
        "{",
        "}",
        "[",
        "]",
        ",",
        "&",
        "*",
        "!",
        "|",
        ">",
        "'",
        "\"",
        "%",
        "@",
        "`",
        "\\",
        "~",
        "?",
        "=",
        ".",
        "_",
        "/",
        "+",
        "<",
        "\r",
        "\xc2\x85",
        "\xc3\xa9",
        "\xe2\x80\xa9",
        "\xef\xbb\xbf",
        "--- ",
        "...",
    };
    static const Style style = {0};
    uint32_t seed = 4711;
    (void)state;
    for (size_t round = 0; round < 20000; round++) {
        CLEANUP_TEXT Text text = {0};
        CLEANUP_TEXT Text yaml = {0};
        for (size_t n = 1 + round % 9; n > 0; n--) {
            seed = seed * 1664525 + 1013904223;
            text_add(&text, pieces[(seed >> 8) % ELEMENTS(pieces)]);
        }
        json_t *config =
            json_pack("{s:s, s:[s,s], s:{s:{s:s}}}", "a", text.s, "b", text.s, "c", "d", "e", "f", text.s);
        assert_non_null(config);
        yaml_print(config, NULL, &style, &yaml);
        YamlFile *file = parse(&yaml);
        const YamlNode *root = yaml_file_root(file), *list = yaml_get(root, "b");
        const YamlNode *nodes[] = {yaml_get(root, "a"), list->items[0],
                                   yaml_get(yaml_get(yaml_get(root, "d"), "e"), "f")};
        for (size_t i = 0; i < ELEMENTS(nodes); i++)
            if (nodes[i]->kind != YAML_SCALAR || !streq(nodes[i]->text, text.s))
                fail_msg("%s\nis not '%s' but '%s'", yaml.s, text.s, nodes[i]->text);
        assert_string_equal(list->items[1]->text, "c");
        yaml_file_free(file);
        json_decref(config);
    }
}

/* GetConfig's parameters for @c, held against the table of methods. */
static json_t *encode(const Config *c, const LimitsConfig *const *limits, bool secrets, bool origin) {
    CLEANUP_TEXT Text text = {0};
    const ApiConfig config = {
        .generation = 7,
        .config = c,
        .services = (const ServiceConfig *const *)c->services,
        .limits = limits,
        .n_services = c->n_services,
        .globals = true,
        .secrets = secrets,
        .origin = origin,
    };
    api_encode_config(&text, &config, false);
    assert_true(text_ok(&text));
    json_t *root = json_loadb(text.s, text.len - 1, JSON_REJECT_DUPLICATES, NULL);
    json_t *parameters = json_incref(json_object_get(root, "parameters"));
    json_decref(root);
    size_t n = 0;
    for (const ApiField *f = api_method(METHOD_GET_CONFIG)->out; f->name; f++, n++)
        assert_true(api_value_is(f->type, json_object_get(parameters, f->name), true));
    assert_int_equal(json_object_size(parameters), n);
    assert_int_equal(json_integer_value(json_object_get(parameters, "generation")), 7);
    assert_true((json_array_size(json_object_get(parameters, "origins")) > 0) == origin);
    return parameters;
}

static void print(const json_t *parameters, bool origin, Text *out) {
    static const Style style = {0};
    CLEANUP_ORIGINS Origins origins;
    origins_init(&origins, json_object_get(parameters, "origins"),
                 json_string_value(json_object_get(parameters, "path")));
    yaml_print(json_object_get(parameters, "config"), origin ? &origins : NULL, &style, out);
    assert_true(text_ok(out));
}

static void complain(const char *key, const char *from, const char *to, void *userdata) {
    (void)userdata;
    print_error("%s: %s -> %s\n", key, from ? from : "", to ? to : "");
}

static void check_round_trip(Fixture *f, bool origin) {
    CLEANUP_CONFIG Config *c = config_ref(f->config);
    CLEANUP_TEXT Text yaml = {0};
    json_t *parameters = encode(c, NULL, true, origin);
    print(parameters, origin, &yaml);
    json_decref(parameters);
    if (fixture_load_text(f, yaml.s) < 0)
        fixture_expect(f, yaml.s, "", NULL);
    size_t n = config_diff_globals(c, f->config, complain, NULL);
    assert_int_equal(f->config->n_services, c->n_services);
    for (size_t i = 0; i < c->n_services; i++)
        n += service_config_diff(c->services[i], f->config->services[i], complain, NULL);
    if (n > 0)
        fail_msg("%s", yaml.s);
}

static size_t round_trip_folder(Fixture *f, const char *folder, const char *prefix) {
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
        for (int origin = 0; origin < 2; origin++) {
            diag_list_done(&f->diags);
            f->diags = (DiagList){0};
            f->config = config_unref(f->config);
            if (config_load(path, &f->context, &f->diags, &f->config) < 0)
                fixture_expect(f, path, "", NULL);
            check_round_trip(f, origin);
        }
        n++;
    }
    (void)closedir(d);
    return n;
}

static void test_round_trip(void **state) {
    static char port[] = "PORT=7100", name[] = "NAME=${golden} $$: #", empty[] = "EMPTY=";
    char *const environment[] = {port, name, empty, NULL};
    Fixture *f = *state;
    f->context.environ = environment;
    f->context.tolerate_missing = true; /* not every machine has git and rsync */
    fixture_write(f, "libexec/mp-time", "", 0755);
    assert_true(round_trip_folder(f, SOURCE_ROOT "/tests/golden", "good-") > 8);
    assert_true(round_trip_folder(f, SOURCE_ROOT "/conf/examples", "") > 4);
    assert_true(round_trip_folder(f, SOURCE_ROOT "/conf", "demo") == 1);
}

#define CONFIG                                                                                               \
    "version: 1\n"                                                                                           \
    "include: more/*.yaml\n"                                                                                 \
    "log: {level: debug}\n"                                                                                  \
    "defaults: {user: root, start: now, environment: {NO: 1}}\n"

#define MORE                                                                                                 \
    "services:\n"                                                                                            \
    "  on:\n"                                                                                                \
    "    description: a description that is so long that no comment waits for it\n"                          \
    "    listen:\n"                                                                                          \
    "      - tcp:7\n"                                                                                        \
    "      - {endpoint: tcp:8, backlog: 5, keepalive: {}}\n"                                                 \
    "    exec: [mp-echo, -c, \"a\\nb\\n\"]\n"                                                                \
    "    environment:\n"                                                                                     \
    "      SECRET: word\n"                                                                                   \
    "    limits: {instances: 5}\n"

/* The page as people see it. */
static void test_page(void **state) {
    Fixture *f = *state;
    assert_int_equal(mkdir(fixture_path(f, "more"), 0755), 0);
    fixture_write(f, "more/on.yaml", MORE, 0644);
    (void)fixture_load_text(f, CONFIG);
    const ServiceConfig *s = fixture_service(f, "page", "on");
    LimitsConfig now = s->terms->limits;
    now.instances++;
    const LimitsConfig *limits[] = {&now};
    CLEANUP_TEXT Text yaml = {0};
    json_t *parameters = encode(f->config, limits, false, true);
    print(parameters, true, &yaml);
    json_decref(parameters);
    assert_string_equal(
        yaml.s,
        "version: 1                      # test.yaml:1\n"
        "control:\n"
        "  mode: \"0660\"                  # default\n"
        "log:\n"
        "  level: debug                  # test.yaml:3\n"
        "  format: text                  # default\n"
        "  addresses: full               # default\n"
        "shutdown:\n"
        "  children: end                 # default\n"
        "  drain: 10s                    # default\n"
        "services:\n"
        "  \"on\":\n"
        "    description: a description that is so long that no comment waits for it  # more/on.yaml:3\n"
        "    enabled: true               # default\n"
        "    listen:                     # more/on.yaml:5\n"
        "      - tcp:7\n"
        "      - endpoint: tcp:8         # more/on.yaml:6\n"
        "        backlog: 5              # more/on.yaml:6\n"
        "        keepalive: {}\n"
        "    model: per-connection       # default\n"
        "    pass: stdio                 # default\n"
        "    exec:                       # more/on.yaml:7\n"
        "      - mp-echo\n"
        "      - -c\n"
        "      - |\n"
        "        a\n"
        "        b\n"
        "    user: root                  # defaults, test.yaml:4\n"
        "    umask: \"0022\"               # default\n"
        "    working_directory: /        # default\n"
        "    # environment: not shown to who may not manage mpinetd: NO, SECRET\n"
        "    limits:\n"
        "      instances: 6              # set, until the next reload\n"
        "      source_prefix:\n"
        "        ipv4: 32                # default\n"
        "        ipv6: 64                # default\n"
        "      when_full: wait           # default\n"
        "      refuse_with: close        # default\n"
        "    access:\n"
        "      apply_to_existing: false  # default\n"
        "    ban:\n"
        "      for: 10m                  # default\n"
        "    sensor: false               # default\n"
        "    timeouts:\n"
        "      start: 30s                # default\n"
        "      idle: none                # default\n"
        "      lifetime: none            # default\n"
        "      stop: 10s                 # default\n"
        "      watchdog: none            # default\n"
        "    prespawn: 0                 # default\n"
        "    notify: none                # default\n"
        "    report: false               # default\n"
        "    stderr: log                 # default\n"
        "    sandbox:\n"
        "      no_new_privileges: true   # default\n"
        "    # start: not applied, does not fit model per-connection (defaults, test.yaml:4)\n");
}

/* Nothing of a secret is in the reply, origins or not. */
static void test_secrets(void **state) {
    Fixture *f = *state;
    (void)fixture_load_service(f, "    listen: tcp:7\n    environment: {PASSWORD: open-sesame, TOKEN: x}");
    (void)fixture_service(f, "secrets", "s");
    for (int secrets = 0; secrets < 2; secrets++) {
        json_t *parameters = encode(f->config, NULL, secrets, true);
        CLEANUP_FREE char *text = json_dumps(parameters, 0);
        json_decref(parameters);
        assert_true((strstr(text, "open-sesame") != NULL) == secrets);
        assert_non_null(strstr(text, "PASSWORD"));
    }
}

static void test_plain(void **state) {
    Fixture *f = *state;
    assert_int_equal(mkdir(fixture_path(f, "more"), 0755), 0);
    fixture_write(f, "more/on.yaml", MORE, 0644);
    (void)fixture_load_text(f, CONFIG);
    (void)fixture_service(f, "plain", "on");
    static const char *const lines[] = {
        "version\t1\ttest.yaml:1\n",
        "\nlog.level\tdebug\ttest.yaml:3\n",
        "\nservices.on.listen[0]\ttcp:7\tmore/on.yaml:5\n",
        "\nservices.on.listen[1].backlog\t5\tmore/on.yaml:6\n",
        "\nservices.on.exec[2]\ta\\x0ab\\x0a\tmore/on.yaml:7\n",
        "\nservices.on.user\troot\tdefaults, test.yaml:4\n",
        "\nservices.on.environment.SECRET\t-\tmore/on.yaml:9\n",
        "\nservices.on.enabled\ttrue\tdefault\n",
    };
    CLEANUP_TEXT Text text = {0};
    json_t *parameters = encode(f->config, NULL, false, true);
    CLEANUP_ORIGINS Origins origins;
    origins_init(&origins, json_object_get(parameters, "origins"), fixture_path(f, "test.yaml"));
    yaml_print_plain(json_object_get(parameters, "config"), &origins, &text);
    json_decref(parameters);
    for (size_t i = 0; i < ELEMENTS(lines); i++)
        if (!strstr(text.s, lines[i]))
            fail_msg("no %s in\n%s", lines[i], text.s);
}

/* Which service and key an origin is of, where names have dots. */
static void test_origin_keys(void **state) {
    static const struct {
        const char *key, *service, *rest;
    } cases[] = {
        {"services.s.user", "s", "user"},
        {"services.s.limits.instances", "s", "limits.instances"},
        {"services.a.b.c.limits.instances", "a.b.c", "limits.instances"},
        {"services.a.user.description", "a.user", "description"},
        {"services.s.listen[0]", "s", "listen[0]"},
        {"services.s.listen[12].keepalive.idle", "s", "listen[12].keepalive.idle"},
        {"services.s.environment.PATH", "s", "environment.PATH"},
        {"services.s.environment", "s", "environment"},
        {"control.mode", NULL, ""},
        {"version", NULL, ""},
        {"services.s", NULL, ""},
        {"services.s.nothing", NULL, ""},
    };
    (void)state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        CLEANUP_TEXT Text service = {0};
        json_t *origin = json_pack("{s:s}", "key", cases[i].key);
        origin_service(origin, &service);
        assert_true(streq_null(service.s, cases[i].service));
        assert_string_equal(origin_key(origin), cases[i].rest);
        json_decref(origin);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scalars),
        cmocka_unit_test(test_any_text),
        TEST(test_round_trip),
        TEST(test_page),
        TEST(test_secrets),
        TEST(test_plain),
        cmocka_unit_test(test_origin_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

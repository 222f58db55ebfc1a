/* SPDX-License-Identifier: MIT */
/* Sandboxes and control groups of a config: presets, capabilities, and what goes together with what. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "conf/capability.h"
#include "conf/field.h"
#include "conf/part.h"
#include "conf/preset.h"
#include "conf/resolve.h"
#include "daemon/base/text.h"
#include "fixture.h"

#define TCP "    listen: tcp:7007\n    "
#define FORWARD "    listen: tcp:7007\n    model: forward\n    "

/* The standard of each key in a part is what holds where the part is not there. */
static void test_standards(void **state) {
    const ServiceConfig s = {.refs = 1};
    (void)state;
    for (size_t i = 0; i < schema_n_keys(); i++) {
        const Key *key = schema_key(i);
        CLEANUP_TEXT Text text = {0};
        if (!key->part || key->part == KEY_PART_TERMS) /* which are always there */
            continue;
        field_format(key, &s, &text);
        if (!streq(text.s ? text.s : "", key->standard ? key->standard : ""))
            fail_msg("%s is %s", key->path, text.s);
    }
}

static void format_key(const ServiceConfig *s, const char *path, Text *out) {
    text_reset(out);
    field_format(schema_find(KEY_SCOPE_SERVICE, path), s, out);
    if (!out->s)
        text_add(out, "");
}

static void test_presets(void **state) {
    static const struct {
        const char *body, *key, *value;
    } cases[] = {
        {"preset: basic", "sandbox.capabilities", "[]"},
        {"preset: basic", "sandbox.read_only", "[-/usr, -/boot, -/efi, -/etc]"},
        {"preset: basic", "sandbox.private_tmp", "true"},
        {"preset: basic", "sandbox.private_ipc", "true"},
        {"preset: basic", "sandbox.devices", "minimal"},
        {"preset: basic", "sandbox.network", "host"},
        {"preset: basic", "sandbox.private_users", "false"},
        {"preset: basic", "sandbox.hidden", ""},
        {"preset: strict", "sandbox.read_only", "[/]"},
        {"preset: strict", "sandbox.hidden", "[-/home, -/root, -/run/user]"},
        {"preset: strict", "sandbox.seccomp", "[@service]"},
        {"preset: strict", "sandbox.network", "none"},
        {"preset: strict", "sandbox.private_users", "true"},
        {"preset: strict", "sandbox.private_pids", "true"},
        /* What is given holds, whatever the preset. */
        {"preset: strict, network: host", "sandbox.network", "host"},
        {"preset: strict, private_tmp: false", "sandbox.private_tmp", "false"},
        {"preset: strict, read_only: []", "sandbox.read_only", "[]"},
        {"preset: basic, capabilities: [CHOWN]", "sandbox.capabilities", "[CHOWN]"},
        {"preset: strict, seccomp: []", "sandbox.seccomp", "[]"},
        {"preset: none", "sandbox.private_tmp", "false"},
        {"preset: none", "sandbox.capabilities", ""},
    };
    Fixture *f = *state;
    f->context.tolerate_missing = true; /* libseccomp */
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        char body[256];
        CLEANUP_TEXT Text value = {0};
        (void)snprintf(body, sizeof(body), TCP "sandbox: {%s}", cases[i].body);
        assert_int_equal(fixture_load_service(f, body), 0);
        format_key(f->config->services[0], cases[i].key, &value);
        if (!streq(value.s, cases[i].value))
            fail_msg("%s: %s is %s", cases[i].body, cases[i].key, value.s);
    }
}

/* `defaults` have a preset, a service a key of its own. */
static void test_preset_of_defaults(void **state) {
    Fixture *f = *state;
    f->context.tolerate_missing = true;
    assert_int_equal(
        fixture_load_text(f, "version: 1\ndefaults: {user: root, sandbox: {preset: basic}}\nservices:\n"
                             "  a: {listen: tcp:1, exec: [mp-echo], sandbox: {devices: all}}\n"
                             "  b: {listen: tcp:2, exec: [mp-echo], sandbox: {preset: none}}\n"
                             "  c: {listen: tcp:3, model: tcpmux}\n"),
        0);
    const ServiceConfig *a = f->config->services[0], *b = f->config->services[1];
    assert_true(a->sandbox->private_tmp && a->sandbox->devices == SANDBOX_DEVICES_ALL);
    assert_true(preset_gives(a, schema_find(KEY_SCOPE_SERVICE, "sandbox.private_tmp")));
    assert_false(preset_gives(a, schema_find(KEY_SCOPE_SERVICE, "sandbox.devices")));
    assert_false(b->sandbox->private_tmp);
    assert_null(f->config->services[2]->sandbox);
}

/* What a preset hides makes room for what the service needs; what the config hides does not. */
static void test_hidden(void **state) {
    static const struct {
        const char *body, *hidden;
    } cases[] = {
        {TCP "sandbox: {preset: strict, seccomp: [], read_write: [/home/www/data]}", "[-/root, -/run/user]"},
        {TCP "sandbox: {preset: strict, seccomp: [], read_write: [-/run/user/5]}", "[-/home, -/root]"},
        {TCP "sandbox: {preset: strict, seccomp: [], landlock: {read: [/usr, /root/x]}}",
         "[-/home, -/run/user]"},
        {TCP "sandbox: {preset: strict, seccomp: [], hidden: [/srv]}", "[/srv]"},
    };
    Fixture *f = *state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        CLEANUP_TEXT Text value = {0};
        assert_int_equal(fixture_load_service(f, cases[i].body), 0);
        format_key(f->config->services[0], "sandbox.hidden", &value);
        if (!streq(value.s, cases[i].hidden))
            fail_msg("%s: hidden is %s", cases[i].body, value.s);
    }
}

static void test_rules(void **state) {
    static const struct {
        const char *body, *codes, *text;
    } cases[] = {
        {TCP "sandbox: {no_new_privileges: false}", "", NULL},
        {TCP "sandbox: {no_new_privileges: false, preset: basic, seccomp: []}", "", NULL},
        {TCP "sandbox: {no_new_privileges: false, landlock: {read: [/]}}", "conflict",
         "sandbox.landlock cannot be had with no_new_privileges: false"},
        {TCP "sandbox: {no_new_privileges: false, landlock: {write: []}}", "conflict",
         "leave one of them out"},
        {TCP "sandbox: {read_write: [/srv]}", "~conflict", "/srv is not below a path of read_only"},
        {TCP "sandbox: {read_only: [/usr], read_write: [/usr/a, /usrb]}", "~conflict", "/usrb is not below"},
        {TCP "sandbox: {read_only: [-/], read_write: [/srv]}", "", NULL},
        {TCP "sandbox: {hidden: [/]}", "conflict", "without / there is nothing to run"},
        {TCP "sandbox: {hidden: [/var]}\n    working_directory: /var", "conflict",
         "sandbox.hidden hides /var of working_directory"},
        {TCP "sandbox: {hidden: [-/srv], read_only: [/], read_write: [/srv/x]}", "conflict",
         "hides /srv/x of sandbox.read_write"},
        {TCP "sandbox: {hidden: [/srv/x], read_only: [/], read_write: [/srv]}", "", NULL},
        {TCP "sandbox: {capabilities: [NET_ADMIN, cap_chown, Cap_Kill]}", "", NULL},
        {TCP "sandbox: {capabilities: [NET_ADMN]}", "bad-value", "did you mean 'NET_ADMIN'?"},
        {TCP "sandbox: {capabilities: [CAP_NOTHING_LIKE_IT]}", "bad-value", "there is no capability"},
        {TCP "sandbox: {capabilities: all}", "bad-value", "for none write []"},
        {TCP "cgroup: {memory_max: 64M, memory_high: 64M}", "", NULL},
        {TCP "cgroup: {memory_max: 64M, memory_high: 65M}", "conflict",
         "cgroup.memory_high is larger than cgroup.memory_max"},
        {TCP "cgroup: {memory_max: none, memory_high: 65M}", "", NULL},
        {TCP "cgroup: {cpu_max: 1024}", "~out-of-range", "for half of one processor write 50%"},
        {TCP "cgroup: {cpu_max: 50%}", "", NULL},
        {FORWARD "to: tcp:127.0.0.1:80\n    sandbox: {network: none}", "conflict",
         "with network: none the backend cannot be reached"},
        {FORWARD "to: unix:@x\n    sandbox: {network: none}", "conflict", "let it listen on unix:/path"},
        {FORWARD "to: unix:/run/x\n    sandbox: {network: none}", "", NULL},
        {FORWARD "to: unix:/tmp/x\n    sandbox: {private_tmp: true}", "conflict", "let it listen below /run"},
    };
    Fixture *f = *state;
    fixture_write(f, "libexec/mp-forward", "", 0755);
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        (void)fixture_load_service(f, cases[i].body);
        fixture_expect(f, cases[i].body, cases[i].codes, cases[i].text);
    }
}

static void test_capabilities(void **state) {
    Fixture *f = *state;
    for (unsigned c = 0; c < CAPABILITY_COUNT; c++) {
        char name[64];
        (void)snprintf(name, sizeof(name), "cap_%s", capability_name(c));
        assert_int_equal(capability_from_name(capability_name(c)), c);
        assert_int_equal(capability_from_name(name), c);
    }
    assert_null(capability_name(CAPABILITY_COUNT));
    assert_int_equal(capability_from_name("CAP_"), -EINVAL);
    (void)fixture_load_service(f, TCP "sandbox: {capabilities: [CHOWN, CAP_KILL]}");
    assert_int_equal(fixture_service(f, "capabilities", "s")->sandbox->capability_set, 1 << 0 | 1 << 5);
    /* An ordinary user's daemon has none to hand on. */
    f->context.euid = FIXTURE_USER;
    (void)fixture_load_text(f, "version: 1\nservices: {s: {listen: tcp:7007, exec: [mp-echo], "
                               "sandbox: {capabilities: [CHOWN]}}}");
    fixture_expect(f, "of a user", "not-allowed", "sandbox.capabilities: the daemon has no CHOWN");
    (void)fixture_load_text(f, "version: 1\nservices: {s: {listen: tcp:7007, exec: [mp-echo], "
                               "sandbox: {capabilities: []}}}");
    (void)fixture_service(f, "none of a user", "s");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_standards),
        cmocka_unit_test_setup_teardown(test_presets, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_preset_of_defaults, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_hidden, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_rules, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_capabilities, fixture_setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

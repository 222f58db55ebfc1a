/* SPDX-License-Identifier: MIT */
#include "conf/security.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "fixture.h"

#define TCP "    listen: tcp:7007\n    "
#define ROOT "    user: root\n    exec: [mp-echo]\n"

/* A service with the keys @body, as by root; those of it that the check asks for hold. */
static void judge(Fixture *f, const char *body, SecurityReport *ret) {
    char text[1024];
    (void)snprintf(text, sizeof(text), "version: 1\nservices:\n  s:\n%s\n", body);
    if (fixture_load_text(f, text) != 0)
        fail_msg("%s: %s", body, f->diags.n > 0 ? f->diags.items[0].message : "?");
    security_judge(f->config->services[0], ret);
}

static const SecurityFinding *find(const SecurityReport *r, const char *check) {
    for (size_t i = 0; i < r->n; i++)
        if (streq(r->findings[i].check, check))
            return &r->findings[i];
    return NULL;
}

/* Each check has a service that it finds fault with, and one that it does not. */
static void test_checks(void **state) {
    static const struct {
        const char *check, *bad, *good;
    } cases[] = {
        {"user", ROOT TCP, "    user: nobody\n    exec: [mp-echo]\n" TCP},
        {"privileges", ROOT TCP "sandbox: {no_new_privileges: false}", ROOT TCP},
        {"capabilities", ROOT TCP, ROOT TCP "sandbox: {capabilities: []}"},
        {"capabilities", ROOT TCP "sandbox: {capabilities: [SYS_ADMIN]}",
         ROOT TCP "sandbox: {preset: basic}"},
        {"seccomp", ROOT TCP, ROOT TCP "sandbox: {seccomp: \"@service\"}"},
        {"seccomp", ROOT TCP "sandbox: {preset: basic}", ROOT TCP "sandbox: {preset: strict}"},
        {"files", ROOT TCP "sandbox: {read_only: [/usr]}", ROOT TCP "sandbox: {read_only: [/]}"},
        {"files", ROOT TCP "sandbox: {landlock: {write: [/]}}", ROOT TCP "sandbox: {landlock: {read: [/]}}"},
        {"homes", ROOT TCP, ROOT TCP "sandbox: {hidden: [-/home]}"},
        {"homes", ROOT TCP "sandbox: {landlock: {read: [/]}}",
         ROOT TCP "sandbox: {landlock: {read: [/usr]}}"},
        {"network", ROOT TCP, ROOT TCP "sandbox: {network: none}"},
        {"users", ROOT TCP, ROOT TCP "sandbox: {private_users: true}"},
        {"pids", ROOT TCP, ROOT TCP "sandbox: {private_pids: true}"},
        {"tmp", ROOT TCP, ROOT TCP "sandbox: {private_tmp: true}"},
        {"ipc", ROOT TCP, ROOT TCP "sandbox: {private_ipc: true}"},
        {"devices", ROOT TCP, ROOT TCP "sandbox: {devices: minimal}"},
        {"memory", ROOT TCP "resources: {memory: 1G}", ROOT TCP "cgroup: {memory_max: 64M}"},
        {"processes", ROOT TCP, ROOT TCP "cgroup: {pids_max: 10}"},
        {"instances", ROOT TCP, ROOT TCP "limits: {instances: 1000}"},
        {"instances", ROOT TCP, ROOT TCP "model: on-demand"},
        {"sources", ROOT TCP, ROOT TCP "limits: {per_source: 5}"},
        {"sources", ROOT "    listen: tcp:0.0.0.0:1", ROOT "    listen: [tcp:127.0.0.1:1, \"tcp:[::1]:1\"]"},
        {"sources", ROOT "    listen: [tcp:127.0.0.1:1, tcp:2]", ROOT "    listen: unix:/run/x"},
        {"rates", ROOT TCP "limits: {rate: 5/s}", ROOT TCP "limits: {rate_per_source: 5/s}"},
        {"timeouts", ROOT TCP, ROOT TCP "timeouts: {idle: 5m}"},
        {"timeouts", ROOT TCP, ROOT TCP "timeouts: {lifetime: 5m}"},
        {"access", ROOT TCP "access: {deny: [10.0.0.0/8]}", ROOT TCP "access: {allow: [10.0.0.0/8]}"},
        {"sockets", ROOT "    listen: unix:/run/x",
         ROOT "    listen: [{endpoint: unix:/run/x, mode: \"0660\"}]"},
        {"sockets", ROOT "    listen: unix:@x", ROOT "    listen: unix:@x\n    access: {allow: [uid:0]}"},
    };
    Fixture *f = *state;
    const char *name, *asks;
    unsigned weight;
    f->context.tolerate_missing = true; /* libseccomp */
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        SecurityReport bad, good;
        judge(f, cases[i].bad, &bad);
        judge(f, cases[i].good, &good);
        if (!find(&bad, cases[i].check))
            fail_msg("%s does not find: %s", cases[i].check, cases[i].bad);
        if (find(&good, cases[i].check))
            fail_msg("%s finds: %s", cases[i].check, cases[i].good);
    }
    for (size_t i = 0; security_check(i, &name, &weight, &asks); i++) {
        bool tried = false;
        for (size_t k = 0; k < ELEMENTS(cases); k++)
            tried = tried || streq(cases[k].check, name);
        if (!tried || weight == 0 || !*asks)
            fail_msg("%s was not tried", name);
    }
}

static void test_report(void **state) {
    static const struct {
        const char *body;
        SecurityRating rating;
    } cases[] = {
        {ROOT TCP "sandbox: {no_new_privileges: false}", SECURITY_UNSAFE},
        {ROOT TCP "sandbox: {preset: strict}\n    timeouts: {idle: 1m}", SECURITY_FAIR},
        {"    user: nobody\n    exec: [mp-echo]\n" TCP, SECURITY_EXPOSED},
        {"    user: nobody\n    exec: [mp-echo]\n" TCP "sandbox: {preset: strict}\n    timeouts: {idle: 1m}",
         SECURITY_SAFE},
        {TCP "sensor: true", SECURITY_SAFE},
        {TCP "model: tcpmux", SECURITY_SAFE},
    };
    Fixture *f = *state;
    f->context.tolerate_missing = true;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        SecurityReport r;
        unsigned sum = 0;
        judge(f, cases[i].body, &r);
        if (r.rating != cases[i].rating)
            fail_msg("%s: %s, %u", cases[i].body, security_rating_to_string(r.rating), r.exposure);
        for (size_t k = 0; k < r.n; k++) {
            assert_true(k == 0 || r.findings[k - 1].exposure >= r.findings[k].exposure);
            sum += r.findings[k].exposure;
        }
        assert_true(r.exposure <= 10000 && sum <= r.exposure && r.exposure <= sum + r.n);
    }
}

/* What it says is to be written can be written, and then nothing is found any more. */
static void test_mends(void **state) {
    Fixture *f = *state;
    SecurityReport r;
    f->context.tolerate_missing = true;
    judge(f, ROOT TCP "sandbox: {no_new_privileges: false}", &r);
    assert_true(r.n > 15);
    for (size_t i = 0; i < r.n; i++) {
        char body[512];
        SecurityReport mended;
        (void)snprintf(body, sizeof(body), "    exec: [mp-echo]\n" TCP "%s\n%s", r.findings[i].mend,
                       starts_with(r.findings[i].mend, "user:") ? "" : "    user: root");
        judge(f, body, &mended);
        if (find(&mended, r.findings[i].check))
            fail_msg("%s is not mended by %s", r.findings[i].check, r.findings[i].mend);
    }
}

static void test_daemon(void **state) {
    Fixture *f = *state;
    const char *mend = NULL;
    assert_int_equal(fixture_load_text(f, "version: 1\n"), 0);
    assert_null(security_daemon(f->config, &mend));
    assert_int_equal(fixture_load_text(f, "version: 1\ncontrol: {mode: \"0666\"}\n"), 0);
    assert_non_null(security_daemon(f->config, &mend));
    assert_string_equal(mend, "control: {mode: \"0660\"}");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_checks, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_report, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_mends, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_daemon, fixture_setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

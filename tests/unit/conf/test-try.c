/* SPDX-License-Identifier: MIT */
/* The config of `mpinetd --try`. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/base/text.h"
#include "fixture.h"

static char tcp[] = "tcp:7007", tcp_too[] = "tcp:127.0.0.1:7007", local[] = "unix:/run/try.sock",
            udp[] = "udp:7007";
static char zero[] = "tcp:0", bad[] = "7007", fifo[] = "fifo:/run/try", echo[] = "mp-echo",
            word[] = "two words";
static char missing[] = "no-such-program", empty[] = "", relative[] = "./libexec/mp-echo";
static char gone[] = "./no/such/program";

/* Makes it afresh; returns what config_new_try() does. */
static int make(Fixture *f, char *const *endpoints, char *const *command) {
    diag_list_done(&f->diags);
    f->diags = (DiagList){0};
    f->config = config_unref(f->config);
    return config_new_try(endpoints, command, &f->context, &f->diags, &f->config);
}

static void test_made(void **state) {
    Fixture *f = *state;
    f->context.euid = FIXTURE_USER;
    assert_int_equal(
        make(f, (char *const[]){tcp, local, zero, zero, NULL}, (char *const[]){echo, word, NULL}), 0);
    assert_int_equal(f->diags.n, 0);
    assert_int_equal(f->config->n_services, 1);
    const ServiceConfig *s = config_find(f->config, "try");
    assert_non_null(s);
    assert_true(s->enabled && s->resolved.ok && s->no_new_privileges);
    assert_int_equal(s->model, MODEL_PER_CONNECTION);
    assert_int_equal(s->pass, HANDOFF_STDIO);
    assert_int_equal(s->terms->limits.instances, 1000);
    assert_int_equal(s->n_listen, 4);
    assert_string_equal(s->listen[1].name, "try");
    /* A path points into its own endpoint, wherever that was moved to. */
    assert_string_equal(s->listen[1].endpoint.path, "/run/try.sock");
    assert_true(s->listen[1].endpoint.path > s->listen[1].endpoint.text &&
                s->listen[1].endpoint.path < s->listen[1].endpoint.text + strlen(s->listen[1].text));
    assert_string_equal(s->exec[1], word);
    assert_null(s->exec[2]);
    assert_string_equal(s->resolved.program, fixture_path(f, "libexec/mp-echo"));
    assert_int_equal(s->resolved.uid, FIXTURE_USER);
    assert_false(s->resolved.change_ids);
}

static void test_as_root(void **state) {
    Fixture *f = *state;
    assert_int_equal(make(f, (char *const[]){tcp, NULL}, (char *const[]){echo, NULL}), 0);
    assert_int_equal(f->diags.n, 1);
    assert_int_equal(f->diags.n_errors, 0);
    assert_true(fixture_has(f, DIAG_NOT_ALLOWED, "root"));
    assert_int_equal(config_find(f->config, "try")->resolved.uid, 0);
}

/* The caller stands somewhere, so a relative path is his; the program sees what he wrote. */
static void test_relative(void **state) {
    Fixture *f = *state;
    CLEANUP_FREE char *before = getcwd(NULL, 0);
    assert_int_equal(chdir(f->folder), 0);
    int r = make(f, (char *const[]){tcp, NULL}, (char *const[]){relative, NULL});
    int lost = 0;
    if (r == 0) {
        const ServiceConfig *s = config_find(f->config, "try");
        assert_string_equal(s->argv0, relative);
        assert_string_equal(s->resolved.program, fixture_path(f, "libexec/mp-echo"));
        lost = make(f, (char *const[]){tcp, NULL}, (char *const[]){gone, NULL});
    }
    assert_int_equal(chdir(before), 0);
    assert_int_equal(r, 0);
    assert_int_equal(lost, -EINVAL);
    assert_true(fixture_has(f, DIAG_NOT_FOUND, gone));
}

static void test_refused(void **state) {
    static const struct {
        char *endpoints[3];
        char *command;
        DiagCode code;
        const char *message;
    } cases[] = {
        {{NULL}, echo, DIAG_MISSING_KEY, "endpoint"},
        {{tcp}, NULL, DIAG_MISSING_KEY, "command"},
        {{tcp}, empty, DIAG_MISSING_KEY, "command"},
        {{bad}, echo, DIAG_BAD_VALUE, "endpoint '7007'"},
        {{udp}, echo, DIAG_CONFLICT, "no connections"},
        {{fifo}, echo, DIAG_CONFLICT, "no connections"},
        {{tcp, tcp}, echo, DIAG_CONFLICT, "is there twice"},
        {{tcp, tcp_too}, echo, DIAG_CONFLICT, "overlaps"},
        {{tcp}, missing, DIAG_NOT_FOUND, "no-such-program"},
    };
    Fixture *f = *state;
    f->context.euid = FIXTURE_USER;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        char *const command[] = {cases[i].command, NULL};
        assert_int_equal(make(f, cases[i].endpoints, command), -EINVAL);
        assert_null(f->config);
        assert_true(fixture_has(f, cases[i].code, cases[i].message));
    }
    /* Earlier errors in the list are not its own. */
    diag_add(&f->diags, DIAG_ERROR, DIAG_YAML, &(DiagPos){.file = ""}, NULL, NULL, "earlier");
    assert_int_equal(config_new_try((char *const[]){tcp, NULL}, (char *const[]){echo, NULL}, &f->context,
                                    &f->diags, &f->config),
                     0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_made, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_as_root, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_relative, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_refused, fixture_setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/service.h"
#include "daemon/tcpmux.h"

/* A service as far as names matter. */
typedef struct Row {
    const char *name, *tcpmux;
    Model model;
    ServiceState state;
    bool disabled, removed;
} Row;

#define ROWS_MAX 8

typedef struct Fixture {
    Runtime rt;
    Service services[ROWS_MAX], *items[ROWS_MAX];
    ServiceConfig configs[ROWS_MAX];
    Listener listeners[ROWS_MAX], *of[ROWS_MAX];
    size_t n;
} Fixture;

static void make(Fixture *f, const Row *rows, size_t n) {
    *f = (Fixture){.n = n};
    for (size_t i = 0; i < n; i++) {
        f->configs[i] = (ServiceConfig){.name = (char *)rows[i].name,
                                        .tcpmux = (char *)rows[i].tcpmux,
                                        .model = rows[i].model,
                                        .enabled = !rows[i].disabled};
        f->listeners[i].fd = 3;
        f->of[i] = &f->listeners[i];
        f->services[i] = (Service){.rt = &f->rt,
                                   .name = (char *)rows[i].name,
                                   .config = &f->configs[i],
                                   .state = rows[i].state,
                                   .removed = rows[i].removed};
        if (rows[i].model == MODEL_TCPMUX) {
            f->services[i].listeners = &f->of[i];
            f->services[i].n_listeners = 1;
        }
        f->items[i] = &f->services[i];
    }
    tcpmux_collect(&f->rt, f->items, n);
}

static const Row rows[] = {
    {"a", "+Zeta", MODEL_PER_CONNECTION, SERVICE_LISTENING, false, false},
    {"b", "alpha", MODEL_PER_CONNECTION, SERVICE_FULL, false, false},
    {"c", "beta", MODEL_PER_CONNECTION, SERVICE_PAUSED, false, false},
    {"d", "disabled", MODEL_PER_CONNECTION, SERVICE_DISABLED, true, false},
    {"e", "removed", MODEL_PER_CONNECTION, SERVICE_STOPPED, false, true},
    {"f", NULL, MODEL_PER_CONNECTION, SERVICE_LISTENING, false, false},
    {"mux", NULL, MODEL_TCPMUX, SERVICE_LISTENING, false, false},
    {"g", "alphabet", MODEL_PER_CONNECTION, SERVICE_THROTTLED, false, false},
};

/* A config that says the same with other bytes: those of the one before are not looked at any more. */
static void test_renew(void **state) {
    (void)state;
    Fixture f;
    make(&f, rows, ELEMENTS(rows));
    char before[] = "+Zeta", after[] = "+Zeta";
    f.configs[0].tcpmux = before;
    tcpmux_collect(&f.rt, f.items, f.n);
    f.configs[0].tcpmux = after;
    tcpmux_renew(&f.services[0]);
    tcpmux_renew(&f.services[5]); /* has none */
    memset(before, 'x', strlen(before));
    assert_ptr_equal(tcpmux_find(&f.rt.tcpmux, "zeta"), &f.services[0]);
    assert_ptr_equal(tcpmux_find(&f.rt.tcpmux, "alpha"), &f.services[1]);
    tcpmux_done(&f.rt.tcpmux);
}

static void test_find(void **state) {
    (void)state;
    static const struct {
        const char *asked, *service; /* NULL: nobody */
    } cases[] = {
        {"zeta", "a"},     {"ZETA", "a"},     {"zEtA", "a"},    {"+zeta", NULL}, {"alpha", "b"},
        {"Alphabet", "g"}, {"alph", NULL},    {"alphab", NULL}, {"beta", "c"},   {"disabled", NULL},
        {"f", NULL},       {"removed", NULL}, {"mux", NULL},    {"", NULL},      {"help", NULL},
    };
    Fixture f;
    make(&f, rows, ELEMENTS(rows));
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        const Service *s = tcpmux_find(&f.rt.tcpmux, cases[i].asked);
        print_message("  '%s'\n", cases[i].asked);
        if (cases[i].service)
            assert_string_equal(s->name, cases[i].service);
        else
            assert_null(s);
    }
    tcpmux_done(&f.rt.tcpmux);
}

static void test_list(void **state) {
    (void)state;
    Fixture f;
    CLEANUP_TEXT Text list = {0};
    make(&f, rows, ELEMENTS(rows));
    tcpmux_list(&f.rt.tcpmux, &list);
    /* What is paused is not there. */
    assert_string_equal(list.s, "alpha\r\nalphabet\r\nZeta\r\n");
    tcpmux_done(&f.rt.tcpmux);
    assert_true(tcpmux_is_help("help") && tcpmux_is_help("HELP"));
    assert_false(tcpmux_is_help("helper") || tcpmux_is_help("hel") || tcpmux_is_help(""));
}

static void test_available(void **state) {
    (void)state;
    Fixture f;
    const char *why = NULL;
    make(&f, rows, ELEMENTS(rows));
    assert_true(tcpmux_is_available(&f.services[0], &why));
    assert_true(tcpmux_is_available(&f.services[1], NULL));
    assert_true(tcpmux_is_available(&f.services[7], &why));
    assert_null(why);
    assert_false(tcpmux_is_available(&f.services[2], &why));
    assert_string_equal(why, "paused");
    assert_false(tcpmux_is_available(&f.services[2], NULL));
    tcpmux_done(&f.rt.tcpmux);
}

static void test_reaches(void **state) {
    (void)state;
    Fixture f;
    make(&f, rows, ELEMENTS(rows));
    Service *door = &f.services[6];
    assert_true(tcpmux_reaches(&f.services[0]));
    assert_true(tcpmux_reaches(&f.services[2]));
    assert_false(tcpmux_reaches(&f.services[3]));
    assert_false(tcpmux_reaches(&f.services[5]));
    f.listeners[6].fd = -1;
    assert_false(tcpmux_reaches(&f.services[0]));
    /* Somebody who has been let in may still ask. */
    Preludes preludes = {.n = 1};
    door->preludes = &preludes;
    assert_true(tcpmux_reaches(&f.services[0]));
    tcpmux_done(&f.rt.tcpmux);
}

static void test_nothing(void **state) {
    (void)state;
    Fixture f;
    CLEANUP_TEXT Text list = {0};
    make(&f, rows, 0);
    assert_null(tcpmux_find(&f.rt.tcpmux, "zeta"));
    tcpmux_list(&f.rt.tcpmux, &list);
    assert_int_equal(list.len, 0);
    make(&f, rows, 1);
    assert_false(tcpmux_reaches(&f.services[0]));
    /* Again, for another config. */
    f.configs[0].tcpmux = (char *)"other";
    tcpmux_collect(&f.rt, f.items, 1);
    assert_null(tcpmux_find(&f.rt.tcpmux, "zeta"));
    assert_ptr_equal(tcpmux_find(&f.rt.tcpmux, "other"), &f.services[0]);
    tcpmux_done(&f.rt.tcpmux);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_renew),     cmocka_unit_test(test_find),    cmocka_unit_test(test_list),
        cmocka_unit_test(test_available), cmocka_unit_test(test_reaches), cmocka_unit_test(test_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/control-select.h"

#define SERVICES 6

typedef struct Case {
    const char *name;
    const char *patterns[8];
    const char *names;   /* selected, each followed by a blank */
    const char *missing; /* NULL: none */
} Case;

static const Case cases[] = {
    {"one", {"git"}, "git ", NULL},
    {"in the services' order, each once", {"web", "git", "web"}, "git web ", NULL},
    {"glob", {"*e*"}, "echo time web ", NULL},
    {"a glob and a name in it", {"e*", "echo"}, "echo ", NULL},
    {"of one character", {"g?t"}, "git ", NULL},
    {"of a set", {"[gt]i*"}, "git time ", NULL},
    {"all", {"*"}, "echo git mail ntp time web ", NULL},
    {"none of this name", {"git", "nope", "web"}, "", "nope"},
    {"none of this glob", {"*x"}, "", "*x"},
    {"a glob that matches, then one that does not", {"*", "*x"}, "", "*x"},
    {"empty name", {""}, "", ""},
    {"path", {"../git"}, "", "../git"},
    {"no list at all: none", {NULL}, "", NULL},
};

static Service services[SERVICES];
static Service *items[SERVICES];

static ServiceSet make_set(void) {
    static char names[SERVICES][8] = {"echo", "git", "mail", "ntp", "time", "web"};
    for (size_t i = 0; i < SERVICES; i++) {
        services[i].name = names[i];
        items[i] = &services[i];
    }
    return (ServiceSet){.items = items, .n = SERVICES};
}

static void assert_names(const Selection *s, const ServiceSet *set, const Case *t) {
    char **names = selection_names(s, set);
    Text all = {0};
    for (char **n = names; *n; n++)
        text_addf(&all, "%s ", *n);
    if (!streq(all.s ? all.s : "", t->names))
        fail_msg("%s: %s", t->name, all.s);
    text_done(&all);
    strv_free(names);
}

/* The same whatever a step may take. */
static void test_selected(void **state) {
    (void)state;
    ServiceSet set = make_set();
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        const Case *t = &cases[i];
        for (size_t budget = 1; budget < 20; budget++) {
            Selection s;
            char *patterns[9] = {0};
            for (size_t k = 0; t->patterns[k]; k++)
                patterns[k] = strdup(t->patterns[k]);
            assert_int_equal(selection_init(&s, patterns), 0);
            int r = 0;
            unsigned steps = 0;
            while ((r = selection_step(&s, &set, 1, budget)) == 0)
                assert_true(++steps < 100);
            assert_int_equal(r, t->missing ? -ENOENT : 1);
            if (t->missing)
                assert_string_equal(patterns[s.next], t->missing);
            else
                assert_names(&s, &set, t);
            if (budget == 1 && streq(t->name, "all") && steps < SERVICES - 1)
                fail_msg("a step takes more than it may: %u", steps);
            selection_done(&s);
            for (size_t k = 0; patterns[k]; k++)
                free(patterns[k]);
        }
    }
}

static void test_all(void **state) {
    (void)state;
    ServiceSet set = make_set();
    Selection s;
    assert_int_equal(selection_init(&s, NULL), 0);
    assert_int_equal(selection_step(&s, &set, 1, 1), 1);
    assert_names(&s, &set, &(Case){.name = "all", .names = "echo git mail ntp time web "});
    selection_done(&s);
}

/* A reload between two steps, or a service that is gone for good: it begins anew. */
static void test_services_change(void **state) {
    (void)state;
    ServiceSet set = make_set();
    char glob[] = "*e*", name[] = "web", *patterns[] = {glob, name, NULL};
    for (int way = 0; way < 2; way++) {
        Selection s;
        set = make_set();
        assert_int_equal(selection_init(&s, patterns), 0);
        assert_int_equal(selection_step(&s, &set, 1, 3), 0);
        /* Without echo: all others move. */
        memmove((void *)items, (void *)(items + 1), (SERVICES - 1) * sizeof(Service *));
        set.n--;
        int r = 0;
        while (r == 0)
            r = selection_step(&s, &set, way ? 1 : 2, 3);
        assert_int_equal(r, 1);
        assert_names(&s, &set, &(Case){.name = "changed", .names = "time web "});
        selection_done(&s);
    }
}

static void test_bounds(void **state) {
    (void)state;
    char glob[] = "*", name[] = "web", *many[GLOBS_MAX + 2] = {0};
    for (size_t i = 0; i < GLOBS_MAX; i++)
        many[i] = glob;
    Selection s;
    assert_int_equal(selection_init(&s, many), 0);
    many[GLOBS_MAX] = name;
    assert_int_equal(selection_init(&s, many), 0);
    many[GLOBS_MAX] = glob;
    assert_int_equal(selection_init(&s, many), -E2BIG);
    char longest[GLOB_LENGTH_MAX + 2], *one[] = {longest, NULL};
    memset(longest, '*', sizeof(longest));
    longest[GLOB_LENGTH_MAX] = '\0';
    assert_int_equal(selection_init(&s, one), 0);
    longest[GLOB_LENGTH_MAX] = '*';
    longest[GLOB_LENGTH_MAX + 1] = '\0';
    assert_int_equal(selection_init(&s, one), -E2BIG);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_selected),
        cmocka_unit_test(test_all),
        cmocka_unit_test(test_services_change),
        cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include "conf/expand.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char *lookup(const char *name, void *userdata) {
    (void)userdata;
    static const struct {
        const char *name, *value;
    } variables[] = {
        {"HOME", "/home/me"}, {"EMPTY", ""}, {"LOOP", "${LOOP} $$"}, {"_a1", "under"}, {"PORT", "80"},
    };
    for (size_t i = 0; i < ELEMENTS(variables); i++)
        if (streq(variables[i].name, name))
            return variables[i].value;
    return NULL;
}

static void test_values(void **state) {
    (void)state;
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"", ""},
        {"plain", "plain"},
        {"${HOME}", "/home/me"},
        {"a ${HOME}/x${PORT}", "a /home/me/x80"},
        {"$HOME", "$HOME"},
        {"$", "$"},
        {"100$", "100$"},
        {"$$", "$"},
        {"$$$$", "$$"},
        {"$$$", "$$"},
        {"$${HOME}", "${HOME}"},
        {"$$${HOME}", "$/home/me"},
        {"${EMPTY}", ""},
        {"${EMPTY:-x}", "x"},
        {"${NOPE:-}", ""},
        {"${NOPE:-a b:c?-}", "a b:c?-"},
        {"${NOPE:-$$x $y}", "$x $y"},
        {"${HOME:-x}", "/home/me"},
        {"${HOME:?x}", "/home/me"},
        {"${LOOP}", "${LOOP} $$"},
        {"${_a1}}", "under}"},
        {"$(id)", "$(id)"},
        {"ü${PORT}ü", "ü80ü"},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        CLEANUP_TEXT Text out = {0};
        ExpandError error = {0};
        assert_int_equal(expand(cases[i].in, lookup, NULL, &out, &error), 0);
        assert_string_equal(out.s ? out.s : "", cases[i].out);
    }
}

static void test_errors(void **state) {
    (void)state;
    static const struct {
        const char *in;
        size_t begin, end;
        const char *why;
    } cases[] = {
        {"x ${NOPE} y", 2, 9, "'NOPE' is not set in the environment"},
        {"${NOPE:?say it}", 0, 15, "'NOPE' is not set: say it"},
        {"${NOPE:?}", 0, 9, "'NOPE' is not set: it is needed"},
        {"${EMPTY:?say it}", 0, 16, "'EMPTY' is empty: say it"},
        {"ab${HOME", 2, 4, "this ${ is never closed"},
        {"${", 0, 2, "this ${ is never closed"},
        {"${}", 0, 3, "a name of a variable must follow the ${"},
        {"${1}", 0, 4, "a name of a variable must follow the ${"},
        {"${ HOME}", 0, 8, "a name of a variable must follow the ${"},
        {"${HOME }", 0, 8, "after a variable's name come :-, :? or }"},
        {"${HOME-x}", 0, 9, "after a variable's name come :-, :? or }"},
        {"${HOME:x}", 0, 9, "after a variable's name come :-, :? or }"},
        {"${HOME:", 0, 2, "this ${ is never closed"},
        {"${NOPE:-${HOME}}", 8, 10, "a ${ cannot stand within a ${"},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        CLEANUP_TEXT Text out = {0};
        ExpandError error = {0};
        assert_int_equal(expand(cases[i].in, lookup, NULL, &out, &error), -EINVAL);
        assert_string_equal(error.why, cases[i].why);
        assert_int_equal(error.begin, cases[i].begin);
        assert_int_equal(error.end, cases[i].end);
    }
}

static const char *lookup_long(const char *name, void *userdata) {
    (void)name;
    return userdata;
}

static void test_bound(void **state) {
    (void)state;
    static char value[32 * 1024 + 1];
    memset(value, 'v', sizeof(value) - 1);
    CLEANUP_TEXT Text out = {0};
    ExpandError error = {0};
    assert_int_equal(expand("${A}${B}", lookup_long, value, &out, &error), 0);
    assert_int_equal(out.len, EXPAND_MAX);
    text_reset(&out);
    assert_int_equal(expand("${A}${B}x", lookup_long, value, &out, &error), -E2BIG);
    assert_int_equal(error.begin, 8);
}

static void test_long_name(void **state) {
    (void)state;
    char s[400] = "${";
    memset(s + 2, 'N', 300);
    s[302] = '}';
    CLEANUP_TEXT Text out = {0};
    ExpandError error = {0};
    assert_int_equal(expand(s, lookup, NULL, &out, &error), -EINVAL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_bound),
        cmocka_unit_test(test_long_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

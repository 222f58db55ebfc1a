/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "daemon/base/cleanup.h"
#include "daemon/seclusion.h"

static void wanted(void **state) {
    static const struct {
        const char *env[3];
        bool wanted;
    } cases[] = {
        {{NULL}, true},
        {{"PATH=/bin", NULL}, true},
        {{"MPINETD_ALLOW_CORE=", NULL}, true},
        {{"MPINETD_ALLOW_CORE=0", NULL}, true},
        {{"MPINETD_ALLOW_CORE=11", NULL}, true},
        {{"XMPINETD_ALLOW_CORE=1", NULL}, true},
        {{"MPINETD_ALLOW_CORE=1", NULL}, false},
        {{"PATH=/bin", "MPINETD_ALLOW_CORE=1", NULL}, false},
    };
    (void)state;
    assert_true(seclusion_is_wanted(NULL));
    for (size_t i = 0; i < ELEMENTS(cases); i++)
        assert_int_equal(seclusion_is_wanted((char *const *)(uintptr_t)cases[i].env), cases[i].wanted);
}

static void parse(void **state) {
    static const struct {
        const char *text;
        int value;
    } cases[] = {
        {"0\n", 0},  {"1\n", 1},   {"2\n", 2},   {"2", 2},   {"", -1},     {"\n", -1},
        {"3\n", -1}, {"-1\n", -1}, {"10\n", -1}, {"0x", -1}, {" 0\n", -1}, {"a", -1},
    };
    (void)state;
    for (size_t i = 0; i < ELEMENTS(cases); i++)
        assert_int_equal(seclusion_parse(cases[i].text), cases[i].value);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wanted),
        cmocka_unit_test(parse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

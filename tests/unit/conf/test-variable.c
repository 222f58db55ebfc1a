/* SPDX-License-Identifier: MIT */
#include "conf/variable.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "daemon/base/text.h"

static void test_all(void **state) {
    static const struct {
        const char *text;
        bool name, pattern;
    } cases[] = {
        {"A", true, true},       {"_", true, true},        {"a1_B", true, true},       {"", false, false},
        {"1", false, false},     {"1B", false, false},     {"A=B", false, false},      {"A B", false, false},
        {"A-B", false, false},   {"a.b", false, false},    {"\303\251", false, false}, {"*", false, true},
        {"OTEL_*", false, true}, {"?", false, true},       {"A?C*", false, true},      {"1*", false, false},
        {"[A-Z]*", false, true}, {"A[0-9]?", false, true}, {"[!A_]B", false, true},    {"A[-]", false, true},
        {"[", false, false},     {"[]", false, false},     {"[!]", false, false},      {"[A", false, false},
        {"[A.]", false, false},  {"]", false, false},      {"A]", false, false},       {"!A", false, false},
        {"[[A]]", false, false}, {"\\A", false, false},
    };
    (void)state;
    for (size_t i = 0; i < ELEMENTS(cases); i++)
        if (variable_is_name(cases[i].text) != cases[i].name ||
            variable_is_pattern(cases[i].text) != cases[i].pattern)
            fail_msg("'%s'", cases[i].text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

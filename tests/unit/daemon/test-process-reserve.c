/* SPDX-License-Identifier: MIT */
#include "daemon/process-reserve.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_limit(void **state) {
    static const struct {
        const char *name;
        rlim_t soft, hard, expected;
    } cases[] = {
        {"none", RLIM_INFINITY, RLIM_INFINITY, 0},
        {"usual", 1000, 2000, 998},
        {"as high as it gets", 50, 50, 48},
        {"the least", 5, 5, 3},
        {"too few", 4, 100, 0},
        {"nothing", 0, 0, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct rlimit limit = {.rlim_cur = cases[i].soft, .rlim_max = cases[i].hard};
        if (process_reserve_limit(&limit) != cases[i].expected)
            fail_msg("%s: %llu", cases[i].name, (unsigned long long)process_reserve_limit(&limit));
    }
}

/* Whatever it was before, it is that again. */
static void test_hold(void **state) {
    struct rlimit before = {0}, within = {0}, after = {0};
    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NPROC, &before), 0);
    ProcessReserve r = process_reserve_hold();
    assert_int_equal(getrlimit(RLIMIT_NPROC, &within), 0);
    assert_true(within.rlim_cur == (r.held ? process_reserve_limit(&before) : before.rlim_cur));
    assert_true(within.rlim_max == before.rlim_max);
    process_reserve_let_go(&r);
    assert_int_equal(getrlimit(RLIMIT_NPROC, &after), 0);
    assert_true(after.rlim_cur == before.rlim_cur && after.rlim_max == before.rlim_max);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/gone.h"

static void test_any_order(void **state) {
    static const uint32_t given[] = {7, 3, UINT32_MAX, 9, 3, 8, 1, 7};
    static const uint32_t kept[] = {1, 3, 7, 8, 9, UINT32_MAX};
    (void)state;
    Gone g = {0};
    assert_false(gone_has(&g, 0));
    for (size_t i = 0; i < sizeof(given) / sizeof(given[0]); i++) {
        assert_false(gone_add(&g, given[i]));
        assert_true(gone_has(&g, given[i]));
    }
    assert_int_equal(g.n, sizeof(kept) / sizeof(kept[0]));
    for (size_t i = 0; i < g.n; i++) {
        assert_int_equal(g.services[i], kept[i]);
        assert_int_equal(gone_has(&g, kept[i] + 1), i == 2 || i == 3);
    }
}

/* It says so when there is room for no more. */
static void test_full(void **state) {
    (void)state;
    for (int down = 0; down < 2; down++) {
        Gone g = {0};
        for (uint32_t i = 1; i < GONE_MAX; i++)
            assert_false(gone_add(&g, down ? 2 * (GONE_MAX - i) : 2 * i));
        assert_false(gone_add(&g, 2));
        assert_true(gone_add(&g, 2 * GONE_MAX));
        for (uint32_t i = 0; i <= 2 * GONE_MAX + 1; i++)
            assert_int_equal(gone_has(&g, i), i > 0 && i % 2 == 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_any_order), cmocka_unit_test(test_full)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

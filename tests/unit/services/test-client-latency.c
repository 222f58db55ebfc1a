/* SPDX-License-Identifier: MIT */
#include "services/client-latency.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "daemon/base/cleanup.h"

static void test_nothing(void **state) {
    (void)state;
    static const Latency none;
    assert_int_equal(latency_quantile(&none, 500000), 0);
    assert_int_equal(latency_quantile(&none, 1000000), 0);
    assert_int_equal(latency_mean(&none), 0);
}

/* Every value alone: what is told is at most 0.8 % off, and exact below 128. */
static void test_one(void **state) {
    (void)state;
    for (uint64_t usec = 0; usec < 1ULL << 38; usec += 1 + usec / 97) {
        static Latency l;
        l = (Latency){0};
        latency_add(&l, usec);
        latency_add(&l, usec * 2 + 1000);
        uint64_t told = latency_quantile(&l, 500000);
        uint64_t off = told > usec ? told - usec : usec - told;
        assert_true(usec < 128 ? off == 0 : off * 1000 <= usec * 8);
        assert_int_equal(latency_quantile(&l, 1000000), usec * 2 + 1000);
    }
}

/* Percentiles of 1 to 1000: the rank is rounded up. */
static void test_ranks(void **state) {
    (void)state;
    static Latency l;
    for (uint64_t usec = 1; usec <= 100; usec++)
        latency_add(&l, usec);
    static const struct {
        uint32_t share;
        uint64_t value;
    } cases[] = {{0, 1},       {10000, 1},    {10001, 2},    {500000, 50},
                 {990000, 99}, {990001, 100}, {999000, 100}, {1000000, 100}};
    for (size_t i = 0; i < ELEMENTS(cases); i++)
        assert_int_equal(latency_quantile(&l, cases[i].share), cases[i].value);
    assert_int_equal(latency_mean(&l), 50);
}

static void test_far(void **state) {
    (void)state;
    static Latency l;
    latency_add(&l, UINT64_MAX);
    latency_add(&l, UINT64_MAX / 2);
    assert_int_equal(l.count, 2);
    assert_int_equal(latency_quantile(&l, 1000000), UINT64_MAX);
    assert_true(latency_quantile(&l, 1) > 1ULL << 39);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_one),
        cmocka_unit_test(test_ranks),
        cmocka_unit_test(test_far),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/bench/latency.h"

/* The buckets follow one another without a gap, and each value is within 0.8 % of what its bucket stands for.
 */
static void test_buckets(void **state) {
    (void)state;
    size_t last = 0;
    for (uint64_t v = 0; v <= UINT32_MAX; v += 1 + v / 1000) {
        size_t bucket = latency_bucket((uint32_t)v);
        assert_true(bucket < LATENCY_BUCKETS);
        assert_true(bucket == last || bucket == last + 1);
        last = bucket;
        uint32_t middle = latency_of_bucket(bucket);
        uint64_t off = middle > v ? middle - v : v - middle;
        assert_true(off * 1000 <= v * 8);
        assert_int_equal(latency_bucket(middle), bucket);
    }
    assert_int_equal(latency_bucket(UINT32_MAX), LATENCY_BUCKETS - 1);
}

static void test_quantiles(void **state) {
    (void)state;
    static const struct {
        uint64_t first, last; /* each value between them, once */
        unsigned permille;
        uint32_t expect;
    } cases[] = {{100, 100, 0, 100},   {100, 100, 500, 100}, {100, 100, 1000, 100}, {1, 100, 500, 50},
                 {1, 100, 990, 99},    {1, 100, 999, 99},    {1, 100, 1000, 100},   {0, 0, 999, 0},
                 {127, 128, 500, 127}, {127, 128, 1000, 128}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        Latencies l = {0};
        for (uint64_t v = cases[i].first; v <= cases[i].last; v++)
            latency_add(&l, v);
        assert_int_equal(latency_quantile(&l, cases[i].permille), cases[i].expect);
    }
}

static void test_extremes(void **state) {
    (void)state;
    Latencies l = {0};
    assert_int_equal(latency_quantile(&l, 500), 0);
    latency_add(&l, UINT64_MAX);
    assert_int_equal(l.count, 1);
    assert_int_equal(l.max_usec, UINT32_MAX);
    /* Not more than there was, though the middle of its bucket is. */
    l = (Latencies){0};
    latency_add(&l, 1U << 20);
    assert_int_equal(latency_quantile(&l, 500), 1U << 20);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buckets),
        cmocka_unit_test(test_quantiles),
        cmocka_unit_test(test_extremes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/histogram.h"
#include "tests/unit/blob.h"

static uint64_t next_random(uint64_t *seed) {
    *seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
    return *seed >> 20;
}

static void test_nothing_measured(void **state) {
    (void)state;
    ApiBucket buckets[HISTOGRAM_API_BUCKETS];
    memset(buckets, 0xff, sizeof(buckets));
    histogram_buckets(NULL, buckets);
    for (size_t i = 0; i < HISTOGRAM_API_BUCKETS; i++)
        assert_int_equal(buckets[i].count, 0);
    assert_int_equal(histogram_quantile(NULL, 500), 0);
    assert_int_equal(histogram_at_most(NULL, UINT64_MAX), 0);
    assert_int_equal(histogram_quantiles(NULL).count, 0);
}

static void test_coarse_bounds(void **state) {
    (void)state;
    ApiBucket buckets[HISTOGRAM_API_BUCKETS];
    histogram_buckets(NULL, buckets);
    uint64_t power = 10;
    size_t i = 0;
    for (; power < 100000000000ULL; power *= 10) {
        assert_int_equal(buckets[i++].le_usec, power);
        assert_int_equal(buckets[i++].le_usec, 2 * power);
        assert_int_equal(buckets[i++].le_usec, 5 * power);
    }
    assert_int_equal(buckets[i++].le_usec, power);
    assert_true(buckets[i++].le_usec == UINT64_MAX);
    assert_int_equal(i, HISTOGRAM_API_BUCKETS);
}

/* A bound belongs to the bucket that it ends. */
static void test_edges(void **state) {
    (void)state;
    static const struct {
        uint64_t usec;
        uint64_t le_usec; /* of the bucket it is counted in */
    } cases[] = {
        {0, 10},
        {1, 10},
        {10, 10},
        {11, 20},
        {12, 20},
        {13, 20},
        {20, 20},
        {21, 50},
        {50, 50},
        {51, 100},
        {999, 1000},
        {1000, 1000},
        {1001, 2000},
        {250000, 500000},
        {100000000000ULL, 100000000000ULL},
        {100000000001ULL, UINT64_MAX},
        {UINT64_MAX, UINT64_MAX},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        Histogram *h CLEANUP_FREE = NULL;
        ApiBucket buckets[HISTOGRAM_API_BUCKETS];
        histogram_add(&h, cases[i].usec);
        assert_non_null(h);
        assert_int_equal(h->count, 1);
        assert_true(h->sum_usec == cases[i].usec);
        histogram_buckets(h, buckets);
        for (size_t k = 0; k < HISTOGRAM_API_BUCKETS; k++)
            assert_int_equal(buckets[k].count, buckets[k].le_usec == cases[i].le_usec);
    }
}

static void test_quantile_is_near_whatever_was_measured(void **state) {
    (void)state;
    /* Every value by itself: nothing to hide behind. */
    for (uint64_t usec = 11; usec < 90000000000ULL; usec += 1 + usec / 97) {
        Histogram *h CLEANUP_FREE = NULL;
        for (int i = 0; i < 3; i++)
            histogram_add(&h, usec);
        for (unsigned permille = 0; permille <= 1000; permille += 250) {
            uint64_t q = histogram_quantile(h, permille), off = q > usec ? q - usec : usec - q;
            if (off * 1000 > usec * 130)
                fail_msg("%llu us came back as %llu", (unsigned long long)usec, (unsigned long long)q);
        }
    }
}

static void test_rank(void **state) {
    (void)state;
    Histogram *h CLEANUP_FREE = NULL;
    for (int i = 0; i < 98; i++)
        histogram_add(&h, 1000);
    histogram_add(&h, 1000000);
    histogram_add(&h, 1000000000);
    assert_in_range(histogram_quantile(h, 0), 870, 1130);
    assert_in_range(histogram_quantile(h, 980), 870, 1130);
    assert_in_range(histogram_quantile(h, 990), 870000, 1130000);
    assert_in_range(histogram_quantile(h, 991), 870000000, 1130000000);
    assert_in_range(histogram_quantile(h, 1000), 870000000, 1130000000);
    h->count = h->buckets[0] = UINT64_MAX;
    memset(&h->buckets[1], 0, sizeof(h->buckets) - sizeof(h->buckets[0]));
    assert_in_range(histogram_quantile(h, 1000), 0, 10);
}

static int compare(const void *a, const void *b) {
    const uint64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

#define SAMPLES 2000

/* Uniform; spread over decades; a few long ones among many short ones; all the same. */
static uint64_t sample(unsigned shape, uint64_t *seed) {
    uint64_t r = next_random(seed), magnitude = 1;
    switch (shape) {
    case 0:
        return 1000 + r % 100000;
    case 1:
        for (uint64_t i = r % 8; i > 0; i--)
            magnitude *= 10;
        return magnitude * (11 + next_random(seed) % 89);
    case 2:
        return r % 50 == 0 ? 5000000 + next_random(seed) % 40000000 : 300 + next_random(seed) % 900;
    default:
        return 200400;
    }
}

static void test_against_exact_quantiles(void **state) {
    (void)state;
    static const unsigned permilles[] = {1, 10, 100, 250, 500, 750, 900, 990, 999, 1000};
    uint64_t seed = 4711;
    for (unsigned round = 0; round < 80; round++) {
        uint64_t samples[SAMPLES];
        Histogram *h CLEANUP_FREE = NULL;
        size_t n = round < 40 ? 1 + next_random(&seed) % 50 : SAMPLES;
        for (size_t i = 0; i < n; i++) {
            samples[i] = sample(round % 4, &seed);
            histogram_add(&h, samples[i]);
        }
        qsort(samples, n, sizeof(*samples), compare);
        uint64_t before = 0;
        for (size_t i = 0; i < ELEMENTS(permilles); i++) {
            size_t rank = (n * permilles[i] + 999) / 1000;
            uint64_t exact = samples[rank - 1], q = histogram_quantile(h, permilles[i]);
            uint64_t off = q > exact ? q - exact : exact - q;
            if (off * 100 > exact * 15)
                fail_msg("round %u: of %zu the quantile %u is %llu, not %llu", round, n, permilles[i],
                         (unsigned long long)exact, (unsigned long long)q);
            assert_true(q >= before);
            before = q;
        }
    }
}

static void test_buckets_hold_all_samples(void **state) {
    (void)state;
    uint64_t seed = 99, sum = 0;
    uint64_t samples[SAMPLES];
    Histogram *h CLEANUP_FREE = NULL;
    for (size_t i = 0; i < SAMPLES; i++) {
        samples[i] = sample(1, &seed);
        sum += samples[i];
        histogram_add(&h, samples[i]);
    }
    assert_int_equal(h->count, SAMPLES);
    assert_int_equal(h->sum_usec, sum);
    ApiBucket buckets[HISTOGRAM_API_BUCKETS];
    histogram_buckets(h, buckets);
    uint64_t so_far = 0;
    for (size_t i = 0; i < HISTOGRAM_API_BUCKETS; i++) {
        uint64_t exact = 0;
        for (size_t k = 0; k < SAMPLES; k++)
            exact += samples[k] <= buckets[i].le_usec;
        so_far += buckets[i].count;
        assert_int_equal(so_far, exact);
        if (buckets[i].le_usec != UINT64_MAX)
            assert_int_equal(histogram_at_most(h, buckets[i].le_usec), exact);
    }
    assert_int_equal(so_far, SAMPLES);
}

static void test_save(void **state) {
    (void)state;
    Histogram *h = NULL, *twin = NULL;
    TEST_BLOB(b, histogram_save(&b.w, h), histogram_restore(b.r, &twin));
    assert_null(twin);
    for (uint64_t usec = 1; usec < UINT64_MAX / 8; usec *= 3)
        histogram_add(&h, usec);
    histogram_add(&twin, 5);
    TEST_BLOB(b, histogram_save(&b.w, h), histogram_restore(b.r, &twin));
    assert_memory_equal(h, twin, sizeof(*h));
    free(h);
    h = NULL;
    TEST_BLOB(b, histogram_save(&b.w, h), histogram_restore(b.r, &twin));
    assert_null(twin);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_measured),
        cmocka_unit_test(test_coarse_bounds),
        cmocka_unit_test(test_edges),
        cmocka_unit_test(test_quantile_is_near_whatever_was_measured),
        cmocka_unit_test(test_rank),
        cmocka_unit_test(test_against_exact_quantiles),
        cmocka_unit_test(test_buckets_hold_all_samples),
        cmocka_unit_test(test_save),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

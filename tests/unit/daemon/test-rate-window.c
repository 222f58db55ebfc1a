/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/rate-window.h"
#include "tests/unit/blob.h"

#define SEC 1000000ULL

static void test_nothing(void **state) {
    (void)state;
    RateWindow w = {0};
    assert_int_equal(rate_window_milli(&w, 0), 0);
    assert_int_equal(rate_window_milli(&w, 5 * SEC), 0);
    assert_int_equal(rate_window_milli(&w, 123456 * SEC), 0);
}

static void test_one_event_goes_out_after_ten_seconds(void **state) {
    (void)state;
    static const struct {
        uint64_t after, milli;
    } cases[] = {
        {0, 100},        {SEC / 2, 100},           {5 * SEC, 100},          {9 * SEC + SEC / 2 - 1, 100},
        {10 * SEC, 50},  {10 * SEC + SEC / 4, 25}, {10 * SEC + SEC / 2, 0}, {11 * SEC, 0},
        {3600 * SEC, 0},
    };
    /* Half into a second. */
    uint64_t start = 777 * SEC + SEC / 2;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        RateWindow w = {0};
        rate_window_add(&w, start);
        assert_int_equal(rate_window_milli(&w, start + cases[i].after), cases[i].milli);
    }
}

/* Whatever the rate and wherever in the second: the rate itself, and not a part of it more or less. */
static void test_steady(void **state) {
    (void)state;
    static const uint64_t intervals[] = {100, 1000, 12345, 100000, 333333, SEC, 2 * SEC};
    for (size_t i = 0; i < sizeof(intervals) / sizeof(*intervals); i++) {
        RateWindow w = {0};
        uint64_t now = 1234567, exact = 1000 * SEC / intervals[i];
        for (; now < 15 * SEC; now += intervals[i])
            rate_window_add(&w, now);
        for (; now < 30 * SEC; now += intervals[i]) {
            rate_window_add(&w, now);
            uint64_t milli = rate_window_milli(&w, now);
            /* One event more or less in ten seconds is 100. */
            assert_true(milli <= exact + exact / 100 + 200 && exact <= milli + exact / 100 + 200);
        }
    }
}

/* Against counting: between the last nine seconds and the last eleven, at any time, with silences. */
static void test_random_against_exact(void **state) {
    (void)state;
    enum {
        EVENTS = 4000
    };
    static uint64_t times[EVENTS];
    RateWindow w = {0};
    uint64_t seed = 31, now = 1;
    for (size_t i = 0; i < EVENTS; i++) {
        seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
        uint64_t r = seed >> 33;
        now += r % 100 == 0 ? r % (30 * SEC) : r % 50000;
        times[i] = now;
        rate_window_add(&w, now);
        uint64_t later = now + (r % 7) * SEC / 3, narrow = 0, wide = 0;
        for (size_t k = 0; k <= i; k++) {
            narrow += later - times[k] < 9 * SEC;
            wide += later - times[k] < 11 * SEC;
        }
        uint64_t milli = rate_window_milli(&w, later);
        assert_true(milli >= narrow * 100 && milli <= wide * 100);
    }
}

static void test_clock_that_goes_back(void **state) {
    (void)state;
    RateWindow w = {0};
    for (int i = 0; i < 50; i++)
        rate_window_add(&w, 100 * SEC);
    for (int i = 0; i < 50; i++)
        rate_window_add(&w, 95 * SEC);
    assert_int_equal(rate_window_milli(&w, 100 * SEC), 10000);
    assert_int_equal(rate_window_milli(&w, 20 * SEC), 10000);
    assert_int_equal(rate_window_milli(&w, 111 * SEC), 0);
}

static void test_clock_that_jumps_far(void **state) {
    (void)state;
    RateWindow w = {0};
    for (uint64_t i = 0; i < 12; i++)
        rate_window_add(&w, i * SEC);
    rate_window_add(&w, UINT64_MAX);
    assert_int_equal(rate_window_milli(&w, UINT64_MAX), 100);
    rate_window_add(&w, 0);
    assert_int_equal(rate_window_milli(&w, UINT64_MAX), 200);
    /* A silence of just the window: none of the old ones comes back. */
    RateWindow v = {0};
    for (uint64_t i = 0; i < 11; i++)
        rate_window_add(&v, i * SEC);
    rate_window_add(&v, 21 * SEC);
    assert_int_equal(rate_window_milli(&v, 21 * SEC), 100);
}

static void test_save(void **state) {
    (void)state;
    RateWindow w = {0}, twin = {.counts = {1, 2, 3}};
    for (uint64_t now = 0; now < 90 * SEC; now += SEC / 3 + now % 7 * SEC / 5) {
        rate_window_add(&w, now);
        TEST_BLOB(b, rate_window_save(&b.w, &w), rate_window_restore(b.r, &twin));
        for (uint64_t later = now; later < now + 12 * SEC; later += SEC / 4)
            assert_int_equal(rate_window_milli(&w, later), rate_window_milli(&twin, later));
        rate_window_add(&twin, now + 3 * SEC);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_one_event_goes_out_after_ten_seconds),
        cmocka_unit_test(test_steady),
        cmocka_unit_test(test_random_against_exact),
        cmocka_unit_test(test_clock_that_goes_back),
        cmocka_unit_test(test_clock_that_jumps_far),
        cmocka_unit_test(test_save),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/backoff.h"
#include "tests/unit/blob.h"

#define SEC 1000000ULL
#define MSEC 1000ULL

static const Rate five_in_ten = {.count = 5, .per_usec = 10 * SEC};

static uint64_t end(Backoff *b, bool failed, uint64_t lived, uint64_t now) {
    return backoff_on_end(b, &five_in_ten, 100 * MSEC, 30 * SEC, failed, lived, now);
}

static void test_clean_long_end_is_free(void **state) {
    (void)state;
    Backoff b = {0};
    for (uint64_t i = 0; i < 1000; i++)
        assert_int_equal(end(&b, false, SEC, i * SEC), 0);
}

static void test_failures_double_up_to_the_maximum(void **state) {
    (void)state;
    Backoff b = {0};
    uint64_t now = SEC;
    for (int i = 0; i < 5; i++)
        assert_int_equal(end(&b, true, 0, now), 0);
    uint64_t expected = 100 * MSEC;
    for (int i = 0; i < 20; i++) {
        uint64_t delay = end(&b, true, 0, now);
        assert_int_equal(delay, expected < 30 * SEC ? expected : 30 * SEC);
        now += delay;
        expected *= 2;
    }
}

static void test_quick_clean_ends_are_charged(void **state) {
    (void)state;
    Backoff b = {0};
    for (int i = 0; i < 5; i++)
        assert_int_equal(end(&b, false, SEC - 1, SEC), 0);
    assert_int_equal(end(&b, false, SEC - 1, SEC), 100 * MSEC);
}

static void test_a_useful_life_forgets(void **state) {
    (void)state;
    Backoff b = {0};
    for (int i = 0; i < 10; i++)
        (void)end(&b, true, 0, SEC);
    assert_int_equal(end(&b, false, 2 * SEC, 4 * SEC), 0);
    for (int i = 0; i < 5; i++)
        assert_int_equal(end(&b, true, 0, 5 * SEC), 0);
    assert_int_equal(end(&b, true, 0, 5 * SEC), 100 * MSEC);
}

static void test_failures_far_apart_are_not_slowed(void **state) {
    (void)state;
    Backoff b = {0};
    for (uint64_t i = 1; i < 100; i++)
        assert_int_equal(end(&b, true, MSEC, i * 3 * SEC), 0);
}

static void test_a_window_that_is_over_starts_anew(void **state) {
    (void)state;
    Backoff b = {0};
    for (int i = 0; i < 4; i++)
        assert_int_equal(end(&b, true, 0, SEC), 0);
    for (int i = 0; i < 5; i++)
        assert_int_equal(end(&b, true, 0, 12 * SEC), 0);
    assert_int_equal(end(&b, true, 0, 12 * SEC), 100 * MSEC);
}

static void test_no_overflow(void **state) {
    (void)state;
    Backoff b = {.charged = 100, .level = 1000};
    assert_int_equal(backoff_on_end(&b, &five_in_ten, UINT64_MAX / 2, UINT64_MAX - 1, true, 0, 0),
                     UINT64_MAX - 1);
    assert_int_equal(backoff_on_end(&b, &five_in_ten, 0, 0, true, 0, 0), 0);
}

static void test_retries(void **state) {
    (void)state;
    unsigned level = 0;
    static const uint64_t expected[] = {1, 2, 4, 8, 10, 10, 10};
    for (size_t i = 0; i < ELEMENTS(expected); i++)
        assert_int_equal(backoff_retry_delay(&level, 1, 10), expected[i]);
}

static void test_save(void **state) {
    (void)state;
    Backoff b = {0}, twin = {.level = 3};
    for (uint64_t i = 0; i < 60; i++) {
        bool failed = i % 11 != 10;
        (void)end(&b, failed, MSEC, i * SEC);
        TEST_BLOB(blob, backoff_save(&blob.w, &b), backoff_restore(blob.r, &twin));
        assert_int_equal(end(&b, failed, MSEC, i * SEC + MSEC), end(&twin, failed, MSEC, i * SEC + MSEC));
        assert_int_equal(b.until_usec, twin.until_usec);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clean_long_end_is_free),
        cmocka_unit_test(test_failures_double_up_to_the_maximum),
        cmocka_unit_test(test_quick_clean_ends_are_charged),
        cmocka_unit_test(test_a_useful_life_forgets),
        cmocka_unit_test(test_failures_far_apart_are_not_slowed),
        cmocka_unit_test(test_a_window_that_is_over_starts_anew),
        cmocka_unit_test(test_no_overflow),
        cmocka_unit_test(test_retries),
        cmocka_unit_test(test_save),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

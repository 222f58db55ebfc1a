/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/ratelimit.h"
#include "tests/unit/blob.h"

#define SEC 1000000ULL

static unsigned pass_many(Ratelimit *r, unsigned n, uint64_t now) {
    unsigned passed = 0;
    for (unsigned i = 0; i < n; i++)
        passed += ratelimit_pass(r, 10, 100, now);
    return passed;
}

static void test_burst_then_rate(void **state) {
    (void)state;
    Ratelimit r = {0};
    assert_int_equal(pass_many(&r, 1000, SEC), 100);
    assert_int_equal(pass_many(&r, 1000, 2 * SEC), 10);
    assert_int_equal(pass_many(&r, 1000, 2 * SEC + SEC / 2), 5);
    assert_int_equal(pass_many(&r, 1000, 1000 * SEC), 100);
}

static void test_never_more_than_rate_times_time_plus_burst(void **state) {
    (void)state;
    Ratelimit r = {0};
    uint64_t seed = 12345, now = SEC, passed = 0;
    for (int i = 0; i < 100000; i++) {
        seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
        now += (seed >> 33) % 20000;
        passed += ratelimit_pass(&r, 10, 100, now);
        assert_true(passed <= 100 + 10 * (now - SEC) / SEC + 1);
    }
    assert_true(passed > 9 * (now - SEC) / SEC);
}

static void test_suppressed_told_once_a_second(void **state) {
    (void)state;
    Ratelimit r = {0};
    (void)pass_many(&r, 150, 10 * SEC);
    assert_int_equal(ratelimit_take_suppressed(&r, 10 * SEC), 50);
    assert_int_equal(ratelimit_take_suppressed(&r, 10 * SEC), 0);
    (void)pass_many(&r, 7, 10 * SEC);
    assert_int_equal(ratelimit_take_suppressed(&r, 10 * SEC + SEC / 2), 0);
    assert_int_equal(ratelimit_take_suppressed(&r, 11 * SEC), 7);
}

static void test_clock_that_stands_or_goes_back(void **state) {
    (void)state;
    Ratelimit r = {0};
    assert_int_equal(pass_many(&r, 200, 5 * SEC), 100);
    assert_int_equal(pass_many(&r, 10, 4 * SEC), 0);
    assert_int_equal(pass_many(&r, 100, 6 * SEC), 20);
}

static void test_save(void **state) {
    (void)state;
    Ratelimit r = {0}, twin = {.suppressed = 7};
    for (uint64_t now = SEC; now < 60 * SEC; now += SEC / 7 * (now % 3) + 1) {
        (void)pass_many(&r, 20, now);
        TEST_BLOB(b, ratelimit_save(&b.w, &r), ratelimit_restore(b.r, &twin));
        now += SEC / 3;
        assert_int_equal(pass_many(&r, 30, now), pass_many(&twin, 30, now));
        assert_int_equal(ratelimit_take_suppressed(&r, now), ratelimit_take_suppressed(&twin, now));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_burst_then_rate),
        cmocka_unit_test(test_never_more_than_rate_times_time_plus_burst),
        cmocka_unit_test(test_suppressed_told_once_a_second),
        cmocka_unit_test(test_clock_that_stands_or_goes_back),
        cmocka_unit_test(test_save),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "conf/value.h"
#include "daemon/base/clock.h"
#include "daemon/bucket.h"
#include "tests/unit/blob.h"
#include "tests/unit/random.h"

#define SEC NSEC_PER_SEC
#define YEAR (UINT64_C(365) * 86400 * SEC)
#define ARRIVALS 400

__extension__ typedef unsigned __int128 Wide;

/* In how long one token grows, rounded up. */
static uint64_t interval(const Rate *r) {
    return (uint64_t)(((Wide)r->per_usec * 1000 + r->count - 1) / r->count);
}

/* The most that may pass within @nsec, both ends included. */
static Wide most_in(const Rate *r, uint64_t nsec) {
    return r->burst + (Wide)nsec * r->count / ((Wide)r->per_usec * 1000);
}

/* The reference: when it will be full, in parts of a nanosecond so small that nothing is rounded. A token
 * takes @slower nanoseconds more than it should. */
typedef struct Exact {
    Wide full;
    unsigned slower;
} Exact;

static bool exact_take(Exact *e, const Rate *r, uint64_t now) {
    Wide token = (Wide)r->per_usec * 1000 + (Wide)r->count * e->slower, at = (Wide)now * r->count;
    Wide full = e->full > at ? e->full : at;
    if (full + token - at > token * r->burst)
        return false;
    e->full = full + token;
    return true;
}

static Rate random_rate(uint64_t *seed) {
    return (Rate){
        .count = random_size(seed, VALUE_RATE_COUNT_MAX),
        .per_usec =
            VALUE_RATE_PERIOD_MIN - 1 + random_size(seed, VALUE_RATE_PERIOD_MAX - VALUE_RATE_PERIOD_MIN + 1),
        /* Mostly one that arrivals use up. */
        .burst = random_size(seed, random_below(seed, 4) ? 40 : VALUE_RATE_COUNT_MAX),
    };
}

/* To the next arrival: at once, in about the time of a token, or after a pause. */
static uint64_t random_pause(uint64_t *seed, const Rate *r) {
    switch (random_below(seed, 6)) {
    case 0:
    case 1:
        return 0;
    case 2:
        return random_size(seed, YEAR / 20);
    case 3:
        return interval(r) * random_below(seed, 3) + random_below(seed, 3);
    default:
        return random_below(seed, 2 * interval(r) < YEAR ? 2 * interval(r) + 2 : YEAR);
    }
}

static void test_burst_then_rate(void **state) {
    (void)state;
    static const struct {
        Rate rate;
        uint64_t at;
        bool passes;
    } cases[] = {
        /* 2/s, which is a burst of 2; then one each half a second */
        {{2, USEC_PER_SEC, 2}, 7 * SEC, true},
        {{2, USEC_PER_SEC, 2}, 7 * SEC, true},
        {{2, USEC_PER_SEC, 2}, 7 * SEC, false},
        {{2, USEC_PER_SEC, 2}, 7 * SEC + SEC / 2 - 1, false},
        {{2, USEC_PER_SEC, 2}, 7 * SEC + SEC / 2, true},
        {{2, USEC_PER_SEC, 2}, 7 * SEC + SEC / 2, false},
        {{2, USEC_PER_SEC, 2}, 8 * SEC - 1, false},
        {{2, USEC_PER_SEC, 2}, 8 * SEC, true},
        /* full again after a second, and not more than full */
        {{2, USEC_PER_SEC, 2}, 9 * SEC, true},
        {{2, USEC_PER_SEC, 2}, 9 * SEC, true},
        {{2, USEC_PER_SEC, 2}, 9 * SEC, false},
        {{2, USEC_PER_SEC, 2}, 900 * SEC, true},
        {{2, USEC_PER_SEC, 2}, 900 * SEC, true},
        {{2, USEC_PER_SEC, 2}, 900 * SEC, false},
        /* the clock of an earlier look: nothing is given twice */
        {{2, USEC_PER_SEC, 2}, 899 * SEC, false},
        {{2, USEC_PER_SEC, 2}, 900 * SEC, false},
        {{2, USEC_PER_SEC, 2}, 900 * SEC + SEC / 2, true},
    };
    Bucket b = {0};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        if (bucket_take(&b, &cases[i].rate, cases[i].at) != cases[i].passes)
            fail_msg("step %zu", i);
}

static void test_no_limit(void **state) {
    (void)state;
    static const Rate rates[] = {{0}, {.burst = 5}, {.count = 5}, {.per_usec = USEC_PER_SEC}};
    for (size_t i = 0; i < sizeof(rates) / sizeof(*rates); i++) {
        Bucket b = {0};
        for (size_t n = 0; n < 100; n++) {
            assert_true(bucket_ready_at(&b, &rates[i], SEC) == SEC);
            assert_true(bucket_take(&b, &rates[i], SEC));
        }
        bucket_give_back(&b, &rates[i]);
        assert_int_equal(b.missing, 0);
    }
}

/* Asks for a token; what bucket_ready_at() foretells must hold. */
static bool take_checked(Bucket *b, const Rate *r, uint64_t now) {
    uint64_t ready = bucket_ready_at(b, r, now);
    Bucket later = *b, earlier = *b;
    bool taken = bucket_take(b, r, now);
    assert_int_equal(taken, ready == now);
    if (taken)
        return true;
    assert_true(ready > now && ready - now <= interval(r));
    assert_true(bucket_take(&later, r, ready));
    assert_false(bucket_take(&earlier, r, ready - 1));
    return false;
}

/* Never more than rate times time plus burst, in any window; never more than the exact arithmetic gives; and
 * not less than it gives to a token a nanosecond slower. */
static void test_any_rate_any_arrivals(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 600; seed++) {
        uint64_t random = seed, now = random_size(&random, 100 * YEAR), passed[ARRIVALS];
        Rate r = random_rate(&random);
        Bucket b = {0};
        Exact exact = {0}, slow = {.slower = 1};
        size_t n = 0, n_exact = 0, n_slow = 0;
        for (size_t i = 0; i < ARRIVALS; i++) {
            now += random_pause(&random, &r);
            n_exact += exact_take(&exact, &r, now);
            n_slow += exact_take(&slow, &r, now);
            if (take_checked(&b, &r, now))
                passed[n++] = now;
            if (n > n_exact || n < n_slow)
                fail_msg("seed %u: %zu, not %zu to %zu", (unsigned)seed, n, n_slow, n_exact);
        }
        for (size_t from = 0; from < n; from++)
            for (size_t to = from; to < n; to++)
                if (to - from + 1 > most_in(&r, passed[to] - passed[from]))
                    fail_msg("seed %u: too many from %zu to %zu", (unsigned)seed, from, to);
    }
}

static void test_clock_that_stands_still(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        uint64_t random = seed, now = random_size(&random, 100 * YEAR);
        Rate r = random_rate(&random);
        r.burst = random_size(&random, 1000);
        Bucket b = {0};
        for (uint64_t i = 0; i < r.burst + 100; i++)
            assert_int_equal(take_checked(&b, &r, now), i < r.burst);
        /* Nor does one that goes back give anything. */
        for (size_t i = 0; i < 100; i++)
            assert_false(bucket_take(&b, &r, now - random_below(&random, now)));
        assert_false(bucket_take(&b, &r, now));
    }
}

static void test_recovers(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        uint64_t random = seed, now = random_size(&random, YEAR);
        Rate r = random_rate(&random);
        r.burst = random_size(&random, 200);
        Bucket b = {0};
        for (size_t round = 0; round < 3; round++) {
            /* Whoever hammers waits for one token, and no longer because he hammers. */
            while (bucket_take(&b, &r, now)) {
            }
            uint64_t ready = bucket_ready_at(&b, &r, now);
            for (size_t i = 0; i < 100; i++)
                assert_false(bucket_take(&b, &r, now + random_below(&random, ready - now)));
            assert_true(bucket_take(&b, &r, ready));
            /* All of the burst is there again after its time, and after years. */
            Wide all = (Wide)interval(&r) * r.burst;
            now = ready + (round == 2 || all > (Wide)100 * YEAR ? 200 * YEAR : (uint64_t)all);
            if (all > (Wide)200 * YEAR)
                break;
            for (uint64_t i = 0; i < r.burst; i++)
                assert_true(bucket_take(&b, &r, now));
            assert_false(bucket_take(&b, &r, now));
        }
    }
}

/* The ends of what a config can say, at the ends of what a clock can. */
static void test_extremes(void **state) {
    (void)state;
    static const uint64_t counts[] = {1, 2, 3, VALUE_RATE_COUNT_MAX - 1, VALUE_RATE_COUNT_MAX, UINT64_MAX};
    static const uint64_t periods[] = {1, VALUE_RATE_PERIOD_MIN, USEC_PER_SEC, VALUE_RATE_PERIOD_MAX,
                                       UINT64_MAX};
    static const uint64_t bursts[] = {0, 1, 2, VALUE_RATE_COUNT_MAX, UINT64_MAX};
    static const uint64_t times[] = {0, 1, SEC, UINT64_MAX / 2, UINT64_MAX - 1, UINT64_MAX};
    for (size_t c = 0; c < 6; c++)
        for (size_t p = 0; p < 5; p++)
            for (size_t k = 0; k < 5; k++) {
                Rate r = {counts[c], periods[p], bursts[k]};
                Bucket b = {0};
                for (size_t t = 0; t < 6; t++) {
                    uint64_t last = t ? times[t - 1] : 0;
                    assert_true(bucket_ready_at(&b, &r, times[t]) >= times[t]);
                    bool taken = bucket_take(&b, &r, times[t]);
                    assert_true(t > 0 || taken);
                    assert_true(taken || bucket_ready_at(&b, &r, last) > last);
                    for (size_t i = 0; i < 5; i++)
                        (void)bucket_take(&b, &r, times[t]);
                    assert_true(b.missing <= (r.burst ? r.burst : 1));
                    assert_true(b.since_nsec <= times[t]);
                }
            }
}

/* From one Rate to another and back, at any moment: what counts is the present one. */
static void test_rate_that_changes(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        uint64_t random = seed, now = random_size(&random, 10 * YEAR), passed[ARRIVALS];
        Bucket b = {0};
        for (size_t change = 0; change < 10; change++) {
            Rate r = random_rate(&random);
            size_t n = 0;
            for (size_t i = 0; i < 60; i++) {
                if (take_checked(&b, &r, now)) /* waits for one token of the new rate at most */
                    passed[n++] = now;
                now += random_pause(&random, &r);
            }
            for (size_t from = 0; from < n; from++)
                for (size_t to = from; to < n; to++)
                    assert_true(to - from + 1 <= most_in(&r, passed[to] - passed[from]));
        }
    }
}

static void test_bigger_burst_helps_at_once(void **state) {
    (void)state;
    Rate slow = {1, 3600 * USEC_PER_SEC, 1}, quick = {10, USEC_PER_SEC, 10};
    Bucket b = {0};
    assert_true(bucket_take(&b, &slow, SEC));
    assert_false(bucket_take(&b, &slow, 2 * SEC));
    assert_true(bucket_take(&b, &quick, 2 * SEC));
    /* A huge burst that is used up, then a small one: not for all that is missing of the huge one. */
    Rate huge = {1, USEC_PER_SEC, 100000};
    b = (Bucket){0};
    while (bucket_take(&b, &huge, SEC)) {
    }
    assert_true(bucket_ready_at(&b, &quick, SEC) == SEC + SEC / 10);
}

static void test_give_back(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        uint64_t random = seed, now = random_size(&random, YEAR);
        Rate r = random_rate(&random);
        Bucket b = {0}, twin = {0};
        for (size_t i = 0; i < 100; i++) {
            now += random_pause(&random, &r);
            if (random_below(&random, 2)) {
                if (bucket_take(&b, &r, now))
                    bucket_give_back(&b, &r);
            } else {
                assert_int_equal(bucket_take(&b, &r, now), bucket_take(&twin, &r, now));
            }
            assert_true(bucket_ready_at(&b, &r, now) == bucket_ready_at(&twin, &r, now));
        }
    }
    /* Never more than a full one. */
    Rate r = {1, USEC_PER_SEC, 1};
    Bucket b = {0};
    bucket_give_back(&b, &r);
    assert_true(bucket_take(&b, &r, SEC));
    assert_false(bucket_take(&b, &r, SEC));
}

/* Over an upgrade in place, at any time: the next token comes when it would have come. */
static void test_save(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        uint64_t random = seed, now = random_size(&random, YEAR);
        Rate r = random_rate(&random);
        Bucket b = {0}, twin = {.missing = 9};
        for (size_t i = 0; i < 50; i++) {
            now += random_pause(&random, &r);
            (void)bucket_take(&b, &r, now);
            TEST_BLOB(blob, bucket_save(&blob.w, &b), bucket_restore(blob.r, &twin));
            assert_true(bucket_ready_at(&b, &r, now) == bucket_ready_at(&twin, &r, now));
            assert_true(bucket_ready_at(&b, &r, now + SEC) == bucket_ready_at(&twin, &r, now + SEC));
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_burst_then_rate),
        cmocka_unit_test(test_no_limit),
        cmocka_unit_test(test_any_rate_any_arrivals),
        cmocka_unit_test(test_clock_that_stands_still),
        cmocka_unit_test(test_recovers),
        cmocka_unit_test(test_extremes),
        cmocka_unit_test(test_rate_that_changes),
        cmocka_unit_test(test_bigger_burst_helps_at_once),
        cmocka_unit_test(test_give_back),
        cmocka_unit_test(test_save),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/base/clock.h"
#include "daemon/pool-size.h"

typedef struct Case {
    const char *name;
    PoolLimits limits;
    PoolCounts counts;
    PoolPace pace;
    bool more;
    uint64_t start, stop;
} Case;

static uint64_t least_of(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

#define NOW (100 * USEC_PER_SEC)
#define L .limits = {2, 10, 1, 3}

static const Case cases[] = {
    {"at the start", L, {0}, {0}, true, 2, 0},
    {"one has died", L, {.idle = 1}, {0}, true, 1, 0},
    {"a starting one counts", L, {.idle = 1, .starting = 1}, {0}, true, 0, 0},
    {"after failures none is started", L, {0}, {0}, false, 0, 0},
    {"just right", L, {.idle = 2}, {0}, true, 0, 0},
    {"all busy", L, {.busy = 2}, {0}, true, 1, 0},
    {"all busy, a second later", L, {.busy = 3}, {1, NOW}, true, 2, 0},
    {"all busy, too soon", L, {.busy = 3}, {1, NOW + 1}, true, 0, 0},
    {"no more than spare_max at once", L, {.busy = 5}, {16, NOW}, true, 3, 0},
    {"no more than max", L, {.busy = 9}, {16, NOW}, true, 1, 0},
    {"at max", L, {.busy = 10}, {16, NOW}, true, 0, 0},
    {"those that leave still take room", L, {.busy = 8, .leaving = 2}, {0}, true, 0, 0},
    {"those that leave do not make up min", L, {.idle = 1, .leaving = 3}, {0}, true, 1, 0},
    {"one is about to be idle", L, {.busy = 2, .starting = 1}, {0}, true, 0, 0},
    {"too many idle", L, {.idle = 4, .busy = 1}, {0}, true, 0, 1},
    {"too many idle, too soon", L, {.idle = 4, .busy = 1}, {0, NOW + 1}, true, 0, 0},
    {"too many idle, but no more than min", {5, 10, 1, 3}, {.idle = 5}, {0}, true, 0, 0},
    {"silent ones count as busy and nobody grows", L, {.silent = 2}, {0}, true, 0, 0},
    {"one that has said nothing stops the rule", L, {.busy = 2, .silent = 1}, {0}, true, 0, 0},
    {"max is lower than it was", {1, 4, 1, 8}, {.idle = 3, .busy = 3}, {0, NOW + 1}, true, 0, 2},
    {"max is lower than it was, all busy", {1, 4, 1, 8}, {.busy = 6}, {0}, true, 0, 0},
    {"min 0: asleep", {0, 4, 0, 0}, {0}, {0}, true, 0, 0},
    {"min 0: the first", {0, 4, 1, 1}, {0}, {0}, true, 1, 0},
    {"spare_max below spare_min", {1, 10, 4, 2}, {.busy = 1}, {8, 0}, true, 2, 0},
};

static void test_decide(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const Case *c = &cases[i];
        PoolPace pace = c->pace;
        PoolOrder o = pool_size_decide(&c->limits, &c->counts, &pace, c->more, NOW);
        if (o.start != c->start || o.stop != c->stop)
            print_error("%s: start %llu stop %llu\n", c->name, (unsigned long long)o.start,
                        (unsigned long long)o.stop);
        assert_int_equal(o.start, c->start);
        assert_int_equal(o.stop, c->stop);
    }
}

/* Under a load that takes every worker the pool doubles its steps each second, up to 32, and ends at max. */
static void test_growth(void **state) {
    static const uint64_t steps[] = {1, 2, 4, 8, 16, 32, 32, 32, 32, 32, 9, 0};
    PoolLimits l = {1, 201, 40, 80};
    PoolCounts c = {.busy = 1};
    PoolPace pace = {0};
    uint64_t now = NOW;
    (void)state;
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++, now += USEC_PER_SEC) {
        PoolOrder o = pool_size_decide(&l, &c, &pace, true, now);
        assert_int_equal(o.start, steps[i]);
        assert_int_equal(o.stop, 0);
        /* Looked at in between, nothing more. */
        PoolCounts started = {.busy = c.busy, .starting = o.start};
        if (o.start > 0 && o.start < 40)
            assert_int_equal(pool_size_decide(&l, &started, &pace, true, now + 1).start, 0);
        c.busy += o.start;
    }
    assert_int_equal(c.busy, 201);
}

/* When the load is gone one ends each second, down to spare_max and not below min. */
static void test_shrink(void **state) {
    PoolLimits l = {2, 20, 1, 3};
    PoolCounts c = {.idle = 10};
    PoolPace pace = {0};
    uint64_t now = NOW, seconds = 0;
    (void)state;
    for (; seconds < 30; seconds++, now += USEC_PER_SEC) {
        PoolOrder o = pool_size_decide(&l, &c, &pace, true, now);
        if (o.stop == 0)
            break;
        assert_int_equal(o.stop, 1);
        assert_int_equal(o.again_usec, now + USEC_PER_SEC);
        c.idle--;
    }
    assert_int_equal(c.idle, 3);
    assert_int_equal(seconds, 7);
}

/* Whatever happens: never above max, and what is ordered keeps min. */
static void test_bounds(void **state) {
    uint32_t seed = 7;
    (void)state;
    for (size_t round = 0; round < 200000; round++) {
        uint64_t r[9];
        for (size_t i = 0; i < 9; i++) {
            seed = seed * 1664525 + 1013904223;
            r[i] = (seed >> 16) % 40;
        }
        PoolLimits l = {r[0], r[0] + r[1], r[2], r[3]};
        PoolCounts c = {r[4], r[5], r[6], r[7] % 3 == 0 ? r[7] : 0, r[8]};
        PoolPace pace = {r[1], NOW - r[2]};
        PoolOrder o = pool_size_decide(&l, &c, &pace, true, NOW);
        uint64_t staying = c.starting + c.idle + c.busy + c.silent;
        if (o.start > 0)
            assert_true(staying + c.leaving + o.start <= l.max);
        if (o.stop > 0) {
            assert_true(staying - o.stop >= l.min && c.idle >= o.stop);
            assert_int_equal(o.start, 0);
        }
    }
}

typedef struct RenewCase {
    const char *name;
    PoolLimits limits;
    PoolCounts counts;
    PoolRenewal renewal;
    bool more;
    uint64_t start, stop;
} RenewCase;

static const RenewCase renewals[] = {
    {"nothing is old", L, {.idle = 3}, {0}, true, 0, 0},
    {"new ones first", L, {.idle = 3}, {.old = 3}, true, 3, 0},
    {"a few at a time", L, {.idle = 6}, {.old = 6}, true, 4, 0},
    {"no more than there is room for", L, {.idle = 9}, {.old = 9}, true, 1, 0},
    {"after failures none", L, {.idle = 3}, {.old = 3}, false, 0, 0},
    {"while they come nothing is told", L, {.idle = 3, .starting = 3}, {.old = 3, .coming = 3}, true, 0, 0},
    {"one is ready", L, {.idle = 4, .starting = 2}, {.old = 3, .coming = 2, .come = 1}, true, 0, 1},
    {"all are ready", L, {.idle = 6}, {.old = 3, .come = 3}, true, 0, 3},
    {"ready ones are told of after failures, too", L, {.idle = 6}, {.old = 3, .come = 3}, false, 0, 3},
    {"not below min",
     {4, 8, 1, 3},
     {.idle = 4, .starting = 1},
     {.old = 3, .come = 1, .coming = 1},
     true,
     1,
     0},
    {"at max an old one goes first", L, {.busy = 10}, {.old = 10}, true, 0, 1},
    {"one after the other", L, {.busy = 9, .leaving = 1}, {.old = 9}, true, 0, 0},
    {"min is max: one more", {3, 3, 1, 3}, {.busy = 3}, {.old = 3}, true, 1, 0},
    {"min is max: it comes", {3, 3, 1, 3}, {.busy = 3, .starting = 1}, {.old = 3, .coming = 1}, true, 0, 0},
    {"min is max: it is there", {3, 3, 1, 3}, {.busy = 4}, {.old = 3, .come = 1}, true, 0, 1},
    {"min is max: until it is gone", {3, 3, 1, 3}, {.busy = 3, .leaving = 1}, {.old = 2}, true, 0, 0},
    {"max 1", {1, 1, 1, 1}, {.busy = 1}, {.old = 1}, true, 1, 0},
    {"min 0, max 1", {0, 1, 0, 1}, {.busy = 1}, {.old = 1}, true, 0, 1},
};

static void test_renew(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(renewals) / sizeof(renewals[0]); i++) {
        const RenewCase *c = &renewals[i];
        PoolOrder o = pool_renew_decide(&c->limits, &c->counts, &c->renewal, c->more);
        if (o.start != c->start || o.stop != c->stop)
            print_error("%s: start %llu stop %llu\n", c->name, (unsigned long long)o.start,
                        (unsigned long long)o.stop);
        assert_int_equal(o.start, c->start);
        assert_int_equal(o.stop, c->stop);
    }
}

/* However a renewal goes, it ends, never below min, and never more than one above max. */
static void test_renew_whole(void **state) {
    (void)state;
    for (uint64_t min = 0; min < 6; min++) {
        for (uint64_t max = min > 0 ? min : 1; max < 8; max++) {
            for (uint64_t n = min > 0 ? min : 1; n <= max; n++) {
                PoolLimits l = {min, max, 1, 4};
                PoolCounts c = {.idle = n};
                PoolRenewal r = {.old = n};
                unsigned steps = 0;
                for (; r.old > 0 && steps < 100; steps++) {
                    PoolOrder o = pool_renew_decide(&l, &c, &r, true);
                    assert_true(o.stop <= r.old && o.stop <= c.idle);
                    assert_true(c.idle - o.stop >= min);
                    r.come -= least_of(r.come, o.stop);
                    r.old -= o.stop;
                    c.idle -= o.stop;
                    c.leaving += o.stop;
                    c.starting += o.start;
                    r.coming += o.start;
                    assert_true(c.idle + c.starting + c.leaving <= max + 1);
                    /* By turns what comes is ready, and what leaves is gone. */
                    if (steps % 2 == 0) {
                        c.idle += c.starting;
                        r.come += r.coming;
                        c.starting = r.coming = 0;
                    } else {
                        c.leaving = 0;
                    }
                }
                assert_true(steps < 100);
            }
        }
    }
}

static void test_requests(void **state) {
    size_t differ = 0;
    (void)state;
    assert_int_equal(pool_worker_requests(0, 5), 0);
    assert_int_equal(pool_worker_requests(1, 5), 1);
    for (uint64_t worker = 0; worker < 1000; worker++) {
        uint64_t n = pool_worker_requests(1000, worker);
        assert_true(n >= 900 && n <= 1000);
        differ += n != pool_worker_requests(1000, worker + 1);
    }
    assert_true(differ > 900);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decide),      cmocka_unit_test(test_growth),   cmocka_unit_test(test_shrink),
        cmocka_unit_test(test_bounds),      cmocka_unit_test(test_requests), cmocka_unit_test(test_renew),
        cmocka_unit_test(test_renew_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "daemon/base/clock.h"
#include "daemon/base/text.h"
#include "daemon/offence.h"
#include "daemon/strikes.h"

static void test_cases(void **state) {
    (void)state;
    static const struct {
        const char *name;
        Rate limit;
        uint64_t at_msec[8]; /* when they come, after the first */
        size_t n;
        int caught; /* the one that is too many; -1: none */
    } cases[] = {
        {"the first of one", {1, 60000000, 1}, {0}, 1, 0},
        {"the third of three", {3, 60000000, 3}, {0, 0, 0}, 3, 2},
        {"spread over all of the time", {3, 60000000, 3}, {0, 30000, 59999}, 3, 2},
        {"evenly", {5, 60000000, 5}, {0, 14900, 29800, 44700, 59600}, 5, 4},
        {"too slow", {3, 60000000, 3}, {0, 40000, 80000, 120000, 160000}, 5, -1},
        {"a pause in between", {3, 60000000, 3}, {0, 1, 100000, 100001}, 4, -1},
        {"after a ban it begins anew", {2, 60000000, 2}, {0, 1, 2}, 3, 1},
        {"no limit", {0, 0, 0}, {0, 0, 0, 0}, 4, -1},
        {"a very short time", {2, 1, 2}, {0, 0}, 2, 1},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        /* Wherever the clock stands when it begins. */
        for (uint64_t begin = 0; begin < 200 * USEC_PER_SEC; begin += 7777777) {
            Strikes s = {0};
            int caught = -1;
            for (size_t k = 0; k < cases[i].n; k++)
                if (strikes_add(&s, &cases[i].limit, begin + cases[i].at_msec[k] * USEC_PER_MSEC) &&
                    caught < 0)
                    caught = (int)k;
            if (caught != cases[i].caught)
                fail_msg("%s, from %llu: %d", cases[i].name, (unsigned long long)begin, caught);
        }
    }
}

/* Beside all the times that are remembered: as many as that within the time are always caught, and never when
 * there are fewer within a quarter more. */
static void test_property(void **state) {
    (void)state;
    enum {
        N = 4000
    };
    static uint64_t at[N];
    const Rate limits[] = {{5, 60 * USEC_PER_SEC, 5}, {2, USEC_PER_SEC, 2}, {50, 10 * USEC_PER_SEC, 50}};
    srand(7);
    for (size_t l = 0; l < ELEMENTS(limits); l++) {
        Strikes s = {0};
        uint64_t now = 12345678;
        size_t first = 0;
        for (size_t i = 0; i < N; i++) {
            now += (uint64_t)rand() % (limits[l].per_usec / limits[l].count * 2);
            at[i] = now;
            size_t within = 0, nearly = 0;
            for (size_t k = first; k <= i; k++) {
                within += now - at[k] < limits[l].per_usec;
                nearly += now - at[k] < limits[l].per_usec * 5 / 4 + 4;
            }
            bool caught = strikes_add(&s, &limits[l], now);
            if (within >= limits[l].count)
                assert_true(caught);
            if (nearly < limits[l].count)
                assert_false(caught);
            if (caught)
                first = i + 1;
        }
        assert_true(first > 0);
    }
}

static void test_many(void **state) {
    (void)state;
    const Rate limit = {1000000, 3600 * USEC_PER_SEC, 1000000};
    Strikes s = {0};
    size_t n = 1;
    while (!strikes_add(&s, &limit, 1))
        n++;
    assert_int_equal(n, limit.count);
}

static void test_refusals(void **state) {
    (void)state;
    static const bool offences[_REFUSE_REASON_MAX] = {
        [REFUSE_ACCESS] = true,    [REFUSE_LOAD] = true,       [REFUSE_RATE] = true,
        [REFUSE_INSTANCES] = true, [REFUSE_PER_SOURCE] = true, [REFUSE_RATE_PER_SOURCE] = true,
    };
    for (int r = 0; r < _REFUSE_REASON_MAX; r++)
        assert_int_equal(offence_is_refusal((RefuseReason)r), offences[r]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_property),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

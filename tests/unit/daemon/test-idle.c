/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/idle.h"

#define MS USEC_PER_MSEC
#define S USEC_PER_SEC

static void test_step(void **state) {
    static const struct {
        uint64_t limit, step;
    } cases[] = {
        {1 * MS, 1 * MS}, {300 * MS, 300 * MS}, {1 * S, 1 * S},      {2 * S, 1 * S},
        {4 * S, 1 * S},   {8 * S, 2 * S},       {3600 * S, 900 * S},
    };
    (void)state;
    for (size_t i = 0; i < ELEMENTS(cases); i++)
        assert_int_equal(idle_step(cases[i].limit), cases[i].step);
}

static const struct {
    const char *name;
    uint64_t quiet;
    bool busy;
    uint64_t limit, now;
    uint64_t next, quiet_after;
} looks[] = {
    {"busy", 0, true, 8 * S, 100 * S, 102 * S, 0},
    {"busy again", 95 * S, true, 8 * S, 100 * S, 102 * S, 0},
    {"busy, past the limit", 50 * S, true, 8 * S, 100 * S, 102 * S, 0},
    {"the first quiet look", 0, false, 8 * S, 100 * S, 102 * S, 100 * S},
    {"a quiet look", 97 * S, false, 8 * S, 100 * S, 102 * S, 97 * S},
    {"the last look but one is on time", 93 * S, false, 8 * S, 100 * S, 101 * S, 93 * S},
    {"just not over", 92 * S + 1, false, 8 * S, 100 * S, 100 * S + 1, 92 * S + 1},
    {"over", 92 * S, false, 8 * S, 100 * S, 0, 92 * S},
    {"long over", 1 * S, false, 8 * S, 100 * S, 0, 1 * S},
    {"a short limit takes two looks", 0, false, 300 * MS, 100 * S, 100 * S + 300 * MS, 100 * S},
    {"and is then over", 100 * S, false, 300 * MS, 100 * S + 300 * MS, 0, 100 * S},
};

static void test_looks(void **state) {
    (void)state;
    for (size_t i = 0; i < ELEMENTS(looks); i++) {
        uint64_t quiet = looks[i].quiet;
        uint64_t next = idle_look(&quiet, looks[i].busy, looks[i].limit, looks[i].now);
        if (next != looks[i].next || quiet != looks[i].quiet_after)
            fail_msg("%s: next %llu, quiet %llu", looks[i].name, (unsigned long long)next,
                     (unsigned long long)quiet);
    }
}

/* Never before the limit, and not much later; however it was before. */
static void test_bounds(void **state) {
    (void)state;
    for (uint64_t limit = 1 * MS; limit < 200 * S; limit = limit * 3 / 2 + 1) {
        uint64_t quiet = 0, now = 7 * S, next;
        for (int i = 0; i < 5; i++)
            now = idle_look(&quiet, true, limit, now);
        uint64_t last_busy = now;
        (void)idle_look(&quiet, true, limit, now);
        now = last_busy + idle_step(limit);
        while ((next = idle_look(&quiet, false, limit, now)) > 0) {
            assert_true(next > now);
            now = next;
        }
        assert_true(now - last_busy >= limit);
        assert_true(now - last_busy <= limit + idle_step(limit));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_step),
        cmocka_unit_test(test_looks),
        cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/base/clock.h"
#include "daemon/failed-turns.h"

/* @n turns that fail with @error, a wait apart. Returns how many of them are taken again in a row; how many
 * lines were said of them goes to @ret_lines. */
static unsigned fail_turns(FailedTurns *f, int error, unsigned n, uint64_t *now, unsigned *ret_lines) {
    unsigned again = 0;
    *ret_lines = 0;
    for (unsigned i = 0; i < n && again == i; i++) {
        FailedTurnVerdict verdict = failed_turns_add(f, error, *now);
        again += verdict.again;
        *ret_lines += verdict.tell;
        *now += FAILED_TURN_WAIT_USEC;
    }
    return again;
}

static void test_reasons(void **state) {
    static const struct {
        int error;
        unsigned n, again, lines;
    } cases[] = {
        {-EIO, 1, 1, 1},
        {-EIO, FAILED_TURNS_MAX, FAILED_TURNS_MAX, 1},
        /* A second has passed: a line for that, and it is the last one, too. */
        {-EIO, 2 * FAILED_TURNS_MAX, FAILED_TURNS_MAX, 2},
        {-EMFILE, 2 * FAILED_TURNS_MAX, FAILED_TURNS_MAX, 2},
        /* Ten seconds, and no end. */
        {-ENOMEM, 10 * FAILED_TURNS_MAX, 10 * FAILED_TURNS_MAX, 10},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        FailedTurns f = {0};
        unsigned lines;
        uint64_t now = 5 * USEC_PER_SEC;
        assert_int_equal(fail_turns(&f, cases[i].error, cases[i].n, &now, &lines), cases[i].again);
        assert_int_equal(lines, cases[i].lines);
    }
}

static void test_a_good_turn_forgets(void **state) {
    (void)state;
    FailedTurns f = {0};
    unsigned lines;
    uint64_t now = 0;
    for (int round = 0; round < 3; round++) {
        assert_int_equal(fail_turns(&f, -EIO, FAILED_TURNS_MAX, &now, &lines), FAILED_TURNS_MAX);
        failed_turns_end(&f);
    }
    assert_int_equal(fail_turns(&f, -EIO, FAILED_TURNS_MAX + 1, &now, &lines), FAILED_TURNS_MAX);
}

/* What lacked for want of memory does not count for what fails otherwise, nor does it make up for it. */
static void test_memory_is_not_counted(void **state) {
    (void)state;
    FailedTurns f = {0};
    unsigned lines;
    uint64_t now = 0;
    assert_int_equal(fail_turns(&f, -EIO, FAILED_TURNS_MAX - 1, &now, &lines), FAILED_TURNS_MAX - 1);
    assert_int_equal(fail_turns(&f, -ENOMEM, 500, &now, &lines), 500);
    assert_int_equal(fail_turns(&f, -EIO, 5, &now, &lines), 1);
}

/* It is told why, however many lines there were. */
static void test_the_last_one_is_told(void **state) {
    (void)state;
    FailedTurns f = {.n = FAILED_TURNS_MAX - 1};
    assert_true(failed_turns_add(&f, -EIO, USEC_PER_SEC).tell);
    FailedTurnVerdict last = failed_turns_add(&f, -EIO, USEC_PER_SEC);
    assert_true(last.tell);
    assert_false(last.again);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reasons),
        cmocka_unit_test(test_a_good_turn_forgets),
        cmocka_unit_test(test_memory_is_not_counted),
        cmocka_unit_test(test_the_last_one_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

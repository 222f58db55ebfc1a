/* SPDX-License-Identifier: MIT */
/* What wakes the loop by a time: set for the earliest, never put off. */
#include "daemon/alarm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "daemon/base/clock.h"

static void is_never_put_off(void **state) {
    (void)state;
    sd_event *loop = NULL;
    Alarm a;
    const uint64_t late = clock_monotonic_usec() + 100 * USEC_PER_SEC;
    assert_true(sd_event_new(&loop) >= 0);
    assert_true(alarm_init(&a, loop) >= 0);
    /* When it is set for, and when it rings then. */
    const struct {
        uint64_t due, at;
    } cases[] = {
        {USEC_INFINITY, USEC_INFINITY}, {late, late},     {late + 1, late}, {late - 1, late - 1},
        {USEC_INFINITY, late - 1},      {late, late - 1},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        alarm_set(&a, cases[i].due);
        assert_true(a.at_usec == cases[i].at);
        assert_int_equal(sd_event_run(loop, 0), 0);
    }
    alarm_done(&a);
    sd_event_unref(loop);
}

static void rings_once(void **state) {
    (void)state;
    sd_event *loop = NULL;
    Alarm a;
    assert_true(sd_event_new(&loop) >= 0);
    assert_true(alarm_init(&a, loop) >= 0);
    for (int i = 0; i < 2; i++) {
        const uint64_t due = clock_monotonic_usec() + USEC_PER_MSEC;
        alarm_set(&a, due);
        assert_true(sd_event_run(loop, USEC_INFINITY) > 0);
        assert_true(clock_monotonic_usec() >= due);
        assert_true(a.at_usec == USEC_INFINITY);
        assert_int_equal(sd_event_run(loop, 0), 0);
    }
    alarm_done(&a);
    sd_event_unref(loop);
}

/* Whether others have come before, each time. */
static void learns(void **state) {
    (void)state;
    static const bool forestalled[] = {false, true, true, false, false};
    sd_event *loop = NULL;
    Alarm a;
    assert_true(sd_event_new(&loop) >= 0);
    assert_true(alarm_init(&a, loop) >= 0);
    assert_false(a.needless);
    for (size_t i = 0; i < sizeof(forestalled) / sizeof(forestalled[0]); i++) {
        const uint64_t due = clock_monotonic_usec() + USEC_PER_MSEC;
        alarm_set(&a, due);
        if (forestalled[i])
            alarm_set(&a, due + 1);
        assert_true(sd_event_run(loop, USEC_INFINITY) > 0);
        assert_int_equal(a.needless, forestalled[i]);
    }
    alarm_done(&a);
    sd_event_unref(loop);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_never_put_off),
        cmocka_unit_test(rings_once),
        cmocka_unit_test(learns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <signal.h>
#include <stdlib.h>

#include "daemon/instance.h"

#define STATUS_EXIT(code) ((code) << 8)
#define STATUS_SIGNAL(s) (s)

static void test_classify(void **state) {
    (void)state;
    static const struct {
        int status;
        bool asked, timed_out;
        ExitResult result;
    } cases[] = {
        {STATUS_EXIT(0), false, false, EXIT_OK},
        {STATUS_EXIT(1), false, false, EXIT_FAILED},
        {STATUS_EXIT(127), false, false, EXIT_FAILED},
        {STATUS_SIGNAL(SIGKILL), false, false, EXIT_SIGNALED},
        {STATUS_SIGNAL(SIGSEGV) | 0x80, false, false, EXIT_SIGNALED},
        {STATUS_SIGNAL(SIGTERM), false, true, EXIT_TIMEOUT},
        {STATUS_EXIT(0), false, true, EXIT_TIMEOUT},
        {STATUS_SIGNAL(SIGKILL), true, false, EXIT_OK},
        {STATUS_EXIT(3), true, true, EXIT_OK},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++)
        assert_int_equal(exit_classify(cases[i].status, cases[i].asked, cases[i].timed_out), cases[i].result);
}

static bool is_among(pid_t pid, const pid_t *pids, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (pids[i] == pid)
            return true;
    return false;
}

/* The newest that are still there, however the table has grown meanwhile. */
static void test_newest(void **state) {
    static Instance all[200];
    (void)state;
    InstanceTable t = {0};
    pid_t newest[INSTANCES_NEWEST];
    assert_int_equal(instance_table_newest(&t, newest), 0);
    for (size_t i = 0; i < ELEMENTS(all); i++) {
        all[i].pid = 1000 + (pid_t)i * 7;
        assert_int_equal(instance_table_add(&t, &all[i]), 0);
        size_t n = instance_table_newest(&t, newest);
        assert_int_equal(n, i < INSTANCES_NEWEST ? i + 1 : INSTANCES_NEWEST);
        for (size_t k = 0; k < n; k++)
            assert_true(is_among(all[i - k].pid, newest, n));
    }
    for (size_t i = 0; i < 5; i++)
        instance_table_remove(&t, &all[ELEMENTS(all) - 1 - 2 * i]);
    size_t n = instance_table_newest(&t, newest);
    assert_int_equal(n, INSTANCES_NEWEST - 5);
    for (size_t k = 0; k < INSTANCES_NEWEST; k++)
        assert_int_equal(is_among(all[ELEMENTS(all) - 1 - k].pid, newest, n), k % 2 == 1 || k >= 10);
    instance_table_done(&t);
    assert_int_equal(instance_table_newest(&t, newest), 0);
}

/* What is slowed and restarted as a failure. */
static void test_failed(void **state) {
    static const struct {
        Instance instance;
        ExitResult result;
        bool failed;
    } cases[] = {
        {{0}, EXIT_OK, false},
        {{0}, EXIT_FAILED, true},
        {{0}, EXIT_SIGNALED, true},
        {{.unready = true}, EXIT_OK, true},
        {{.unready = true, .asked = true}, EXIT_OK, false},
        {{.timed_out = TIMEOUT_START, .unready = true}, EXIT_TIMEOUT, true},
        {{.timed_out = TIMEOUT_WATCHDOG}, EXIT_TIMEOUT, true},
        {{.timed_out = TIMEOUT_LIFETIME}, EXIT_TIMEOUT, true},
        {{.timed_out = TIMEOUT_IDLE}, EXIT_TIMEOUT, false},
    };
    (void)state;
    for (size_t i = 0; i < ELEMENTS(cases); i++)
        if (instance_has_failed(&cases[i].instance, cases[i].result) != cases[i].failed)
            fail_msg("row %zu", i);
}

static void test_timeouts(void **state) {
    (void)state;
    assert_null(instance_timeout_to_string(TIMEOUT_NONE));
    assert_string_equal(instance_timeout_to_string(TIMEOUT_START), "timeouts.start");
    assert_string_equal(instance_timeout_to_string(TIMEOUT_WATCHDOG), "timeouts.watchdog");
}

static void test_table(void **state) {
    (void)state;
    enum {
        N = 3000
    };
    InstanceTable t = {0};
    Instance *all = calloc(N, sizeof(Instance));
    assert_non_null(all);
    assert_null(instance_table_find(&t, 1));
    for (int i = 0; i < N; i++) {
        all[i].pid = i * 64 + 1; /* all in one bucket of a small table */
        assert_int_equal(instance_table_add(&t, &all[i]), 0);
    }
    for (int i = 0; i < N; i++)
        assert_ptr_equal(instance_table_find(&t, i * 64 + 1), &all[i]);
    for (int i = 0; i < N; i += 2)
        instance_table_remove(&t, &all[i]);
    for (int i = 0; i < N; i++)
        assert_ptr_equal(instance_table_find(&t, i * 64 + 1), i % 2 ? &all[i] : NULL);
    instance_table_remove(&t, &all[0]);
    assert_int_equal(t.n, N / 2);
    instance_table_done(&t);
    free(all);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_classify), cmocka_unit_test(test_newest), cmocka_unit_test(test_failed),
        cmocka_unit_test(test_timeouts), cmocka_unit_test(test_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include "services/mq-work.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/base/text.h"

static const char *look_up(char *const *env, const char *name) {
    size_t n = strlen(name);
    for (; *env; env++)
        if (strncmp(*env, name, n) == 0 && (*env)[n] == '=')
            return *env + n + 1;
    return NULL;
}

static char **make(const QueueName *name, const char *data, size_t n) {
    static char path[] = "PATH=/bin", pid[] = "LISTEN_PID=1", fds[] = "LISTEN_FDS=1",
                names[] = "LISTEN_FDNAMES=x", status[] = "MP_STATUS_FD=4", stale[] = "MP_MESSAGE=stale",
                service[] = "MP_SERVICE=jobs";
    char *base[] = {path, pid, fds, names, status, stale, service, NULL};
    char **env = work_environment(base, name, data, n, 7);
    assert_non_null(env);
    return env;
}

/* What is for mp-mqcat alone does not reach the command. */
static void test_environment(void **state) {
    (void)state;
    const QueueName posix = {.kind = QUEUE_POSIX, .text = "/jobs"},
                    sysv = {.kind = QUEUE_SYSV, .text = "sysv:1"};
    CLEANUP_STRV char **env = make(&posix, "hello", 5);
    assert_string_equal(look_up(env, "PATH"), "/bin");
    assert_string_equal(look_up(env, "MP_SERVICE"), "jobs");
    static const char *const gone[] = {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "MP_STATUS_FD",
                                       "MP_TYPE"};
    for (size_t i = 0; i < ELEMENTS(gone); i++)
        assert_null(look_up(env, gone[i]));
    assert_string_equal(look_up(env, "MP_QUEUE"), "/jobs");
    assert_string_equal(look_up(env, "MP_PRIORITY"), "7");
    assert_string_equal(look_up(env, "MP_MESSAGE"), "hello");
    CLEANUP_STRV char **other = make(&sysv, "", 0);
    assert_string_equal(look_up(other, "MP_TYPE"), "7");
    assert_null(look_up(other, "MP_PRIORITY"));
    assert_string_equal(look_up(other, "MP_MESSAGE"), "");
}

/* Not a part of a message, nor a stale one. */
static void test_message_that_does_not_fit(void **state) {
    (void)state;
    const QueueName name = {.kind = QUEUE_POSIX, .text = "/jobs"};
    static char data[WORK_MESSAGE_MAX + 1];
    memset(data, 'x', sizeof(data));
    CLEANUP_STRV char **fits = make(&name, data, WORK_MESSAGE_MAX);
    assert_int_equal(strlen(look_up(fits, "MP_MESSAGE")), WORK_MESSAGE_MAX);
    CLEANUP_STRV char **longer = make(&name, data, WORK_MESSAGE_MAX + 1);
    assert_null(look_up(longer, "MP_MESSAGE"));
    CLEANUP_STRV char **binary = make(&name, "a\0b", 3);
    assert_null(look_up(binary, "MP_MESSAGE"));
}

static void test_pauses(void **state) {
    (void)state;
    static const struct {
        uint64_t tries, sec;
    } cases[] = {{0, 1}, {1, 1}, {2, 2}, {3, 4}, {6, 32}, {7, 60}, {8, 60}, {1000, 60}, {UINT64_MAX, 60}};
    for (size_t i = 0; i < ELEMENTS(cases); i++)
        assert_int_equal(work_retry_pause(cases[i].tries), cases[i].sec * USEC_PER_SEC);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_environment),
        cmocka_unit_test(test_message_that_does_not_fit),
        cmocka_unit_test(test_pauses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

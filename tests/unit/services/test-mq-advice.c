/* SPDX-License-Identifier: MIT */
#include "services/mq-advice.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/base/cleanup.h"

static void test_advice(void **state) {
    (void)state;
    static const struct {
        QueueKind kind;
        MqDeed deed;
        int error;
        const char *part; /* NULL: nothing is advised */
    } cases[] = {
        {QUEUE_POSIX, MQ_OPEN, ENOENT, "mp-mqcat create %s"},
        {QUEUE_SYSV, MQ_OPEN, ENOENT, "mp-mqcat create %s"},
        {QUEUE_POSIX, MQ_SEND, EAGAIN, "--wait"},
        {QUEUE_POSIX, MQ_RECEIVE, EAGAIN, "--wait"},
        {QUEUE_POSIX, MQ_SEND, EMSGSIZE, "--message-size"},
        {QUEUE_SYSV, MQ_SEND, EMSGSIZE, "kernel.msgmax"},
        {QUEUE_POSIX, MQ_CREATE, ENOSPC, "queues_max"},
        {QUEUE_SYSV, MQ_CREATE, ENOSPC, "msgmni"},
        {QUEUE_POSIX, MQ_CREATE, EMFILE, "ulimit -q"},
        {QUEUE_POSIX, MQ_OPEN, EMFILE, "ulimit -n"},
        {QUEUE_SYSV, MQ_CREATE, EMFILE, NULL},
        {QUEUE_POSIX, MQ_STATUS, EIO, NULL},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        const char *advice = mq_advice(cases[i].kind, cases[i].deed, cases[i].error);
        print_message("%zu\n", i);
        assert_int_equal(advice != NULL, cases[i].part != NULL);
        if (advice)
            assert_non_null(strstr(advice, cases[i].part));
    }
}

/* There is at most one place for the name, and no other '%'. */
static void test_marks(void **state) {
    (void)state;
    for (int deed = 0; deed < _MQ_DEED_MAX; deed++)
        for (int error = 1; error < 140; error++) {
            const char *advice = mq_advice(QUEUE_POSIX, (MqDeed)deed, error);
            const char *mark = advice ? strchr(advice, '%') : NULL;
            if (mark) {
                assert_int_equal(mark[1], 's');
                assert_null(strchr(mark + 1, '%'));
            }
            assert_non_null(mq_describe((MqDeed)deed, error));
        }
}

static void test_words(void **state) {
    (void)state;
    assert_string_equal(mq_describe(MQ_SEND, EAGAIN), "the queue is full");
    assert_string_equal(mq_describe(MQ_RECEIVE, EAGAIN), "the queue is empty");
    assert_string_equal(mq_describe(MQ_OPEN, EMFILE), strerror(EMFILE));
    assert_string_equal(mq_describe(MQ_CREATE, EMFILE), "no more queues can be made");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_advice),
        cmocka_unit_test(test_marks),
        cmocka_unit_test(test_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

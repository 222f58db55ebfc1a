/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/base/clock.h"
#include "daemon/idle-connection.h"

#define NOW (1000 * USEC_PER_SEC)
#define AGO(sec) (NOW - (sec)*USEC_PER_SEC)
#define SEC_IN_MSEC 1000U

/* What was known, what is seen now, and since when nothing has moved. */
static void test_look(void **state) {
    static const struct {
        const char *what;
        Movement before;
        SockFate fate;
        SockInfo info;
        bool told;
        uint64_t moved_usec;
    } cases[] = {
        {"nothing has moved",
         {.received = 5, .acked = 6, .moved_usec = AGO(60)},
         SOCK_HELD,
         {.received = 5, .acked = 6, .since_data_in_msec = 1, .since_ack_in_msec = 1},
         true,
         AGO(60)},
        {"bytes came in",
         {.received = 5, .acked = 6, .moved_usec = AGO(60)},
         SOCK_HELD,
         {.received = 6, .acked = 6, .since_data_in_msec = 20 * SEC_IN_MSEC, .since_ack_in_msec = 0},
         true,
         AGO(20)},
        {"bytes went out",
         {.received = 5, .acked = 6, .moved_usec = AGO(60)},
         SOCK_HELD,
         {.received = 5, .acked = 9, .since_data_in_msec = 0, .since_ack_in_msec = 30 * SEC_IN_MSEC},
         true,
         AGO(30)},
        {"both: the later counts",
         {.moved_usec = AGO(60)},
         SOCK_HELD,
         {.received = 1,
          .acked = 1,
          .since_data_in_msec = 9 * SEC_IN_MSEC,
          .since_ack_in_msec = 7 * SEC_IN_MSEC},
         true,
         AGO(7)},
        {"sent, and not acknowledged",
         {.received = 5, .acked = 6, .moved_usec = AGO(60)},
         SOCK_HELD,
         {.received = 5, .acked = 6, .sent = 1000, .not_sent = 1000},
         true,
         AGO(60)},
        {"keepalives are answered",
         {.received = 5, .acked = 6, .moved_usec = AGO(60)},
         SOCK_HELD,
         {.received = 5, .acked = 6, .since_ack_in_msec = 0},
         true,
         AGO(60)},
        {"bytes that came before it was served do not count back",
         {.moved_usec = AGO(5)},
         SOCK_HELD,
         {.received = 9, .since_data_in_msec = 50 * SEC_IN_MSEC},
         true,
         AGO(5)},
        {"nobody has it, the rest is sent",
         {.received = 5, .acked = 6, .moved_usec = AGO(60)},
         SOCK_CLOSING,
         {.received = 5, .acked = 7, .since_ack_in_msec = 2 * SEC_IN_MSEC},
         true,
         AGO(2)},
        {"gone, as seen for the first time", {.moved_usec = AGO(60)}, SOCK_GONE, {0}, true, NOW},
        {"gone, as before", {.moved_usec = AGO(60), .gone = true}, SOCK_GONE, {0}, true, AGO(60)},
        {"the kernel does not tell", {.moved_usec = AGO(60)}, SOCK_UNKNOWN, {0}, false, NOW},
        {"older than the clock",
         {.moved_usec = AGO(60)},
         SOCK_HELD,
         {.received = 1, .since_data_in_msec = UINT32_MAX},
         true,
         AGO(60)},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        Movement m = cases[i].before;
        SockInfo info = cases[i].info;
        info.has_figures = cases[i].fate == SOCK_HELD || cases[i].fate == SOCK_CLOSING;
        bool told = movement_look(&m, cases[i].fate, &info, NOW);
        if (told != cases[i].told || m.moved_usec != cases[i].moved_usec)
            fail_msg("%s: %d, %lld us ago", cases[i].what, told, (long long)(NOW - m.moved_usec));
    }
}

/* Without figures nobody is ended. */
static void test_no_figures(void **state) {
    Movement m = {.moved_usec = AGO(60)};
    SockInfo info = {.state = 1};
    (void)state;
    assert_false(movement_look(&m, SOCK_HELD, &info, NOW));
    assert_true(m.moved_usec == NOW);
}

/* A peer that takes a byte now and then. */
static void test_trickle(void **state) {
    Movement m = {.moved_usec = 0};
    (void)state;
    for (uint64_t n = 1; n < 100; n++) {
        SockInfo info = {.has_figures = true, .acked = n, .since_ack_in_msec = 10};
        uint64_t now = n * USEC_PER_SEC;
        assert_true(movement_look(&m, SOCK_HELD, &info, now));
        assert_true(m.moved_usec == now - 10 * USEC_PER_MSEC);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_look),
        cmocka_unit_test(test_no_figures),
        cmocka_unit_test(test_trickle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

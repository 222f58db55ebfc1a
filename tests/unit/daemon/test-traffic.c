/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/traffic.h"

/* As in the kernel's tcp_states.h. */
enum {
    ESTABLISHED = 1,
    FIN_WAIT1 = 4,
    FIN_WAIT2 = 5,
    TIME_WAIT = 6,
    CLOSE = 7,
    CLOSE_WAIT = 8,
    LAST_ACK = 9,
    CLOSING = 11,
};

/* In each case the peer has sent 10 bytes, if any, and our process has written 100. */
static void test_living(void **state) {
    static const struct {
        const char *what;
        SockInfo info;
        uint64_t in, out;
    } cases[] = {
        {"all sent", {.state = ESTABLISHED, .received = 10, .data_segments_in = 1, .sent = 100}, 10, 100},
        {"some waits",
         {.state = ESTABLISHED, .received = 10, .data_segments_in = 1, .sent = 60, .not_sent = 40},
         10,
         100},
        {"the peer has ended",
         {.state = CLOSE_WAIT, .received = 11, .data_segments_in = 1, .sent = 100},
         10,
         100},
        {"the peer has ended, and sent nothing", {.state = CLOSE_WAIT, .received = 1, .sent = 100}, 0, 100},
        {"we have ended, all is on its way",
         {.state = FIN_WAIT1, .received = 10, .data_segments_in = 1, .sent = 100},
         10,
         100},
        {"we have ended, and that waits behind the rest",
         {.state = FIN_WAIT1, .received = 10, .data_segments_in = 1, .sent = 60, .not_sent = 41},
         10,
         100},
        {"both have ended, ours waits",
         {.state = LAST_ACK, .received = 11, .data_segments_in = 2, .sent = 99, .not_sent = 2},
         10,
         100},
        {"both at once", {.state = CLOSING, .received = 11, .data_segments_in = 2, .sent = 100}, 10, 100},
        {"our end has arrived",
         {.state = FIN_WAIT2, .received = 10, .data_segments_in = 2, .sent = 100, .acked = 101},
         10,
         100},
    };
    (void)state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        SockInfo info = cases[i].info;
        Bytes got;
        assert_false(traffic_of_living(&info, &got));
        info.has_figures = true;
        assert_true(traffic_of_living(&info, &got));
        if (got.in != cases[i].in || got.out != cases[i].out)
            fail_msg("%s: %llu in, %llu out", cases[i].what, (unsigned long long)got.in,
                     (unsigned long long)got.out);
    }
}

static void test_ended(void **state) {
    static const struct {
        const char *what;
        SockInfo last;
        uint8_t rest_state;
        uint64_t in, out;
    } cases[] = {
        {"the peer ended first",
         {.received = 11, .data_segments_in = 1, .sent = 100, .acked = 101},
         0,
         10,
         100},
        {"we ended first, the peer has not yet",
         {.received = 10, .data_segments_in = 1, .sent = 100, .acked = 101},
         FIN_WAIT2,
         10,
         100},
        {"we ended first, and the peer with it",
         {.received = 11, .data_segments_in = 1, .sent = 100, .acked = 101},
         TIME_WAIT,
         10,
         100},
        {"nothing came", {.received = 1, .sent = 100, .acked = 101}, 0, 0, 100},
        {"nothing at all", {.received = 1, .acked = 1}, 0, 0, 0},
        {"reset", {.received = 10, .data_segments_in = 1, .sent = 100, .acked = 40}, 0, 10, 100},
        {"reset at once", {.received = 0}, 0, 0, 0},
    };
    (void)state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        SockInfo last = cases[i].last;
        Bytes got;
        last.state = CLOSE;
        assert_false(traffic_of_ended(&last, cases[i].rest_state, &got));
        last.has_figures = true;
        assert_true(traffic_of_ended(&last, cases[i].rest_state, &got));
        if (got.in != cases[i].in || got.out != cases[i].out)
            fail_msg("%s: %llu in, %llu out", cases[i].what, (unsigned long long)got.in,
                     (unsigned long long)got.out);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_living),
        cmocka_unit_test(test_ended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

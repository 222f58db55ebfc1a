/* SPDX-License-Identifier: MIT */
/* The loop of a talk, on socket pairs and pipes: what moves, and how it ends. */
#include "services/client-talk.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"

/* Lines or all of it as messages. */
static void test_records(void **state) {
    (void)state;
    static const struct {
        const char *text;
        bool whole, ended;
        size_t n;
    } cases[] = {
        {"", false, true, 0},        {"a", false, false, 0},     {"a", false, true, 1},
        {"a\n", false, false, 2},    {"\nb", false, true, 1},    {"ab\nc", false, true, 3},
        {"ab\nc\n", true, false, 0}, {"ab\nc\n", true, true, 5},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++)
        assert_int_equal(
            talk_next_record(cases[i].text, strlen(cases[i].text), cases[i].whole, cases[i].ended),
            cases[i].n);
}

typedef struct Bench {
    int server;
    int output; /* what the talk wrote */
    TalkPlan plan;
} Bench;

/* Fills a talk whose input is @text and its end, and whose server has said @reply. */
static void set_up(Bench *b, int type, const char *text, const char *reply) {
    int sockets[2], in[2], out[2];
    assert_int_equal(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, sockets), 0);
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    assert_int_equal(write(in[1], text, strlen(text)), strlen(text));
    (void)fd_close(in[1]);
    if (*reply)
        assert_int_equal(send(sockets[1], reply, strlen(reply), 0), strlen(reply));
    *b = (Bench){
        .server = sockets[1],
        .output = out[0],
        .plan = {.in = in[0],
                 .out = out[1],
                 .socket = sockets[0],
                 .records = type != SOCK_STREAM,
                 .datagram = type == SOCK_DGRAM,
                 .half_close = true,
                 .timeout_usec = 100 * USEC_PER_MSEC,
                 .linger_usec = 20 * USEC_PER_MSEC},
    };
}

static void tear_down(Bench *b) {
    (void)fd_close(b->server);
    (void)fd_close(b->output);
    (void)fd_close(b->plan.in);
    (void)fd_close(b->plan.out);
    (void)fd_close(b->plan.socket);
}

static void assert_holds(int fd, const char *text) {
    char buf[64];
    assert_int_equal(read(fd, buf, sizeof(buf)), strlen(text));
    assert_memory_equal(buf, text, strlen(text));
}

/* Both loops, which must not differ. */
static TalkResult (*const loops[])(const TalkPlan *) = {talk_run, talk_run_split};

/* A server that ends its side, and reads: the talk's input ended long before. */
static void test_server_says_and_ends(void **state) {
    (void)state;
    for (size_t i = 0; i < ELEMENTS(loops); i++) {
        Bench b;
        set_up(&b, SOCK_STREAM, "", "reply");
        b.plan.in = fd_close(b.plan.in);
        assert_int_equal(shutdown(b.server, SHUT_WR), 0);
        TalkResult r = loops[i](&b.plan);
        assert_int_equal(r.end, TALK_DONE);
        assert_int_equal(r.received, 5);
        assert_holds(b.output, "reply");
        tear_down(&b);
    }
}

/* A silence is not waited for longer than told; the input and its end have arrived. */
static void test_timeout(void **state) {
    (void)state;
    for (size_t i = 0; i < ELEMENTS(loops); i++) {
        Bench b;
        set_up(&b, SOCK_STREAM, "question", "");
        TalkResult r = loops[i](&b.plan);
        assert_int_equal(r.end, TALK_TIMEOUT);
        assert_int_equal(r.sent, 8);
        assert_holds(b.server, "question");
        assert_holds(b.server, "");
        tear_down(&b);
    }
}

/* Without half-close the server does not see the end. */
static void test_no_half_close(void **state) {
    (void)state;
    for (size_t i = 0; i < ELEMENTS(loops); i++) {
        Bench b;
        char buf[16];
        set_up(&b, SOCK_STREAM, "question", "");
        b.plan.half_close = false;
        assert_int_equal(loops[i](&b.plan).end, TALK_TIMEOUT);
        assert_holds(b.server, "question");
        assert_int_equal(recv(b.server, buf, sizeof(buf), MSG_DONTWAIT), -1);
        assert_int_equal(errno, EAGAIN);
        tear_down(&b);
    }
}

/* A server that has gone takes nothing, but what it said before is shown. */
static void test_server_gone(void **state) {
    (void)state;
    for (size_t i = 0; i < ELEMENTS(loops); i++) {
        Bench b;
        set_up(&b, SOCK_STREAM, "question", "bye");
        b.server = fd_close(b.server);
        assert_int_equal(loops[i](&b.plan).end, TALK_SERVER_FIRST);
        assert_holds(b.output, "bye");
        tear_down(&b);
    }
}

/* Lines become messages, and a talk over datagrams ends by silence. */
static void test_datagrams(void **state) {
    (void)state;
    for (size_t i = 0; i < ELEMENTS(loops); i++) {
        Bench b;
        set_up(&b, SOCK_DGRAM, "one\ntwo\nthree", "reply");
        TalkResult r = loops[i](&b.plan);
        assert_int_equal(r.end, TALK_DONE);
        assert_holds(b.server, "one\n");
        assert_holds(b.server, "two\n");
        assert_holds(b.server, "three");
        assert_holds(b.output, "reply");
        tear_down(&b);
    }
}

/* All of it is one message, also when there is nothing of it. */
static void test_whole(void **state) {
    (void)state;
    static const char *const texts[] = {"one\ntwo\n", ""};
    for (size_t i = 0; i < ELEMENTS(loops) * ELEMENTS(texts); i++) {
        Bench b;
        set_up(&b, SOCK_DGRAM, texts[i % 2], "");
        b.plan.whole = true;
        assert_int_equal(loops[i / 2](&b.plan).end, TALK_DONE);
        assert_holds(b.server, texts[i % 2]);
        char buf[16];
        assert_int_equal(recv(b.server, buf, sizeof(buf), MSG_DONTWAIT), -1);
        tear_down(&b);
    }
}

/* An output that takes nothing more, be it a pipe or a socket, does not hold up the loop. */
static void test_full_output(void **state) {
    (void)state;
    for (int socket_out = 0; socket_out < 2; socket_out++) {
        static char data[65536];
        Bench b;
        int out[2];
        set_up(&b, SOCK_STREAM, "question", "");
        b.plan.in = fd_close(b.plan.in);
        if (socket_out) {
            assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, out), 0);
            b.output = fd_close(b.output);
            b.plan.out = fd_close(b.plan.out);
            b.output = out[0];
            b.plan.out = out[1];
        }
        int size = 4096;
        if (socket_out)
            assert_int_equal(setsockopt(b.plan.out, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
        while (send(b.server, data, sizeof(data), MSG_DONTWAIT) > 0)
            continue;
        TalkResult r = talk_run(&b.plan);
        assert_int_equal(r.end, TALK_TIMEOUT);
        assert_true(r.received > 4096);
        tear_down(&b);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_records),     cmocka_unit_test(test_server_says_and_ends),
        cmocka_unit_test(test_timeout),     cmocka_unit_test(test_no_half_close),
        cmocka_unit_test(test_server_gone), cmocka_unit_test(test_datagrams),
        cmocka_unit_test(test_whole),       cmocka_unit_test(test_full_output),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "daemon/sink.h"

typedef struct Pipe {
    int read_fd;
    Sink sink;
} Pipe;

static void open_pipe(Pipe *p) {
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
    assert_int_equal(fcntl(fds[1], F_SETPIPE_SZ, 4096), 4096);
    *p = (Pipe){.read_fd = fds[0], .sink = {.fd = fds[1], .owned = true}};
}

static void close_pipe(Pipe *p) {
    sink_done(&p->sink);
    (void)close(p->read_fd);
}

static void put(Pipe *p, const char *line) {
    sink_put(&p->sink, line, strlen(line));
}

/* Everything that the pipe holds, behind what @got has. */
static void drain(Pipe *p, Text *got) {
    char buf[8192];
    for (;;) {
        ssize_t n = read(p->read_fd, buf, sizeof(buf));
        if (n <= 0)
            return;
        text_add_n(got, buf, (size_t)n);
    }
}

static void test_lines_go_out_with_the_flush(void **state) {
    (void)state;
    Pipe p;
    Text got = {0};
    open_pipe(&p);
    put(&p, "one\n");
    put(&p, "two\n");
    drain(&p, &got);
    assert_int_equal(got.len, 0);
    sink_flush(&p.sink);
    sink_flush(&p.sink);
    drain(&p, &got);
    assert_string_equal(got.s, "one\ntwo\n");
    text_done(&got);
    close_pipe(&p);
}

/* Whatever the reader does: each line comes whole and once, or is counted in a line of its own. */
static void test_nothing_torn_nothing_forgotten(void **state) {
    (void)state;
    for (unsigned length = 20; length < 300; length += 13) {
        Pipe p;
        Text got = {0};
        char line[512];
        unsigned sent = 0, whole = 0, told = 0;
        open_pipe(&p);
        for (unsigned round = 0; round < 60; round++) {
            for (unsigned i = 0; i < 40; i++) {
                (void)snprintf(line, sizeof(line), "%06u%0*d\n", sent++, (int)(length - 6), 0);
                put(&p, line);
            }
            sink_flush(&p.sink);
            if (round % 7 == 6)
                drain(&p, &got);
        }
        drain(&p, &got);
        put(&p, "end\n");
        sink_flush(&p.sink);
        drain(&p, &got);
        char *at = got.s, *newline;
        for (; (newline = strchr(at, '\n')); at = newline + 1) {
            unsigned lost = 0;
            *newline = '\0';
            if (sscanf(at, "mpinetd: %u lines", &lost) == 1)
                told += lost;
            else if (strcmp(at, "end") != 0) {
                assert_int_equal(strlen(at), length);
                whole++;
            }
        }
        assert_string_equal(at, "");
        assert_true(told > 0);
        assert_int_equal(whole + told, sent);
        text_done(&got);
        close_pipe(&p);
    }
}

static void test_a_closed_pipe_is_no_end(void **state) {
    (void)state;
    Pipe p;
    open_pipe(&p);
    (void)close(p.read_fd);
    p.read_fd = -1;
    /* The daemon blocks SIGPIPE; here it is ignored. */
    (void)signal(SIGPIPE, SIG_IGN);
    put(&p, "one\n");
    put(&p, "two\n");
    sink_flush(&p.sink);
    assert_int_equal(p.sink.lost, 2);
    sink_done(&p.sink);
}

/* What memory was too short for is lost alone, and counted. */
static void test_a_line_that_failed(void **state) {
    (void)state;
    Pipe p;
    Text got = {0};
    open_pipe(&p);
    put(&p, "one\n");
    text_add(sink_begin(&p.sink), "tw");
    p.sink.buffer.failed = true;
    text_add(&p.sink.buffer, "o\n");
    sink_end(&p.sink);
    assert_int_equal(p.sink.lost, 1);
    assert_string_equal(p.sink.buffer.s, "one\n");
    text_add(sink_begin(&p.sink), "three\n");
    sink_end(&p.sink);
    sink_flush(&p.sink);
    drain(&p, &got);
    assert_string_equal(got.s, "mpinetd: 1 lines could not be written to the log\none\nthree\n");
    text_done(&got);
    close_pipe(&p);
}

static void test_datagrams(void **state) {
    (void)state;
    Sink s = {.fd = -EBADF};
    assert_int_equal(sink_open_datagram(&s, "/no/such/socket"), -ENOENT);
    sink_put(&s, "x", 1);
    int fds[2];
    char buf[16];
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    s = (Sink){.fd = fds[0], .owned = true, .is_datagram = true};
    sink_put(&s, "hello", 5);
    assert_int_equal(read(fds[1], buf, sizeof(buf)), 5);
    for (int i = 0; i < 5000; i++)
        sink_put(&s, "hello", 5);
    assert_true(s.lost > 0);
    sink_done(&s);
    (void)close(fds[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines_go_out_with_the_flush),
        cmocka_unit_test(test_nothing_torn_nothing_forgotten),
        cmocka_unit_test(test_a_closed_pipe_is_no_end),
        cmocka_unit_test(test_a_line_that_failed),
        cmocka_unit_test(test_datagrams),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

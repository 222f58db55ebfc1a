/* SPDX-License-Identifier: MIT */
/* The state machine of a connection, step by step on a socket pair. */
#include "services/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "daemon/base/cleanup.h"

typedef struct Pair {
    int ours, theirs;
} Pair;

static int set_up(void **state) {
    static Pair p;
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
        return -1;
    p = (Pair){fds[0], fds[1]};
    *state = &p;
    return 0;
}

static int tear_down(void **state) {
    Pair *p = *state;
    p->ours = fd_close(p->ours);
    p->theirs = fd_close(p->theirs);
    return 0;
}

/* Says "hello" in two parts. */
static size_t hello(uint64_t offset, unsigned char *buf, size_t size, bool *ret_end) {
    assert_true(size >= 8);
    memcpy(buf, &"hello"[offset], offset == 0 ? 3 : 2);
    *ret_end = offset > 0;
    return offset == 0 ? 3 : 2;
}

static size_t nothing(uint64_t offset, unsigned char *buf, size_t size, bool *ret_end) {
    (void)offset;
    (void)buf;
    (void)size;
    *ret_end = true;
    return 0;
}

static size_t endless(uint64_t offset, unsigned char *buf, size_t size, bool *ret_end) {
    (void)offset;
    memset(buf, 'x', size);
    *ret_end = false;
    return size;
}

static const StreamProtocol echo_protocol = {.echo = true};
static const StreamProtocol discard_protocol = {.echo = false};
static const StreamProtocol hello_protocol = {.produce = hello};
static const StreamProtocol nothing_protocol = {.produce = nothing};
static const StreamProtocol endless_protocol = {.produce = endless};

static void stream_freep(Stream **s) {
    stream_free(*s);
}

static void assert_says(int fd, const char *expected) {
    char buf[64];
    ssize_t n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
    assert_int_equal(n, strlen(expected));
    assert_memory_equal(buf, expected, strlen(expected));
}

static void test_echo(void **state) {
    Pair *p = *state;
    CLEANUP(stream_freep) Stream *s = stream_new(&echo_protocol, p->ours, p->ours);
    assert_int_equal(stream_wants_in(s), POLLIN);
    assert_int_equal(stream_wants_out(s), 0);
    assert_int_equal(stream_step(s), STREAM_OPEN);
    assert_int_equal(send(p->theirs, "abc", 3, 0), 3);
    assert_int_equal(stream_step(s), STREAM_OPEN);
    assert_says(p->theirs, "abc");
    /* What came before the end is answered, and only then it is over. */
    assert_int_equal(send(p->theirs, "de", 2, 0), 2);
    assert_int_equal(shutdown(p->theirs, SHUT_WR), 0);
    assert_int_equal(stream_step(s), STREAM_OPEN);
    assert_int_equal(stream_step(s), STREAM_DONE);
    assert_says(p->theirs, "de");
}

/* A client that does not read is not read from. */
static void test_echo_unread(void **state) {
    Pair *p = *state;
    static char data[1 << 20];
    CLEANUP(stream_freep) Stream *s = stream_new(&echo_protocol, p->ours, p->ours);
    ssize_t n, sent = 0;
    for (int i = 0; i < 1000; i++) {
        while ((n = send(p->theirs, data, sizeof(data), MSG_DONTWAIT)) > 0)
            sent += n;
        assert_int_equal(stream_step(s), STREAM_OPEN);
    }
    assert_int_equal(stream_wants_in(s), 0);
    assert_int_equal(stream_wants_out(s), POLLOUT);
    /* All of it comes back in the end. */
    assert_int_equal(shutdown(p->theirs, SHUT_WR), 0);
    StreamState last = STREAM_OPEN;
    ssize_t back = 0;
    while (last == STREAM_OPEN) {
        last = stream_step(s);
        while ((n = recv(p->theirs, data, sizeof(data), MSG_DONTWAIT)) > 0)
            back += n;
    }
    assert_int_equal(last, STREAM_DONE);
    assert_int_equal(back, sent);
}

/* Two streams work in one scratch: what one has not sent is not what the other works with. */
static void test_sharing(void **state) {
    Pair *p = *state;
    static unsigned char scratch[STREAM_BUFFER];
    static char data[1 << 20];
    int other[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, other), 0);
    CLEANUP(stream_freep) Stream *slow = stream_new_sharing(&echo_protocol, p->ours, p->ours, scratch);
    CLEANUP(stream_freep) Stream *fast = stream_new_sharing(&echo_protocol, other[0], other[0], scratch);
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (char)(i * 7 + i / 251);
    ssize_t n, sent = 0, back = 0;
    for (int i = 0; i < 1000; i++) {
        while (sent < (ssize_t)sizeof(data) &&
               (n = send(p->theirs, data + sent, sizeof(data) - (size_t)sent, MSG_DONTWAIT)) > 0)
            sent += n;
        assert_int_equal(stream_step(slow), STREAM_OPEN);
        assert_int_equal(send(other[1], "abc", 3, 0), 3);
        assert_int_equal(stream_step(fast), STREAM_OPEN);
        assert_says(other[1], "abc");
    }
    assert_true(sent < (ssize_t)sizeof(data));
    assert_int_equal(stream_wants_in(slow), 0);
    assert_int_equal(shutdown(p->theirs, SHUT_WR), 0);
    static char got[1 << 20];
    for (StreamState last = STREAM_OPEN; last == STREAM_OPEN;) {
        last = stream_step(slow);
        memset(scratch, 0, sizeof(scratch));
        while ((n = recv(p->theirs, got + back, sizeof(got) - (size_t)back, MSG_DONTWAIT)) > 0)
            back += n;
    }
    assert_int_equal(back, sent);
    assert_memory_equal(got, data, (size_t)sent);
    close(other[0]);
    close(other[1]);
}

static void test_run_until(void **state) {
    Pair *p = *state;
    int stop[2];
    assert_int_equal(pipe2(stop, O_CLOEXEC), 0);
    CLEANUP(stream_freep) Stream *s = stream_new(&echo_protocol, p->ours, p->ours);
    assert_int_equal(send(p->theirs, "abc", 3, 0), 3);
    assert_int_equal(write(stop[1], "x", 1), 1);
    assert_int_equal(stream_run_until(s, stop[0]), STREAM_GONE);
    assert_says(p->theirs, "abc");
    close(stop[0]);
    close(stop[1]);
}

static void test_discard(void **state) {
    Pair *p = *state;
    CLEANUP(stream_freep) Stream *s = stream_new(&discard_protocol, p->ours, p->ours);
    assert_int_equal(send(p->theirs, "abc", 3, 0), 3);
    assert_int_equal(stream_step(s), STREAM_OPEN);
    assert_int_equal(stream_wants_out(s), 0);
    assert_int_equal(shutdown(p->theirs, SHUT_WR), 0);
    assert_int_equal(stream_step(s), STREAM_DONE);
    char c;
    assert_int_equal(recv(p->theirs, &c, 1, MSG_DONTWAIT), -1);
}

static void test_produce(void **state) {
    Pair *p = *state;
    CLEANUP(stream_freep) Stream *s = stream_new(&hello_protocol, p->ours, p->ours);
    /* What the client says before is thrown away, so that closing does not reset the connection. */
    assert_int_equal(send(p->theirs, "GET / HTTP/1.0\r\n\r\n", 18, 0), 18);
    assert_int_equal(stream_step(s), STREAM_OPEN);
    assert_int_equal(send(p->theirs, "more", 4, 0), 4);
    assert_int_equal(stream_step(s), STREAM_DONE);
    assert_says(p->theirs, "hello");
    char c;
    assert_int_equal(recv(p->ours, &c, 1, MSG_DONTWAIT), -1);
}

static void test_produce_after_half_close(void **state) {
    Pair *p = *state;
    CLEANUP(stream_freep) Stream *s = stream_new(&hello_protocol, p->ours, p->ours);
    assert_int_equal(shutdown(p->theirs, SHUT_WR), 0);
    assert_int_equal(stream_run(s), STREAM_DONE);
    assert_says(p->theirs, "hello");
}

static void test_produce_nothing(void **state) {
    Pair *p = *state;
    CLEANUP(stream_freep) Stream *s = stream_new(&nothing_protocol, p->ours, p->ours);
    assert_int_equal(stream_step(s), STREAM_DONE);
}

static void test_endless(void **state) {
    Pair *p = *state;
    CLEANUP(stream_freep) Stream *s = stream_new(&endless_protocol, p->ours, p->ours);
    assert_int_equal(shutdown(p->theirs, SHUT_WR), 0);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(stream_step(s), STREAM_OPEN);
    assert_int_equal(stream_wants_in(s), 0);
    assert_int_equal(stream_wants_out(s), POLLOUT);
    p->theirs = fd_close(p->theirs);
    assert_int_equal(stream_step(s), STREAM_GONE);
    assert_int_equal(stream_error(s), EPIPE);
}

/* Two pipes, as in a shell; the producer does not wait for one that says nothing. */
static void test_pipes(void **state) {
    (void)state;
    int in[2], out[2];
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    char buf[64];
    {
        CLEANUP(stream_freep) Stream *s = stream_new(&hello_protocol, in[0], out[1]);
        assert_int_equal(stream_run(s), STREAM_DONE);
        assert_int_equal(read(out[0], buf, sizeof(buf)), 5);
    }
    assert_int_equal(write(in[1], "line\n", 5), 5);
    close(in[1]);
    {
        CLEANUP(stream_freep) Stream *s = stream_new(&echo_protocol, in[0], out[1]);
        assert_int_equal(stream_run(s), STREAM_DONE);
        assert_int_equal(read(out[0], buf, sizeof(buf)), 5);
        assert_memory_equal(buf, "line\n", 5);
    }
    close(out[0]);
    {
        CLEANUP(stream_freep) Stream *s = stream_new(&endless_protocol, in[0], out[1]);
        assert_int_equal(stream_run(s), STREAM_GONE);
    }
    close(in[0]);
    close(out[1]);
}

static void test_failed(void **state) {
    Pair *p = *state;
    CLEANUP(stream_freep) Stream *s = stream_new(&echo_protocol, p->ours, p->ours);
    p->ours = fd_close(p->ours);
    assert_int_equal(stream_run(s), STREAM_FAILED);
    assert_int_equal(stream_error(s), EBADF);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_echo, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_echo_unread, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_sharing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_run_until, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_discard, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_produce, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_produce_after_half_close, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_produce_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_endless, set_up, tear_down),
        cmocka_unit_test(test_pipes),
        cmocka_unit_test_setup_teardown(test_failed, set_up, tear_down),
    };
    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

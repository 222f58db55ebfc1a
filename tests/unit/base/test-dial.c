/* SPDX-License-Identifier: MIT */
/* Connecting without waiting, to sockets of this test. */
#include "daemon/base/dial.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/base/cleanup.h"

static Addr loopback(int family) {
    Addr a;
    assert_int_equal(addr_parse_ip(family == AF_INET ? "127.0.0.1" : "::1", 0, &a), 0);
    return a;
}

/* An abstract name that nobody else has. */
static Addr abstract(const char *what) {
    char name[64];
    Addr a;
    (void)snprintf(name, sizeof(name), "@mp-test-dial-%d-%s", (int)getpid(), what);
    assert_int_equal(addr_set_unix(name, &a), 0);
    return a;
}

static int bind_socket(int type, Addr *a) {
    int fd = socket(a->sa.sa_family, type | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, &a->sa, a->len), 0);
    if (a->sa.sa_family != AF_UNIX)
        *a = socket_addr(fd, getsockname);
    return fd;
}

/* As the loop does it. */
static int dial(const Addr *to, int type) {
    CLEANUP_CLOSE int fd = -EBADF;
    int r = dial_begin(to, type, &fd);
    if (r < 0 && r != -EINPROGRESS) {
        assert_int_equal(fd, -EBADF);
        return r;
    }
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    while (poll(&p, 1, -1) < 0)
        assert_int_equal(errno, EINTR);
    return dial_result(fd, to);
}

static void test_tcp(void **state) {
    (void)state;
    const int families[] = {AF_INET, AF_INET6};
    for (size_t i = 0; i < ELEMENTS(families); i++) {
        CLEANUP_CLOSE int probe = socket(families[i], SOCK_STREAM | SOCK_CLOEXEC, 0);
        Addr to = loopback(families[i]);
        if (probe < 0 || bind(probe, &to.sa, to.len) < 0)
            continue; /* without IPv6 */
        to = socket_addr(probe, getsockname);
        assert_int_equal(dial(&to, SOCK_STREAM), -ECONNREFUSED);
        assert_int_equal(listen(probe, 1), 0);
        assert_int_equal(dial(&to, SOCK_STREAM), 0);
    }
}

static void test_unix(void **state) {
    (void)state;
    const int types[] = {SOCK_STREAM, SOCK_SEQPACKET};
    for (size_t i = 0; i < ELEMENTS(types); i++) {
        Addr to = abstract("connections");
        assert_int_equal(dial(&to, types[i]), -ECONNREFUSED);
        CLEANUP_CLOSE int fd = bind_socket(types[i], &to);
        assert_int_equal(dial(&to, types[i]), -ECONNREFUSED);
        assert_int_equal(listen(fd, 0), 0);
        assert_int_equal(dial(&to, types[i]), 0);
        assert_int_equal(dial(&to, types[i]), -EAGAIN); /* its queue is full: nothing waits for room */
    }
    Addr nowhere;
    assert_int_equal(addr_set_unix("/no/such/socket", &nowhere), 0);
    assert_int_equal(dial(&nowhere, SOCK_STREAM), -ENOENT);
}

/* Nothing is sent, and whoever is there could answer. */
static void test_unix_datagrams(void **state) {
    (void)state;
    char byte;
    Addr to = abstract("datagrams");
    assert_int_equal(dial(&to, SOCK_DGRAM), -ECONNREFUSED);
    CLEANUP_CLOSE int fd = bind_socket(SOCK_DGRAM, &to), from = -EBADF;
    assert_int_equal(dial_begin(&to, SOCK_DGRAM, &from), 0);
    assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
    assert_int_equal(send(from, "x", 1, 0), 1);
    Addr peer = {.len = sizeof(peer.storage)};
    assert_int_equal(recvfrom(fd, &byte, 1, 0, &peer.sa, &peer.len), 1);
    assert_int_equal(sendto(fd, "y", 1, 0, &peer.sa, peer.len), 1);
    assert_int_equal(recv(from, &byte, 1, 0), 1);
    assert_int_equal(byte, 'y');
}

/* A connection with itself is nobody's, and the port is free at once. */
static void test_self(void **state) {
    (void)state;
    Addr own = loopback(AF_INET);
    int fd = bind_socket(SOCK_STREAM, &own);
    assert_int_equal(connect(fd, &own.sa, own.len), 0);
    assert_int_equal(dial_result(fd, &own), -ECONNREFUSED);
    fd_close(fd);
    CLEANUP_CLOSE int next = bind_socket(SOCK_STREAM, &own);
    assert_int_equal(listen(next, 1), 0);
    assert_int_equal(dial(&own, SOCK_STREAM), 0);
}

static void test_no_socket(void **state) {
    (void)state;
    const Addr nothing = {0};
    int fd = -EBADF;
    assert_true(dial_begin(&nothing, SOCK_STREAM, &fd) < 0);
    assert_int_equal(fd, -EBADF);
    assert_int_equal(dial_result(-1, &nothing), -EBADF);
    assert_int_equal(socket_addr(-1, getsockname).len, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tcp),  cmocka_unit_test(test_unix),      cmocka_unit_test(test_unix_datagrams),
        cmocka_unit_test(test_self), cmocka_unit_test(test_no_socket),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

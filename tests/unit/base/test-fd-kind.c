/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "daemon/base/fd-kind.h"

/* One of each, in the order of FdKind; FD_SOCKET's is of a kind that none of the others is. */
static int open_one(FdKind kind) {
    int fds[2] = {-1, -1};
    switch (kind) {
    case FD_PIPE:
        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        (void)close(fds[1]);
        return fds[0];
    case FD_MEMORY:
        return memfd_create("test", MFD_CLOEXEC);
    case FD_SOCKET:
        return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    case FD_UNIX_STREAM:
        return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    case FD_UNIX_DATAGRAM:
        return socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    case FD_UNIX_SEQPACKET:
        return socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    case FD_NETLINK:
        return socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0);
    }
    return -1;
}

static void test_kinds(void **state) {
    (void)state;
    for (unsigned is = FD_PIPE; is <= FD_NETLINK; is++) {
        CLEANUP_CLOSE int fd = open_one((FdKind)is);
        assert_true(fd >= 0);
        for (unsigned kind = FD_PIPE; kind <= FD_NETLINK; kind++) {
            bool expected = kind == is || (kind == FD_SOCKET && is > FD_SOCKET);
            if (fd_is(fd, (FdKind)kind) != expected)
                fail_msg("kind %u, asked for %u", is, kind);
        }
    }
    CLEANUP_CLOSE int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    assert_false(fd_is(file, FD_PIPE));
    assert_false(fd_is(-1, FD_PIPE));
}

static void test_taking(void **state) {
    (void)state;
    for (unsigned wanted = FD_PIPE; wanted <= FD_MEMORY; wanted++) {
        CLEANUP_BLOB BlobWriter w = {0};
        BlobSource s;
        BlobReader r;
        BlobField f;
        int fd = open_one(FD_PIPE);
        blob_begin(&w, BLOB_STATE);
        blob_put_fd(&w, 7, fd);
        assert_int_equal(blob_end(&w), 0);
        assert_int_equal(blob_source_init(&s, w.data, w.n, BLOB_STATE, &r), 0);
        assert_true(blob_next(&r, &f));
        CLEANUP_CLOSE int got = blob_fd_of(&f, (FdKind)wanted);
        assert_int_equal(got, wanted == FD_PIPE ? fd : -EBADF);
        assert_int_equal(blob_is_spoilt(&s), wanted != FD_PIPE);
        blob_source_done(&s);
        /* Closed when it is of no use, and once. */
        assert_int_equal(fcntl(fd, F_GETFD) >= 0, wanted == FD_PIPE);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_kinds), cmocka_unit_test(test_taking)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

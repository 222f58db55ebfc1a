/* SPDX-License-Identifier: MIT */
#include "services/client-socket.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"

/* How often a UNIX listener whose queue is full is tried again: it cannot be waited for. */
#define AGAIN_USEC (5 * USEC_PER_MSEC)

int client_socket(const Target *t, const Addr *address) {
    CLEANUP_CLOSE int fd =
        socket(address->sa.sa_family, target_socket_type(t) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    /* unix(7), "Autobind feature": a name in the abstract namespace. */
    const struct sockaddr_un unnamed = {.sun_family = AF_UNIX};
    if (t->kind == TARGET_UNIX_DGRAM &&
        bind(fd, (const struct sockaddr *)&unnamed, sizeof(unnamed.sun_family)) < 0)
        return -errno;
    return TAKE_FD(fd);
}

int client_connect_result(int fd) {
    int error = 0;
    socklen_t len = sizeof(error);
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
        return -errno;
    return -error;
}

int client_connect_begin(int fd, const Addr *address) {
    if (connect(fd, &address->sa, address->len) == 0)
        return 1;
    if (errno != EINPROGRESS)
        return -errno;
    /* Over loopback it is done already, though connect(2) does not say so; nothing else need be waited for.
     */
    Addr peer = {.len = sizeof(peer.storage)};
    return getpeername(fd, &peer.sa, &peer.len) == 0 ? 1 : 0;
}

int client_poll_timeout(uint64_t deadline_usec, uint64_t now_usec) {
    if (deadline_usec == USEC_INFINITY)
        return -1;
    if (deadline_usec <= now_usec)
        return 0;
    uint64_t ms = (deadline_usec - now_usec + USEC_PER_MSEC - 1) / USEC_PER_MSEC;
    return ms < INT_MAX ? (int)ms : INT_MAX;
}

static int wait_connected(int fd, uint64_t deadline_usec) {
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLOUT};
        int n = poll(&p, 1, client_poll_timeout(deadline_usec, clock_monotonic_usec()));
        if (n > 0)
            return client_connect_result(fd);
        if (n == 0)
            return -ETIMEDOUT;
        if (errno != EINTR)
            return -errno;
    }
}

static int connect_one(const Target *t, const Addr *address, uint64_t deadline_usec) {
    CLEANUP_CLOSE int fd = client_socket(t, address);
    if (fd < 0)
        return fd;
    int r;
    while ((r = client_connect_begin(fd, address)) == -EAGAIN) {
        if (clock_monotonic_usec() >= deadline_usec)
            return -ETIMEDOUT;
        const struct timespec rest = {.tv_nsec = (long)(AGAIN_USEC * NSEC_PER_USEC)};
        (void)nanosleep(&rest, NULL);
    }
    if (r == 0)
        r = wait_connected(fd, deadline_usec);
    return r < 0 ? r : TAKE_FD(fd);
}

int client_connect(const Target *t, const TargetAddresses *addresses, uint64_t deadline_usec,
                   const Addr **ret_which) {
    int first = -EADDRNOTAVAIL;
    for (size_t i = 0; i < addresses->n; i++) {
        int r = connect_one(t, &addresses->list[i], deadline_usec);
        if (r >= 0) {
            *ret_which = &addresses->list[i];
            return r;
        }
        /* The first says most: a host without IPv6 says of ::1 only that it has none. */
        if (i == 0)
            first = r;
    }
    return first;
}

/* SPDX-License-Identifier: MIT */
#include "daemon/base/dial.h"

#include <errno.h>

#include "daemon/base/cleanup.h"

/* To be answered, a UNIX datagram socket needs a name: unix(7), "Autobind". */
static int autobind(int fd) {
    const struct sockaddr_un unnamed = {.sun_family = AF_UNIX};
    return bind(fd, (const struct sockaddr *)&unnamed, sizeof(sa_family_t)) < 0 ? -errno : 0;
}

int dial_begin(const Addr *to, int type, int *ret_fd) {
    CLEANUP_CLOSE int fd = socket(to->sa.sa_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    int r = to->sa.sa_family == AF_UNIX && type == SOCK_DGRAM ? autobind(fd) : 0;
    if (r == 0)
        r = connect(fd, &to->sa, to->len) < 0 ? -errno : 0;
    if (r == 0 || r == -EINPROGRESS)
        *ret_fd = TAKE_FD(fd);
    return r;
}

Addr socket_addr(int fd, int (*get)(int, struct sockaddr *, socklen_t *)) {
    Addr a = {0};
    a.len = sizeof(a.storage);
    if (get(fd, &a.sa, &a.len) < 0)
        a = (Addr){0};
    return a;
}

/* On this host, where nobody listens on a port that the kernel gives to clients, a connection may come about
 * with itself: RFC 9293, 3.5, "simultaneous open". */
static bool is_self(int fd, const Addr *to) {
    uint16_t port = addr_port(to);
    if (port == 0)
        return false;
    Addr own = socket_addr(fd, getsockname);
    if (addr_port(&own) != port)
        return false;
    Addr peer = socket_addr(fd, getpeername);
    return addr_equal(&own, &peer);
}

int dial_result(int fd, const Addr *to) {
    int error = 0;
    socklen_t len = sizeof(error);
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
        error = errno;
    if (error != 0 || !is_self(fd, to))
        return -error;
    /* An orderly end would keep the port for a minute from whoever is to listen there: reset it. */
    const struct linger reset = {.l_onoff = 1};
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    return -ECONNREFUSED;
}

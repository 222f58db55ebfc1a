/* SPDX-License-Identifier: MIT */
#include "daemon/base/passed.h"

#include <errno.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>

/* socket(7); <asm-generic/socket.h>, which some machines have numbers of their own for. */
#if !defined(SO_PASSRIGHTS) && !defined(__alpha__) && !defined(__mips__) && !defined(__hppa__) &&            \
    !defined(__sparc__)
#define SO_PASSRIGHTS 83
#endif

/* So much is thrown away here: as much as a socket takes that nobody has given more room. */
#define READ_BYTES 16384
#define READS_MAX 32

static int option_of(int fd, int name) {
    int value = 0;
    socklen_t n = sizeof(value);
    return getsockopt(fd, SOL_SOCKET, name, &value, &n) < 0 ? 0 : value;
}

bool passed_may_come(int fd) {
    return option_of(fd, SO_DOMAIN) == AF_UNIX;
}

/* A byte out of band has descriptors of its own, and is dropped in passing, unless it is one of the others.
 */
static void take_in_line(int fd, int all) {
    (void)setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &all, sizeof(all));
}

void passed_leave(int fd) {
    take_in_line(fd, 0);
}

static void read_sender(struct msghdr *m, PassedLook *ret) {
    struct cmsghdr *c = CMSG_FIRSTHDR(m);
    if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_CREDENTIALS)
        return;
    ret->is_there = true;
    if (c->cmsg_len >= CMSG_LEN(sizeof(ret->sender)))
        __builtin_memcpy(&ret->sender, CMSG_DATA(c), sizeof(ret->sender));
}

ssize_t passed_peek(int fd, void *buf, size_t n, PassedLook *ret) {
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(struct ucred))];
    struct iovec iov = {.iov_base = buf, .iov_len = n};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    *ret = (PassedLook){0};
    m.msg_name = &ret->from;
    m.msg_namelen = sizeof(ret->from);
    bool is_unix = passed_may_come(fd);
    if (is_unix)
        take_in_line(fd, 1);
    /* Room for the sender, whom the kernel writes first, and none for descriptors after that. */
    if (is_unix && option_of(fd, SO_PASSCRED)) {
        m.msg_control = control;
        m.msg_controllen = sizeof(control);
    }
    ssize_t got = recvmsg(fd, &m, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got < 0)
        return got;
    ret->n_from = m.msg_namelen;
    ret->descriptors = is_unix && (m.msg_flags & MSG_CTRUNC);
    ret->truncated = m.msg_flags & MSG_TRUNC;
    read_sender(&m, ret);
    return got;
}

ssize_t passed_recv(int fd, void *buf, size_t n) {
    PassedLook look;
    ssize_t got = passed_peek(fd, buf, n, &look);
    if (got < 0)
        return got;
    if (look.descriptors) {
        errno = EBADMSG;
        return -1;
    }
    /* No more than what was looked at. */
    return recv(fd, buf, (size_t)got, MSG_DONTWAIT);
}

/* Of a stream also what is hidden: a message of it is never empty. */
static bool holds_bytes(int fd) {
    int n = 0;
    return ioctl(fd, SIOCINQ, &n) < 0 || n > 0;
}

bool passed_empty(int fd) {
    char bytes[READ_BYTES];
    PassedLook look;
    int on = 1, head = -1, type = option_of(fd, SO_TYPE);
    /* From then on nothing gets in. With a sender, an empty packet is told from none. */
    (void)shutdown(fd, SHUT_RDWR);
    (void)setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &head, sizeof(head));
    if (type != SOCK_STREAM && setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0)
        return false;
    for (unsigned i = 0; i < READS_MAX; i++) {
        ssize_t got = passed_peek(fd, bytes, sizeof(bytes), &look);
        if (look.descriptors || (got < 0 && errno != EAGAIN && errno != EINTR))
            return false;
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 || (got == 0 && (type == SOCK_STREAM || !look.is_there)))
            return type == SOCK_DGRAM || !holds_bytes(fd);
        (void)recv(fd, bytes, (size_t)got, MSG_DONTWAIT);
    }
    return false;
}

bool passed_may_lie(int fd) {
    char bytes[READ_BYTES];
    struct iovec iov = {.iov_base = bytes, .iov_len = sizeof(bytes)};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    int n = 0;
    if (!passed_may_come(fd))
        return false;
    ssize_t got = recvmsg(fd, &m, MSG_PEEK | MSG_DONTWAIT);
    if (got < 0 && errno != EAGAIN)
        return true;
    if (option_of(fd, SO_TYPE) != SOCK_STREAM)
        return got >= 0;
    /* Behind the end of what was looked at, or out of band, is more. */
    return (got >= 0 && (m.msg_flags & MSG_CTRUNC)) || ioctl(fd, SIOCINQ, &n) < 0 || n != (got < 0 ? 0 : got);
}

void passed_forbid(int fd) {
#ifdef SO_PASSRIGHTS
    int off = 0;
    (void)setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &off, sizeof(off));
#else
    (void)fd;
#endif
}

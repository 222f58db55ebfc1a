/* SPDX-License-Identifier: MIT */
#pragma once
/* Descriptors that somebody passes along with a message and nobody has asked for. That the kernel drops them
 * does not do: dropping the last one of a connection waits for its data to be taken, for as long as whoever
 * has passed it said by SO_LINGER. So they are taken, and closed without waiting. */
#include <string.h>
#include <sys/socket.h>

#include "daemon/base/cleanup.h"

/* What the kernel lets come with one message: SCM_MAX_FD. */
#define PASSED_FDS_MAX 253

typedef union PassedControl {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(sizeof(int) * PASSED_FDS_MAX)];
} PassedControl;

/* Closes those that came with @m; who sent it, pid 0 when the kernel does not say. */
static inline struct ucred passed_close(struct msghdr *m) {
    const struct linger none = {0};
    struct ucred sender = {0};
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level != SOL_SOCKET)
            continue;
        if (c->cmsg_type == SCM_RIGHTS) {
            for (size_t at = 0; CMSG_LEN(at + sizeof(int)) <= c->cmsg_len; at += sizeof(int)) {
                int fd;
                memcpy(&fd, CMSG_DATA(c) + at, sizeof(fd));
                (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
                (void)fd_close(fd);
            }
        } else if (c->cmsg_type == SCM_CREDENTIALS && c->cmsg_len >= CMSG_LEN(sizeof(struct ucred))) {
            memcpy(&sender, CMSG_DATA(c), sizeof(sender));
        }
    }
    return sender;
}

/* As recv(2), without waiting. @ret_sender and @ret_flags may be NULL. */
static inline ssize_t passed_recv(int fd, void *buf, size_t n, struct ucred *ret_sender, int *ret_flags) {
    PassedControl control;
    struct iovec iov = {.iov_base = buf, .iov_len = n};
    struct msghdr m = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    ssize_t got = recvmsg(fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got < 0)
        return got;
    struct ucred sender = passed_close(&m);
    if (ret_sender)
        *ret_sender = sender;
    if (ret_flags)
        *ret_flags = m.msg_flags;
    return got;
}

/* Closes socket @fd together with what still lies in it. Returns -EBADF. */
static inline int passed_close_socket(int fd) {
    char buf[4096];
    int flags = 0;
    ssize_t n = 0;
    /* Nothing gets in any more, so this comes to an end. Of datagrams an empty one is none. */
    int type = 0;
    socklen_t length = sizeof(type);
    if (fd >= 0 && getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0 && shutdown(fd, SHUT_RD) == 0)
        do
            n = passed_recv(fd, buf, sizeof(buf), NULL, &flags);
        while (n > 0 || (n == 0 && type == SOCK_DGRAM) || (n < 0 && errno == EINTR));
    return fd_close(fd);
}

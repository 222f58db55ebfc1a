/* SPDX-License-Identifier: MIT */
#include "services/forward-passed.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/socket.h>

#include "conf/value.h"
#include "daemon/base/cleanup.h"

/* All that is told of a connection. */
#define MESSAGE_MAX 8192
/* Descriptors of one message: one is right, more are closed. */
#define FDS_MAX 8

typedef enum Key {
    KEY_REMOTE_IP,
    KEY_REMOTE_PORT,
    KEY_LOCAL_IP,
    KEY_LOCAL_PORT,
    KEY_LOCAL_PATH,
    _KEY_MAX,
} Key;

static const char *const keys[] = {
    [KEY_REMOTE_IP] = "TCPREMOTEIP",   [KEY_REMOTE_PORT] = "TCPREMOTEPORT", [KEY_LOCAL_IP] = "TCPLOCALIP",
    [KEY_LOCAL_PORT] = "TCPLOCALPORT", [KEY_LOCAL_PATH] = "UNIXLOCALPATH",
};

static void set_inet(const char *host, const char *port, Addr *ret) {
    uint64_t number = 0;
    Addr a;
    if (host && port && value_unsigned(port, 0, UINT16_MAX, &number, NULL) == 0 &&
        addr_parse_ip(host, (uint16_t)number, &a) == 0)
        *ret = a;
}

static void peer_from(const char *const values[static _KEY_MAX], LinkPeer *ret) {
    *ret = (LinkPeer){0};
    set_inet(values[KEY_REMOTE_IP], values[KEY_REMOTE_PORT], &ret->source);
    set_inet(values[KEY_LOCAL_IP], values[KEY_LOCAL_PORT], &ret->destination);
    if (values[KEY_LOCAL_PATH])
        (void)addr_set_unix(values[KEY_LOCAL_PATH], &ret->destination);
}

void passed_parse(const char *lines, size_t n, LinkPeer *ret) {
    char copy[MESSAGE_MAX + 1];
    const char *values[_KEY_MAX] = {0};
    if (n > MESSAGE_MAX)
        n = MESSAGE_MAX;
    memcpy(copy, lines, n);
    copy[n] = '\0';
    char *rest = copy;
    for (char *line = strsep(&rest, "\n"); line; line = strsep(&rest, "\n"))
        for (size_t i = 0; i < ELEMENTS(keys); i++) {
            size_t length = strlen(keys[i]);
            if (strncmp(line, keys[i], length) == 0 && line[length] == '=')
                values[i] = line + length + 1;
        }
    peer_from(values, ret);
}

void passed_from_environment(LinkPeer *ret) {
    const char *values[_KEY_MAX];
    for (size_t i = 0; i < ELEMENTS(keys); i++)
        values[i] = getenv(keys[i]);
    peer_from(values, ret);
}

int passed_fd(void) {
    const char *s = getenv("MP_CONNECTION_FD");
    uint64_t fd = 0;
    if (!s)
        return -ENOENT;
    if (value_unsigned(s, 0, INT_MAX, &fd, NULL) < 0)
        return -EINVAL;
    return fcntl((int)fd, F_SETFD, FD_CLOEXEC) < 0 ? -errno : (int)fd;
}

/* The first descriptor of a message; the others are closed. */
static int take_fd(struct msghdr *msg) {
    int found = -EBADF;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t at = 0; at + sizeof(int) <= c->cmsg_len - CMSG_LEN(0); at += sizeof(int)) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + at, sizeof(fd));
            if (found < 0)
                found = fd;
            else
                (void)fd_close(fd);
        }
    }
    return found;
}

int passed_receive(int fd, int *ret_fd, LinkPeer *ret) {
    char text[MESSAGE_MAX];
    union {
        struct cmsghdr align;
        char data[CMSG_SPACE(FDS_MAX * sizeof(int))];
    } control = {0};
    struct iovec iov = {.iov_base = text, .iov_len = sizeof(text)};
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    ssize_t n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0)
        return -errno;
    CLEANUP_CLOSE int passed = take_fd(&msg);
    if (n == 0 && passed < 0)
        return 0;
    if (passed < 0 || msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC))
        return -EBADMSG;
    passed_parse(text, (size_t)n, ret);
    *ret_fd = TAKE_FD(passed);
    return 1;
}

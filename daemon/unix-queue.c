/* SPDX-License-Identifier: MIT */
#include "daemon/unix-queue.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "daemon/base/cleanup.h"

/* More than one answer takes. */
#define ANSWER_BYTES 1024

size_t unix_queue_request(uint32_t inode, char buf[static UNIX_QUEUE_REQUEST_MAX]) {
    struct unix_diag_req request = {
        .sdiag_family = AF_UNIX,
        .udiag_states = ~0U,
        .udiag_ino = inode,
        .udiag_show = UDIAG_SHOW_RQLEN,
        .udiag_cookie = {~0U, ~0U}, /* whichever */
    };
    struct nlmsghdr header = {
        .nlmsg_len = NLMSG_LENGTH(sizeof(request)),
        .nlmsg_type = SOCK_DIAG_BY_FAMILY,
        .nlmsg_flags = NLM_F_REQUEST,
    };
    memcpy(buf, &header, sizeof(header));
    memcpy(buf + NLMSG_HDRLEN, &request, sizeof(request));
    return header.nlmsg_len;
}

/* unix_diag: of a listening socket rqueue is what waits, and wqueue what may. */
static int parse_socket(uint32_t inode, const char *body, size_t n, int64_t *ret_queued,
                        int64_t *ret_backlog) {
    struct unix_diag_msg m;
    if (n < sizeof(m))
        return -EBADMSG;
    memcpy(&m, body, sizeof(m));
    if (m.udiag_ino != inode)
        return -EBADMSG;
    for (size_t at = NLMSG_ALIGN(sizeof(m)); at + sizeof(struct rtattr) <= n;) {
        struct rtattr a;
        struct unix_diag_rqlen length;
        memcpy(&a, body + at, sizeof(a));
        if (a.rta_len < sizeof(a) || a.rta_len > n - at)
            return -EBADMSG;
        if (a.rta_type == UNIX_DIAG_RQLEN && a.rta_len >= RTA_LENGTH(sizeof(length))) {
            memcpy(&length, body + at + RTA_LENGTH(0), sizeof(length));
            *ret_queued = length.udiag_rqueue;
            *ret_backlog = length.udiag_wqueue;
            return 0;
        }
        at += RTA_ALIGN((size_t)a.rta_len);
    }
    return -ENODATA;
}

int unix_queue_parse(uint32_t inode, const char *data, size_t n, int64_t *ret_queued, int64_t *ret_backlog) {
    struct nlmsghdr h;
    int error = 0;
    if (n < sizeof(h))
        return -EBADMSG;
    memcpy(&h, data, sizeof(h));
    if (h.nlmsg_len < sizeof(h) || h.nlmsg_len > n)
        return -EBADMSG;
    const char *body = data + NLMSG_HDRLEN;
    size_t length = h.nlmsg_len - NLMSG_HDRLEN;
    if (h.nlmsg_type == SOCK_DIAG_BY_FAMILY)
        return parse_socket(inode, body, length, ret_queued, ret_backlog);
    if (h.nlmsg_type != NLMSG_ERROR || length < sizeof(error))
        return -EBADMSG;
    memcpy(&error, body, sizeof(error));
    return error < 0 ? error : -EBADMSG;
}

int unix_queue_ask(int fd, int64_t *ret_queued, int64_t *ret_backlog) {
    struct stat st;
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK}, from = {0};
    socklen_t from_length = sizeof(from);
    char request[UNIX_QUEUE_REQUEST_MAX], answer[ANSWER_BYTES];
    if (fstat(fd, &st) < 0)
        return -errno;
    CLEANUP_CLOSE int s = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG);
    if (s < 0)
        return -errno;
    size_t n = unix_queue_request((uint32_t)st.st_ino, request);
    if (sendto(s, request, n, 0, (struct sockaddr *)&kernel, sizeof(kernel)) < 0)
        return -errno;
    /* The kernel has answered within sendto(2). */
    ssize_t got = recvfrom(s, answer, sizeof(answer), 0, (struct sockaddr *)&from, &from_length);
    if (got < 0)
        return -errno;
    if (from.nl_pid != 0)
        return -EBADMSG; /* not of the kernel */
    return unix_queue_parse((uint32_t)st.st_ino, answer, (size_t)got, ret_queued, ret_backlog);
}

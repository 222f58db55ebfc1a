/* SPDX-License-Identifier: MIT */
#include "daemon/greeting.h"

#include <string.h>
#include <sys/socket.h>

#include "daemon/launch.h"
#include "daemon/tcpmux.h"

/* Whether the daemon answers for the service: RFC 1078 leaves it to the service otherwise. */
static bool answers(const Service *s, const Connection *c) {
    return c->tcpmux && s->config->tcpmux && s->config->tcpmux[0] == '+';
}

int greeting_send(const Service *s, const Connection *c) {
    static char go[] = TCPMUX_GO;
    const BannerConfig *b = &s->config->terms->banner;
    struct iovec parts[2];
    size_t n = 0, length = 0;
    if (answers(s, c))
        parts[n++] = (struct iovec){.iov_base = go, .iov_len = sizeof(go) - 1};
    if (b->n_greeting > 0)
        parts[n++] = (struct iovec){.iov_base = b->greeting_bytes, .iov_len = b->n_greeting};
    if (n == 0)
        return 0;
    for (size_t i = 0; i < n; i++)
        length += parts[i].iov_len;
    struct msghdr m = {.msg_iov = parts, .msg_iovlen = n};
    ssize_t sent = sendmsg(c->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0)
        return -errno;
    /* A new socket has room for so much (BANNER_MAX); a text that is cut is worse than none. */
    return (size_t)sent < length ? -EAGAIN : 0;
}

/* SPDX-License-Identifier: MIT */
#include "daemon/sock-diag.h"

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/tcp.h>
#include <string.h>

#include "daemon/base/cleanup.h"

/* What one turn of the loop reads at most: so many pieces of so many bytes. */
#define TURN_READS 4
#define READ_BYTES 32768

/* The states in which a connection has not ended on both sides; the kernel numbers them as tcp.h does. */
#define LIVE_STATES                                                                                          \
    (1U << TCP_ESTABLISHED | 1U << TCP_FIN_WAIT1 | 1U << TCP_FIN_WAIT2 | 1U << TCP_CLOSE_WAIT |              \
     1U << TCP_LAST_ACK | 1U << TCP_CLOSING)

struct SockDiag {
    int fd;
    sd_event_source *source, *later;
    SockDiagTarget *targets;
    size_t n, at;
    uint64_t network;
    SockDiagDone done;
    void *userdata;
};

SockDiag *sock_diag_free(SockDiag *d) {
    if (!d)
        return NULL;
    d->source = sd_event_source_disable_unref(d->source);
    d->later = sd_event_source_disable_unref(d->later);
    d->fd = fd_close(d->fd);
    free(d->targets);
    free(d);
    return NULL;
}

static uint64_t network_of(int fd) {
    uint64_t cookie = 0;
    socklen_t n = sizeof(cookie);
    return getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &n) == 0 ? cookie : 0;
}

bool sock_diag_target(int fd, SockDiagTarget *ret) {
    SockDiagTarget t = {.addr.len = sizeof(t.addr.storage)};
    char unused[SOCK_DIAG_REQUEST_MAX];
    if (getsockname(fd, &t.addr.sa, &t.addr.len) < 0 || sock_diag_request(&t.addr, unused) == 0)
        return false;
    t.network = network_of(fd);
    *ret = t;
    return true;
}

static size_t put_request(char *buf, const void *body, size_t n) {
    struct nlmsghdr header = {
        .nlmsg_len = (uint32_t)(NLMSG_HDRLEN + n),
        .nlmsg_type = SOCK_DIAG_BY_FAMILY,
        .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
    };
    memcpy(buf, &header, sizeof(header));
    memcpy(buf + NLMSG_HDRLEN, body, n);
    return header.nlmsg_len;
}

size_t sock_diag_request(const Addr *listener, char buf[static SOCK_DIAG_REQUEST_MAX]) {
    int family = listener->sa.sa_family;
    if (family == AF_UNIX) {
        struct unix_diag_req request = {
            .sdiag_family = AF_UNIX,
            .udiag_states = 1U << TCP_ESTABLISHED,
            .udiag_show = UDIAG_SHOW_NAME,
        };
        return put_request(buf, &request, sizeof(request));
    }
    if (family != AF_INET && family != AF_INET6)
        return 0;
    struct inet_diag_req_v2 request = {
        .sdiag_family = (uint8_t)family,
        .sdiag_protocol = IPPROTO_TCP,
        .idiag_states = LIVE_STATES,
        /* The kernel leaves out what has another port. */
        .id.idiag_sport = htons(addr_port(listener)),
    };
    return put_request(buf, &request, sizeof(request));
}

/* What no process has any more has no inode: the kernel alone brings it to its end. Nor has what still waits
 * in the queue, which is seen there. */
static bool is_inet_connection(const Addr *listener, const char *body, size_t n) {
    struct inet_diag_msg m;
    if (n < sizeof(m))
        return false;
    memcpy(&m, body, sizeof(m));
    if (m.idiag_inode == 0 || m.idiag_family != listener->sa.sa_family ||
        m.id.idiag_sport != htons(addr_port(listener)))
        return false;
    if (addr_is_wildcard(listener))
        return true;
    if (m.idiag_family == AF_INET)
        return memcmp(m.id.idiag_src, &listener->in.sin_addr, sizeof(listener->in.sin_addr)) == 0;
    return memcmp(m.id.idiag_src, &listener->in6.sin6_addr, sizeof(listener->in6.sin6_addr)) == 0;
}

/* An accepted connection has the name of the socket that it came in through. */
static bool is_unix_connection(const Addr *listener, const char *body, size_t n) {
    struct unix_diag_msg m;
    if (n < sizeof(m))
        return false;
    memcpy(&m, body, sizeof(m));
    if (m.udiag_ino == 0)
        return false;
    for (size_t at = NLMSG_ALIGN(sizeof(m)); at + sizeof(struct rtattr) <= n;) {
        struct rtattr a;
        memcpy(&a, body + at, sizeof(a));
        if (a.rta_len < sizeof(a) || a.rta_len > n - at)
            return false;
        size_t length = a.rta_len - sizeof(a);
        if (a.rta_type == UNIX_DIAG_NAME && length <= sizeof(listener->un.sun_path)) {
            Addr name = {.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)};
            name.un.sun_family = AF_UNIX;
            memcpy(name.un.sun_path, body + at + sizeof(a), length);
            return addr_equal(&name, listener);
        }
        at += RTA_ALIGN((size_t)a.rta_len);
    }
    return false;
}

/* A table that the kernel could not go through (tcp_diag is missing) ends with an error. */
static bool is_complete(const char *body, size_t n) {
    int error = 0;
    if (n >= sizeof(error))
        memcpy(&error, body, sizeof(error));
    return error >= 0;
}

SockDiagPart sock_diag_scan(const Addr *listener, const char *data, size_t n) {
    while (n >= sizeof(struct nlmsghdr)) {
        struct nlmsghdr h;
        memcpy(&h, data, sizeof(h));
        if (h.nlmsg_len < sizeof(h) || h.nlmsg_len > n)
            return SOCK_DIAG_PART_FAILED;
        if (h.nlmsg_type == NLMSG_DONE)
            return is_complete(data + NLMSG_HDRLEN, h.nlmsg_len - NLMSG_HDRLEN) ? SOCK_DIAG_PART_END
                                                                                : SOCK_DIAG_PART_FAILED;
        if (h.nlmsg_type == NLMSG_ERROR || h.nlmsg_type == NLMSG_OVERRUN)
            return SOCK_DIAG_PART_FAILED;
        if (h.nlmsg_type == SOCK_DIAG_BY_FAMILY) {
            const char *body = data + NLMSG_HDRLEN;
            size_t length = h.nlmsg_len - NLMSG_HDRLEN;
            if (listener->sa.sa_family == AF_UNIX ? is_unix_connection(listener, body, length)
                                                  : is_inet_connection(listener, body, length))
                return SOCK_DIAG_PART_FOUND;
        }
        size_t step = NLMSG_ALIGN((size_t)h.nlmsg_len);
        if (step > n)
            break;
        data += step;
        n -= step;
    }
    return SOCK_DIAG_PART_MORE;
}

static void answer(SockDiag *d, SockDiagAnswer a) {
    d->source = sd_event_source_disable_unref(d->source);
    d->fd = fd_close(d->fd);
    d->done(a, d->userdata);
}

/* Asks for the next target. False when it could not be sent. */
static bool ask_next(SockDiag *d) {
    const SockDiagTarget *t = &d->targets[d->at];
    char request[SOCK_DIAG_REQUEST_MAX];
    size_t n = sock_diag_request(&t->addr, request);
    /* The tables of another network are not ours to see. */
    if (n == 0 || (t->network != 0 && d->network != 0 && t->network != d->network))
        return false;
    return send(d->fd, request, n, 0) == (ssize_t)n;
}

/* True while there is more to read now. */
static bool read_part(SockDiag *d) {
    char data[READ_BYTES];
    struct sockaddr_nl from = {0};
    socklen_t from_length = sizeof(from);
    ssize_t n = recvfrom(d->fd, data, sizeof(data), MSG_DONTWAIT, (struct sockaddr *)&from, &from_length);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (n > 0 && from.nl_pid != 0)
        return true; /* not of the kernel */
    switch (n <= 0 ? SOCK_DIAG_PART_FAILED : sock_diag_scan(&d->targets[d->at].addr, data, (size_t)n)) {
    case SOCK_DIAG_PART_MORE:
        return true;
    case SOCK_DIAG_PART_FOUND:
        answer(d, SOCK_DIAG_SOME);
        return false;
    case SOCK_DIAG_PART_END:
        if (++d->at == d->n)
            answer(d, SOCK_DIAG_NONE);
        else if (!ask_next(d))
            answer(d, SOCK_DIAG_UNKNOWN);
        return false;
    case SOCK_DIAG_PART_FAILED:
        answer(d, SOCK_DIAG_UNKNOWN);
        return false;
    }
    return false;
}

static int on_readable(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
    (void)s;
    (void)fd;
    (void)revents;
    for (unsigned i = 0; i < TURN_READS && read_part(userdata); i++)
        continue;
    return 0;
}

static int on_begin(sd_event_source *s, void *userdata) {
    SockDiag *d = userdata;
    (void)s;
    d->later = sd_event_source_disable_unref(d->later);
    if (d->fd < 0 || !ask_next(d))
        answer(d, SOCK_DIAG_UNKNOWN);
    return 0;
}

int sock_diag_ask(sd_event *loop, const SockDiagTarget *targets, size_t n, SockDiagDone done, void *userdata,
                  SockDiag **ret) {
    SockDiag *d = calloc(1, sizeof(*d));
    if (!d)
        return -ENOMEM;
    *d = (SockDiag){.n = n, .done = done, .userdata = userdata};
    d->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG);
    d->network = d->fd < 0 ? 0 : network_of(d->fd);
    d->targets = calloc(n + 1, sizeof(*targets));
    int r = d->targets && n > 0 ? 0 : -ENOMEM;
    if (r >= 0) {
        memcpy(d->targets, targets, n * sizeof(*targets));
        r = sd_event_add_defer(loop, &d->later, on_begin, d);
    }
    if (r >= 0 && d->fd >= 0)
        r = sd_event_add_io(loop, &d->source, d->fd, EPOLLIN, on_readable, d);
    if (r < 0) {
        sock_diag_free(d);
        return r;
    }
    *ret = d;
    return 0;
}

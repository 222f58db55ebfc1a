/* SPDX-License-Identifier: MIT */
#include "daemon/sock-query.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <linux/unix_diag.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "daemon/base/addr.h"

/* An answer is some 400 bytes; an error repeats the question. */
#define ANSWER_BYTES 4096
/* Answers to earlier questions that were given up may come first. */
#define READS_MAX 8
/* What inet_diag_msg.idiag_timer says of a connection that is over, and waits out its time: sock_diag(7). */
#define TIMER_TIME_WAIT 3
/* The state of what is over, as in the kernel's tcp_states.h; linux/tcp.h has no names for them, and
 * netinet/tcp.h does not go with it. */
#define STATE_CLOSE 7

/* The tables, each a module of the kernel of its own. */
typedef enum Table {
    TABLE_INET,
    TABLE_INET6,
    TABLE_UNIX,
    _TABLE_MAX,
} Table;

struct SockQuery {
    int fd;
    uint32_t sequence;
    uint64_t network;       /* its SO_NETNS_COOKIE; 0: not known */
    bool works[_TABLE_MAX]; /* has once found what was there */
};

static Table table_of(const SockName *n) {
    return n->family == AF_UNIX ? TABLE_UNIX : n->family == AF_INET ? TABLE_INET : TABLE_INET6;
}

static bool get_u64(int fd, int option, uint64_t *ret) {
    socklen_t n = sizeof(*ret);
    return getsockopt(fd, SOL_SOCKET, option, ret, &n) == 0;
}

static int open_socket(SockQuery *q) {
    if (q->fd >= 0)
        return 0;
    q->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG);
    if (q->fd < 0)
        return -errno;
    if (!get_u64(q->fd, SO_NETNS_COOKIE, &q->network))
        q->network = 0;
    return 0;
}

SockQuery *sock_query_new(void) {
    SockQuery *q = calloc(1, sizeof(*q));
    if (!q)
        return NULL;
    q->fd = -EBADF;
    (void)open_socket(q);
    return q;
}

SockQuery *sock_query_free(SockQuery *q) {
    if (!q)
        return NULL;
    (void)fd_close(q->fd);
    free(q);
    return NULL;
}

/* Questions */

static size_t put_request(char *buf, uint32_t sequence, const void *body, size_t n) {
    struct nlmsghdr header = {
        .nlmsg_len = (uint32_t)(NLMSG_HDRLEN + n),
        .nlmsg_type = SOCK_DIAG_BY_FAMILY,
        .nlmsg_flags = NLM_F_REQUEST,
        .nlmsg_seq = sequence,
    };
    memcpy(buf, &header, sizeof(header));
    memcpy(buf + NLMSG_HDRLEN, body, n);
    return header.nlmsg_len;
}

size_t sock_query_request(const SockName *name, uint32_t sequence, char buf[static SOCK_QUERY_REQUEST_MAX]) {
    if (name->family == AF_UNIX) {
        struct unix_diag_req request = {
            .sdiag_family = AF_UNIX,
            .udiag_states = UINT32_MAX,
            .udiag_ino = name->inode,
            .udiag_cookie = {(uint32_t)name->cookie, (uint32_t)(name->cookie >> 32)},
        };
        return put_request(buf, sequence, &request, sizeof(request));
    }
    if (name->family != AF_INET && name->family != AF_INET6)
        return 0;
    struct inet_diag_req_v2 request = {
        .sdiag_family = name->family,
        .sdiag_protocol = IPPROTO_TCP,
        .idiag_ext = 1U << (INET_DIAG_INFO - 1),
        .idiag_states = UINT32_MAX,
        .id = name->inet,
    };
    return put_request(buf, sequence, &request, sizeof(request));
}

/* Answers */

/* The structure has grown over the years: what this kernel does not have stays 0. */
static void read_figures(const char *data, size_t n, SockInfo *ret) {
    struct tcp_info t = {0};
    if (n < offsetof(struct tcp_info, tcpi_bytes_received) + sizeof(t.tcpi_bytes_received))
        return;
    memcpy(&t, data, n < sizeof(t) ? n : sizeof(t));
    bool has_sent = n >= offsetof(struct tcp_info, tcpi_bytes_retrans) + sizeof(t.tcpi_bytes_retrans);
    ret->has_figures = true;
    ret->acked = t.tcpi_bytes_acked;
    ret->received = t.tcpi_bytes_received;
    ret->sent = !has_sent                                  ? t.tcpi_bytes_acked
                : t.tcpi_bytes_sent > t.tcpi_bytes_retrans ? t.tcpi_bytes_sent - t.tcpi_bytes_retrans
                                                           : 0;
    ret->not_sent = t.tcpi_notsent_bytes;
    ret->data_segments_in = t.tcpi_data_segs_in;
    ret->since_data_in_msec = t.tcpi_last_data_recv;
    ret->since_ack_in_msec = t.tcpi_last_ack_recv;
}

bool sock_info_read(const char *body, size_t n, SockInfo *ret, struct inet_diag_sockid *ret_id,
                    uint32_t *ret_inode) {
    struct inet_diag_msg m;
    if (n < sizeof(m))
        return false;
    memcpy(&m, body, sizeof(m));
    SockInfo info = {.state = m.idiag_state};
    if (m.idiag_timer == TIMER_TIME_WAIT) {
        info.state = STATE_CLOSE;
        info.rest_state = m.idiag_state;
    }
    for (size_t at = NLMSG_ALIGN(sizeof(m)); at + sizeof(struct rtattr) <= n;) {
        struct rtattr a;
        memcpy(&a, body + at, sizeof(a));
        if (a.rta_len < sizeof(a) || a.rta_len > n - at)
            return false;
        if (a.rta_type == INET_DIAG_INFO)
            read_figures(body + at + sizeof(a), a.rta_len - sizeof(a), &info);
        at += RTA_ALIGN((size_t)a.rta_len);
    }
    *ret = info;
    *ret_id = m.id;
    *ret_inode = m.idiag_inode;
    return true;
}

static bool read_inet(const SockName *name, const char *body, size_t n, SockFate *ret, SockInfo *ret_info) {
    struct inet_diag_sockid id;
    uint32_t inode;
    if (!sock_info_read(body, n, ret_info, &id, &inode) || sock_id_cookie(&id) != name->cookie)
        return false;
    *ret = ret_info->state == STATE_CLOSE ? SOCK_GONE : inode != 0 ? SOCK_HELD : SOCK_CLOSING;
    return true;
}

static bool read_unix(const SockName *name, const char *body, size_t n, SockFate *ret, SockInfo *ret_info) {
    struct unix_diag_msg m;
    if (n < sizeof(m))
        return false;
    memcpy(&m, body, sizeof(m));
    if (m.udiag_ino != name->inode || ((uint64_t)m.udiag_cookie[1] << 32 | m.udiag_cookie[0]) != name->cookie)
        return false;
    *ret_info = (SockInfo){.state = m.udiag_state};
    *ret = SOCK_HELD;
    return true;
}

bool sock_query_answer(const SockName *name, uint32_t sequence, const char *data, size_t n, SockFate *ret,
                       SockInfo *ret_info) {
    struct nlmsghdr h;
    SockInfo info = {0};
    SockFate fate = SOCK_UNKNOWN;
    if (n < sizeof(h))
        return false;
    memcpy(&h, data, sizeof(h));
    if (h.nlmsg_len < NLMSG_HDRLEN || h.nlmsg_len > n || h.nlmsg_seq != sequence)
        return false;
    const char *body = data + NLMSG_HDRLEN;
    size_t length = h.nlmsg_len - NLMSG_HDRLEN;
    int error = 0;
    if (h.nlmsg_type == NLMSG_ERROR && length >= sizeof(error)) {
        memcpy(&error, body, sizeof(error));
        /* The second when its number in the table has gone to another. */
        if (error == -ENOENT || error == -ESTALE)
            fate = SOCK_GONE;
    } else if (h.nlmsg_type == SOCK_DIAG_BY_FAMILY) {
        if (!(name->family == AF_UNIX ? read_unix(name, body, length, &fate, &info)
                                      : read_inet(name, body, length, &fate, &info)))
            fate = SOCK_UNKNOWN;
    }
    *ret = fate;
    *ret_info = info;
    return true;
}

static SockFate ask(SockQuery *q, const SockName *name, SockInfo *ret) {
    char request[SOCK_QUERY_REQUEST_MAX], data[ANSWER_BYTES];
    SockFate fate = SOCK_UNKNOWN;
    uint32_t sequence = ++q->sequence;
    size_t n = sock_query_request(name, sequence, request);
    if (n == 0 || send(q->fd, request, n, MSG_DONTWAIT) != (ssize_t)n)
        return SOCK_UNKNOWN;
    for (unsigned i = 0; i < READS_MAX; i++) {
        struct sockaddr_nl from = {0};
        socklen_t from_length = sizeof(from);
        ssize_t got =
            recvfrom(q->fd, data, sizeof(data), MSG_DONTWAIT, (struct sockaddr *)&from, &from_length);
        if (got < 0 && errno != ENOBUFS && errno != EINTR)
            break;
        if (got >= 0 && from.nl_pid == 0 && sock_query_answer(name, sequence, data, (size_t)got, &fate, ret))
            break;
    }
    return fate;
}

SockFate sock_query_ask(SockQuery *q, const SockName *name, SockInfo *ret) {
    SockInfo info = {0};
    /* Without its module the kernel finds nothing, and says so in the same words. */
    if (!q || q->fd < 0 || !q->works[table_of(name)])
        return SOCK_UNKNOWN;
    SockFate fate = ask(q, name, &info);
    if (ret && fate != SOCK_UNKNOWN)
        *ret = info;
    return fate;
}

/* Names */

static void put_end(__be32 host[static 4], __be16 *port, const Addr *a) {
    *port = htons(addr_port(a));
    if (a->sa.sa_family == AF_INET)
        memcpy(host, &a->in.sin_addr, sizeof(a->in.sin_addr));
    else
        memcpy(host, &a->in6.sin6_addr, sizeof(a->in6.sin6_addr));
}

static int name_inet(int fd, const Addr *local, SockName *n) {
    Addr remote = {.len = sizeof(remote.storage)};
    int device = 0, protocol = 0;
    socklen_t length = sizeof(protocol);
    if (getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &length) < 0)
        return -errno;
    if (protocol != IPPROTO_TCP)
        return -EAFNOSUPPORT;
    if (getpeername(fd, &remote.sa, &remote.len) < 0)
        return -errno;
    if (remote.sa.sa_family != local->sa.sa_family)
        return -EAFNOSUPPORT;
    put_end(n->inet.idiag_src, &n->inet.idiag_sport, local);
    put_end(n->inet.idiag_dst, &n->inet.idiag_dport, &remote);
    /* One that is bound to a device, or came over a link-local address, is found by that only. */
    length = sizeof(device);
    if (getsockopt(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &device, &length) == 0)
        n->inet.idiag_if = (uint32_t)device;
    n->inet.idiag_cookie[0] = (uint32_t)n->cookie;
    n->inet.idiag_cookie[1] = (uint32_t)(n->cookie >> 32);
    return 0;
}

static int name_unix(int fd, SockName *n) {
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    n->inode = (uint32_t)st.st_ino;
    return 0;
}

int sock_query_name(SockQuery *q, int fd, SockName *ret) {
    SockName n = {0};
    SockInfo unused;
    Addr local = {.len = sizeof(local.storage)};
    uint64_t network = 0;
    int r = open_socket(q);
    if (r < 0)
        return r;
    if (getsockname(fd, &local.sa, &local.len) < 0 || !get_u64(fd, SO_COOKIE, &n.cookie))
        return -errno;
    bool inet = local.sa.sa_family == AF_INET || local.sa.sa_family == AF_INET6;
    if (!inet && local.sa.sa_family != AF_UNIX)
        return -EAFNOSUPPORT;
    n.family = (uint8_t)local.sa.sa_family;
    r = inet ? name_inet(fd, &local, &n) : name_unix(fd, &n);
    if (r < 0)
        return r;
    bool knows_network = get_u64(fd, SO_NETNS_COOKIE, &network) && q->network != 0;
    if (knows_network && network != q->network)
        return -EXDEV;
    if (!knows_network || !q->works[table_of(&n)]) {
        if (ask(q, &n, &unused) != SOCK_HELD)
            /* Unless it has been reset just now. */
            return inet && getpeername(fd, &local.sa, &local.len) < 0 ? -errno : -EOPNOTSUPP;
        q->works[table_of(&n)] = true;
    }
    *ret = n;
    return 0;
}

void sock_query_know(SockQuery *q, const SockName *name) {
    if (open_socket(q) >= 0)
        q->works[table_of(name)] = true;
}

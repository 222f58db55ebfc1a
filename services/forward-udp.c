/* SPDX-License-Identifier: MIT */
#include "services/forward-udp.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/base/errors.h"
#include "daemon/base/list.h"
#include "services/forward-watch.h"

/* The largest payload over IPv4 is 65507 bytes, over IPv6 65527 (udp(7), RFC 768). UNIX datagrams may be
 * larger. */
#define DATAGRAM_MAX (256U << 10)
/* Datagrams of one socket for each wake-up, so that a flood of one does not starve the others. */
#define DATAGRAM_BATCH 64
#define BUCKETS 4096U
/* The first datagram of a sender is kept while nobody listens there, and sent again (--retry): so often, and
 * of all senders so many bytes. */
#define AGAIN_USEC (50 * USEC_PER_MSEC)
#define KEPT_MAX (1U << 20)

/* Who sent, and where to: an answer leaves from there. */
typedef struct Route {
    Addr peer;
    Addr local; /* AF_UNSPEC: the kernel did not say */
} Route;

typedef struct Session {
    Relay *relay;
    Watch watch;
    Route route;
    int fd;
    struct Session *next; /* of its bucket */
    List timed;           /* the longest silent first */
    uint64_t due;
    unsigned char *first; /* what it said first, until there is an answer; NULL: not kept */
    size_t n_first;
    List waiting;   /* to send that again: in the order of `again` */
    uint64_t again; /* 0: not waiting */
    uint64_t until; /* no longer than that */
} Session;

struct Relay {
    const ForwardOptions *options;
    Trouble *trouble;
    const uint64_t *now;
    int epoll;
    int fd;
    int family;
    bool watched;
    int error;
    Watch watch;
    List timed;
    List waiting;
    size_t kept; /* bytes of all `first` */
    RelayCount count;
    Session *buckets[BUCKETS];
    unsigned char data[DATAGRAM_MAX];
};

/* ------------------------------------------------------------------------------------------------ addresses
 */

static bool route_equal(const Route *a, const Route *b) {
    return addr_equal(&a->peer, &b->peer) && addr_host_equal(&a->local, &b->local);
}

/* FNV-1a over the sender's address. Who sends from many ports fills the sessions, not one bucket of them: the
 * port is in it, and there are at most as many sessions as were allowed. */
static size_t route_bucket(const Route *r) {
    const unsigned char *at = (const unsigned char *)&r->peer.storage;
    uint32_t hash = 2166136261U;
    for (socklen_t i = 0; i < r->peer.len && i < (socklen_t)sizeof(r->peer.storage); i++)
        hash = (hash ^ at[i]) * 16777619U;
    return (hash ^ hash >> 16) % BUCKETS;
}

/* Room for what the kernel tells, or is told, of a datagram's own address. */
typedef union Control {
    struct cmsghdr align;
    char data[CMSG_SPACE(sizeof(struct in6_pktinfo))];
} Control;

/* The address that a datagram was sent to, and, of a link-local one, its interface. */
static void read_local(struct msghdr *msg, Addr *ret) {
    *ret = (Addr){0};
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof(info));
            ret->in = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = info.ipi_spec_dst};
            ret->len = sizeof(ret->in);
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof(info));
            ret->in6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_addr = info.ipi6_addr};
            if (IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr))
                ret->in6.sin6_scope_id = info.ipi6_ifindex;
            ret->len = sizeof(ret->in6);
        }
    }
}

/* Makes the answer leave from @local. */
static void write_local(struct msghdr *msg, Control *control, const Addr *local) {
    struct cmsghdr *c = &control->align;
    /* Not known (of datagrams that came before the socket was asked to tell), or not one host's: routing
     * picks. */
    if (local->sa.sa_family == AF_UNSPEC || addr_is_wildcard(local))
        return;
    msg->msg_control = control;
    if (local->sa.sa_family == AF_INET) {
        const struct in_pktinfo info = {.ipi_spec_dst = local->in.sin_addr};
        *c = (struct cmsghdr){
            .cmsg_len = CMSG_LEN(sizeof(info)), .cmsg_level = IPPROTO_IP, .cmsg_type = IP_PKTINFO};
        memcpy(CMSG_DATA(c), &info, sizeof(info));
        msg->msg_controllen = CMSG_SPACE(sizeof(info));
    } else {
        const struct in6_pktinfo info = {.ipi6_addr = local->in6.sin6_addr,
                                         .ipi6_ifindex = local->in6.sin6_scope_id};
        *c = (struct cmsghdr){
            .cmsg_len = CMSG_LEN(sizeof(info)), .cmsg_level = IPPROTO_IPV6, .cmsg_type = IPV6_PKTINFO};
        memcpy(CMSG_DATA(c), &info, sizeof(info));
        msg->msg_controllen = CMSG_SPACE(sizeof(info));
    }
}

/* ------------------------------------------------------------------------------------------------ sessions
 */

static void session_touch(Session *s) {
    Relay *r = s->relay;
    s->due = *r->now + r->options->udp_idle_usec;
    list_remove(&s->timed);
    list_append(&r->timed, &s->timed);
}

/* Somebody listens there now, or it has taken too long. */
static void forget_first(Session *s) {
    list_remove(&s->waiting);
    s->again = 0;
    s->relay->kept -= s->n_first;
    free(s->first);
    s->first = NULL;
    s->n_first = 0;
}

static void keep_first(Session *s, size_t n) {
    Relay *r = s->relay;
    if (r->options->retry_usec == 0 || r->kept + n > KEPT_MAX)
        return;
    s->first = malloc(n + 1);
    if (!s->first)
        return;
    memcpy(s->first, r->data, n);
    s->n_first = n;
    r->kept += n;
    s->until = *r->now + r->options->retry_usec;
}

/* Nobody listens there: whether it will be sent again. */
static bool wait_to_send_again(Session *s) {
    Relay *r = s->relay;
    if (s->first && *r->now + AGAIN_USEC > s->until)
        forget_first(s);
    if (!s->first)
        return false;
    if (s->again == 0) {
        s->again = *r->now + AGAIN_USEC;
        list_append(&r->waiting, &s->waiting);
    }
    session_touch(s);
    return true;
}

static void send_again(Session *s) {
    list_remove(&s->waiting);
    s->again = 0;
    ssize_t n = send(s->fd, s->first, s->n_first, MSG_DONTWAIT | MSG_NOSIGNAL);
    /* The error of the time before, told once. */
    if (n < 0 && errno == ECONNREFUSED)
        n = send(s->fd, s->first, s->n_first, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && (!errno_is_backend_absent(errno) || !wait_to_send_again(s)))
        forget_first(s);
}

static void session_end(Session *s) {
    Relay *r = s->relay;
    forget_first(s);
    Session **at = &r->buckets[route_bucket(&s->route)];
    while (*at && *at != s)
        at = &(*at)->next;
    if (*at)
        *at = s->next;
    list_remove(&s->timed);
    (void)fd_close(s->fd);
    free(s);
    r->count.active--;
}

static void answer(Session *s, size_t n) {
    Relay *r = s->relay;
    struct iovec iov = {.iov_base = r->data, .iov_len = n};
    struct msghdr msg = {.msg_name = &s->route.peer.storage,
                         .msg_namelen = s->route.peer.len,
                         .msg_iov = &iov,
                         .msg_iovlen = 1};
    Control control = {0};
    write_local(&msg, &control, &s->route.local);
    /* What cannot be sent is lost, as datagrams are. */
    ssize_t sent = sendmsg(r->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent > 0)
        r->count.bytes_out += (uint64_t)sent;
}

static void on_answer(void *owner, uint32_t events) {
    Session *s = owner;
    Relay *r = s->relay;
    (void)events;
    for (int i = 0; i < DATAGRAM_BATCH; i++) {
        ssize_t n = recv(s->fd, r->data, sizeof(r->data), MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0) {
            /* What a datagram before met with, as ECONNREFUSED: the socket goes on. */
            int error = errno;
            if (error != ECONNREFUSED || !wait_to_send_again(s))
                trouble_tell(r->trouble, strerror(error), *r->now);
            if (error != ECONNREFUSED)
                return;
            continue;
        }
        forget_first(s);
        trouble_over(r->trouble);
        answer(s, (size_t)n);
        session_touch(s);
    }
}

static Session *session_new(Relay *r, const Route *route) {
    Session *s = calloc(1, sizeof(*s));
    if (!s) {
        errno = ENOMEM;
        return NULL;
    }
    *s = (Session){.relay = r, .watch = {on_answer, s}, .route = *route, .fd = -EBADF};
    int error = backend_open(&r->options->backend, &s->fd);
    if (error == 0)
        error = watch_add(r->epoll, &s->watch, s->fd, EPOLLIN);
    if (error < 0) {
        (void)fd_close(s->fd);
        free(s);
        errno = -error;
        return NULL;
    }
    list_init(&s->timed);
    list_init(&s->waiting);
    Session **bucket = &r->buckets[route_bucket(route)];
    s->next = *bucket;
    *bucket = s;
    r->count.active++;
    session_touch(s);
    return s;
}

static Session *session_find(Relay *r, const Route *route) {
    for (Session *s = r->buckets[route_bucket(route)]; s; s = s->next)
        if (route_equal(&s->route, route))
            return s;
    if (r->count.active >= r->options->max_connections) {
        trouble_tell(r->trouble, "too many senders of datagrams at once", *r->now);
        return NULL;
    }
    Session *s = session_new(r, route);
    if (!s)
        trouble_tell(r->trouble, strerror(errno), *r->now);
    return s;
}

/* ------------------------------------------------------------------------------------------------ the relay
 */

static void forward(Relay *r, const Route *route, size_t n) {
    uint64_t known = r->count.active;
    Session *s = session_find(r, route);
    if (s && r->count.active > known)
        keep_first(s, n);
    ssize_t sent = s ? send(s->fd, r->data, n, MSG_DONTWAIT | MSG_NOSIGNAL) : -1;
    /* The error of a datagram before, told once: this one was not sent yet. */
    if (s && sent < 0 && errno == ECONNREFUSED)
        sent = send(s->fd, r->data, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0) {
        r->count.refused++;
        /* A UNIX backend that was bound anew is another socket: the next datagram connects to it. */
        if (s && errno != EAGAIN) {
            trouble_tell(r->trouble, strerror(errno), *r->now);
            s->due = 0;
            list_remove(&s->timed);
            list_append(r->timed.next, &s->timed);
        }
        return;
    }
    r->count.requests++;
    r->count.bytes_in += (uint64_t)sent;
    session_touch(s);
}

static void on_request(void *owner, uint32_t events) {
    Relay *r = owner;
    (void)events;
    for (int i = 0; i < DATAGRAM_BATCH; i++) {
        Route route = {0};
        Control control = {0};
        struct iovec iov = {.iov_base = r->data, .iov_len = sizeof(r->data)};
        struct msghdr msg = {.msg_name = &route.peer.storage,
                             .msg_namelen = sizeof(route.peer.storage),
                             .msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control)};
        ssize_t n = recvmsg(r->fd, &msg, MSG_DONTWAIT);
        if (n < 0) {
            /* udp(7): an error of an answer that was sent before is told here; it says nothing of the socket.
             */
            if (errno != EAGAIN && errno != EINTR && !errno_is_accept_transient(errno) &&
                !errno_is_resource(errno) && errno != ECONNREFUSED) {
                r->error = errno;
                relay_stop(r);
            }
            return;
        }
        route.peer.len = msg.msg_namelen;
        read_local(&msg, &route.local);
        forward(r, &route, (size_t)n);
    }
}

Relay *relay_new(const ForwardOptions *options, Trouble *trouble, int epoll, int fd,
                 const uint64_t *now_usec) {
    Relay *r = malloc(sizeof(*r));
    if (!r)
        return NULL;
    memset(r, 0, offsetof(Relay, data)); /* the rest is no memory until it is used */
    r->options = options;
    r->trouble = trouble;
    r->now = now_usec;
    r->epoll = epoll;
    r->fd = fd;
    r->watch = (Watch){on_request, r};
    list_init(&r->timed);
    list_init(&r->waiting);
    const int on = 1;
    socklen_t len = sizeof(r->family);
    (void)getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &r->family, &len);
    if (r->family == AF_INET)
        (void)setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on));
    else if (r->family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on));
    r->watched = watch_add(epoll, &r->watch, fd, EPOLLIN) == 0;
    return r->watched ? r : relay_free(r);
}

Relay *relay_free(Relay *r) {
    if (!r)
        return NULL;
    LIST_FOREACH_SAFE (s, &r->timed, Session, timed)
        session_end(s);
    relay_stop(r);
    free(r);
    return NULL;
}

void relay_stop(Relay *r) {
    if (r->watched)
        watch_remove(r->epoll, r->fd);
    r->watched = false;
}

static Session *first_waiting(const Relay *r) {
    return list_is_empty(&r->waiting) ? NULL : LIST_ENTRY(r->waiting.next, Session, waiting);
}

void relay_expire(Relay *r) {
    for (Session *s; (s = first_waiting(r)) && s->again <= *r->now;)
        send_again(s);
    while (!list_is_empty(&r->timed)) {
        Session *s = LIST_ENTRY(r->timed.next, Session, timed);
        if (s->due > *r->now)
            return;
        session_end(s);
    }
}

uint64_t relay_due(const Relay *r) {
    uint64_t due = list_is_empty(&r->timed) ? USEC_INFINITY : LIST_ENTRY(r->timed.next, Session, timed)->due;
    const Session *s = first_waiting(r);
    return s && s->again < due ? s->again : due;
}

RelayCount relay_count(const Relay *r) {
    return r->count;
}

int relay_error(const Relay *r) {
    return r->error;
}

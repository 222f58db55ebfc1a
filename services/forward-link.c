/* SPDX-License-Identifier: MIT */
#include "services/forward-link.h"

#include <string.h>
#include <sys/socket.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/base/dial.h"
#include "daemon/base/list.h"
#include "daemon/base/proxy-header.h"
#include "services/forward-flow.h"
#include "services/forward-watch.h"

/* An absent backend is tried again after so long, doubled each time. */
#define RETRY_MIN_USEC (20 * USEC_PER_MSEC)
#define RETRY_MAX_USEC (200 * USEC_PER_MSEC)
/* A client that was told the end has so long to end its own side, before what it still sends is cut off. */
#define LINGER_USEC (2 * USEC_PER_SEC)

typedef enum LinkPhase {
    LINK_HELD,
    LINK_CONNECTING,
    LINK_OPEN,
    LINK_LINGERING,
    _LINK_PHASE_MAX,
    LINK_GONE = _LINK_PHASE_MAX,
} LinkPhase;

typedef struct Link {
    Links *links;
    LinkPhase phase;
    bool shared;
    Watch watch_client, watch_backend;
    End client, backend;
    Flow in, out;                     /* to the backend, to the client */
    List timed;                       /* in Links.timed[phase], the first due first */
    List queued;                      /* in Links.working, or in Links.gone */
    uint64_t due;                     /* when the phase ends by itself; USEC_INFINITY: never */
    uint64_t began;                   /* when the client came */
    uint64_t counted_in, counted_out; /* bytes, at the last look */
    int error;                        /* why the backend was not reached, lately */
    unsigned char *header;            /* to be sent first */
    size_t n_header;
} Link;

struct Links {
    const ForwardOptions *options;
    Trouble *trouble;
    int epoll;
    CarrierStock stock;
    List timed[_LINK_PHASE_MAX];
    List working; /* had more to do than fits into a turn */
    List gone;    /* to be freed after this wake-up */
    bool hold;
    bool answers; /* a backend that was away is there again: who is held need not wait */
    uint64_t now;
    uint64_t retry_at; /* when the first held one tries; USEC_INFINITY: none is to */
    uint64_t retry_delay;
    LinksCount count;
};

/* ------------------------------------------------------------------------------------------------ times */

/* Into the list of its phase, behind those that are due before. With the same length for all, that is its
 * end. */
static void set_due(Link *l, uint64_t due) {
    list_remove(&l->timed);
    List *head = &l->links->timed[l->phase], *after = head->prev;
    l->due = due;
    while (after != head && LIST_ENTRY(after, Link, timed)->due > due)
        after = after->prev;
    list_append(after->next, &l->timed);
}

static uint64_t later(uint64_t now, uint64_t usec) {
    return usec >= USEC_INFINITY - now ? USEC_INFINITY : now + usec;
}

static void enter(Link *l, LinkPhase phase, uint64_t due) {
    l->phase = phase;
    set_due(l, due);
}

static Link *first_timed(const Links *ls, LinkPhase phase) {
    const List *head = &ls->timed[phase];
    return list_is_empty(head) ? NULL : LIST_ENTRY(head->next, Link, timed);
}

/* ------------------------------------------------------------------------------------------------ the end */

static void link_drop_backend(Link *l) {
    l->backend.fd = fd_close(l->backend.fd);
}

static void link_end(Link *l) {
    Links *ls = l->links;
    if (l->phase == LINK_GONE)
        return;
    flow_break(&l->in, &ls->stock);
    flow_break(&l->out, &ls->stock);
    /* Closing takes a descriptor out of epoll only if nobody else has it. */
    if (l->shared)
        watch_remove(ls->epoll, l->client.fd);
    l->client.fd = fd_close(l->client.fd);
    link_drop_backend(l);
    l->phase = LINK_GONE;
    list_remove(&l->timed);
    list_remove(&l->queued);
    list_append(&ls->gone, &l->queued);
    ls->count.active--;
    ls->count.ended++;
}

static void link_free(Link *l) {
    list_remove(&l->queued);
    free(l->header);
    free(l);
}

/* ------------------------------------------------------------------------------------------------ open */

static bool is_settled(const Flow *f) {
    return f->shut || f->broken;
}

/* Both directions came to their end; or one did, and the other has nowhere to go. */
static bool is_over(const Link *l) {
    bool in_over = is_settled(&l->in) && l->in.ended, out_over = is_settled(&l->out) && l->out.ended;
    return (in_over && out_over) || (l->in.broken && l->out.broken);
}

/* All that can arrive has arrived; only the other side's last bytes are still thrown away. */
static bool is_lingering(const Link *l) {
    return is_settled(&l->in) && is_settled(&l->out);
}

/* An error of a socket is the end of both directions. */
static void spread_error(Link *l) {
    CarrierStock *stock = &l->links->stock;
    if (l->client.dead)
        flow_break(&l->out, stock);
    if (l->backend.dead)
        flow_break(&l->in, stock);
}

/* Whether bytes moved since the last look. */
static bool count_bytes(Link *l) {
    LinksCount *c = &l->links->count;
    bool moved = l->in.bytes != l->counted_in || l->out.bytes != l->counted_out;
    c->bytes_in += l->in.bytes - l->counted_in;
    c->bytes_out += l->out.bytes - l->counted_out;
    l->counted_in = l->in.bytes;
    l->counted_out = l->out.bytes;
    return moved;
}

static void link_step(Link *l) {
    Links *ls = l->links;
    l->in.last = l->out.shut;
    FlowStep in = flow_step(&l->in, &l->client, &l->backend, &ls->stock);
    l->out.last = l->in.shut && !l->shared;
    FlowStep out = flow_step(&l->out, &l->backend, &l->client, &ls->stock);
    bool moved = count_bytes(l);
    spread_error(l);
    list_remove(&l->queued);
    if (is_over(l)) {
        link_end(l);
        return;
    }
    if (in == FLOW_MORE || out == FLOW_MORE)
        list_append(&ls->working, &l->queued);
    if (l->phase == LINK_OPEN && is_lingering(l))
        enter(l, LINK_LINGERING, later(ls->now, LINGER_USEC));
    if (l->phase == LINK_OPEN && moved)
        set_due(l, later(ls->now, ls->options->idle_usec));
}

/* Takes note of what epoll(7) says of an end. EPOLLHUP: nothing that is sent there arrives any more. */
static void take_events(Link *l, End *e, Flow *to, uint32_t events) {
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        e->readable = true;
    if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
        e->writable = true;
    if (events & (EPOLLHUP | EPOLLERR))
        flow_break(to, &l->links->stock);
}

/* ------------------------------------------------------------------------------------------------ the
 * backend */

/* The client gets a clean end: what it sent is taken in first, lest the close is a reset. */
static void link_refuse(Link *l, const char *why) {
    Links *ls = l->links;
    trouble_tell(ls->trouble, why, ls->now);
    ls->count.failed++;
    link_drop_backend(l);
    flow_break(&l->in, &ls->stock);
    (void)shutdown(l->client.fd, SHUT_WR);
    l->out.shut = l->out.ended = true;
    l->client.readable = true;
    enter(l, LINK_LINGERING, later(ls->now, LINGER_USEC));
    link_step(l);
}

static const char *reason(int error) {
    return error == EAGAIN ? "its queue is full" : strerror(error);
}

/* How long it may still be held for this error. Pure. */
static uint64_t held_until(const ForwardOptions *o, uint64_t began, int error) {
    uint64_t usec = errno_is_backend_absent(error) ? o->retry_usec : 0;
    if (errno_is_backend_busy(error))
        usec = o->retry_usec > o->connect_timeout_usec ? o->retry_usec : o->connect_timeout_usec;
    return later(began, usec);
}

static void link_failed(Link *l, int error) {
    Links *ls = l->links;
    link_drop_backend(l);
    uint64_t until = held_until(ls->options, l->began, error);
    l->error = error;
    if (until <= ls->now) {
        link_refuse(l, reason(error));
        return;
    }
    enter(l, LINK_HELD, until);
    if (ls->retry_at == USEC_INFINITY)
        ls->retry_at = ls->now + ls->retry_delay;
}

static void link_opened(Link *l) {
    Links *ls = l->links;
    trouble_over(ls->trouble);
    ls->count.opened++;
    ls->retry_delay = RETRY_MIN_USEC;
    if (l->n_header > 0 && flow_prepend(&l->in, &ls->stock, l->header, l->n_header) < 0) {
        link_refuse(l, strerror(ENOMEM));
        return;
    }
    free(l->header);
    l->header = NULL;
    l->backend.writable = true;
    enter(l, LINK_OPEN, later(ls->now, ls->options->idle_usec));
    link_step(l);
    if (first_timed(ls, LINK_HELD)) {
        ls->answers = true;
        ls->retry_at = 0;
    }
}

static void link_connect(Link *l) {
    Links *ls = l->links;
    int fd = -EBADF;
    int r = backend_open(&ls->options->backend, &fd);
    if (r < 0 && r != -EINPROGRESS) {
        link_failed(l, -r);
        return;
    }
    end_init(&l->backend, fd, ls->options->backend.type);
    int added = watch_add(ls->epoll, &l->watch_backend, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
    if (added < 0)
        link_failed(l, -added);
    else if (r == 0)
        link_opened(l);
    else
        enter(l, LINK_CONNECTING, later(ls->now, ls->options->connect_timeout_usec));
}

static void on_connected(Link *l) {
    int r = dial_result(l->backend.fd, &l->links->options->backend.addr);
    if (r < 0)
        link_failed(l, -r);
    else
        link_opened(l);
}

static void on_backend(void *owner, uint32_t events) {
    Link *l = owner;
    if (l->phase == LINK_CONNECTING) {
        if (!(events & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
            return;
        l->backend.readable = (events & (EPOLLIN | EPOLLRDHUP)) != 0;
        on_connected(l);
    } else if (l->phase == LINK_OPEN || l->phase == LINK_LINGERING) {
        if (l->backend.fd < 0)
            return;
        take_events(l, &l->backend, &l->in, events);
        link_step(l);
    }
}

static void on_client(void *owner, uint32_t events) {
    Link *l = owner;
    if (l->phase == LINK_GONE)
        return;
    take_events(l, &l->client, &l->out, events);
    if (l->phase == LINK_OPEN || l->phase == LINK_LINGERING)
        link_step(l);
    else if (events & EPOLLERR)
        link_end(l); /* the client is gone before it was served */
}

/* ------------------------------------------------------------------------------------------------ all of
 * them */

Links *links_new(const ForwardOptions *options, Trouble *trouble, int epoll) {
    Links *ls = calloc(1, sizeof(*ls));
    if (!ls)
        return NULL;
    ls->options = options;
    ls->trouble = trouble;
    ls->epoll = epoll;
    for (size_t i = 0; i < ELEMENTS(ls->timed); i++)
        list_init(&ls->timed[i]);
    list_init(&ls->working);
    list_init(&ls->gone);
    ls->retry_at = USEC_INFINITY;
    ls->retry_delay = RETRY_MIN_USEC;
    return ls;
}

static void free_gone(Links *ls) {
    LIST_FOREACH_SAFE (l, &ls->gone, Link, queued)
        link_free(l);
}

Links *links_free(Links *ls) {
    if (!ls)
        return NULL;
    for (size_t i = 0; i < ELEMENTS(ls->timed); i++)
        LIST_FOREACH_SAFE (l, &ls->timed[i], Link, timed)
            link_end(l);
    free_gone(ls);
    carrier_stock_done(&ls->stock);
    free(ls);
    return NULL;
}

static int make_header(Link *l, const LinkPeer *peer) {
    unsigned char header[PROXY_HEADER_MAX];
    LinkPeer p = peer ? *peer : (LinkPeer){0};
    if (p.source.sa.sa_family == AF_UNSPEC)
        p.source = socket_addr(l->client.fd, getpeername);
    if (p.destination.sa.sa_family == AF_UNSPEC)
        p.destination = socket_addr(l->client.fd, getsockname);
    size_t n = proxy_header_write((ProxyVersion)l->links->options->proxy, &p.source, &p.destination, header);
    l->header = malloc(n);
    if (!l->header)
        return -ENOMEM;
    memcpy(l->header, header, n);
    l->n_header = n;
    return 0;
}

static int socket_type(int fd) {
    int type = SOCK_STREAM;
    socklen_t len = sizeof(type);
    (void)getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len);
    return type;
}

static Link *link_new(Links *ls, int fd, bool shared) {
    Link *l = calloc(1, sizeof(*l));
    if (!l)
        return NULL;
    l->links = ls;
    l->shared = shared;
    l->began = ls->now;
    l->watch_client = (Watch){on_client, l};
    l->watch_backend = (Watch){on_backend, l};
    l->backend.fd = -EBADF;
    list_init(&l->timed);
    list_init(&l->queued);
    end_init(&l->client, fd, socket_type(fd));
    return l;
}

int links_add(Links *ls, int fd, bool shared, const LinkPeer *peer, uint64_t now_usec) {
    CLEANUP_CLOSE int owned = fd;
    ls->now = now_usec;
    Link *l = link_new(ls, fd, shared);
    if (!l)
        return -ENOMEM;
    int r = ls->options->proxy ? make_header(l, peer) : 0;
    if (r == 0)
        r = watch_add(ls->epoll, &l->watch_client, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
    if (r < 0) {
        link_free(l);
        return r;
    }
    (void)TAKE_FD(owned);
    ls->count.active++;
    if (ls->hold)
        enter(l, LINK_HELD, USEC_INFINITY);
    else if (first_timed(ls, LINK_HELD)) /* whoever came before tries before */
        enter(l, LINK_HELD, held_until(ls->options, l->began, EAGAIN));
    else
        link_connect(l);
    return 0;
}

/* The first held one tries. Where the backend is known to answer, those behind it follow until one of them
 * fails. */
static void retry(Links *ls) {
    bool all = ls->answers;
    ls->answers = false;
    if (!all)
        ls->retry_delay = ls->retry_delay * 2 < RETRY_MAX_USEC ? ls->retry_delay * 2 : RETRY_MAX_USEC;
    Link *l = ls->hold ? NULL : first_timed(ls, LINK_HELD);
    while (l) {
        link_connect(l);
        l = all && l->phase != LINK_HELD ? first_timed(ls, LINK_HELD) : NULL;
    }
    if (ls->hold || !first_timed(ls, LINK_HELD))
        ls->retry_at = USEC_INFINITY;
    else
        ls->retry_at = ls->answers ? 0 : ls->now + ls->retry_delay;
}

static void expire(Link *l) {
    switch (l->phase) {
    case LINK_HELD:
        link_refuse(l, l->error ? reason(l->error) : "it does not answer");
        break;
    case LINK_CONNECTING:
        link_refuse(l, strerror(ETIMEDOUT));
        break;
    case LINK_OPEN:
    case LINK_LINGERING:
    case _LINK_PHASE_MAX:
        link_end(l);
        break;
    }
}

void links_set_now(Links *ls, uint64_t now_usec) {
    ls->now = now_usec;
}

void links_serve(Links *ls, uint64_t now_usec) {
    ls->now = now_usec;
    for (LinkPhase phase = 0; phase < _LINK_PHASE_MAX; phase++)
        for (Link *l = first_timed(ls, phase); l && l->due <= now_usec; l = first_timed(ls, phase))
            expire(l);
    if (ls->retry_at <= now_usec)
        retry(ls);
    /* Only those that are in it now: a step puts them in again. */
    List *last = ls->working.prev;
    while (!list_is_empty(&ls->working)) {
        List *first = ls->working.next;
        link_step(LIST_ENTRY(first, Link, queued));
        if (first == last)
            break;
    }
    free_gone(ls);
}

uint64_t links_due(const Links *ls) {
    if (!list_is_empty(&ls->working))
        return 0;
    uint64_t due = ls->retry_at;
    for (LinkPhase phase = 0; phase < _LINK_PHASE_MAX; phase++) {
        const Link *l = first_timed(ls, phase);
        if (l && l->due < due)
            due = l->due;
    }
    return due;
}

LinksCount links_count(const Links *ls) {
    return ls->count;
}

void links_hold(Links *ls, bool hold) {
    ls->hold = hold;
    /* The time for which they were held does not count: from now on the backend has its time to come. */
    List *head = &ls->timed[LINK_HELD];
    LIST_FOREACH (l, head, Link, timed) {
        l->began = ls->now;
        l->due = hold ? USEC_INFINITY : held_until(ls->options, ls->now, EAGAIN);
    }
    ls->answers = !hold;
    ls->retry_at = hold || list_is_empty(head) ? USEC_INFINITY : 0;
}

void links_refuse_held(Links *ls) {
    for (Link *l = first_timed(ls, LINK_HELD); l; l = first_timed(ls, LINK_HELD))
        link_refuse(l, "it could not be started");
}

/* SPDX-License-Identifier: MIT */
#include "daemon/handoff.h"

#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/base/clock.h"
#include "daemon/base/errors.h"
#include "daemon/base/fd-kind.h"

/* The variables of a connection: the longest path of a UNIX socket twice, and some. */
#define MESSAGE_BYTES 1024

/* A worker that has not received for so long hangs; then it is left alone for a while, unless it says
 * something. */
#define STUCK_USEC USEC_PER_SEC
#define STUCK_REST_USEC (5 * USEC_PER_SEC)

/* A connection that no worker has. */
typedef struct Held {
    List link;
    int fd;
    size_t n;
    char text[];
} Held;

HandoffLoad handoff_load(const HandoffFacts *f) {
    return (HandoffLoad){
        /* One that never reports is at least seen to receive. */
        .outstanding = f->active < 0 ? f->unread : (uint64_t)f->active + f->sent_since,
        .capacity = f->capacity < 1 ? 1 : (uint64_t)f->capacity,
    };
}

int handoff_open(Worker *w, int *ret_its_end) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    /* Nothing comes back: it could be descriptors whose close(2) waits (SO_LINGER). */
    (void)shutdown(pair[0], SHUT_RD);
    w->fd = pair[0];
    w->its_fd = *ret_its_end = pair[1];
    return 0;
}

/* So many of its messages lie in its socket. They are of about one size. */
static uint64_t count_unread(const Worker *w) {
    int bytes = 0;
    if (w->sent == 0 || w->message_size == 0 || ioctl(w->its_fd, FIONREAD, &bytes) < 0 || bytes <= 0)
        return 0;
    return ((uint64_t)bytes + w->message_size - 1) / w->message_size;
}

bool handoff_is_received(const Worker *w) {
    return w->fd < 0 || count_unread(w) == 0;
}

static HandoffLoad load_of(const Instance *i) {
    const Worker *w = i->worker;
    const Report *r = i->report;
    Score score;
    /* The memory says how it is now. */
    if (w->slot >= 0 && w->pool->board && score_read(scoreboard_slot(w->pool->board, w->slot), &score))
        return (HandoffLoad){
            .outstanding = score.active + (w->sent > score.taken ? w->sent - score.taken : 0),
            .capacity = score.capacity > 0 ? score.capacity : 1,
        };
    HandoffFacts facts = {
        .active = r ? r->active : -1, .sent_since = w->sent_since, .capacity = r ? r->capacity : -1};
    if (facts.active < 0)
        facts.unread = count_unread(w);
    return handoff_load(&facts);
}

uint64_t handoff_outstanding(const Instance *i) {
    return load_of(i).outstanding;
}

Instance *handoff_pick(const Pool *p) {
    Instance *best = NULL;
    uint64_t least = UINT64_MAX;
    uint64_t now = clock_monotonic_usec();
    LIST_FOREACH (i, &p->service->instances, Instance, link) {
        const Worker *w = i->worker;
        if (!w || w->fd < 0 || w->retired || i->flight || i->state != INSTANCE_RUNNING ||
            now < w->stuck_until_usec || (i->report && i->report->stopping))
            continue;
        HandoffLoad load = load_of(i);
        /* One that has just been started is up later than the others. */
        uint64_t weight = 2 * load.outstanding + (!i->report || i->report->active < 0);
        if (load.outstanding >= load.capacity || weight >= least)
            continue;
        best = i;
        least = weight;
        if (weight == 0)
            break;
    }
    return best;
}

bool handoff_refuses(const Pool *p) {
    if (p->service->limits->when_full != WHEN_FULL_REFUSE || handoff_pick(p))
        return false;
    PoolCounts c = pool_count(p);
    return c.starting == 0 && c.idle + c.busy + c.silent >= pool_max(p);
}

static int send_message(Worker *w, int fd, const char *text, size_t n) {
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec iov = {.iov_base = (char *)text, .iov_len = n};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control.bytes,
                       .msg_controllen = sizeof(control.bytes)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &fd, sizeof(int));
    if (sendmsg(w->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        return -errno;
    w->sent++;
    w->sent_since++;
    w->message_size = n;
    return 0;
}

/* "PROTO=TCP\nTCPREMOTEIP=192.0.2.7\n…": what a process of its own would find in its environment. */
static int write_variables(Runtime *rt, const Connection *c, char *buf, size_t size, size_t *ret_n) {
    static char *none[1];
    static const ChildEnv nothing = {.base = none};
    struct ucred credentials = {.pid = c->pid, .uid = c->uid, .gid = c->gid};
    int r = env_builder_begin(&rt->env, &nothing);
    if (r >= 0)
        r = env_builder_set_connection(&rt->env, &c->remote, &c->local,
                                       c->has_credentials ? &credentials : NULL);
    if (r < 0)
        return r;
    size_t at = 0;
    for (char *const *v = env_builder_finish(&rt->env); *v; v++) {
        size_t n = strlen(*v);
        /* A path may hold anything; a line is one. */
        if (memchr(*v, '\n', n))
            continue;
        if (at + n + 1 > size)
            return -E2BIG;
        memcpy(buf + at, *v, n);
        buf[at + n] = '\n';
        at += n + 1;
    }
    *ret_n = at;
    return 0;
}

/* Takes @fd over, but not when it returns -ENOMEM. */
static int hold(Pool *p, int fd, const char *text, size_t n) {
    Held *h = malloc(sizeof(*h) + n);
    if (!h)
        return -ENOMEM;
    h->fd = fd;
    h->n = n;
    memcpy(h->text, text, n);
    list_append(&p->held, &h->link);
    return 0;
}

/* Its socket is full, or too many descriptors are under way (ETOOMANYREFS): later. It has shut the socket: it
 * is of no use any more. */
static void on_failure(Pool *p, Instance *to, int error) {
    if (error == -EPIPE || error == -ECONNRESET || error == -ENOTCONN) {
        to->worker->retired = true;
        service_set_error(p->service, "handoff", -error, "a worker has closed its MP_CONNECTION_FD",
                          &p->service->config->pos);
        instance_stop(to, p->service->config->terms->timeout_stop_usec);
    }
    /* Its socket is full although it says that it has room. */
    if (error == -EAGAIN)
        to->worker->stuck_until_usec = clock_monotonic_usec() + STUCK_USEC;
    pool_look_soon(p);
}

int handoff_pass(Pool *p, Instance *to, const Connection *c) {
    char text[MESSAGE_BYTES];
    size_t n = 0;
    int r = write_variables(p->service->rt, c, text, sizeof(text), &n);
    if (r >= 0)
        r = send_message(to->worker, c->fd, text, n);
    if (r >= 0 || r == -E2BIG) {
        pool_look_soon(p);
        return r;
    }
    on_failure(p, to, r);
    CLEANUP_CLOSE int copy = fcntl(c->fd, F_DUPFD_CLOEXEC, 0);
    if (copy < 0)
        return r;
    r = hold(p, copy, text, n);
    if (r >= 0)
        (void)TAKE_FD(copy);
    return r;
}

bool handoff_wait(Pool *p) {
    p->blocked = true;
    LIST_FOREACH (i, &p->service->instances, Instance, link)
        if (i->worker && i->worker->slot >= 0 && p->board)
            score_want(scoreboard_slot(p->board, i->worker->slot));
    /* One may have become free before it could see that it is asked. */
    if (handoff_pick(p))
        p->blocked = false;
    else
        pool_look_soon(p);
    return !p->blocked;
}

void handoff_on_report(Pool *p, Instance *i) {
    Worker *w = i->worker;
    if (w->fd < 0)
        return;
    w->stuck_until_usec = 0;
    /* What it has not received yet it cannot have counted. */
    uint64_t unread = w->sent_since > 0 ? count_unread(w) : 0;
    if (i->report->active >= 0 && unread < w->sent_since)
        w->sent_since = unread;
    if (!p->blocked || !handoff_pass_held(p) || !handoff_pick(p))
        return;
    p->blocked = false;
    service_update(p->service, NULL);
}

/* The next message of the worker's end: its descriptor, or a negative errno. */
static int receive_message(int socket, char *text, size_t size, size_t *ret_n) {
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec iov = {.iov_base = text, .iov_len = size};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control.bytes,
                       .msg_controllen = sizeof(control.bytes)};
    ssize_t n = recvmsg(socket, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0)
        return -errno;
    const struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    int fd = -EBADF;
    if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
        memcpy(&fd, CMSG_DATA(c), sizeof(fd));
    *ret_n = (size_t)n;
    return fd < 0 && n > 0 ? -EBADMSG : fd;
}

void handoff_take_back(Pool *p, Worker *w) {
    char text[MESSAGE_BYTES];
    for (uint64_t left = w->sent; left > 0; left--) {
        size_t n = 0;
        int fd = receive_message(w->its_fd, text, sizeof(text), &n);
        if (fd < 0 && fd != -EBADMSG)
            return;
        /* Without a descriptor to be had, or memory, it is lost. */
        if (fd < 0 || hold(p, fd, text, n) < 0) {
            (void)discard_socket(p->service->rt->discard, fd);
            service_history(p->service)->counters.gone++;
        }
        w->sent--;
        w->sent_since -= w->sent_since > 0;
    }
}

/* When to look at @w again. */
static uint64_t look_at_unread(Pool *p, Worker *w, uint64_t now_usec) {
    uint64_t unread = w->sent_since > 0 ? count_unread(w) : 0, received = w->sent - unread;
    if (unread == 0) {
        w->unread_usec = 0;
        return USEC_INFINITY;
    }
    if (w->unread_usec == 0 || w->received != received) {
        w->unread_usec = now_usec;
        w->received = received;
    }
    if (now_usec - w->unread_usec < STUCK_USEC)
        return w->unread_usec + STUCK_USEC;
    handoff_take_back(p, w);
    w->unread_usec = 0;
    w->stuck_until_usec = now_usec + STUCK_REST_USEC;
    service_set_error(p->service, "handoff", ETIMEDOUT, "a worker does not take what it is passed",
                      &p->service->config->pos);
    return w->stuck_until_usec;
}

uint64_t handoff_look_for_stuck(Pool *p, uint64_t now_usec) {
    uint64_t at = USEC_INFINITY;
    LIST_FOREACH (i, &p->service->instances, Instance, link) {
        Worker *w = i->worker;
        if (!w || w->fd < 0 || w->retired || i->state != INSTANCE_RUNNING)
            continue;
        uint64_t then = now_usec < w->stuck_until_usec ? w->stuck_until_usec : look_at_unread(p, w, now_usec);
        at = then < at ? then : at;
    }
    return at;
}

bool handoff_pass_held(Pool *p) {
    LIST_FOREACH_SAFE (h, &p->held, Held, link) {
        Instance *to = handoff_pick(p);
        int r = to ? send_message(to->worker, h->fd, h->text, h->n) : -EAGAIN;
        if (r < 0 && to)
            on_failure(p, to, r);
        if (r < 0)
            return false;
        list_remove(&h->link);
        (void)fd_close(h->fd);
        free(h);
    }
    return true;
}

void handoff_drop_held(Pool *p) {
    LIST_FOREACH_SAFE (h, &p->held, Held, link) {
        list_remove(&h->link);
        (void)discard_socket(p->service->rt->discard, h->fd);
        service_history(p->service)->counters.gone++;
        free(h);
    }
}

void handoff_close(Worker *w) {
    (void)shutdown(w->fd, SHUT_WR);
}

/* The upgrade in place */

enum {
    HELD_ONE = 1, /* once for each */
};
enum {
    HELD_FD = 1,
    HELD_TEXT,
};

void handoff_save_held(BlobWriter *w, const Pool *p) {
    LIST_FOREACH (h, &p->held, Held, link) {
        size_t at = blob_open(w, HELD_ONE);
        blob_put_fd(w, HELD_FD, h->fd);
        blob_put_bytes(w, HELD_TEXT, h->text, h->n);
        blob_close(w, at);
    }
}

static void restore_one(BlobReader in, Pool *p) {
    CLEANUP_CLOSE int fd = -EBADF;
    const void *text = "";
    size_t n = 0;
    BlobField f;
    while (blob_next(&in, &f)) {
        if (f.tag == HELD_FD && fd < 0)
            fd = blob_fd_of(&f, FD_SOCKET);
        else if (f.tag == HELD_TEXT)
            text = blob_bytes(&f, &n);
    }
    if (fd < 0)
        blob_spoil(in.source, "a connection is missing");
    if (blob_is_spoilt(in.source))
        return;
    if (hold(p, fd, text, n) >= 0)
        (void)TAKE_FD(fd);
    else
        service_history(p->service)->counters.gone++;
}

int handoff_restore_held(BlobReader in, Pool *p) {
    BlobField f;
    while (blob_next(&in, &f))
        if (f.tag == HELD_ONE)
            restore_one(blob_enter(&f), p);
    return blob_is_spoilt(in.source) ? -EBADMSG : 0;
}

/* SPDX-License-Identifier: MIT */
/* One thread for thousands of connections: epoll(7) says which of them has something to do, and what has
 * nothing costs nothing but its memory, which is some hundred bytes: bytes are kept only where a client does
 * not take them. Level-triggered: what a step leaves undone is told again, after the others have had their
 * turn. */
#include <sys/epoll.h>

#include "daemon/base/clock.h"
#include "daemon/base/list.h"
#include "services/shape-door.h"
#include "services/shape-life.h"

/* Events for each wake-up, and connections that one listener brings in for each. */
#define EVENTS 256
#define ACCEPT_BATCH 16

typedef struct Connection {
    List link;
    Stream *stream;
    int fd;
    uint32_t events; /* that epoll was asked for */
} Connection;

typedef struct Loop {
    const ShapeJob *job;
    Life life;
    Door door;
    int epoll;
    bool listening; /* the listeners are being waited on */
    List connections;
    size_t n;
    uint64_t ended;
    uint64_t failed;
    unsigned char *scratch; /* of all streams */
} Loop;

static void count(const void *self, ProgressCount *ret) {
    const Loop *l = self;
    ret->active = l->n;
    ret->requests = l->ended;
    ret->metrics[0] = (ProgressMetric){"failed_connections", l->failed};
}

/* What an event is of: a connection's address, which is no small number, or the index of a listener, or the
 * signals. */
#define SIGNALS UINT32_MAX
#define IS_CONNECTION(data) ((data) > SIGNALS)

static int control(const Loop *l, int op, int fd, uint32_t events, uint64_t data) {
    struct epoll_event event = {.events = events, .data.u64 = data};
    return epoll_ctl(l->epoll, op, fd, &event) < 0 ? -errno : 0;
}

static uint64_t address(const Connection *c) {
    return (uint64_t)(uintptr_t)c;
}

static uint32_t wanted(const Connection *c) {
    uint32_t in = stream_wants_in(c->stream) ? EPOLLIN : 0, out = stream_wants_out(c->stream) ? EPOLLOUT : 0;
    return in | out;
}

static void forget(Loop *l, Connection *c) {
    list_remove(&c->link);
    l->n--;
    stream_free(c->stream);
    /* Closing it takes it out of epoll: nobody else has this descriptor, epoll(7), question 6. */
    (void)fd_close(c->fd);
    free(c);
}

static void step(Loop *l, Connection *c) {
    StreamState state = stream_step(c->stream);
    int error = state == STREAM_FAILED ? stream_error(c->stream) : 0;
    if (state == STREAM_OPEN) {
        uint32_t events = wanted(c);
        if (events == c->events)
            return;
        c->events = events;
        error = -control(l, EPOLL_CTL_MOD, c->fd, events, address(c));
        if (error == 0)
            return;
    }
    if (error != 0) {
        shape_complain(l->job, "connection", error);
        l->failed++;
    }
    forget(l, c);
    l->ended++;
}

/* Takes @fd over; 0 or a negative errno. */
static int add(Loop *l, int fd) {
    CLEANUP_CLOSE int connection = fd;
    CLEANUP_FREE Connection *c = calloc(1, sizeof(*c));
    if (!c)
        return -ENOMEM;
    c->stream = stream_new_sharing(&l->job->protocol->stream, fd, fd, l->scratch);
    if (!c->stream)
        return -ENOMEM;
    c->fd = fd;
    c->events = wanted(c);
    int r = control(l, EPOLL_CTL_ADD, fd, c->events, address(c));
    if (r < 0) {
        stream_free(c->stream);
        return r;
    }
    list_append(&l->connections, &c->link);
    l->n++;
    (void)TAKE_FD(connection);
    (void)TAKE_PTR(c);
    return 0;
}

static bool is_accepting(const Loop *l, uint64_t now) {
    return !life_is_stopping(&l->life) && door_is_open(&l->door, now) &&
           l->n < l->job->options->max_connections;
}

static void accept_some(Loop *l, size_t index) {
    uint64_t now = clock_monotonic_usec();
    for (int i = 0; i < ACCEPT_BATCH && index < l->door.n && is_accepting(l, now); i++) {
        if (i > 0 && !stream_is_readable(l->door.listeners[index]))
            return;
        int fd = door_accept(&l->door, index, now);
        if (fd < 0)
            return;
        if (add(l, fd) < 0)
            door_pause(&l->door, now);
    }
}

/* Waits on the listeners, or no longer: a listener that is not accepted from would be told again and again.
 */
static int listen_to_all(Loop *l, bool listening) {
    int r = 0;
    /* One that was given up left its place to another: all are told anew. Exclusive, as other processes may
     * share them, workers of a pool: a connection wakes one of these, epoll_ctl(2). */
    for (size_t i = 0; i < l->job->n_listeners; i++)
        (void)epoll_ctl(l->epoll, EPOLL_CTL_DEL, l->job->listeners[i], NULL);
    for (size_t i = 0; r == 0 && listening && i < l->door.n; i++)
        r = control(l, EPOLL_CTL_ADD, l->door.listeners[i], EPOLLIN | EPOLLEXCLUSIVE, i);
    l->listening = listening;
    return r;
}

static void handle(Loop *l, const struct epoll_event *events, int n) {
    size_t listeners = l->door.n;
    for (int i = 0; i < n; i++)
        if (IS_CONNECTION(events[i].data.u64))
            step(l, (Connection *)(uintptr_t)events[i].data.u64); /* NOLINT(performance-no-int-to-ptr): epoll
                                                                     carries one or the other */
    /* Afterwards: what ended made room. */
    for (int i = 0; i < n; i++) {
        if (events[i].data.u64 == SIGNALS)
            (void)life_take_signals(&l->life, clock_monotonic_usec());
        else if (!IS_CONNECTION(events[i].data.u64))
            accept_some(l, (size_t)events[i].data.u64);
    }
    if (l->door.n != listeners)
        (void)listen_to_all(l, l->listening);
}

static int turn(Loop *l, bool *ret_over) {
    struct epoll_event events[EVENTS];
    uint64_t now = clock_monotonic_usec();
    LifeWish wish = life_look(&l->life, now, false);
    if (wish == LIFE_STOP)
        life_stop(&l->life, now);
    *ret_over = wish != LIFE_GO_ON;
    if (*ret_over)
        return 0;
    bool accepting = is_accepting(l, now);
    int r = accepting == l->listening ? 0 : listen_to_all(l, accepting);
    if (r < 0)
        return r;
    uint64_t until = life_until(&l->life), door = door_until(&l->door, now);
    int n = epoll_wait(l->epoll, events, EVENTS, life_timeout(door < until ? door : until, now));
    if (n < 0)
        return errno == EINTR ? 0 : -errno;
    handle(l, events, n);
    return l->door.n == 0 ? -ENOTCONN : 0;
}

static int prepare(Loop *l) {
    int r = life_init(&l->life, l->job->options, count, l, false);
    if (r == 0)
        r = door_init(&l->door, l->job);
    if (r < 0)
        return r;
    l->scratch = malloc(STREAM_BUFFER);
    if (!l->scratch)
        return -ENOMEM;
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (l->epoll < 0)
        return -errno;
    return control(l, EPOLL_CTL_ADD, l->life.signals, EPOLLIN, SIGNALS);
}

int shape_epoll(const ShapeJob *job) {
    Loop l = {.job = job, .epoll = -EBADF};
    list_init(&l.connections);
    int r = prepare(&l);
    if (r == 0)
        (void)mp_reportf("READY=1\nSTATUS=epoll, serving %zu socket%s\n", job->n_listeners,
                         job->n_listeners == 1 ? "" : "s");
    for (bool over = false; r == 0 && !over;)
        r = turn(&l, &over);
    LIST_FOREACH_SAFE (c, &l.connections, Connection, link)
        forget(&l, c);
    if (l.life.count)
        life_report_end(&l.life);
    (void)fd_close(l.epoll);
    free(l.scratch);
    door_done(&l.door);
    life_done(&l.life);
    return r;
}

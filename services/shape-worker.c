/* SPDX-License-Identifier: MIT */
#include "services/shape-worker.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"
#include "services/shape-door.h"
#include "services/shape-life.h"

typedef struct Worker {
    const ShapeJob *job;
    Scoreboard *board;
    size_t slot;
    Life life;
    Door door;
    int epoll;
} Worker;

/* What epoll tells of the signals; listeners have their index. */
#define SIGNALS UINT32_MAX

static void count(const void *self, ProgressCount *ret) {
    (void)self;
    /* The parent counts; a worker is never idle for long enough. */
    ret->active = 1;
}

/* A worker that nobody replaces, and that nobody tells to stop, would accept for ever. */
static int die_with_parent(pid_t parent) {
    if (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0)
        return -errno;
    /* It may have died before. */
    return getppid() == parent ? 0 : -ECHILD;
}

static int watch(Worker *w, int fd, uint32_t events, uint32_t what) {
    struct epoll_event event = {.events = events, .data.u32 = what};
    return epoll_ctl(w->epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

static int prepare(Worker *w) {
    int r = life_init(&w->life, w->job->options, count, NULL, false);
    if (r == 0)
        r = door_init(&w->door, w->job);
    if (r < 0)
        return r;
    w->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (w->epoll < 0)
        return -errno;
    r = watch(w, w->life.signals, EPOLLIN, SIGNALS);
    /* A connection wakes one of the workers that wait, not all of them, epoll_ctl(2). A worker that serves
     * does not wait, and finds what came meanwhile when it is back. */
    for (uint32_t i = 0; r == 0 && i < w->door.n; i++)
        r = watch(w, w->door.listeners[i], EPOLLIN | EPOLLEXCLUSIVE, i);
    return r;
}

static int serve(Worker *w, int fd) {
    Stream *stream = stream_new(&w->job->protocol->stream, fd, fd);
    if (!stream) {
        (void)fd_close(fd);
        return -ENOMEM;
    }
    scoreboard_begin(w->board, w->slot);
    if (life_serve(&w->life, stream) == STREAM_FAILED)
        shape_complain(w->job, "connection", stream_error(stream));
    /* The client sees the end before the place is free. */
    stream_free(stream);
    (void)fd_close(fd);
    scoreboard_end(w->board, w->slot);
    return 0;
}

/* One turn of the wait: one connection at most, so that what was told of other listeners is not stale. */
static int turn(Worker *w) {
    struct epoll_event event;
    uint64_t now = clock_monotonic_usec();
    if (!door_is_open(&w->door, now)) {
        struct pollfd p = {.fd = w->life.signals, .events = POLLIN};
        (void)poll(&p, 1, life_timeout(door_until(&w->door, now), now));
        (void)life_take_signals(&w->life, clock_monotonic_usec());
        return 0;
    }
    int n = epoll_wait(w->epoll, &event, 1, -1);
    if (n < 0)
        return errno == EINTR ? 0 : -errno;
    now = clock_monotonic_usec();
    if (event.data.u32 == SIGNALS) {
        (void)life_take_signals(&w->life, now);
        return 0;
    }
    int fd = door_accept(&w->door, event.data.u32, now);
    if (fd == -EAGAIN)
        return 0;
    /* A listener that is of no use: the parent tries it again with another worker, later. */
    if (fd < 0)
        return fd;
    if (serve(w, fd) < 0)
        door_pause(&w->door, now);
    return 0;
}

_Noreturn void worker_run(const ShapeJob *job, Scoreboard *board, size_t slot, pid_t parent, int signals) {
    Worker w = {.job = job, .board = board, .slot = slot, .epoll = -EBADF};
    (void)fd_close(signals);
    int r = die_with_parent(parent);
    if (r == 0)
        r = prepare(&w);
    while (r == 0 && !life_is_stopping(&w.life))
        r = turn(&w);
    if (r < 0 && r != -ECHILD)
        shape_complain(job, "worker", -r);
    _exit(r < 0 ? EXIT_FAILURE : EXIT_SUCCESS);
}

/* SPDX-License-Identifier: MIT */
/* So many threads, made once, and a bounded queue of connections: one thread accepts and puts them in, the
 * others take them out. However many come, memory and threads stay what they are; when the queue is full,
 * those who come wait in the listener's queue, or are refused, as told. */
#include <pthread.h>
#include <sys/eventfd.h>

#include "daemon/base/clock.h"
#include "services/shape-loop.h"
#include "services/shape-queue.h"

#define STACK_BYTES (64U << 10)

typedef struct Pool {
    const ShapeJob *job;
    Queue *queue;
    Bell bell;
    int stop_accepting; /* readable when nothing more is to be accepted */
    int stop_serving;   /* readable when every connection must end */
    pthread_t *threads; /* the workers', and the acceptor's as the last */
    size_t n_threads;   /* that were made */
    atomic_uint_fast64_t busy, ended, refused, failed;
    atomic_uint_fast64_t alive; /* of all threads */
    atomic_int failure;         /* of the acceptor: a negative errno */
} Pool;

static void count(const void *self, ProgressCount *ret) {
    const Pool *s = self;
    uint64_t workers = s->job->options->workers;
    ret->has_queue = true;
    ret->queued = queue_length(s->queue);
    ret->active = atomic_load(&s->busy);
    ret->requests = atomic_load(&s->ended);
    ret->metrics[0] = (ProgressMetric){"busy_threads", ret->active};
    ret->metrics[1] = (ProgressMetric){"idle_threads", workers > ret->active ? workers - ret->active : 0};
    ret->metrics[2] = (ProgressMetric){"refused", atomic_load(&s->refused)};
    ret->metrics[3] = (ProgressMetric){"failed_connections", atomic_load(&s->failed)};
}

static void serve(Pool *s, int fd) {
    Stream *stream = stream_new(&s->job->protocol->stream, fd, fd);
    int error = ENOMEM;
    if (stream)
        error = stream_run_until(stream, s->stop_serving) == STREAM_FAILED ? stream_error(stream) : 0;
    if (error != 0) {
        shape_complain(s->job, "connection", error);
        atomic_fetch_add(&s->failed, 1);
    }
    stream_free(stream);
    (void)fd_close(fd);
}

static void leave(Pool *s) {
    atomic_fetch_sub(&s->alive, 1);
    bell_ring(&s->bell);
}

static void *work(void *self) {
    Pool *s = self;
    for (int fd; queue_pop(s->queue, &fd) == 0;) {
        atomic_fetch_add(&s->busy, 1);
        bell_ring(&s->bell);
        serve(s, fd);
        atomic_fetch_add(&s->ended, 1);
        atomic_fetch_sub(&s->busy, 1);
        bell_ring(&s->bell);
    }
    leave(s);
    return NULL;
}

/* Waits for a connection, or for the end. Returns how many of @polled there are, or 0: the end. */
static size_t wait_at(Pool *s, Door *door, struct pollfd *polled) {
    for (;;) {
        uint64_t now = clock_monotonic_usec();
        polled[0] = (struct pollfd){.fd = s->stop_accepting, .events = POLLIN};
        size_t n = 1 + door_fill(door, polled + 1, door_is_open(door, now));
        int r = poll(polled, n, life_timeout(door_until(door, now), now));
        if (r > 0)
            return polled[0].revents ? 0 : n;
        if (r < 0 && errno != EINTR && errno != ENOMEM) {
            atomic_store(&s->failure, -errno);
            return 0;
        }
    }
}

/* Accepts into a place that was reserved. Returns whether the place was used. */
static bool accept_into_queue(Pool *s, Door *door, const struct pollfd *polled) {
    for (size_t i = door->n; i-- > 0;) {
        int fd = polled[1 + i].revents ? door_accept(door, i, clock_monotonic_usec()) : -EAGAIN;
        if (fd < 0)
            continue;
        queue_fill(s->queue, fd);
        bell_ring(&s->bell);
        return true;
    }
    return false;
}

/* Nothing is free: those who stand at the door are told so by the end of their connection. */
static void refuse(Pool *s, Door *door, const struct pollfd *polled) {
    for (size_t i = door->n; i-- > 0;) {
        int fd = polled[1 + i].revents ? door_accept(door, i, clock_monotonic_usec()) : -EAGAIN;
        if (fd < 0)
            continue;
        (void)fd_close(fd);
        atomic_fetch_add(&s->refused, 1);
        bell_ring(&s->bell);
    }
}

/* With "wait" the place comes first and then the connection: while there is none, nothing is accepted. With
 * "refuse" the connection comes first. Returns false at the end. */
static bool accept_next(Pool *s, Door *door, struct pollfd *polled) {
    bool waits = s->job->options->when_full == SHAPE_WAIT;
    if (waits && queue_reserve(s->queue, true) < 0)
        return false;
    bool used = false, goes_on = wait_at(s, door, polled) > 0;
    int r = waits ? 0 : goes_on ? queue_reserve(s->queue, false) : -EPIPE;
    if (goes_on && r == 0)
        used = accept_into_queue(s, door, polled);
    else if (r == -EAGAIN)
        refuse(s, door, polled);
    if (r == 0 && !used)
        queue_release(s->queue);
    return goes_on && r != -EPIPE;
}

static void *accept_all(void *self) {
    Pool *s = self;
    Door door;
    struct pollfd *polled = calloc(1 + s->job->n_listeners, sizeof(*polled));
    int r = door_init(&door, s->job);
    if (!polled || r < 0) {
        atomic_store(&s->failure, -ENOMEM);
    } else {
        while (door.n > 0 && accept_next(s, &door, polled))
            continue;
        if (door.n == 0)
            atomic_store(&s->failure, -ENOTCONN);
    }
    door_done(&door);
    free(polled);
    leave(s);
    return NULL;
}

static int start(Pool *s, void *(*run)(void *)) {
    pthread_attr_t attributes;
    int r = pthread_attr_init(&attributes);
    if (r != 0)
        return -r;
    atomic_fetch_add(&s->alive, 1);
    r = pthread_attr_setstacksize(&attributes, STACK_BYTES);
    if (r == 0)
        r = pthread_create(&s->threads[s->n_threads], &attributes, run, s);
    (void)pthread_attr_destroy(&attributes);
    if (r == 0)
        s->n_threads++;
    else
        atomic_fetch_sub(&s->alive, 1);
    return -r;
}

/* Here, and not before: threads are made when the loop has blocked the signals, which they inherit. */
static void attend(void *self, const Loop *loop, uint64_t now_usec) {
    Pool *s = self;
    (void)loop;
    (void)now_usec;
    int r = 0;
    while (r == 0 && s->n_threads <= s->job->options->workers)
        r = start(s, s->n_threads < s->job->options->workers ? work : accept_all);
    if (r < 0)
        atomic_store(&s->failure, r);
}

static void stop(void *self) {
    Pool *s = self;
    (void)eventfd_write(s->stop_accepting, 1);
    queue_close(s->queue);
}

/* What is in the queue is served, too. */
static bool waits(const void *self) {
    return atomic_load(&((const Pool *)self)->alive) > 0;
}

static int failure(const void *self) {
    return atomic_load(&((const Pool *)self)->failure);
}

static void end(void *self) {
    Pool *s = self;
    stop(s);
    (void)eventfd_write(s->stop_serving, 1);
    for (size_t i = 0; i < s->n_threads; i++)
        (void)pthread_join(s->threads[i], NULL);
}

static int run(Pool *s) {
    static const LoopOps ops = {
        .count = count, .attend = attend, .stop = stop, .waits = waits, .failure = failure, .end = end};
    s->queue = queue_new(s->job->options->queue);
    s->threads = calloc(s->job->options->workers + 1, sizeof(*s->threads));
    if (!s->queue || !s->threads)
        return -ENOMEM;
    s->stop_accepting = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    s->stop_serving = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (s->stop_accepting < 0 || s->stop_serving < 0)
        return -errno;
    return loop_run(s->job, &ops, s, &s->bell, false);
}

int shape_thread_pool(const ShapeJob *job) {
    Pool s = {.job = job, .stop_accepting = -EBADF, .stop_serving = -EBADF};
    int r = bell_init(&s.bell);
    if (r == 0)
        r = run(&s);
    (void)fd_close(s.stop_accepting);
    (void)fd_close(s.stop_serving);
    bell_done(&s.bell);
    queue_free(s.queue);
    free(s.threads);
    return r;
}

/* SPDX-License-Identifier: MIT */
/* A thread for each connection, in one process: cheaper to begin than a process, in the same memory. A
 * counting semaphore bounds them. Each ended thread is joined by the main one. */
#include <pthread.h>
#include <semaphore.h>
#include <sys/eventfd.h>

#include "services/shape-loop.h"

/* A stream's buffers are on the heap, but for scraps of 16 KiB. */
#define STACK_BYTES (64U << 10)

typedef struct Thread Thread;

typedef struct Threads {
    const ShapeJob *job;
    sem_t places; /* free ones */
    Bell bell;    /* rung by who ends */
    int stop;     /* readable when every connection must end */
    atomic_uint_fast64_t active, ended, failed;
    pthread_mutex_t lock;
    Thread *leaving; /* have ended, or are about to return; guarded by the lock */
} Threads;

struct Thread {
    Threads *all;
    pthread_t id;
    int fd;
    Thread *next;
};

static void count(const void *self, ProgressCount *ret) {
    const Threads *s = self;
    /* In this order, and the other way round where it ends: one that ends meanwhile counts twice for a
     * moment, never not at all. */
    ret->active = atomic_load(&s->active);
    ret->requests = atomic_load(&s->ended);
    ret->metrics[0] = (ProgressMetric){"failed_connections", atomic_load(&s->failed)};
}

/* Only the main thread takes places: one that is free stays so until it does. */
static bool has_room(void *self) {
    Threads *s = self;
    int n = 0;
    (void)sem_getvalue(&s->places, &n);
    return n > 0;
}

static void *serve(void *self) {
    Thread *t = self;
    Threads *all = t->all;
    Stream *stream = stream_new(&all->job->protocol->stream, t->fd, t->fd);
    int error = !stream                                                ? ENOMEM
                : stream_run_until(stream, all->stop) == STREAM_FAILED ? stream_error(stream)
                                                                       : 0;
    if (error != 0) {
        shape_complain(all->job, "connection", error);
        atomic_fetch_add(&all->failed, 1);
    }
    stream_free(stream);
    (void)fd_close(t->fd);
    (void)pthread_mutex_lock(&all->lock);
    t->next = all->leaving;
    all->leaving = t;
    (void)pthread_mutex_unlock(&all->lock);
    atomic_fetch_add(&all->ended, 1);
    atomic_fetch_sub(&all->active, 1);
    (void)sem_post(&all->places);
    bell_ring(&all->bell);
    return NULL;
}

static int start(Thread *t) {
    pthread_attr_t attributes;
    int r = pthread_attr_init(&attributes);
    if (r != 0)
        return -r;
    r = pthread_attr_setstacksize(&attributes, STACK_BYTES);
    if (r == 0)
        r = pthread_create(&t->id, &attributes, serve, t);
    (void)pthread_attr_destroy(&attributes);
    return -r;
}

static int take(void *self, Loop *loop, int fd) {
    Threads *s = self;
    (void)loop;
    Thread *t = calloc(1, sizeof(*t));
    int r = -ENOMEM;
    if (t) {
        t->all = s;
        t->fd = fd;
        while (sem_wait(&s->places) < 0 && errno == EINTR)
            continue;
        atomic_fetch_add(&s->active, 1);
        r = start(t);
        if (r == 0)
            return 0;
        atomic_fetch_sub(&s->active, 1);
        (void)sem_post(&s->places);
        shape_complain(s->job, "thread", -r);
        free(t);
    }
    (void)fd_close(fd);
    return r;
}

static void join_leaving(Threads *s) {
    (void)pthread_mutex_lock(&s->lock);
    Thread *t = s->leaving;
    s->leaving = NULL;
    (void)pthread_mutex_unlock(&s->lock);
    while (t) {
        Thread *next = t->next;
        (void)pthread_join(t->id, NULL);
        free(t);
        t = next;
    }
}

static void attend(void *self, const Loop *loop, uint64_t now_usec) {
    (void)loop;
    (void)now_usec;
    join_leaving(self);
}

/* Who holds every place is alone. */
static void end(void *self) {
    Threads *s = self;
    (void)eventfd_write(s->stop, 1);
    for (uint64_t i = 0; i < s->job->options->max_connections; i++)
        while (sem_wait(&s->places) < 0 && errno == EINTR)
            continue;
    join_leaving(s);
}

int shape_thread(const ShapeJob *job) {
    static const LoopOps ops = {
        .count = count, .has_room = has_room, .take = take, .attend = attend, .end = end};
    Threads s = {.job = job};
    int r = bell_init(&s.bell);
    if (r < 0)
        return r;
    s.stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (s.stop < 0 || sem_init(&s.places, 0, (unsigned)job->options->max_connections) < 0) {
        r = -errno;
    } else {
        (void)pthread_mutex_init(&s.lock, NULL);
        r = loop_run(job, &ops, &s, &s.bell, false);
        (void)pthread_mutex_destroy(&s.lock);
        (void)sem_destroy(&s.places);
    }
    (void)fd_close(s.stop);
    bell_done(&s.bell);
    return r;
}

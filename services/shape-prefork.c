/* SPDX-License-Identifier: MIT */
/* Processes that were there before: each accepts for itself and serves one connection at a time, so that
 * fork(2) leaves the client's path. The parent keeps their number, and reports from a scoreboard what they
 * do. */
#include <signal.h>

#include "daemon/base/clock.h"
#include "services/shape-children.h"
#include "services/shape-loop.h"
#include "services/shape-respawn.h"
#include "services/shape-worker.h"

typedef struct Prefork {
    const ShapeJob *job;
    Children children;
    Scoreboard *board;
    uint64_t *started_usec; /* by place, which is the slot on the scoreboard */
    bool stopping;
    uint64_t ended_requests; /* of workers that are no more */
    uint64_t replaced;
    Respawn respawn;
} Prefork;

static void count(const void *self, ProgressCount *ret) {
    const Prefork *s = self;
    ret->requests = s->ended_requests;
    for (size_t i = 0; i < s->children.room; i++) {
        Score score = scoreboard_read(s->board, i);
        ret->active += score.busy;
        ret->requests += score.requests;
    }
    uint64_t idle = s->children.n > ret->active ? s->children.n - ret->active : 0;
    ret->metrics[0] = (ProgressMetric){"busy_workers", ret->active};
    ret->metrics[1] = (ProgressMetric){"idle_workers", idle};
    ret->metrics[2] = (ProgressMetric){"replaced_workers", s->replaced};
}

static void on_ended(void *self, size_t place, int status) {
    Prefork *s = self;
    (void)status;
    Score score = scoreboard_read(s->board, place);
    /* The connection that it had in hand ended with it. */
    s->ended_requests += score.requests + score.busy;
    scoreboard_clear(s->board, place);
    uint64_t now = clock_monotonic_usec();
    if (s->stopping)
        return;
    s->replaced++;
    respawn_note(&s->respawn, now - s->started_usec[place], now);
}

/* Fills every place that is free, unless it has to wait. */
static void fill(Prefork *s, const Loop *loop, uint64_t now) {
    const pid_t parent = getpid();
    while (!s->stopping && s->children.n < s->children.room && now >= s->respawn.at_usec) {
        size_t place;
        int r = children_fork(&s->children, &place);
        if (r > 0)
            worker_run(s->job, s->board, place, parent, loop->life.signals);
        if (r < 0) {
            shape_complain(s->job, "fork", -r);
            respawn_note(&s->respawn, 0, now);
            /* The first failure is no reason to wait, but here nothing has become free since. */
            respawn_note(&s->respawn, 0, now);
            return;
        }
        s->started_usec[place] = now;
    }
}

static void attend(void *self, const Loop *loop, uint64_t now_usec) {
    Prefork *s = self;
    children_reap(&s->children, on_ended, s);
    fill(s, loop, now_usec);
}

static uint64_t until(const void *self) {
    const Prefork *s = self;
    return !s->stopping && s->children.n < s->children.room ? s->respawn.at_usec : USEC_INFINITY;
}

/* Each worker lets its connection end, and then ends. */
static void stop(void *self) {
    Prefork *s = self;
    s->stopping = true;
    children_signal(&s->children, SIGTERM);
}

static bool waits(const void *self) {
    return ((const Prefork *)self)->children.n > 0;
}

static void end(void *self) {
    Prefork *s = self;
    s->stopping = true;
    children_end(&s->children, on_ended, s);
}

int shape_prefork(const ShapeJob *job) {
    static const LoopOps ops = {
        .count = count, .attend = attend, .until = until, .stop = stop, .waits = waits, .end = end};
    size_t n = job->options->workers;
    Prefork s = {.job = job, .board = scoreboard_new(n)};
    int r = s.board ? children_init(&s.children, n) : -errno;
    s.started_usec = calloc(n, sizeof(*s.started_usec));
    if (r == 0 && !s.started_usec)
        r = -ENOMEM;
    if (r == 0)
        r = loop_run(job, &ops, &s, &s.board->bell, true);
    free(s.started_usec);
    children_done(&s.children);
    scoreboard_free(s.board, n);
    return r;
}

/* SPDX-License-Identifier: MIT */
/* One connection at a time: accepted, served to its end, and then the next. Who comes meanwhile waits in the
 * listener's queue, and a client that says nothing holds up all of them. */
#include "services/shape-loop.h"

typedef struct Iterative {
    const ShapeJob *job;
    bool serving;
    uint64_t served;
} Iterative;

static void count(const void *self, ProgressCount *ret) {
    const Iterative *s = self;
    ret->active = s->serving;
    ret->requests = s->served;
}

static bool has_room(void *self) {
    return !((const Iterative *)self)->serving;
}

static int take(void *self, Loop *loop, int fd) {
    Iterative *s = self;
    CLEANUP_CLOSE int connection = fd;
    Stream *stream = stream_new(&s->job->protocol->stream, connection, connection);
    if (!stream)
        return -ENOMEM;
    s->serving = true;
    if (life_serve(&loop->life, stream) == STREAM_FAILED)
        shape_complain(s->job, "connection", stream_error(stream));
    s->serving = false;
    s->served++;
    stream_free(stream);
    return 0;
}

int shape_iterative(const ShapeJob *job) {
    static const LoopOps ops = {.count = count, .has_room = has_room, .take = take};
    Iterative s = {.job = job};
    return loop_run(job, &ops, &s, NULL, false);
}

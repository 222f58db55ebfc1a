/* SPDX-License-Identifier: MIT */
#pragma once
/* How long a shape lives, and what it tells meanwhile: the signals that end it, the time that its connections
 * have then, the end when nothing is to be done, the reports over the status pipe. */
#include <stdbool.h>
#include <stdint.h>

#include "services/options.h"
#include "services/progress.h"
#include "services/stream.h"

/* What the shape is doing: fills @ret, which is zero. */
typedef void LifeCount(const void *self, ProgressCount *ret);

typedef struct Life {
    const Options *options;
    LifeCount *count;
    const void *self;
    int signals;          /* to poll for POLLIN */
    uint64_t active_usec; /* when there was something to do, lately */
    uint64_t requests;    /* by then */
    uint64_t stop_usec;   /* when a stop ends everything; USEC_INFINITY: none was begun */
    Progress progress;
} Life;

typedef enum LifeWish {
    LIFE_GO_ON,
    LIFE_STOP, /* nothing was to be done for long enough: accept no more */
    LIFE_END,  /* nothing is left to wait for */
} LifeWish;

/* Blocks SIGTERM and SIGINT, and SIGCHLD where there are @children, for this thread and those that it makes,
 * and takes them by a descriptor from then on. */
int life_init(Life *l, const Options *options, LifeCount *count, const void *self, bool children);
void life_done(Life *l);

bool life_is_stopping(const Life *l);
/* Begins to stop; the second time it ends everything now. */
void life_stop(Life *l, uint64_t now_usec);
/* Reads the signals that came. Returns whether a child ended. */
bool life_take_signals(Life *l, uint64_t now_usec);

/* Looks at what is being done: reports it if it is time to, and says what should become of the shape. @waits:
 * when it stops there is more to wait for than connections. */
LifeWish life_look(Life *l, uint64_t now_usec, bool waits);
/* The time of the next look without an event: USEC_INFINITY if none is due. */
uint64_t life_until(const Life *l);
/* Tells the last numbers, at whatever pace. */
void life_report_end(Life *l);

/* Serves one connection in this thread, without losing sight of all that: the end of the stream, or
 * STREAM_GONE when it had to end before. */
StreamState life_serve(Life *l, Stream *s);

/* The decision of life_look(). Pure. */
LifeWish life_wish(const Life *l, const ProgressCount *c, uint64_t now_usec, bool waits);
/* Milliseconds for poll(2) until @until_usec, rounded up; at most an hour, after which one looks again; -1:
 * no end. Pure. */
int life_timeout(uint64_t until_usec, uint64_t now_usec);

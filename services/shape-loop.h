/* SPDX-License-Identifier: MIT */
#pragma once
/* The loop of a shape's main thread: it waits for signals, for connections where the shape accepts them in
 * it, and for the bell, and lets the shape look after its processes or threads. */
#include "services/shape-bell.h"
#include "services/shape-door.h"
#include "services/shape-life.h"

typedef struct Loop {
    Life life;
    Door door;
} Loop;

/* What a shape does in it; @self is the shape. */
typedef struct LoopOps {
    LifeCount *count;
    /* Whether one more connection can be taken; NULL: others accept. */
    bool (*has_room)(void *self);
    /* Takes a connection over, whatever it returns: 0, or a negative errno, after which accepting rests a
     * moment. */
    int (*take)(void *self, Loop *loop, int fd);
    /* Reaps, joins, replaces; called at every turn. NULL: nothing. */
    void (*attend)(void *self, const Loop *loop, uint64_t now_usec);
    /* When attend() is due without an event; NULL: never. */
    uint64_t (*until)(const void *self);
    /* Called once, when the loop begins to stop. NULL: nothing. */
    void (*stop)(void *self);
    /* Whether there is somebody whose end is to be waited for, beside connections; NULL: nobody. */
    bool (*waits)(const void *self);
    /* 0, or a negative errno that ends the loop; NULL: never. */
    int (*failure)(const void *self);
    /* Ends whoever is left, at once. NULL: nobody can be. */
    void (*end)(void *self);
} LoopOps;

/* Runs until the shape's work is over, or the time for it; @bell may be NULL. Returns 0, or a negative errno
 * when nothing can be served any more. */
int loop_run(const ShapeJob *job, const LoopOps *ops, void *self, Bell *bell, bool children);

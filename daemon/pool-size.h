/* SPDX-License-Identifier: MIT */
#pragma once
/* How many workers a pool is to have: Apache httpd's rule (prefork, "perform_idle_server_maintenance"). Pure:
 * the caller counts and brings the clock.
 *
 *   fewer than min                  what is missing, at once
 *   idle < spare_min                1, 2, 4, … 32 more a second, doubling each second that it lasts
 *   idle > spare_max                one less a second
 *   never more than max, and never below min by intention */
#include <stdbool.h>
#include <stdint.h>

typedef struct PoolLimits {
    uint64_t min, max, spare_min, spare_max;
} PoolLimits;

/* Workers by what they do. */
typedef struct PoolCounts {
    uint64_t starting; /* not ready yet: they will be idle */
    uint64_t idle;
    uint64_t busy;
    uint64_t silent;  /* ready, and have never said what they have in hand: taken for busy */
    uint64_t leaving; /* told to end: they count for nothing but max */
} PoolCounts;

/* What is remembered from one look to the next. Starts as {0}. */
typedef struct PoolPace {
    uint64_t batch;     /* of the last growth */
    uint64_t next_usec; /* no growth and no shrinking before that */
} PoolPace;

typedef struct PoolOrder {
    uint64_t start;
    uint64_t stop; /* so many of the idle ones */
    /* Look again then, if nothing happens before; USEC_INFINITY: no need. */
    uint64_t again_usec;
} PoolOrder;

#define POOL_BATCH_MAX 32

/* What is to be done at @now_usec. A pool with workers that never report stays at min: nobody can tell
 * whether they are busy. @more: whether further workers may be started at all (a delay after failures says
 * no). */
PoolOrder pool_size_decide(const PoolLimits *limits, const PoolCounts *counts, PoolPace *pace, bool more,
                           uint64_t now_usec);

/* After how many requests worker number @worker is replaced: @max_requests less up to a tenth, by its number,
 * so that workers that started together do not end together. 0: never. */
uint64_t pool_worker_requests(uint64_t max_requests, uint64_t worker);

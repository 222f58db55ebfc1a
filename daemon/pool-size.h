/* SPDX-License-Identifier: MIT */
#pragma once
/* How many workers a pool is to have: Apache httpd's rule (prefork, "perform_idle_server_maintenance"). Pure:
 * the caller counts and brings the clock.
 *
 *   fewer than min                  what is missing, at once
 *   idle < spare_min                1, 2, 4, … 32 more a second, doubling each second that it lasts
 *   idle > spare_max                one less a second
 *   more than max                   idle ones beyond it end at once
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

/* Workers that are to be replaced, besides what they are doing. */
typedef struct PoolRenewal {
    uint64_t old;    /* so many are left, not told yet */
    uint64_t coming; /* started for one of them, not ready yet */
    uint64_t come;   /* ready, and no old one has been told for it yet */
} PoolRenewal;

/* How many are replaced at a time. */
#define POOL_RENEWED_AT_ONCE 4

/* What is to be done so that new ones take the place of old ones: a new one is ready before its old one is
 * told to end, and there are never fewer than min that are ready. With as many as there may be an old one
 * goes first; with min equal to max there is one more meanwhile. `stop` is of old ones. */
PoolOrder pool_renew_decide(const PoolLimits *limits, const PoolCounts *counts, const PoolRenewal *renewal,
                            bool more);

/* After how many requests worker number @worker is replaced: @max_requests less up to a tenth, by its number,
 * so that workers that started together do not end together. 0: never. */
uint64_t pool_worker_requests(uint64_t max_requests, uint64_t worker);

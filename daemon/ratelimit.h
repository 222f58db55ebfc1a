/* SPDX-License-Identifier: MIT */
#pragma once
/* A token bucket for our own log: at most a few lines of a kind a second, and a count of what was left out.
 * Pure: the caller brings the clock. */
#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/blob.h"

typedef struct Ratelimit {
    uint64_t tokens_usec; /* saved up, as time */
    uint64_t last_usec;   /* 0: never used */
    uint64_t said_usec;   /* when the count was last told */
    uint64_t suppressed;
} Ratelimit;

/* May one more pass at @now_usec? @per_second in the long run, @burst at once after a rest. */
bool ratelimit_pass(Ratelimit *r, uint64_t per_second, uint64_t burst, uint64_t now_usec);
/* How many were held back, once a second: 0 when there is nothing to tell yet, else the count, which starts
 * anew. */
uint64_t ratelimit_take_suppressed(Ratelimit *r, uint64_t now_usec);

/* See handover.h. 0 or -EBADMSG. */
void ratelimit_save(BlobWriter *w, const Ratelimit *r);
int ratelimit_restore(BlobReader reader, Ratelimit *r);

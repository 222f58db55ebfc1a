/* SPDX-License-Identifier: MIT */
#pragma once
/* A token bucket: a rate of so many in so long, and a burst. Kept as the tokens that are missing and since
 * when, in integer nanoseconds of CLOCK_MONOTONIC and exact for every Rate that a config can have: a time at
 * which it is full again (the generic cell rate algorithm's one number) does not fit 64 bits for slow rates
 * with big bursts. Rounded so that never more than rate times time plus burst pass. A Rate may change in
 * between: nobody waits longer than the new one asks for one token. Pure: the caller brings the clock. */
#include <stdbool.h>
#include <stdint.h>

#include "conf/config.h"
#include "daemon/base/blob.h"

/* Starts as {0}: full. */
typedef struct Bucket {
    uint64_t missing;    /* tokens */
    uint64_t since_nsec; /* since so many are missing: the next one grows from here */
} Bucket;

/* When the next token is there: @now_nsec if there is one now. */
uint64_t bucket_ready_at(const Bucket *b, const Rate *rate, uint64_t now_nsec);
/* Takes one if there is one; whether there was. A rate without a count gives always. */
bool bucket_take(Bucket *b, const Rate *rate, uint64_t now_nsec);
/* Gives back one that was taken for nothing, in the same moment: later it may have grown back by itself. */
void bucket_give_back(Bucket *b, const Rate *rate);

/* See handover.h. The rate is the caller's. 0 or -EBADMSG. */
void bucket_save(BlobWriter *w, const Bucket *b);
int bucket_restore(BlobReader r, Bucket *b);

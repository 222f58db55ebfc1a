/* SPDX-License-Identifier: MIT */
#pragma once
/* A token bucket as one number, the time at which it will be full again (the generic cell rate algorithm,
 * ITU-T I.371): a rate of so many in so long, and a burst. In integer nanoseconds of CLOCK_MONOTONIC, rounded
 * so that never more than rate times time plus burst pass. Pure: the caller brings the clock. */
#include <stdbool.h>
#include <stdint.h>

#include "conf/config.h"

/* Starts as {0}: full. */
typedef struct Bucket {
    uint64_t full_nsec;
} Bucket;

/* When the next token is there: @now_nsec if there is one now. */
uint64_t bucket_ready_at(const Bucket *b, const Rate *rate, uint64_t now_nsec);
/* Takes one if there is one; whether there was. A rate without a count gives always. */
bool bucket_take(Bucket *b, const Rate *rate, uint64_t now_nsec);
/* Gives back one that was taken for nothing. */
void bucket_give_back(Bucket *b, const Rate *rate);

/* SPDX-License-Identifier: MIT */
#pragma once
/* Turns of the loop that fail: whether the next one is worth it, and whether to say so. Pure. */
#include <stdbool.h>

#include "daemon/base/clock.h"
#include "daemon/ratelimit.h"

/* From one that has failed to the next one. */
#define FAILED_TURN_WAIT_USEC (10 * USEC_PER_MSEC)
/* So many in a row are tried again, of which memory is not the reason. */
#define FAILED_TURNS_MAX 100

/* Starts as {0}. */
typedef struct FailedTurns {
    unsigned n; /* in a row, of which memory was not the reason */
    Ratelimit lines;
} FailedTurns;

typedef struct FailedTurnVerdict {
    bool again; /* the turn is to be taken again; else there is no sense in it */
    bool tell;  /* a line a second, and the last one */
} FailedTurnVerdict;

/* A turn has failed with @error, a negative errno. For want of memory it is tried for as long as it takes,
 * for anything else a second long. */
FailedTurnVerdict failed_turns_add(FailedTurns *f, int error, uint64_t now_usec);
/* One has not. */
void failed_turns_end(FailedTurns *f);

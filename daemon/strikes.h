/* SPDX-License-Identifier: MIT */
#pragma once
/* How often somebody has offended lately: so many in so long, counted in parts of that time. As many as are
 * asked for within the time are always noticed; if they took up to a quarter longer, they may be. Pure: the
 * caller brings the clock. */
#include <stdbool.h>
#include <stdint.h>

#include "conf/config.h"

#define STRIKES_PARTS 4

/* Starts as {0}: none. */
typedef struct Strikes {
    uint64_t part;                      /* the number of the newest part of the time */
    uint32_t counts[1 + STRIKES_PARTS]; /* in it, and in those before it */
} Strikes;

/* Counts one more. Whether it is one too many: the @limit->count-th within @limit->per_usec; then it begins
 * anew. Never of a limit without a count. */
bool strikes_add(Strikes *s, const Rate *limit, uint64_t now_usec);

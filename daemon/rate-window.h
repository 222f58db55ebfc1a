/* SPDX-License-Identifier: MIT */
#pragma once
/* How many events a second there were in the last ten seconds. Counts by the second, of which the oldest goes
 * out bit by bit. Pure: told the time, CLOCK_MONOTONIC in microseconds; a time before the newest one counts
 * as that. */
#include <stdint.h>

#include "daemon/base/blob.h"

#define RATE_WINDOW_SECONDS 10

/* Starts as {0}. */
typedef struct RateWindow {
    uint64_t second;                          /* the newest one that has something */
    uint32_t counts[RATE_WINDOW_SECONDS + 1]; /* of second S at S modulo their number */
} RateWindow;

void rate_window_add(RateWindow *w, uint64_t now_usec);
/* Events in 1000 seconds, at the rate of the last ten. */
uint64_t rate_window_milli(const RateWindow *w, uint64_t now_usec);

/* See handover.h. 0 or -EBADMSG. */
void rate_window_save(BlobWriter *w, const RateWindow *window);
int rate_window_restore(BlobReader r, RateWindow *window);

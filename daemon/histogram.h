/* SPDX-License-Identifier: MIT */
#pragma once
/* How long something took, over all that was measured: counts in buckets of fixed bounds, ten a decade from
 * 10 us to 100,000 s, with one below and one above. Integers only where it counts. Pure. */
#include <stddef.h>
#include <stdint.h>

#include "ctl/proto/api.h"
#include "daemon/base/blob.h"

#define HISTOGRAM_BOUNDS 101
/* 1, 2 and 5 of each decade, and one without a bound. */
#define HISTOGRAM_API_BUCKETS 32

typedef struct Histogram {
    uint64_t count, sum_usec;
    uint64_t buckets[HISTOGRAM_BOUNDS + 1]; /* above the bound before, up to its own; the last: above all */
} Histogram;

/* Counts @usec in. The memory, *h, is made with the first; without memory it is not counted. To be freed. */
void histogram_add(Histogram **h, uint64_t usec);

/* Below, @h may be NULL: nothing was measured. */

/* What @permille of all took at most, at most 13 % off, for any data between the outer bounds; 0 when nothing
 * was measured. */
uint64_t histogram_quantile(const Histogram *h, unsigned permille);
/* Count, p50 and p99. */
ApiQuantiles histogram_quantiles(const Histogram *h);
/* How many took at most @le_usec: exact for 1, 2 and 5 times a power of ten from 10 us on; else as many as
 * are known to. What Prometheus calls a cumulative bucket. */
uint64_t histogram_at_most(const Histogram *h, uint64_t le_usec);
/* All buckets, on the coarse bounds, each without those before it. */
void histogram_buckets(const Histogram *h, ApiBucket ret[static HISTOGRAM_API_BUCKETS]);

/* See handover.h. What was measured comes back in place of *@h, or without memory nothing. 0 or -EBADMSG. */
void histogram_save(BlobWriter *w, const Histogram *h);
int histogram_restore(BlobReader r, Histogram **h);

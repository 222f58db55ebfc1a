/* SPDX-License-Identifier: MIT */
#pragma once
/* How long to wait before a process is started again. Pure: the caller brings the clock. Never gives up. */
#include <stdbool.h>
#include <stdint.h>

#include "conf/config.h"
#include "daemon/base/blob.h"

typedef struct Backoff {
    uint64_t window_start_usec;
    uint64_t charged;    /* ends charged since then */
    unsigned level;      /* how often the delay has doubled; 0: not slowed */
    uint64_t until_usec; /* when the last delay was over */
} Backoff;

/* A clean end is charged only when the process lived shorter than this. */
#define BACKOFF_QUICK_USEC 1000000ULL

/* Says what the end of a process at @now_usec, which failed or not and lived for @lived_usec, costs: returns
 * the delay before the next start. 0 up to @limit charged ends in its time; beyond that @delay_usec, doubling
 * with each further one up to @max_delay_usec. An end that is not charged (clean, and not quick) forgets
 * everything, and so does a process that was not asked for until long (@limit's time) after the last delay.
 */
uint64_t backoff_on_end(Backoff *b, const Rate *limit, uint64_t delay_usec, uint64_t max_delay_usec,
                        bool failed, uint64_t lived_usec, uint64_t now_usec);

/* For how long nothing is started when processes, descriptors or memory have run out: it goes on within a
 * second of the end of the shortage. */
#define BACKOFF_STARVED_MIN_USEC 10000ULL
#define BACKOFF_STARVED_MAX_USEC 500000ULL

/* A retry that has no limit of its own (binding an address, looking a program up): min, 2 min, 4 min … max.
 */
uint64_t backoff_retry_delay(unsigned *level, uint64_t min_usec, uint64_t max_usec);

/* See handover.h. 0 or -EBADMSG. */
void backoff_save(BlobWriter *w, const Backoff *b);
int backoff_restore(BlobReader r, Backoff *b);

/* SPDX-License-Identifier: MIT */
#pragma once
/* What a service tells of its work over the status pipe: ACTIVE=, REQUESTS= and the refused datagrams, when
 * they change, but not more often than the daemon has use for, and again when the pipe was full. */
#include <stdbool.h>
#include <stdint.h>

#define PROGRESS_INTERVAL_USEC 100000ULL

typedef struct ProgressCount {
    uint64_t active;   /* connections open */
    uint64_t requests; /* connections that ended and datagrams that were served */
    uint64_t refused;  /* datagrams */
} ProgressCount;

typedef struct Progress {
    bool silent; /* nobody listens */
    bool any;    /* something was sent before */
    ProgressCount sent;
    uint64_t tried_usec; /* of the last try */
} Progress;

/* The time at which @now_count should be sent: USEC_INFINITY when nothing is new. Pure. */
uint64_t progress_due(const Progress *p, const ProgressCount *now_count);
/* Sends if it is due at @now_usec. */
void progress_send(Progress *p, const ProgressCount *now_count, uint64_t now_usec);

/* SPDX-License-Identifier: MIT */
#pragma once
/* What a service tells of its work over the status pipe: ACTIVE=, REQUESTS= and numbers of its own, when
 * they change, but not more often than the daemon has use for, and again when the pipe was full. */
#include <stdbool.h>
#include <stdint.h>

#define PROGRESS_INTERVAL_USEC 100000ULL

/* A number of the service's own, X_NAME=. */
typedef struct ProgressMetric {
    const char *name; /* a constant; NULL: none */
    uint64_t value;
} ProgressMetric;
#define PROGRESS_METRICS_MAX 4

typedef struct ProgressCount {
    uint64_t active;   /* connections open */
    uint64_t requests; /* connections that ended and datagrams that were served */
    bool has_queue;    /* whether the next is told */
    uint64_t queued;   /* accepted, and waiting for somebody to serve them */
    ProgressMetric metrics[PROGRESS_METRICS_MAX];
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

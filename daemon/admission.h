/* SPDX-License-Identifier: MIT */
#pragma once
/* The decision to serve, delay or refuse. Pure: a function of the limits and of what is in use. Checks in the
 * order in which an operator would: hours, bans, access, load, service rate, instances, source rate, per
 * source. */
#include "conf/config.h"
#include "ctl/proto/api.h"
#include "daemon/bucket.h"

typedef enum Verdict {
    VERDICT_SERVE,
    VERDICT_WAIT,   /* leave it in the backlog */
    VERDICT_REFUSE, /* accept and refuse */
} Verdict;

/* Of a service: known before a connection is taken from its queue. */
typedef struct ServiceUsage {
    bool closed;        /* access.hours: outside of them */
    double load;        /* the machine's, over the last minute */
    uint64_t instances; /* alive now */
    const Bucket *rate; /* limits.rate */
    uint64_t now_nsec;
} ServiceUsage;

/* Of the source of a connection that was taken. */
typedef struct SourceUsage {
    bool banned, denied;
    uint64_t banned_until_nsec; /* in the clock of now_nsec */
    uint64_t active;
    const Bucket *rate; /* limits.rate_per_source; NULL: nothing is known of it */
} SourceUsage;

typedef struct Admission {
    Verdict verdict;
    RefuseReason reason;  /* of wait and refuse */
    uint64_t used, limit; /* of instances and per_source: "50 of 50" */
    uint64_t until_nsec;  /* when it will be otherwise by itself; 0: not known */
} Admission;

/* Before a connection is taken: serve (which means: take it), wait, or refuse it whoever it is. With
 * when_full: refuse everything that its source does not matter for is told here as well, and is final. */
Admission admission_of_service(const LimitsConfig *limits, const ServiceUsage *usage);
/* Once it is taken, with its source. Never waits: what admission_of_service() would let wait has been asked
 * for before. */
Admission admission_of_source(const LimitsConfig *limits, const ServiceUsage *usage,
                              const SourceUsage *source);
/* "access", "per_source (5 of 5)", "rate, until in 4 s": what the log and status say. */
void admission_format(const Admission *a, uint64_t now_nsec, Text *out);

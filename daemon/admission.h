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
    bool closed;         /* access.hours: outside of them */
    uint64_t opens_nsec; /* when they begin, in the clock of now_nsec; 0: not known */
    double load;         /* the machine's, over the last minute */
    uint64_t instances;  /* alive now */
    const Bucket *rate;  /* limits.rate; NULL: nothing has been taken yet */
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
    uint64_t used, limit; /* of instances and per_source: "50 of 50"; of load: in hundredths */
    uint64_t until_nsec;  /* when it will be otherwise by itself; 0: not known */
} Admission;

/* Before a connection is taken: serve (which means: take it), wait, or refuse it whoever it is (hours; with
 * when_full: refuse also load, rate and instances). Of one that is to be refused admission_of_source() may
 * still be asked, since its own reason may come first: a banned source is refused as banned. */
Admission admission_of_service(const LimitsConfig *limits, const ServiceUsage *usage);
/* Once it is taken, with its source: all reasons in their order. Never waits: with when_full: wait load, rate
 * and instances are left out, since admission_of_service() has been asked for them before. Takes no tokens:
 * who serves does, of limits.rate and limits.rate_per_source, by bucket_take(). */
Admission admission_of_source(const LimitsConfig *limits, const ServiceUsage *usage,
                              const SourceUsage *source);
/* "access", "per_source (5 of 5)", "load (3.20 of 2.00)", "rate, for another 4s": what the log and status
 * say. Nothing of one that is served. */
void admission_format(const Admission *a, uint64_t now_nsec, Text *out);

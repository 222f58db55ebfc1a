/* SPDX-License-Identifier: MIT */
#pragma once
/* A tally: what became of the connections of a load, and how it is told. Pure. */
#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/text.h"
#include "services/client-latency.h"

typedef enum Failure {
    FAILURE_LOCAL,   /* this side has no descriptors, ports or memory left */
    FAILURE_CONNECT, /* refused, unreachable, … */
    FAILURE_EMPTY,   /* closed without a byte of reply */
    FAILURE_SHORT,   /* closed within a reply */
    FAILURE_WRONG,   /* a byte is not what was expected */
    FAILURE_EXCESS,  /* more than was expected */
    FAILURE_BROKEN,  /* reset and the like */
    FAILURE_TIMEOUT,
    _FAILURE_MAX,
} Failure;

#define TALLY_ERRNO_MAX 256

typedef struct Tally {
    uint64_t begun, answered;
    uint64_t failed[_FAILURE_MAX];
    uint64_t local_errnos[TALLY_ERRNO_MAX], connect_errnos[TALLY_ERRNO_MAX], broken_errnos[TALLY_ERRNO_MAX];
    uint64_t interrupted; /* under way when the load was ended */
    uint64_t requests;    /* answered ones */
    uint64_t sent, received;
    uint64_t queue_full; /* how often a UNIX listener's queue had no room, and it was tried again */
    uint64_t most_open;
    uint64_t begin_usec, end_usec;
    uint64_t cpu_usec; /* of this process, while it ran */
    Latency connect, request, whole;
} Tally;

/* What was asked for. */
typedef struct TallyFacts {
    const char *endpoint;
    const char *address; /* the one that was connected to */
    uint64_t at_once, requests, size;
    bool read;
} TallyFacts;

/* @error: an errno, or 0. */
void tally_fail(Tally *t, Failure failure, int error);
uint64_t tally_failures(const Tally *t);
/* Whether an errno of socket(2) or connect(2) tells of this side, not of the server. */
bool tally_errno_is_local(int error);

void tally_text(const Tally *t, const TallyFacts *facts, Text *out);
void tally_json(const Tally *t, const TallyFacts *facts, Text *out);
/* One line without its end, for showing while it runs. @of: connections in all, UINT64_MAX: not known. */
void tally_progress(const Tally *t, uint64_t of, uint64_t open, uint64_t now_usec, Text *out);

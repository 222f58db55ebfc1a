/* SPDX-License-Identifier: MIT */
#pragma once
/* The decision to serve, delay or refuse. Pure: a function of the limits and of what is in use. */
#include "conf/config.h"
#include "ctl/proto/api.h"

typedef enum Verdict {
    VERDICT_SERVE,
    VERDICT_WAIT,   /* leave it in the backlog */
    VERDICT_REFUSE, /* accept and close */
} Verdict;

typedef struct Usage {
    uint64_t instances; /* alive now */
} Usage;

typedef struct Admission {
    Verdict verdict;
    RefuseReason reason; /* of wait and refuse */
} Admission;

/* Whether one more instance may start, before a connection is taken from the queue: its source is
 * not known yet. Checks in the order in which an operator would. */
Admission admission_of_service(const LimitsConfig *limits, const Usage *usage);

/* SPDX-License-Identifier: MIT */
#pragma once
/* What has happened to a service so far: counts, times, its last error, what its processes have written. It
 * is made when something does; until then a service among ten thousand does without. */
#include "ctl/proto/api.h"
#include "daemon/child.h"
#include "daemon/event.h"
#include "daemon/histogram.h"
#include "daemon/rate-window.h"
#include "daemon/ratelimit.h"
#include "daemon/top-sources.h"

typedef struct Counters {
    uint64_t accepted, refused[_REFUSE_REASON_MAX], gone, spawned, spawn_failed, exited[_EXIT_RESULT_MAX];
    uint64_t failed_steps[_STEP_MAX]; /* of spawn_failed */
    uint64_t restarts, requests, report_errors;
    uint64_t bans[_BAN_CAUSE_MAX];                  /* that it has imposed */
    uint64_t cgroup_oom_kills, cgroup_pids_limited; /* processes killed; that could not be made */
} Counters;

typedef struct LastError {
    uint64_t time_usec; /* 0: none */
    char step[64];      /* a word of the program; "" of none */
    int error;
    char *message;
    char *file;
    unsigned line;
} LastError;

/* Kinds of log lines that are limited, each on its own. */
typedef enum LimitedLine {
    LIMITED_REFUSED,
    LIMITED_BANNED,
    LIMITED_SPAWN_FAILED,
    LIMITED_GONE,
    LIMITED_STATUS,
    LIMITED_STATE,
    LIMITED_ERROR,
    _LIMITED_MAX,
} LimitedLine;

typedef struct History {
    Counters counters;
    RateWindow accept_rate;
    Histogram *latency;  /* from accept, or the wake-up, to exec; NULL: of none yet */
    Histogram *duration; /* from exec to the end */
    TopSources *refused_sources;
    LastError last_error;
    EventRing lines; /* the output of its processes */
    Ratelimit limited[_LIMITED_MAX];
} History;

/* That of whom nothing has happened to: to read. */
const History *history_none(void);
/* An empty one. NULL when memory runs out. */
History *history_new(void);
/* Frees what it refers to. */
void history_done(History *h);
History *history_free(History *h); /* returns NULL; NULL is fine */

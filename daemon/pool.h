/* SPDX-License-Identifier: MIT */
#pragma once
/* A pool: the model whose workers run ahead of the work and share it. How many there are to be is decided in
 * pool-size.c; here they are started, told to end, replaced. How connections are passed to them is in
 * handoff.c. */
#include "daemon/backoff.h"
#include "daemon/pool-size.h"
#include "daemon/service.h"
#include "daemon/worker.h"

typedef struct Pool {
    Service *service;
    uint64_t n_started; /* workers, ever */
    uint64_t n_died;    /* without having been told to, and not replaced yet */
    PoolPace pace;
    Backoff backoff;
    bool delayed;      /* none is started: too many have failed */
    unsigned starved;  /* so often in a row one could not be started for want of resources, about */
    bool start_failed; /* the newest one did, or died before it was ready, while others were to be replaced */
    bool roll;         /* a reload has changed what workers are made of */
    bool full;         /* as many workers as there may be, and none has room */
    uint64_t full_usec; /* when that was last seen */
    bool drained;       /* drain: there is nothing left to serve */
    unsigned drain_starts;
    sd_event_source *delay_timer, *look_timer;
    uint64_t look_usec; /* when the timer goes off */
    Scoreboard *board;  /* NULL: none could be made */
    /* Handoff connection. */
    bool blocked; /* there was a connection and no room */
    List held;    /* connections taken back from workers that are gone */
} Pool;

/* 0 or -ENOMEM. */
int pool_new(Service *s, Pool **ret);
/* Its workers are told to end; those that accept by themselves become strays, for they still have the
 * listeners, and are told @at_once or not here. Nor are those who have not received yet what they were
 * passed. Returns NULL. */
Pool *pool_free(Pool *p, bool at_once);

PoolLimits pool_limits(const Pool *p);
PoolCounts pool_count(const Pool *p);
/* The most workers that there may be. */
uint64_t pool_max(const Pool *p);
/* Whether its listeners are to be polled, when the service's state does not forbid it. */
bool pool_wants_traffic(const Pool *p);
/* None of its workers is ready yet. */
bool pool_is_starting(const Pool *p);
/* While it drains: whether somebody is there, or to come, who serves what is queued. */
bool pool_can_drain(const Pool *p);

/* Looks at its workers and does what is to be done: starts, tells, replaces. To be called when something has
 * changed; it updates the service. */
void pool_look(Pool *p);
/* The same, a little later, however often it is called until then. */
void pool_look_soon(Pool *p);
/* Something waits, and no worker is there. */
void pool_wake(Listener *l);

void pool_on_report(Pool *p, Instance *i, ReportKind kind);
/* To be called while worker @i is still there: what it has not received is taken from it. */
void pool_take_leave(Pool *p, Instance *i);
/* A worker did not come to exec; @starved: for want of processes, descriptors or memory. */
void pool_on_start_failure(Pool *p, bool starved);
/* Then, when it is gone. */
void pool_on_end(Pool *p, bool asked, bool failed, uint64_t lived_usec);

/* Every worker that is there now is to be replaced, one after the other, by a new one that is ready. */
void pool_renew(Pool *p);
/* Forgets delays. */
void pool_reset(Pool *p);
/* Whether a reload from @a to @b leaves the workers as they are: pure. */
bool pool_config_keeps_workers(const ServiceConfig *a, const ServiceConfig *b);

/* The upgrade in place: all but its workers, which instances bring along. Into one that is new. 0, -EBADMSG
 * or -ENOMEM. */
void pool_save(BlobWriter *w, const Pool *p);
int pool_restore(BlobReader in, Pool *p);

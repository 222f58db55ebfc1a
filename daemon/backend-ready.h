/* SPDX-License-Identifier: MIT */
#pragma once
/* When a backend is ready that says nothing of itself (notify: none): as soon as its address accepts a
 * connection. Who is passed on to it finds that out, and tells; while nobody is, the daemon tries, again and
 * again, without ever waiting, until it is reached, has ended or is told to. Of datagrams over UDP nothing
 * tells whether somebody is there: then it is ready at once. */
#include "daemon/service.h"

/* What the next step depends on. */
typedef struct BackendFacts {
    bool starting;    /* it runs, and is not known to be ready yet */
    bool says;        /* it says itself when it is ready */
    bool can_be_seen; /* a connection tells whether it is there */
    bool tried;       /* by somebody who is passed on to it, or is about to be */
} BackendFacts;

typedef enum BackendStep {
    BACKEND_STEP_NONE,
    BACKEND_STEP_TAKE, /* it counts as ready */
    BACKEND_STEP_TRY,  /* the daemon finds out */
} BackendStep;

/* Pure. */
BackendStep backend_step_of(const BackendFacts *f);

/* Begins or ends to try, as the facts are. A part of backend_settle(). */
void backend_ready_settle(Service *s);
/* Nothing is tried any more. */
void backend_ready_forget(Service *s);
/* The process that @i passes its connection on to, when a reload has parted that from its slot; else NULL. */
Instance *backend_of_before(const Instance *i);
/* @i has reached what it passes its connection on to. @awaited: that of the slot has been waiting for it. */
void backend_ready_take(Instance *i, bool awaited);
/* Whether who comes before it is ready is held by mp-forward, and loses nothing. */
bool backend_ready_is_held_for(const ServiceConfig *config);

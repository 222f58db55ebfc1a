/* SPDX-License-Identifier: MIT */
#pragma once
/* The spares of a service, which has a place for them once it is to have some: processes of a per-connection
 * service that are set up ahead (`prespawn`), each waiting for the connection that it is to serve. One that
 * has no work yet is nobody's instance: it has no number, takes no place, is counted nowhere. What becomes of
 * one makes no difference to who connects: without a spare, or when one is gone, the connection is served in
 * the plain way. */
#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "daemon/base/list.h"
#include "daemon/ratelimit.h"

struct Service;
struct Instance;
struct Connection;

typedef struct Spares {
    List waiting; /* instances, the oldest first */
    size_t n;
    sd_event_source *refill; /* when there is nothing else to do */
    sd_event_source *retry;  /* after a failure */
    unsigned retry_level;
    Ratelimit replaced;
} Spares;

/* Ends them, and forgets them. */
void spares_done(struct Service *s);

/* How many there should be, of a service that serves or not (@serves), has room for @instances_limit
 * instances, and is configured to have @prespawn. Pure. */
size_t spares_wanted(bool serves, size_t prespawn, uint64_t instances_limit);

/* Brings their number to what the facts ask for: those that are too many end now, more are set up when there
 * is time. To be called when any fact has changed. */
void spares_update(struct Service *s);
/* What they were made of has changed: ends those that wait. */
void spares_drop(struct Service *s);

/* How many wait. */
size_t spares_count(const struct Service *s);
/* Gives @connection to the oldest one, which is from now on an instance. NULL when there is none. Takes the
 * descriptor over, and leaves -EBADF, unless it returns NULL. */
struct Instance *spares_give(struct Service *s, struct Connection *connection);
/* What is to be done when launch_settle() has found that @i is lost: another process, or spare, takes its
 * place; and that one has come to exec. */
struct FlightEnd;
void spares_on_lost(struct Instance *i, const struct FlightEnd *end);
void spares_on_started(struct Service *s);

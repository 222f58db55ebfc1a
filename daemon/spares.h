/* SPDX-License-Identifier: MIT */
#pragma once
/* The spares of a service: processes of a per-connection service that are set up ahead (`prespawn`), each
 * waiting for the connection that it is to serve. One that has no work yet is nobody's instance: it has no
 * number, takes no place, is counted nowhere. What becomes of one makes no difference to who connects:
 * without a spare, or when one is gone, the connection is served in the plain way. */
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
    size_t n_given;           /* have a connection, and have not come to exec yet: among the instances */
    sd_event_source *refill;  /* when there is nothing else to do */
    sd_event_source *retry;   /* after a failure */
    sd_event_source *overdue; /* looks after those that have a connection */
    unsigned retry_level;
    bool told; /* that they cannot be set up */
    Ratelimit replaced;
} Spares;

void spares_init(Spares *s);
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

/* Gives @connection to the oldest one, which is from now on an instance. NULL when there is none. Takes the
 * descriptor over, and leaves -EBADF, unless it returns NULL. */
struct Instance *spares_give(struct Service *s, struct Connection *connection);
/* Looks what has become of @i, and acts upon it. To be called when it has been reaped; else it is looked at
 * when its socket says so. @i may be gone after it, unless it is reaped: then it is in the table no more and
 * stays. */
void spares_settle(struct Instance *i);
/* Looks at those that were given a connection. Whether all of them have come to exec by now, or failed: those
 * that wait do not count. */
bool spares_are_settled(struct Service *s);

/* SPDX-License-Identifier: MIT */
#pragma once
/* What launch.c, launch-settle.c and spares.c share: a process that is set up ahead gets just what any other
 * gets. */
#include "daemon/flight.h"
#include "daemon/launch.h"

/* The ends of the pipes that one process writes to. */
typedef struct Pipes {
    int stderr_read, stderr_write, status_read, status_write;
} Pipes;
#define PIPES_NONE                                                                                           \
    { -EBADF, -EBADF, -EBADF, -EBADF }

void pipes_done(Pipes *p);
/* Opens what @c asks for. 0 or a negative errno. */
int pipes_open(Runtime *rt, const ServiceConfig *c, Pipes *p);

/* Where the way to a running process has failed. */
typedef struct LaunchFault {
    SpawnStep step;
    unsigned which;  /* of the sandbox: SANDBOX_WHICH() */
    char where[256]; /* the same in words; "" */
} LaunchFault;
#define LAUNCH_FAULT(s)                                                                                      \
    { .step = (s), .which = 0, .where = "" }

/* What @end of @f says of it. */
void launch_fault_of(const Flight *f, const FlightEnd *end, LaunchFault *ret);
/* It, with @error, as people read it. Returns @buf. */
const char *launch_fault_text(const LaunchFault *fault, int error, char *buf, size_t size);

/* The recipe of the service, made unless it is there. 0; or a negative errno with @fault, -EAGAIN: it is on
 * its way. */
int launch_take_recipe(Service *s, LaunchFault *fault);
/* A flight by the recipe of the service, its environment begun with what is the same for each process. 0 or a
 * negative errno; *fault says where, if it was not the step that it names. */
int launch_begin_flight(Service *s, Flight **ret, LaunchFault *fault);
/* What is the same for each process of the service. */
void launch_begin_plan(const Service *s, ChildPlan *plan);
/* The descriptors of a per-connection process, the connection @fd among them; negative: it is still to come,
 * and plan->wait is told its numbers. */
int launch_move_connection(Service *s, ChildPlan *plan, int fd, const Pipes *pipes);
/* Where its status pipe goes, once the others have their places: its number, or -EBADF without one. Or a
 * negative errno in *ret_error. */
int launch_move_status(ChildPlan *plan, const Pipes *pipes, int *ret_target);
/* The environment of instance @i, in that of its flight, for @connection (NULL: none), with its status pipe
 * as @status (-EBADF: none). 0 or a negative errno. */
int launch_set_environment(const Instance *i, const Connection *connection, int status);

/* Starts the flight of @i, in the control group that its service is to have. As flight_start(). */
int launch_start_flight(Instance *i, SpawnStep *ret_step);

/* It runs: counts it, and says so. Then its times begin. */
void launch_tell_start(Instance *i);
void launch_watch(Instance *i);
/* Its flight is over: @i if it has been started, and NULL if not; then all that @i itself needs has been
 * done.
 */
Instance *launch_conclude(Instance *i);
/* From here on it only waits to be reaped. */
void launch_set_aside(Instance *i);
/* It could not be started: counts it, and says so. */
void launch_tell_failure(Instance *i, const LaunchFault *fault, int error);

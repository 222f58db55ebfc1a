/* SPDX-License-Identifier: MIT */
#pragma once
/* What launch.c and spares.c share: a process that is set up ahead gets just what any other gets. */
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

/* The environment that is the same for each process of the service. 0 or a negative errno. */
int launch_begin_environment(Service *s);
/* What is the same for each process of the service; the environment is begun with it, too. 0 or a negative
 * errno. */
int launch_begin_plan(Service *s, ChildPlan *plan);
/* The descriptors of a per-connection process, the connection @fd among them; negative: it is still to come,
 * and plan->wait is told its numbers. */
int launch_move_connection(Service *s, ChildPlan *plan, int fd, const Pipes *pipes);
/* Where its status pipe goes, once the others have their places: its number, or -EBADF without one. Or a
 * negative errno in *ret_error. */
int launch_move_status(ChildPlan *plan, const Pipes *pipes, int *ret_target);
/* The environment of instance @i, for @connection (NULL: none), with its status pipe as @status (-EBADF:
 * none). 0 or a negative errno. */
int launch_set_environment(const Instance *i, const Connection *connection, int status);

/* It runs: counts it, and says so. Then its times begin. */
void launch_tell_start(Instance *i);
void launch_watch(Instance *i);
/* It could not be started: counts it, and says so. */
void launch_tell_failure(Instance *i, SpawnStep step, int error);

/* SPDX-License-Identifier: MIT */
#pragma once
/* Spawning: the one way by which the daemon starts a process. The caller's plan holds everything resolved;
 * what goes wrong in the child comes back as step and errno. */
#include <sys/types.h>

#include "daemon/child.h"

typedef struct Spawner Spawner;

/* A stack for children, with a guard page below. 0 or -ENOMEM. */
int spawner_new(Spawner **ret);
Spawner *spawner_free(Spawner *s); /* returns NULL */
DEFINE_CLEANUP(Spawner *, spawner_free);

/* Adds a descriptor of the child to @plan: @source (of the daemon) will be @target. -E2BIG past
 * CHILD_FDS_MAX. */
int child_plan_move_fd(ChildPlan *plan, int source, int target);

/* The step that clone(2)'s @error stands for. Pure. */
SpawnStep spawn_clone_step(int error);

/* Whether the child @pid, which has ended and is not reaped yet, has come to exec: one that is killed within
 * execve(2) looks like one that ran until then. True when it cannot be told (no /proc). */
bool spawn_came_to_exec(pid_t pid);

/* Whether @step failed with @error (an errno) for want of processes, descriptors or memory, which comes to an
 * end by itself, and is no fault of the service. Pure. */
bool spawn_is_starved(SpawnStep step, int error);

/* Starts a process by @plan. Returns 0 when the program was exec'ed; else a negative errno, and plan->step
 * says where it failed. *ret_pid is the child to be reaped, in either case when there is one, else 0. Returns
 * once the child has exec'ed or ended (vfork(2) has the same). */
int spawner_start(Spawner *s, ChildPlan *plan, pid_t *ret_pid);

/* SPDX-License-Identifier: MIT */
#pragma once
/* A spare: a process set up ahead, to the last step before exec, that waits for the connection it is to
 * serve. It runs child_main() in the daemon's memory, while the daemon goes on (clone(2), CLONE_VM without
 * CLONE_VFORK), on a stack and with a plan of its own; nothing else of the daemon's memory is read by it, so
 * that a reload need not wait. The connection comes by a socket, the environment that belongs to it by the
 * memory that both share; that socket ends with exec, or with the process, and the plan says which.
 *
 *   waits ── given a connection ─> taken ── exec ──> started
 *     │                              ├── a step fails ──> failed
 *     └── ends: killed, or a step    └── killed
 *         of its set-up failed ──> lost     └──> lost: the connection is as it was, for another to serve
 */
#include <stdbool.h>
#include <sys/types.h>

#include "daemon/base/cleanup.h"
#include "daemon/child-env.h"
#include "daemon/spawn.h"

typedef struct Spare Spare;

typedef enum SpareFate {
    SPARE_WAITS, /* or is on its way to exec */
    SPARE_STARTED,
    SPARE_FAILED, /* having taken its connection: by `step` and `error` */
    SPARE_LOST,   /* without; of an `error` there is a step that failed */
} SpareFate;

typedef struct SpareEnd {
    SpareFate fate;
    SpawnStep step;
    int error;
} SpareEnd;

/* Starts a process by @plan, whose `envp` is what is the same for each connection, and which has the numbers
 * that a connection will have; all of it is copied. Returns 0 once the process has closed what is not its
 * own, or ended (spare_look() tells); else a negative errno, and *ret_step says where it failed. *ret_pid is
 * the child to be reaped. */
int spare_start(const ChildPlan *plan, Spare **ret, pid_t *ret_pid, SpawnStep *ret_step);

/* Of the daemon's end of the socket: it becomes readable when there is something to look at. */
int spare_fd(const Spare *s);
SpareEnd spare_look(Spare *s);

/* Gives it the connection @fd, which stays the caller's, and the environment in @env, begun with what the
 * plan had. Once only. 0, or a negative errno: then it cannot be used any more. */
int spare_give(Spare *s, int fd, const EnvBuilder *env);

/* Ends it, without a word, if it still waits, and gives its memory back. Its end is the caller's to reap.
 * Returns NULL; NULL is fine. */
Spare *spare_free(Spare *s);
DEFINE_CLEANUP(Spare *, spare_free);

/* SPDX-License-Identifier: MIT */
#pragma once
/* The child between fork and exec: one fixed list of steps over data that was worked out before. It runs in
 * memory shared with the daemon (clone(2), CLONE_VM) until exec, so it calls nothing of libc, touches no
 * errno and takes no lock: system calls only, made in assembly. How far it got stands in its plan. */
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "conf/config.h"
#include "daemon/base/strtab.h"

struct SandboxPlan;

/* As they are told and counted, in about the order in which they are taken; some are taken in several parts:
 * steps[] in child.c. */
typedef enum SpawnStep {
    STEP_LIMIT, /* fork itself: a limit of processes or memory */
    STEP_FORK,
    STEP_FDS,
    STEP_SESSION,
    STEP_RLIMITS,
    STEP_PRIORITY,
    STEP_CGROUP,
    STEP_NAMESPACES,
    STEP_ROOT_DIRECTORY,
    STEP_WORKING_DIRECTORY,
    STEP_GROUPS,
    STEP_USER,
    STEP_SANDBOX,
    STEP_EXEC,
    _STEP_MAX,
} SpawnStep;
DECLARE_STRTAB(spawn_step, SpawnStep);

/* One descriptor of the child: @source of the daemon becomes @target. */
typedef struct FdMove {
    int source;
    int target;
} FdMove;

/* 0 to 2, LISTEN_FDS' and the status pipe. */
#define CHILD_FDS_MAX 256

/* A child that has not come to exec by then is killed. */
#define CHILD_SECONDS_MAX 5

/* The most numbers that one connection has: 0, 1 and 2. */
#define CONNECTION_FDS_MAX 3

/* Of a spare: what it needs to wait, before exec, for the connection that it is to serve. That comes by its
 * tether. */
typedef struct ChildWait {
    int connection[CONNECTION_FDS_MAX]; /* what the connection becomes, free until then, lowest first */
    size_t n_connection;                /* 0: it is no spare */
    volatile bool taken; /* written by the child: it has the connection, and is on its way to exec */
} ChildWait;

/* Of one that is isolated by more than no_new_privileges: daemon/sandbox.h. The numbers are descriptors of
 * its own, like the tether; -EBADF: none. */
typedef struct ChildSandbox {
    const struct SandboxPlan *plan; /* NULL: it is not */
    int user_fd, network_fd, init_fd;
    char *stack;        /* the top of one for those that it clones itself */
    volatile int inner; /* one of them runs in the daemon's memory: cleared by the kernel when it has left */
    volatile unsigned which; /* written by the child: what of it has failed, SANDBOX_WHICH() */
} ChildSandbox;

typedef struct ChildPlan {
    /* What is the same for each process of a service. */
    const char *program;
    char *const *argv;
    char **envp;
    char *listen_pid; /* where in envp the digits of LISTEN_PID go, room for 11 bytes; NULL: none */
    const char *root_directory, *working_directory; /* NULL: stay */
    bool change_ids;
    uid_t uid;
    gid_t gid;
    const gid_t *groups;
    size_t n_groups;
    bool set_umask;
    mode_t umask;
    const ResourceConfig *resources;
    bool restore_nofile; /* the daemon has changed it: to what it was */
    rlim_t nofile, nofile_hard;
    bool restore_core; /* the same */
    rlim_t core, core_hard;
    bool no_new_privileges;
    bool seclude; /* a change of ids would open its memory: it closes it again, and hears no signal till then
                   */
    bool own_memory;        /* it shares none with the daemon */
    bool drop_capabilities; /* the daemon has ambient or inheritable ones, and the process is not root's */
    rlim_t processes;       /* the soft limit that it is to have, lowered while it is made; 0: as it is */
    pid_t parent;           /* the daemon: the child is to end, by TERM, when that does; 0: it lives on */
    /* What is of this process. */
    bool guarded;      /* the daemon waits for exec: a timer ends it if it does not come that far */
    bool shares_files; /* the table of descriptors is the daemon's until it has taken one of its own, which
                          goes up to `highest` */
    int highest;
    int tether; /* the number of a descriptor of its own, one of the moves, that ends with exec; -EBADF: none
                 */
    int first_closed; /* every descriptor from here on is closed */
    int cgroup; /* the folder of the control group that it goes to by itself; -EBADF: none, or it is there
                   from birth */
    ChildWait wait;
    ChildSandbox sandbox;
    /* Written by the child. */
    volatile bool has_own_files;
    volatile bool apart; /* it has no descriptor of the daemon's any more but what it is to have */
    volatile SpawnStep step;
    volatile int error; /* errno of `step`, or 0 */
    /* Done in order; sources that a target would overwrite are first brought above all targets. */
    size_t n_moves;
    FdMove moves[CHILD_FDS_MAX];
} ChildPlan;

/* Whether it is one that waits for its connection. Pure. */
static inline bool child_plan_waits(const ChildPlan *p) {
    return p->wait.n_connection > 0;
}

/* The function for clone(2): takes the steps on the ChildPlan @plan and execs, or ends the child with its
 * step and errno in the plan. Never returns. */
int child_main(void *plan);

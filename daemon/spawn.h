/* SPDX-License-Identifier: MIT */
#pragma once
/* Spawning: what all processes on their way to exec (flight.h) have in common: by which flags of clone(2)
 * they are made, how many of them there may be at once, and the memory that they go through. */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/base/list.h"
#include "daemon/child.h"

/* So many may be on their way at once: all, and those of one service, so that one whose program hangs
 * (faults of a file system) does not keep out all others. A service whose processes have taken up its share
 * waits until half of that is free, so that it is not let in and kept out with each of them. */
#define FLIGHTS_MAX 64
#define FLIGHTS_OF_SERVICE_MAX 16
#define FLIGHTS_OF_SERVICE_AGAIN 8

/* How a process is made. */
typedef enum SpawnMode {
    SPAWN_SHARED, /* in the daemon's memory, while the daemon goes on */
    SPAWN_FILES,  /* the same, with its table of descriptors, too, until it has one of its own */
    SPAWN_VFORK,  /* the daemon waits until it has come to exec: where the others cannot be had, or a tool
                     looks  on that does not know them */
    _SPAWN_MODE_MAX,
} SpawnMode;
DECLARE_STRTAB(spawn_mode, SpawnMode); /* "shared" */

typedef struct Spawner {
    SpawnMode mode;
    bool has_many_files; /* the table of descriptors is so big that to copy it costs more than to share it */
    bool can_share;      /* the kernel knows how to part from it */
    bool enters_by_itself; /* a process cannot be made in a control group: it goes there */
    uint64_t n_started;
    bool is_limited; /* the kernel holds the daemon to its user's limit of processes */
    bool at_root;    /* its working directory is `/` */
    uid_t uid;       /* what a process is without a change of user */
    gid_t gid;
    bool has_one_id; /* real, effective and saved ones are the same */
    gid_t *groups;   /* its supplementary groups; owned */
    size_t n_groups;
    List flying; /* flights, the oldest first */
    List ahead;  /* those that wait for a connection */
    size_t n_flying;
    List free; /* memory of flights that are over, for the next ones */
    size_t n_free;
    List left;            /* of such as nobody cares for any more, and that may still run in it */
    uint64_t looked_usec; /* when it was last looked what has become of them */
    List waiting;         /* services that wait until one of theirs, or of all, has come to exec */
} Spawner;

/* @env is the daemon's own environment: MPINETD_SPAWN chooses the mode. 0 or -ENOMEM. */
int spawner_new(char *const *env, Spawner **ret);
/* All flights have been freed before. What one of them still runs in stays. Returns NULL; NULL is fine. */
Spawner *spawner_free(Spawner *s);
DEFINE_CLEANUP(Spawner *, spawner_free);

/* The mode for a daemon of the environment @env; @sanitized: built with a sanitizer. Pure. */
SpawnMode spawn_mode_for(char *const *env, bool sanitized);

/* What MPINETD_SPAWN says in @env, where it names no mode; else NULL. Pure. */
const char *spawn_mode_unknown(char *const *env);

/* Whether the next process for a connection is to share the table of descriptors at first; to be asked for
 * each one. */
bool spawner_shares_files(Spawner *s);

/* Whether a process that is to have these ids and groups has them already. Of the groups, its own one makes
 * no difference. */
bool spawner_has_ids(const Spawner *s, uid_t uid, gid_t gid, const gid_t *groups, size_t n_groups);

/* Adds a descriptor of the child to @plan: @source (of the daemon) will be @target. -E2BIG past
 * CHILD_FDS_MAX. */
int child_plan_move_fd(ChildPlan *plan, int source, int target);

/* The step that clone(2)'s @error stands for; @into_cgroup: of a process that was to begin in a control
 * group. Pure. */
SpawnStep spawn_clone_step(int error, bool into_cgroup);

/* Whether the child @pid, which has ended and is not reaped yet, has come to exec: one that is killed within
 * execve(2) looks like one that ran until then. True when it cannot be told (no /proc). */
bool spawn_came_to_exec(pid_t pid);

/* The parent of @pid; 0: there is none, or it cannot be told. */
pid_t spawn_parent_of(pid_t pid);

/* Of @outer, which stands outside of a process namespace: the service's process inside, as the daemon sees
 * it; else, or when that cannot be told, @outer itself. */
pid_t spawn_program_of(pid_t outer);

/* Whether @step failed with @error (an errno) for want of processes, descriptors or memory, which comes to an
 * end by itself, and is no fault of the service. Pure. */
bool spawn_is_starved(SpawnStep step, int error);

/* SPDX-License-Identifier: MIT */
#pragma once
/* A flight: a process between clone(2) and exec, and the memory that it goes through there: a stack, its
 * plan, its environment. It runs child_main() in the daemon's memory while the daemon goes on, and reads
 * nothing of it but what is its own, and what its recipe keeps. The kernel clears a word when it has left
 * that memory, by exec or by its end; the plan says which.
 *
 * A spare is a flight that is set up ahead: it waits for the connection that it is to serve, which comes over
 * a socket, with the environment that belongs to it in the memory that both share.
 *
 *   under way ── exec ──> started
 *     ├── a step fails ──> failed
 *     └── killed ──> lost: of a spare that has not taken its connection that is as it was, for another
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/list.h"
#include "daemon/discard.h"
#include "daemon/recipe.h"
#include "daemon/spawn.h"

/* Pipes. */
#define FLIGHT_KEPT_MAX 2

typedef enum FlightFate {
    FLIGHT_UNDER_WAY, /* or waiting for its connection */
    FLIGHT_STARTED,
    FLIGHT_FAILED, /* by `step` and `error` */
    FLIGHT_LOST,   /* killed at `step`; or a spare without its connection: of an `error` there is a step that
                      failed */
} FlightFate;

typedef struct FlightEnd {
    FlightFate fate;
    SpawnStep step;
    int error;
    unsigned which; /* of the sandbox: SANDBOX_WHICH() */
} FlightEnd;

typedef struct Flight {
    List link; /* among the spawner's */
    Spawner *spawner;
    Recipe *recipe; /* a reference */
    ChildPlan *plan;
    EnvBuilder *env;      /* to be filled before flight_start(), of a spare before flight_give() */
    void *owner;          /* for whoever made it */
    pid_t pid;            /* 0: not started */
    uint64_t began_usec;  /* monotonic; of a spare since it was given its connection */
    bool may_share_files; /* what its plan takes of the daemon's descriptors stays open until it has its own:
                             what does not is handed to flight_keep() */
    bool given;           /* of a spare */
    bool counted;         /* it is among those that are on their way */
    bool overdue;  /* it was killed because it did not come to exec, or reaped while others were aboard */
    bool unparted; /* that it has descriptors of its own was waited for in vain */
    bool ended;    /* it runs in our memory no more */
    int tether;    /* our end of what ends with exec; -EBADF: none */
    int cgroup;    /* the folder of the control group that it is to be in, until it is started: the caller's;
                      -EBADF: the daemon's own */
    _Atomic int *aboard; /* cleared when it has left our memory; NULL: it has memory of its own */
    int kept[FLIGHT_KEPT_MAX];
    size_t n_kept;
    int connection; /* the same of what it serves; -EBADF: none */
    char *memory;
    size_t size;
} Flight;

/* Memory for a process by @recipe; the plan is empty, the environment begun. 0 or -ENOMEM. */
int flight_new(Spawner *s, Recipe *recipe, Flight **ret);
/* Starts it by its plan; with numbers for a connection there it is a spare. 0, or a negative errno, and
 * *ret_step says where it failed: then there is no process, and it can be tried again. */
int flight_start(Flight *f, SpawnStep *ret_step);
/* Takes over @fd, to be closed when the process has descriptors of its own: now, unless it shares ours. */
void flight_keep(Flight *f, int fd);
/* The same of what it serves. When it has come to exec by now, or failed, its copy may be closed already:
 * then the daemon's may be the last one, see discard.h. */
void flight_keep_connection(Flight *f, int fd, Discard *discard);
/* Closes what may be closed by now; of a process that has failed it is given up to @discard. */
void flight_let_go(Flight *f, Discard *discard);
/* Gives a spare the connection @fd, which stays the caller's, with the environment that f->env has. Once
 * only. 0, or a negative errno: then it cannot be used any more. */
int flight_give(Flight *f, int fd);

/* Whether it runs in our memory no more. */
bool flight_has_ended(Flight *f);
/* Its process has been reaped, and with that it has ended: also where others that it has made still have its
 * end of the tether for a moment. Those that run in the daemon's memory are waited for, some milliseconds at
 * most; then it has failed. */
void flight_on_reaped(Flight *f);
FlightEnd flight_look(Flight *f);
/* The same, once it has ended, or @usec have passed; whether it has ended. */
bool flight_wait(Flight *f, uint64_t usec);
/* Ends one that does not come to exec; from now on it has failed. */
void flight_end_overdue(Flight *f);

/* Forgets it, and gives its memory back, now or when it has left it. A spare that waits is ended. The process
 * is the caller's to reap. Returns NULL; NULL is fine. */
Flight *flight_free(Flight *f);
DEFINE_CLEANUP(Flight *, flight_free);
/* For the spawner: gives back the memory of one that is over. */
void flight_unmap(Flight *f);

/* Whether none has a descriptor any more that is not its own; they are not asked about that are frozen. NULL
 * is fine. */
bool flights_are_apart(Spawner *s);
/* Waits, not for long, until none has a descriptor any more that is not its own: what is closed next is then
 * closed. NULL is fine. */
void flights_part(Spawner *s);
/* They get @usec more until they are overdue. */
void flights_postpone(Spawner *s, uint64_t usec, uint64_t now_usec);
/* How long, in microseconds, may be waited until it is looked what has become of them; UINT64_MAX: none is
 * under way. @often: it is looked often without that. */
uint64_t flights_patience(const Spawner *s, bool often, uint64_t now_usec);

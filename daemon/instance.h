/* SPDX-License-Identifier: MIT */
#pragma once
/* An instance: one process of a service, from its start to its death, with the pipes that the daemon reads of
 * it. A slot is held until the process is reaped; the pipes may live longer, when others hold them. */
#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <systemd/sd-event.h>

#include "ctl/proto/api.h"
#include "daemon/base/blob.h"
#include "daemon/base/list.h"
#include "daemon/base/strtab.h"
#include "daemon/notify-socket.h"
#include "daemon/peer.h"
#include "daemon/pipe-reader.h"
#include "daemon/report.h"

struct Service;
struct Slot;
struct Runtime;
struct Worker;
struct Flight;
struct Connection;
struct Source;
struct IdleConnection;
struct Flow;

typedef enum InstanceState {
    INSTANCE_RUNNING,
    INSTANCE_STARTING,     /* runs, but has not said yet that it is ready (`notify`) */
    INSTANCE_STOPPING,     /* told to end */
    INSTANCE_SPAWN_FAILED, /* never came to exec, or never had work; waits to be reaped */
    INSTANCE_SPARE,        /* set up ahead, without work: not among its service's instances, no number yet */
    INSTANCE_GHOST,        /* reaped; somebody else still writes to its stderr pipe */
} InstanceState;

/* What it is to its service. */
typedef enum InstanceRole {
    ROLE_SERVICE, /* its program */
    ROLE_FORWARD, /* mp-forward, which passes on a connection, or datagrams */
    ROLE_BACKEND, /* the program that they are passed on to */
} InstanceRole;

/* Which of `timeouts` ended it. */
typedef enum InstanceTimeout {
    TIMEOUT_NONE,
    TIMEOUT_START,
    TIMEOUT_IDLE,
    TIMEOUT_LIFETIME,
    TIMEOUT_WATCHDOG,
    _INSTANCE_TIMEOUT_MAX,
} InstanceTimeout;
DECLARE_STRTAB(instance_timeout, InstanceTimeout); /* "timeouts.start"; NULL of none */

/* What its timers are for. */
typedef enum InstanceTimer {
    TIMER_NONE,
    TIMER_LIFETIME,
    TIMER_KILL, /* the time from TERM to KILL is over */
} InstanceTimer;
typedef enum InstanceWatch {
    WATCH_NONE,
    WATCH_START,  /* it is not ready in time */
    WATCH_CLOSED, /* it has closed its status pipe, and cannot say any more that it is */
    WATCH_ALIVE,  /* the watchdog */
} InstanceWatch;

typedef struct Instance {
    struct Runtime *rt;
    List link; /* in its service, among the instances or the ghosts */
    struct Instance *next_in_table;
    struct Service *service;
    struct Slot *slot;     /* on-demand: the one it serves; NULL once a reload has taken that away */
    struct Worker *worker; /* of a pool: owned */
    uint64_t number, generation;
    pid_t pid;
    InstanceRole role;
    InstanceState state;
    InstanceTimeout timed_out;
    bool stray;       /* a reload has taken its slot or pool away; it still has the listeners */
    bool asked;       /* stop, drain, reload or shutdown ended it */
    bool only_told;   /* TERM it got, KILL does not follow */
    bool before_exec; /* it was killed before its program ran */
    bool unready;     /* has not said yet that it is ready, and should; also while it is being ended */
    bool told_ready;
    bool answered;       /* forward: it has reached the backend */
    bool waits;          /* forward: counted as one that has not */
    bool counts_traffic; /* with a connection over TCP, where its traffic is wanted */
    bool untold;         /* restored: that it has been started is still to be told */
    bool own_pids;       /* it is in a process namespace of its own, behind mp-init */
    bool limits_due;     /* its control group has still to get the limits as they are now */
    uid_t uid;           /* whose it is; both as it was started */
    uint64_t retired_at; /* backend: it serves those up to this number only; 0: all */
    Peer peer;
    uint32_t ledger_place; /* 0: none */
    gid_t *groups;         /* a UNIX peer's, where rules of access wanted to know; owned */
    size_t n_groups;
    struct Source *source;                        /* held for its peer until it is reaped; NULL: none */
    uint64_t started_usec, started_realtime_usec; /* monotonic, since 1970 */
    sd_event_source *timer, *watch;
    InstanceTimer timer_is;
    InstanceWatch watch_is;
    uint64_t alive_usec; /* when it last said WATCHDOG=1, or was ready */
    uint64_t quiet_usec; /* since when it has had ACTIVE=0; 0: it has not */
    PipeReader *stderr_pipe, *status_pipe;
    NotifySocket *notify;          /* with notify: sd_notify */
    Report *report;                /* with a status pipe or a notify socket only */
    struct Flight *flight;         /* until it has come to exec */
    struct Connection *connection; /* meanwhile, of one that was set up ahead: what it was given to serve */
    struct IdleConnection *idle;   /* with a connection over TCP, and timeouts.idle */
    struct Flow *flow;             /* of one that counts its traffic, unless the kernel does not tell */
    int status_number;             /* then: which descriptor its status pipe is; negative: none */
    uint64_t born_usec;            /* CLOCK_BOOTTIME, just before it was made */
    uint64_t group;                /* what its own control group is called; 0: it has none */
    uint64_t
        out_of_memory; /* it was killed for want of memory: the limit, UINT64_MAX: another's; 0: it was not */
    sd_event_source *adopted; /* of an earlier daemon: on its pidfd, which it owns; NULL: a child of ours */
} Instance;

/* How many of the newest are known. */
#define INSTANCES_NEWEST 16

/* All instances by pid. Starts as {0}. */
typedef struct InstanceTable {
    Instance **buckets;
    size_t n_buckets, n;
    pid_t newest[INSTANCES_NEWEST]; /* that were added last; some are gone */
    size_t n_added;
} InstanceTable;

int instance_table_add(InstanceTable *t, Instance *i); /* 0 or -ENOMEM */
/* Sees to it that the next one can be added. 0 or -ENOMEM. */
int instance_table_reserve(InstanceTable *t);
Instance *instance_table_find(const InstanceTable *t, pid_t pid);
void instance_table_remove(InstanceTable *t, Instance *i);
/* The pids of those that were added last and are still there. Returns how many. */
size_t instance_table_newest(const InstanceTable *t, pid_t ret[static INSTANCES_NEWEST]);
void instance_table_done(InstanceTable *t);

/* A new one with a number of its own; not in the table or a service yet. NULL when memory runs out. */
Instance *instance_new(struct Runtime *rt, struct Service *service, const Peer *peer);
/* The same for one without work: INSTANCE_SPARE, and no number. */
Instance *instance_new_spare(struct Runtime *rt, struct Service *service);
/* Work has come: it gets its number, and its time begins. */
void instance_begin(Instance *i, const Peer *peer);
/* Frees it, closing its pipes. Returns NULL. */
Instance *instance_free(Instance *i);
/* After it was reaped: frees it, unless others hold its stderr pipe; then it stays, among @ghosts, until they
 * let go. */
void instance_bury(Instance *i, List *ghosts);

/* By whom, and behind what, it is started: as the config says now. A reload changes nothing of it. */
void instance_know_config(Instance *i);
/* Opens a socket of its own for notify: sd_notify. 0 or a negative errno. */
int instance_open_notify(Instance *i);
/* Begins to read @stderr_fd and @status_fd (negative: there is none), both taken over. 0 or a negative errno.
 */
int instance_read_pipes(Instance *i, int stderr_fd, int status_fd);
/* Reads what its pipes hold now; what it says of itself alone. */
void instance_drain_pipes(Instance *i);
void instance_drain_reports(Instance *i);
/* The upgrade in place: of its pipes, its notify socket and its report. */
void instance_save_pipes(BlobWriter *w, const Instance *i);
int instance_restore_pipes(BlobReader in, Instance *i);

/* Ends it: TERM to the process, KILL to its process group @stop_usec later. Again: nothing. */
void instance_stop(Instance *i, uint64_t stop_usec);
/* Asks it to end, by TERM, and leaves it at that. */
void instance_tell(Instance *i);
/* Sends @signal to the process; KILL to its process group. 0 or a negative errno. */
int instance_signal(Instance *i, int signal);
/* KILL to its process group, now. */
void instance_kill(Instance *i);
/* Ends it, with result `timeout`, after @lifetime_usec from its start. */
int instance_limit_lifetime(Instance *i, uint64_t lifetime_usec);

/* To be called once it runs: waits for it to be ready as its service's `notify` says, at most for
 * timeouts.start, or begins to watch over it at once (timeouts.watchdog). 0 or a negative errno. */
int instance_watch(Instance *i);
/* The same whatever `notify` is: something else will tell that it is ready. */
int instance_await(Instance *i);
/* It has said that it is ready: from now on it is watched over. Nothing unless it was starting. */
void instance_set_ready(Instance *i);
/* It has given a sign of life. */
void instance_set_alive(Instance *i);
/* It asks to be treated as if it had been silent for too long. Nothing without a watchdog. */
void instance_trigger_watchdog(Instance *i);
/* It has closed its status pipe. Where that is how it would say that it is ready, it has failed. */
void instance_cannot_be_ready(Instance *i);
/* Sets a timer, instead of what it was for before. @at_usec is CLOCK_MONOTONIC. 0 or a negative errno. */
int instance_set_timer(Instance *i, InstanceTimer what, uint64_t at_usec);
int instance_set_watch(Instance *i, InstanceWatch what, uint64_t at_usec);
/* It has no part in watching any more: it ends, or says that it does. */
void instance_unwatch(Instance *i);
/* Whether it came to nothing, in the sense of restart and back-off: @result is how it ended. Pure. */
bool instance_has_failed(const Instance *i, ExitResult result);
/* Ends it because one of `timeouts` is over. */
void instance_time_out(Instance *i, InstanceTimeout which);

/* How it ended, from wait(2)'s @status and what was asked of it. Pure. */
ExitResult exit_classify(int status, bool asked, bool timed_out);
/* Its own event, with service, numbers and peer filled in; @peer_buf must live as long as the event. */
ApiEvent instance_event(const Instance *i, LogLevel level, const char *event,
                        char peer_buf[static PEER_TEXT_MAX]);

/* The upgrade in place (handover.h). Of a ghost, and of one that waits to be reaped, as of all others. */
void instance_save(BlobWriter *w, const Instance *i);
/* It is put in the table, unless it was reaped, and on the list of @s that it was on, of the instances or the
 * ghosts. What follows from it is no part of the service's own fields: it is the process of its slot or pool,
 * holds its source, and is counted in n_instances, n_starting, n_strays, and in n_processes and n_waiting of
 * the backend. Listeners, slots and pool of @s are there by then, and the sources of @rt. 0, -EBADMSG (the
 * blob is spoilt) or -ENOMEM. */
int instance_restore(BlobReader in, struct Runtime *rt, struct Service *s, Instance **ret);
/* For good: does what was left to be done when it was saved. Before it is reaped. */
void instance_resume(Instance *i);

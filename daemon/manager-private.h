/* SPDX-License-Identifier: MIT */
#pragma once
/* What the manager's files share: one noun, in manager.c and manager-*.c. */
#include "daemon/alarm.h"
#include "daemon/config-child.h"
#include "daemon/control.h"
#include "daemon/helper.h"
#include "daemon/manager.h"
#include "daemon/proof.h"

typedef enum ManagerState {
    MANAGER_STARTING,
    MANAGER_RUNNING,
    MANAGER_STOPPING,
} ManagerState;

/* An upgrade in place, from when it was asked for. */
typedef struct ManagerUpgrade {
    bool running, proven;
    uint64_t generation; /* that was proven */
    unsigned n_proofs;
    char *version;  /* the new program's */
    ProofFile file; /* and what it was */
    Helper *helper;
    sd_event_source *look; /* goes on with it, in a turn of its own or a little later */
    uint64_t began_usec, settle_usec, paused_usec; /* monotonic; settle_usec 0: not begun */
} ManagerUpgrade;

/* What has come of a load, and is to be told. */
typedef struct LoadOutcome {
    int error;
    const char *why; /* as in LoadReport; borrowed, and gone where it is not told at once */
    DiagList diags;
    Changes changes;
    PlanItems plan;
} LoadOutcome;

/* A reload, or the question what one would do: the config is loaded away from the loop, and what follows is
 * done in the turn in which it is there. Whoever asks meanwhile gets one load more, together with all others.
 *
 *   idle ── asked ──> loading ── the config is there, or cannot be had ──> idle
 *                        └──────── asked meanwhile: once more ──────────> loading
 *
 * Where processes that run get new limits, which is done in turns of the loop (cgroup-spread.h), it is
 * loading until they have them. */
typedef struct ManagerLoad {
    struct Manager *manager;
    bool applies;
    bool loading;
    bool put_off;          /* it is done, and is told when all have their limits */
    uint64_t begun, asked; /* the number of the newest load that was begun; and of the newest asked for */
    Comparison comparison; /* with the config in force, of the one that has been loaded */
    size_t n_touched;      /* services whose memory is this process's own */
    LoadOutcome outcome;   /* from when it is done until it is told */
} ManagerLoad;

struct Manager {
    Runtime rt;
    const Options *options;
    LoadContext load;
    Helpers helpers;
    ConfigLoads *loads;
    ConfigLoads *looks[2]; /* the resolver's: a reload does not wait for what services lack */
    ManagerLoad reload, check;
    Config *config;
    uint64_t generation;
    ServiceSet services;
    Control *control;
    ManagerState state;
    uint64_t started_usec;
    struct {
        bool ok;
        char *error;
        uint64_t time_usec, success_usec;
    } last_reload;
    uint64_t strangers;   /* children reaped that were not ours */
    uint64_t reaped_usec; /* when all children were last looked through, CLOCK_MONOTONIC */
    bool reap_again;      /* others may have ended since */
    bool told_cpu_limit;
    int state_fd; /* for the next daemon: the service manager has not taken it yet; -EBADF: it has */
    Alarm alarm;  /* for what is due though nothing happens */
    sd_event_source *drain_timer, *suppressed_timer;
    sd_event_source *sweep; /* takes ended services of earlier generations away, in a turn of its own */
    int exit_status;
    ManagerUpgrade upgrade;
    /* Of the program before, when this one has taken over from it. */
    struct {
        char *version; /* NULL: it was started as usual */
        char *program; /* the path at which the next one is looked for */
    } restored;
};

/* One with nothing in it but what the command line says. NULL when memory runs out. */
Manager *manager_alloc(const Options *options, const LoadContext *load);
/* The loop, the tables, the log, for the config that it has. 0 or a negative errno. */
int manager_init_runtime(Manager *m, Logger *logger);
/* From here on signals come by the loop. 0 or a negative errno. */
int manager_add_signals(Manager *m);
/* The loop, until it is told to end or is of no use any more. Returns the exit status of the daemon. */
int manager_serve(Manager *m);
/* Takes the ends of all children that have ended. */
void manager_reap(Manager *m);
/* The same when SIGCHLD has come, if there are not too many to be looked through; else of those alone that
 * are likely, and of the rest soon. */
struct signalfd_siginfo;
void manager_on_child(Manager *m, const struct signalfd_siginfo *si);
/* When manager_reap() is to be called for the rest, CLOCK_MONOTONIC; USEC_INFINITY: there is none. */
uint64_t manager_reap_due(const Manager *m);
/* The whole blob. 0, or a negative errno of blob_end(). */
int manager_save(BlobWriter *w, const Manager *m);
/* What is under way comes to nothing, since the daemon ends. */
void manager_cancel_upgrade(Manager *m);
/* A reload is over, or something else for which an upgrade may have waited. */
void manager_go_on_upgrading(Manager *m);
/* The program before has been replaced by this one: tells, and answers who has asked for it. */
void manager_tell_upgraded(Manager *m);

/* Level, format and addresses as the config has them, unless the command line says otherwise. */
void manager_apply_log_config(Manager *m);
/* The loads under way are forgotten; who has asked is told that the daemon is stopping. */
void manager_forget_loads(Manager *m);
/* Where the control socket of a daemon with @config is: by -s, by @config, or the usual place, which is
 * stored in @ret_standard, for the caller to free. NULL: there is none, or no memory. */
const char *manager_socket_path(const Manager *m, const Config *config, char **ret_standard);
/* Something has settled: tells of a reload that was put off until then. */
void manager_tell_put_off(Manager *m);
/* Those under which nothing is to change, the only ones that are under way: who has asked is told that an
 * upgrade came in between, and nobody goes on reading for him. */
void manager_forget_checks(Manager *m);
/* Whether a reload is under way: an upgrade waits for it. */
bool manager_is_reloading(const Manager *m);
/* Begins the reload that was held back for an upgrade, which is over: by us, or by the program before us. */
void manager_go_on_loading(Manager *m);
/* The service manager: looks whether there is one (0 or -ENOMEM); gives the services what it has passed in or
 * kept, sockets and processes; has it keep the listeners that have been opened since, and at the end what the
 * next daemon is to know; tells that we are ready, and from then on that the loop turns; that a reload
 * begins, and has ended (however); the status line. */
int manager_meet_supervisor(Manager *m);
void manager_adopt_sockets(Manager *m);
void manager_keep_listeners(Manager *m);
void manager_resume_supervisor(
    Manager *m); /* after an upgrade in place, instead of the sockets and processes */
void manager_leave_state(Manager *m);
void manager_tell_ready(Manager *m);
void manager_tell_reloading(Manager *m);
void manager_tell_reloaded(Manager *m);
void manager_notify_status(const Manager *m);
/* Ends the loop when it is to stop and no process is left. */
void manager_finish_if_empty(Manager *m);
/* Told twice to stop: KILL to all, and exit status 1. */
void manager_kill_all(Manager *m);

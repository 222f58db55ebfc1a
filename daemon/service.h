/* SPDX-License-Identifier: MIT */
#pragma once
/* A service at run time: its listeners, its instances, its counters and its state. It outlives reloads under
 * its name; what is configured comes and goes with the generations. service.c writes these fields, with
 * slot.c (on-demand), serve.c (per-connection) and launch.c; others read them. */
#include "conf/config.h"
#include "daemon/backoff.h"
#include "daemon/gate.h"
#include "daemon/history.h"
#include "daemon/instance.h"
#include "daemon/listener.h"
#include "daemon/passed.h"
#include "daemon/plan.h"
#include "daemon/prelude.h"
#include "daemon/runtime.h"
#include "daemon/service-state.h"
#include "daemon/spares.h"

/* On-demand: listeners that share one process. */
typedef struct Slot {
    struct Service *service;
    size_t index;
    Instance *instance;
    Backoff backoff;
    bool delayed;         /* a start is being held back */
    bool start_by_itself; /* when the delay is over, without traffic */
    bool again;           /* at once when its process has ended: restart */
    bool start_failed;    /* the newest start did */
    unsigned starved;     /* so often in a row for want of processes, descriptors or memory, about */
    bool held;            /* a start without traffic waits for room, or until it is prepared */
    bool busy;            /* while it drains: something waited when it was last looked at */
    unsigned told;        /* then: how many processes have been asked to end */
    struct Idle *idle;    /* while its process runs, with timeouts.idle */
    bool told_blind;      /* that this cannot hold has been told */
    sd_event_source *timer;
} Slot;

/* The backend of a forward's own; see backend.h, whose this is. */
typedef struct BackendState {
    Slot *slot;           /* the last of the service's; NULL: it has none */
    uint64_t n_processes; /* also those that are on their way out */
    uint64_t n_flying;    /* so many of them have not come to exec yet */
    uint32_t n_waiting;   /* so many that are passed on have not been answered by it yet */
    bool waking;          /* somebody is just being let in */
    bool stale;           /* its process is of another config: it goes when nobody is there */
    bool replaced;        /* during a reload: its process does not serve for the new config */
    sd_event_source *idle;
    struct BackendTries *tries; /* while the daemon finds out whether it is ready */
} BackendState;

typedef struct Service {
    Runtime *rt;
    const char *name; /* its config's */
    uint32_t id;      /* in the tables of sources and bans: never used twice, and not 0 */
    ServiceState state;
    ServiceOrder order;
    uid_t order_uid;  /* whose it was */
    ServiceVerb verb; /* the newest that was asked for */
    bool has_stated;  /* its state has been told once */
    bool removed;
    bool told_blind; /* that what `passed` is for cannot be known has been told */
    bool probing;    /* until one has come to exec they are started one after the other: the newest that ended
                        before failed for want of processes, descriptors or memory */
    bool starved; /* the newest process could not be started for want of processes, descriptors or memory */
    bool told_idle_blind;      /* that timeouts.idle cannot hold has been told */
    bool lets_in;              /* somebody may be let in, as far as it alone knows */
    bool spares_told;          /* that spares cannot be set up has been told */
    Config *generation_config; /* holds `config` alive */
    ServiceConfig *config;
    const LimitsConfig *limits; /* the config's, or its own */
    LimitsConfig *own_limits;   /* as Set has changed them until the next reload; NULL: it has not */
    uint64_t generation;
    uint64_t since_usec; /* since 1970 */
    uint64_t order_usec; /* since 1970 */
    uint64_t n_orders;   /* so many, so that an overtaken one shows */
    uint64_t watermark;  /* restart: instances up to this number are to end */
    uint64_t n_old;      /* so many of them are left */
    sd_event_source *drain_timer;
    Listener **listeners;
    size_t n_listeners;
    List leaving; /* listeners that reloads have taken from it, until what waits there has been served */
    sd_event_source *leave_timer;
    unsigned drain_looks;
    unsigned retry_level;
    unsigned leave_looks; /* at what strays still have to serve, of which so many in a row */
    unsigned leave_empty; /* have found nothing */
    Slot *slots;          /* on-demand only */
    size_t n_slots;
    struct Pool *pool; /* pool only */
    Passed *passed; /* what its workers have been passed, where limits.per_source wants to know; NULL: none */
    List instances, ghosts;
    List endings;         /* of instances that have ended, whose traffic is still to be told */
    Spares *spares;       /* NULL: it has never had any */
    uint64_t n_instances; /* without processes of the backend */
    BackendState backend;
    Gate gate;
    Preludes *preludes;  /* NULL: it has never had any */
    uint64_t n_flying;   /* so many of n_instances have not come to exec yet */
    size_t n_flights;    /* so many places among those that are on their way its processes have */
    List flights_link;   /* among the services that wait for one */
    uint64_t n_starting; /* so many of them have not said yet that they are ready, and should */
    uint64_t n_strays;   /* processes that a reload has parted from their slot or pool: they still have the
                            listeners */
    History *history;    /* NULL: nothing has happened to it */
    char *status;        /* the newest STATUS= text */
    struct ServiceCgroup *cgroup; /* NULL: it has none */
    struct Recipe *recipe;        /* built with the first process of a generation; NULL: not yet */
    EventRing ring;               /* what happened */
    sd_event_source *retry;       /* opens what is closed, has what is missing looked up */
    List look_link;               /* with the resolver, while that is looked up */
    bool look_alone;              /* and then by itself */
} Service;

/* A new service for @config, which is of @generation_config (a reference is taken). Nothing is opened. NULL
 * when memory runs out. */
Service *service_new(Runtime *rt, Config *generation_config, ServiceConfig *config, uint64_t generation);
/* Ends listening and forgets its instances, which go on without us. Returns NULL. */
Service *service_free(Service *s);

/* A reload of @s, whose listeners have been given out: those that it has no more are in `leaving`, and it
 * gets @listeners (@n of them, of its new config and in its order; the array and what is in it are taken
 * over). With @config NULL it is removed. @holders: what becomes of processes that have the listeners. 0 or
 * -ENOMEM: it then has no process until the next reload. */
int service_change(Service *s, Config *generation_config, ServiceConfig *config, uint64_t generation,
                   Listener **listeners, size_t n, HolderFate holders);
/* The same for one for which nothing has changed: @config is the same, or says the same. */
void service_renew_config(Service *s, Config *generation_config, ServiceConfig *config, uint64_t generation);
/* What is changed is not looked at any more: nothing of it is polled, or tried again. */
void service_begin_change(Service *s, const ServiceConfig *config);
/* Gives its listeners what was passed in for them: first, for all services, what is theirs by its address,
 * then what is by its name. */
struct Inherited;
void service_adopt(Service *s, struct Inherited *in, bool by_name);
/* Opens what is not open; what fails is remembered and retried. Returns how many listeners could not be
 * opened. */
size_t service_open(Service *s);
/* Computes the state anew and arms or disarms the listeners. To be called after any fact has changed. */
void service_update(Service *s, const char *why);
/* On-demand with `start: now`: starts what does not run. */
void service_start_now(Service *s);

/* Whether what it lacks is being looked up, or is about to be. */
bool service_is_looked_for(const Service *s);

/* Orders of an administrator, @uid. Whether it can be done as things are: NULL, or why not. */
const char *service_refuses(const Service *s, ServiceVerb verb);
/* What was refused before must not be ordered. Ended are, besides the obvious: by drain, instances that got
 * TERM; by restart, those that are there now, and what runs without a connection starts again at once. */
void service_order(Service *s, ServiceVerb verb, uid_t uid);
/* After restart: whether all the old instances are gone, and what ran runs again, or could not be started (or
 * was not ready in time; the same after start). */
bool service_is_restarted(const Service *s);
/* Whether what starts at once is still to be started, or has not come to exec yet. */
bool service_start_is_held(const Service *s);
bool service_restart_failed(const Service *s);
/* Ends its instances as asked for: TERM now, KILL after timeouts.stop. @on_demand_only: connections go on. */
void service_stop_instances(Service *s, bool on_demand_only);
/* The first, but for strays: service-leave.h. */
void service_stop_non_strays(Service *s);
void service_kill_instances(Service *s);
/* Closes its listeners; nodes of UNIX sockets are removed if configured, unless @keep_nodes: then with the
 * last process. */
void service_close_listeners(Service *s, bool keep_nodes);

/* Gives it other limits, until the next reload; the gate is to be told (gate_change()). 0 or -ENOMEM. */
int service_set_limits(Service *s, const LimitsConfig *limits);

/* What has happened to it, to read. */
static inline const History *service_past(const Service *s) {
    return s->history ? s->history : history_none();
}
/* The same to add to. Without memory, what is added is lost. */
History *service_history(Service *s);

/* All its processes. */
static inline uint64_t service_n_processes(const Service *s) {
    return s->n_instances + s->backend.n_processes;
}
/* Whether a reload has removed it, and nothing is left of it, nor to be told. */
static inline bool service_is_over(const Service *s) {
    return s->removed && service_n_processes(s) == 0 && preludes_count(s) == 0 &&
           list_is_empty(&s->endings) && list_is_empty(&s->leaving) && !s->cgroup;
}
/* Whether processes of its own listen on its sockets; NULL: none. */
bool service_processes_listen(const Service *s);

/* What the facts are now. */
ServiceFacts service_facts(const Service *s);

/* Callbacks of lower modules. */
void service_on_report(Service *s, Instance *i, const char *line, size_t n);
void service_on_instance_end(Service *s, Instance *i, int status, const struct rusage *usage);

/* Remembers @step and @error (an errno, or 0 with a @message) as the last error. With a @message it is told
 * as well: failures of processes have an event of their own. */
void service_set_error(Service *s, const char *step, int error, const char *message, const ConfigPos *pos);
/* Only remembers it. */
void service_keep_error(Service *s, const char *step, int error, const char *message, const ConfigPos *pos);
/* Emits an event of the service's; @line says which limit it falls under. */
bool service_may_tell(Service *s, LimitedLine line); /* one of these now; else it is counted as left out */
void service_emit_limited(Service *s, LimitedLine line, const ApiEvent *e);
void service_emit(Service *s, const ApiEvent *e);
/* Tells that @i has been started. */
void service_tell_start(Service *s, const Instance *i);
/* That timeouts.idle does not hold for a connection, by @error: once. */
void service_tell_idle_blind(Service *s, int error);
/* One line with the count of lines that were left out, for each kind that has some. True while there are more
 * to tell. */
bool service_tell_suppressed(Service *s, uint64_t now_usec);

/* The upgrade in place: the fields of STATE_SERVICE, what has listeners, slots, instances of it included. */
void service_save(BlobWriter *w, const Service *s, const Config *current);
/* Makes the service again, as it was but for what service_resume() does. What it is configured to is that of
 * @current by its name; of one that a reload has removed it is in the blob. The sources and the endings'
 * traffic of @rt are there by then. 0, -EBADMSG (the blob is spoilt) or -ENOMEM. */
int service_restore(BlobReader r, Runtime *rt, Config *current, Service **ret);
/* For good, once all services are there, their tcpmux names collected (tcpmux_collect()): looks at the facts,
 * polls, and catches up with what is overdue. Nothing is told that was told before. */
void service_resume(Service *s);
/* As service_free() without any effect outside: nobody is told to end, nothing is counted. For one that was
 * restored only to see whether it can be. Returns NULL; NULL is fine. */
Service *service_abandon(Service *s);
/* The upgrade in place: endings that are still to be told, once it is known how much has passed over their
 * connections. */
void service_save_endings(BlobWriter *w, const Service *s);
int service_restore_endings(BlobReader in, Service *s);

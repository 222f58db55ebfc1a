/* SPDX-License-Identifier: MIT */
#pragma once
/* What crosses the control socket, as plain values: requests as the daemon gets them, and what it answers.
 * Strings are borrowed from whoever fills a struct; NULL stands for null. The wire's JSON is known to
 * api-decode.c and api-encode.c alone, and the interface's methods to methods.c. No I/O here. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "conf/config.h"
#include "daemon/base/strtab.h"
#include "daemon/base/text.h"

typedef enum ServiceState {
    SERVICE_DISABLED,
    SERVICE_LISTENING,
    SERVICE_PAUSED,
    SERVICE_ACTIVE,
    SERVICE_FULL,
    SERVICE_THROTTLED,
    SERVICE_STARTING,
    SERVICE_DRAINING,
    SERVICE_BACKOFF,
    SERVICE_FAILED,
    SERVICE_STOPPED,
    _SERVICE_STATE_MAX,
} ServiceState;
DECLARE_STRTAB(service_state, ServiceState);
/* listening, active, full, throttled, starting, draining and backoff are running (contract, "Exit status").
 */
bool service_state_is_running(ServiceState state);

/* Why a connection was not served. */
typedef enum RefuseReason {
    REFUSE_ACCESS,
    REFUSE_HOURS,
    REFUSE_LOAD,
    REFUSE_RATE,
    REFUSE_INSTANCES,
    REFUSE_RATE_PER_SOURCE,
    REFUSE_PER_SOURCE,
    REFUSE_BANNED,
    REFUSE_PROXY,
    _REFUSE_REASON_MAX,
} RefuseReason;
DECLARE_STRTAB(refuse_reason, RefuseReason);

/* Why a source is banned. */
typedef enum BanCause {
    BAN_REFUSALS, /* refused too often */
    BAN_FAILURES, /* its processes failed, with one of ban.exit_codes */
    BAN_REPORTED, /* a process said BAN=1 */
    BAN_SENSOR,   /* it touched a sensor */
    _BAN_CAUSE_MAX,
} BanCause;
DECLARE_STRTAB(ban_cause, BanCause); /* "refusals", "failures", "reported", "sensor" */

/* How an instance ended; exclusive. */
typedef enum ExitResult {
    EXIT_OK,
    EXIT_FAILED,
    EXIT_SIGNALED,
    EXIT_TIMEOUT,
    EXIT_UNKNOWN,
    _EXIT_RESULT_MAX,
} ExitResult;
DECLARE_STRTAB(exit_result, ExitResult);

typedef struct ApiListener {
    const char *endpoint; /* as written */
    const char *type;     /* endpoint_kind_to_string() */
    const char *address;  /* without port; NULL for what has none */
    unsigned port;        /* 0: null */
    const char *path;
    bool adopted;
    int64_t queued, backlog; /* -1: not known, shown as 0 */
    const char *error;       /* why it is not open */
} ApiListener;

typedef struct ApiLastError {
    uint64_t time_usec; /* since 1970; 0: there is none */
    const char *step;
    int error; /* errno; 0: null */
    const char *message;
    const char *file;
    unsigned line; /* 0: null */
} ApiLastError;

typedef struct ApiWorkers {
    bool present; /* false: null */
    uint64_t idle, busy, starting;
} ApiWorkers;

/* How long something took, over all that was measured. */
typedef struct ApiQuantiles {
    uint64_t count;              /* 0: the others are null */
    uint64_t p50_usec, p99_usec; /* estimates, to some 12 % */
} ApiQuantiles;

/* What an administrator has asked for and what still holds. */
typedef struct ApiOrder {
    const char *action; /* "pause", "drain", "stop"; NULL: nothing, the whole is null */
    uid_t uid;
    uint64_t time_usec; /* since 1970 */
} ApiOrder;

/* What connections wait for in the queue, or new ones are refused for. */
typedef struct ApiWaiting {
    bool present; /* false: null */
    RefuseReason reason;
    uint64_t used, limit; /* of instances; limit 0: both null */
    uint64_t until_usec;  /* since 1970; 0: null, it does not end by itself */
} ApiWaiting;

typedef struct ApiService {
    const char *name, *model;
    ServiceState state;
    uint64_t since_usec;
    const char *const *listen; /* endpoints as written, NULL-terminated */
    const ApiListener *listeners;
    size_t n_listeners;
    uint64_t active, queued, instances_limit;
    ApiWorkers workers;
    uint64_t accepted, refused[_REFUSE_REASON_MAX], gone, spawned, spawn_failed, exited[_EXIT_RESULT_MAX];
    uint64_t restarts, requests, work_queued, report_errors;
    const char *status;
    ApiLastError last_error;
    uint64_t accept_rate_milli;     /* connections in 1000 seconds, at the rate of the last ten */
    ApiQuantiles latency, duration; /* accept to exec; exec to end */
    ApiOrder order;
    ApiWaiting waiting;
} ApiService;

typedef struct ApiDaemon {
    pid_t pid;
    const char *version, *state; /* "starting", "running", "stopping" */
    uint64_t uptime_usec;
    uint64_t generation;
    const char *config;
    struct {
        bool ok;
        const char *error;
        uint64_t time_usec;
        uint64_t success_usec; /* of the last that succeeded; for the metrics alone */
    } last_reload;
    uint64_t children, fds;
} ApiDaemon;

typedef struct ApiInstance {
    const char *service;
    uint64_t instance;
    pid_t pid;
    const char *peer;
    const char *state; /* "starting", "running", "stopping" */
    uint64_t since_usec, cpu_usec, memory;
    uint64_t generation;
    const char *status;
    int64_t requests, active; /* -1: null, it has not said */
} ApiInstance;

/* What the log, and it alone, has of an instance besides, as its service's `log` wants it. */
typedef struct ApiFacts {
    unsigned logged;  /* bits 1 << LOG_FACT_x: what the log has at all; none: not the event, either */
    const char *user; /* NULL: left out */
    uint64_t cpu_usec, memory, bytes_in, bytes_out; /* UINT64_MAX: left out */
} ApiFacts;

/* An event: what goes to the log, to the rings and to Events. */
typedef struct ApiEvent {
    uint64_t time_usec; /* since 1970 */
    const char *level;  /* log_level_to_string() */
    const char *event;  /* "started", "ended", "refused", … */
    const char *service;
    uint64_t instance; /* 0: null */
    pid_t pid;         /* 0: null */
    const char *peer;
    const char *reason;
    const char *step;
    int error;              /* errno; 0: null; its text is `error` on the wire */
    int exit_code;          /* -1: null */
    int signal;             /* 0: null; a name on the wire */
    uint64_t duration_usec; /* UINT64_MAX: null */
    const char *message;
    const ApiFacts *facts; /* NULL: the log has all of it, and no more */
} ApiEvent;

typedef struct ApiChange {
    const char *service; /* NULL: of the daemon itself */
    const char *action;  /* "add", "change", "remove" */
    const char *key, *from, *to;
} ApiChange;

/* What a reload does, one thing each. */
typedef struct ApiPlanItem {
    const char *service;
    const char *object;   /* "service", "listener", "processes", "workers" */
    const char *endpoint; /* of a listener, as written; NULL */
    const char *action;   /* "add", "change", "remove", "open", "close", "move", "keep", "end", "roll" */
    const char *detail;   /* for people; NULL */
} ApiPlanItem;

/* What Reload and CheckConfig answer. */
typedef struct ApiReload {
    bool ok;
    uint64_t generation;
    const DiagList *diagnostics;
    bool hide_excerpts; /* for who may only look */
    const ApiChange *changes;
    size_t n_changes;
    const ApiPlanItem *plan;
    size_t n_plan;
} ApiReload;

/* What Upgrade answers. */
typedef struct ApiUpgrade {
    bool begun; /* with continues: of the rest but `version` is nothing known yet */
    const char *version, *previous;
    uint64_t pause_usec;    /* so long nothing was accepted, and nobody answered */
    uint64_t duration_usec; /* since it was asked for */
} ApiUpgrade;

/* Of a histogram: so many took at most that long, and longer than the bucket before. */
typedef struct ApiBucket {
    uint64_t le_usec; /* UINT64_MAX: null, the last one has no bound */
    uint64_t count;
} ApiBucket;

/* Where connections come from, and what has become of them. Times are since 1970; 0: null. */
typedef struct ApiSource {
    const char *source; /* a prefix, or uid:N */
    uint64_t active, accepted, refused;
    bool was_refused;        /* false: no reason, no last_time_usec */
    RefuseReason reason;     /* of the newest refusal */
    uint64_t last_time_usec; /* of the newest refusal */
    uint64_t first_usec;     /* when it came first and last, as far as is remembered */
    uint64_t newest_usec;
    bool banned;
    uint64_t until_usec; /* when it will be served again by itself, as things are */
} ApiSource;

/* A ban. Times are since 1970. */
typedef struct ApiBan {
    const char *prefix;  /* as log.addresses has it for who asks; NULL: not shown */
    const char *service; /* from which; NULL: from all */
    const char *by;      /* the service that banned it */
    BanCause cause;
    uint64_t since_usec, until_usec, remaining_usec;
} ApiBan;

/* access.hours. */
typedef struct ApiHours {
    bool present; /* false: null, always open */
    bool open;
    uint64_t until_usec; /* since 1970; 0: null, for good */
} ApiHours;

/* The control group of a service. Numbers: UINT64_MAX: null, not known or no limit. */
typedef struct ApiCgroup {
    bool present; /* false: null */
    bool per_instance;
    char path[512];
    uint64_t memory, memory_max, memory_high; /* bytes */
    uint64_t pids, pids_max;
    uint64_t cpu_usec, cpu_max; /* used so far; thousandths of one processor */
    unsigned io_weight;         /* 0: null */
    uint64_t oom_kills, pids_limited;
} ApiCgroup;

/* The long form of one service. Environment values stay out of it. */
typedef struct ApiDescription {
    const ApiService *service;
    const char *description, *user, *group, *pass, *stderr_target, *to;
    const char *const *exec;
    const char *file; /* where the service stands in the config */
    unsigned line;
    const LimitsConfig *limits; /* as they are now */
    double load;                /* of the machine; negative: null, nothing depends on it */
    ApiHours hours;
    uint64_t access_rules, bans; /* so many rules of access; so many bans that hold for it */
    uint64_t timeout_lifetime_usec, timeout_stop_usec; /* UINT64_MAX: null */
    ApiCgroup cgroup;
    const ApiChange *set; /* limits that Set has changed, until the next reload */
    size_t n_set;
    const ApiBucket *latency, *duration;
    size_t n_latency, n_duration;
    const ApiSource *sources; /* the most refused first, then those that were accepted most */
    size_t n_sources;
    const ApiInstance *instances;
    size_t n_instances;
    const ApiEvent *events;
    size_t n_events;
} ApiDescription;

/* strerror(3) whatever the locale. Static. */
const char *api_errno_text(int e);

/* The methods of dev.mpinetd.Control and org.varlink.service. */
typedef enum Method {
    METHOD_GET_INFO,
    METHOD_GET_INTERFACE_DESCRIPTION,
    METHOD_PING,
    METHOD_STATUS,
    METHOD_DESCRIBE,
    METHOD_INSTANCES,
    METHOD_EVENTS,
    METHOD_METRICS,
    METHOD_CHECK_CONFIG,
    METHOD_GET_CONFIG,
    METHOD_BANS,
    METHOD_START,
    METHOD_STOP,
    METHOD_RESTART,
    METHOD_PAUSE,
    METHOD_RESUME,
    METHOD_DRAIN,
    METHOD_SIGNAL,
    METHOD_SET,
    METHOD_UNBAN,
    METHOD_RELOAD,
    METHOD_UPGRADE,
    METHOD_SHUTDOWN,
    _METHOD_MAX,
} Method;

/* Who may call a method. There is no default: every row of the table says it. */
typedef enum MethodAccess {
    METHOD_READS = 1, /* whoever can open the socket */
    METHOD_CHANGES,   /* root, the daemon's own uid, control.manage */
} MethodAccess;

const char *method_name(Method m); /* "dev.mpinetd.Control.Ping" */
MethodAccess method_access(Method m);

/* One decoded request; owns its strings. */
typedef struct ApiRequest {
    Method method;
    bool more, oneway;
    char **services; /* Status: NULL means all; Start, Stop, …: at least one name or glob */
    char *service;   /* Describe, Instances, Events: NULL means all; Set; Signal: a name or a glob */
    int64_t last;    /* Events: how many of the past; -1: not given */
    char *interface; /* GetInterfaceDescription */
    bool origin;     /* GetConfig */
    int64_t pid;     /* Signal; -1: not given */
    char *source;    /* Signal: a prefix, or uid:N */
    char *signal;    /* Signal: a name or a number, as text */
    char *prefix;    /* Unban: a prefix, uid:N or any */
    char **limits;   /* Set: "KEY=VALUE" each, in the order of the call; at least one */
} ApiRequest;
void api_request_done(ApiRequest *r);

/* Errors of the interface, beside org.varlink.service's own. */
typedef enum ApiError {
    API_NO_SUCH_SERVICE, /* a: the name */
    API_NO_SUCH_INSTANCE,
    API_INVALID_CONFIG, /* with an ApiReload */
    API_NOT_ALLOWED,    /* a: the method */
    API_INVALID_STATE,  /* a: the service, b: why */
    API_FAILED,         /* a: step, b: message, and errno */
    API_METHOD_NOT_FOUND,
    API_INTERFACE_NOT_FOUND,
    API_INVALID_PARAMETER, /* a: its name */
    API_EXPECTED_MORE,
    _API_ERROR_MAX,
} ApiError;

/* Why a call is answered with an error and goes no further. */
typedef struct ApiRefusal {
    bool oneway; /* nobody is told */
    ApiError error;
    char *what; /* the method, the parameter; owned */
} ApiRefusal;
void api_refusal_done(ApiRefusal *r);

/* Reads one message, as api_decode() does: 0 with @ret, 1 with @ret_refusal, or -EBADMSG. */
int api_parse(const char *json, size_t n, ApiRequest *ret, ApiRefusal *ret_refusal);
/* The first of its parameters that is out of its range; NULL: none. Pure. */
const char *api_request_out_of_range(const ApiRequest *r);
/* What a refused call is answered with, if anything. */
void api_encode_refusal(Text *out, const ApiRefusal *r);

/* Decodes one message (@n bytes of JSON, without its NUL). Returns 0 with @ret; 1 when the call is answered
 * with an error, which is appended to @reply (nothing for a oneway call) and the connection goes on; -EBADMSG
 * when the connection is to be closed (no JSON, unknown top-level key, duplicate key, deeper than 16, …). */
int api_decode(const char *json, size_t n, ApiRequest *ret, Text *reply);

/* Encoders append one whole message, NUL included, to @out. */
void api_encode_empty(Text *out, bool continues);
void api_encode_error(Text *out, ApiError error, const char *a, const char *b, int error_number);
void api_encode_invalid_config(Text *out, const ApiReload *r);
void api_encode_info(Text *out, const char *version);
/* 0, or -ENOENT when there is no such interface (nothing is appended). */
int api_encode_interface_description(Text *out, const char *interface);
void api_encode_ping(Text *out, const char *version, pid_t pid);
void api_encode_status(Text *out, const ApiDaemon *daemon, const ApiService *services, size_t n);
/* The same in parts, which together are one message: a long one need not be made in one go. @first: no
 * service stands before. */
void api_encode_status_begin(Text *out, const ApiDaemon *daemon);
void api_encode_status_part(Text *out, const ApiService *services, size_t n, bool first);
void api_encode_status_end(Text *out);
void api_encode_description(Text *out, const ApiDescription *d);
void api_encode_instances(Text *out, const ApiInstance *instances, size_t n, bool continues);
/* One message in parts, as with status. */
void api_encode_instances_begin(Text *out);
void api_encode_instances_part(Text *out, const ApiInstance *instances, size_t n, bool first);
void api_encode_instances_end(Text *out, bool continues);
/* @missed: how many the client was not sent, because it did not read, before these. */
void api_encode_events(Text *out, const ApiEvent *events, size_t n, uint64_t missed, bool continues);
/* @n bytes of Prometheus text; or in parts, as with status. */
void api_encode_metrics(Text *out, const char *text, size_t n, bool continues);
void api_encode_metrics_begin(Text *out);
void api_encode_metrics_part(Text *out, const char *text, size_t n);
void api_encode_metrics_end(Text *out, bool continues);
void api_encode_reload(Text *out, const ApiReload *r);
void api_encode_upgrade(Text *out, const ApiUpgrade *u);
/* Some services of the config in force, or of a loaded one, and what stands outside of services. */
typedef struct ApiConfig {
    uint64_t generation;
    const Config *config;
    const ServiceConfig *const *services;
    const LimitsConfig *const *limits; /* of each of @services, as they are now; NULL: as configured */
    size_t n_services;
    bool globals; /* what stands outside of services goes into this part */
    bool secrets; /* values of `environment` are shown */
    bool origin;
} ApiConfig;
void api_encode_config(Text *out, const ApiConfig *c, bool continues);
/* Or in parts of one message: begin, the services, turn, their origins, end; @any: whether something stands
 * in the list already, false before the first services, and as the turn says before the first origins. */
void api_encode_config_begin(Text *out, const ApiConfig *c);
void api_encode_config_services(Text *out, const ApiConfig *c, bool *any);
void api_encode_config_turn(Text *out, const ApiConfig *c, bool *any);
void api_encode_config_origins(Text *out, const ApiConfig *c, bool *any);
void api_encode_config_end(Text *out, bool continues);
/* Signal: how many processes, and of which services. */
void api_encode_signaled(Text *out, const char *const *services, uint64_t n);
/* Unban: how many bans. */
void api_encode_unbanned(Text *out, uint64_t n);
/* Bans: one message in parts, as with status. */
void api_encode_bans_begin(Text *out);
void api_encode_bans_part(Text *out, const ApiBan *bans, size_t n, bool first);
void api_encode_bans_end(Text *out, bool continues);
void api_encode_bans(Text *out, const ApiBan *bans, size_t n, bool continues);
/* Set: what has changed. */
void api_encode_set(Text *out, const ApiChange *changes, size_t n);
/* Start, Stop, Restart, …: the names it was done for. With `more`, progress goes out before with continues.
 */
void api_encode_done(Text *out, const char *const *services, const char *progress, bool continues);
/* What an event says to people, on one line and escaped: its message, or where it has none, its facts:
 * "ended: exit 0 after 4.1 s", "refused: per_source". It is the `what` of a line `time service[pid] peer
 * what`. */
void api_event_what(Text *out, const ApiEvent *e);
/* "0.4 ms", "12 ms", "4.1 s", "3m 20s", "2h 5m", "3d 4h". */
void api_add_duration(Text *out, uint64_t usec);
/* RFC 3339, UTC: "2026-11-21T04:06:48.123456Z". */
void api_add_time(Text *out, uint64_t time_usec);
/* One event as one line of JSON for the log (`time` in RFC 3339, UTC, and no null fields), without a newline.
 */
void api_event_to_json_line(Text *out, const ApiEvent *e);

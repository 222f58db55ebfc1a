/* SPDX-License-Identifier: MIT */
#pragma once
/* A loaded configuration: typed, checked, immutable, reference-counted. Knows nothing of YAML. What a key
 * means stands in mpinetd.yaml(5) and in the key table (schema.c). Durations are microseconds, USEC_INFINITY
 * for none. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "conf/diag.h"
#include "conf/endpoint.h"
#include "conf/sandbox.h"
#include "daemon/base/strtab.h"

typedef enum Model {
    MODEL_PER_CONNECTION,
    MODEL_ON_DEMAND,
    MODEL_POOL,
    MODEL_FORWARD,
    MODEL_TCPMUX,
    _MODEL_MAX,
} Model;
DECLARE_STRTAB(model, Model);

typedef enum Handoff {
    HANDOFF_STDIO,
    HANDOFF_LISTEN_FDS,
    _HANDOFF_MAX,
} Handoff;
DECLARE_STRTAB(handoff, Handoff);

/* How work reaches the workers of a pool. */
typedef enum PoolHandoff {
    POOL_HANDOFF_LISTENER,   /* they accept */
    POOL_HANDOFF_CONNECTION, /* the daemon accepts, and passes each connection to one of them */
    _POOL_HANDOFF_MAX,
} PoolHandoff;
DECLARE_STRTAB(pool_handoff, PoolHandoff);

typedef enum StderrTarget {
    STDERR_LOG,
    STDERR_SOCKET,
    STDERR_DISCARD,
    STDERR_INHERIT,
    _STDERR_TARGET_MAX,
} StderrTarget;
DECLARE_STRTAB(stderr_target, StderrTarget);

typedef enum WhenFull {
    WHEN_FULL_WAIT,
    WHEN_FULL_REFUSE,
    _WHEN_FULL_MAX,
} WhenFull;
DECLARE_STRTAB(when_full, WhenFull);

/* How a connection is refused. */
typedef enum RefuseWith {
    REFUSE_WITH_CLOSE,
    REFUSE_WITH_BANNER, /* banner.refused */
    REFUSE_WITH_RESET,
    _REFUSE_WITH_MAX,
} RefuseWith;
DECLARE_STRTAB(refuse_with, RefuseWith);

typedef enum RestartPolicy {
    RESTART_NEVER,
    RESTART_ON_FAILURE,
    RESTART_ALWAYS,
    _RESTART_POLICY_MAX,
} RestartPolicy;
DECLARE_STRTAB(restart_policy, RestartPolicy);

/* How a process says that it is ready. */
typedef enum NotifyMode {
    NOTIFY_NONE,
    NOTIFY_STATUS,
    NOTIFY_SD_NOTIFY,
    _NOTIFY_MODE_MAX,
} NotifyMode;
DECLARE_STRTAB(notify_mode, NotifyMode);

/* Whether, and how, a forward tells its backend of the peer. */
typedef enum ProxySend {
    PROXY_SEND_NONE,
    PROXY_SEND_V1,
    PROXY_SEND_V2,
    _PROXY_SEND_MAX,
} ProxySend;
DECLARE_STRTAB(proxy_send, ProxySend);

typedef enum LogLevel {
    LOG_LEVEL_ERROR,
    LOG_LEVEL_WARNING,
    LOG_LEVEL_INFO,
    LOG_LEVEL_DEBUG,
    _LOG_LEVEL_MAX,
} LogLevel;
DECLARE_STRTAB(log_level, LogLevel); /* "error", "warning", "info", "debug" */

typedef enum LogFormat {
    LOG_FORMAT_TEXT,
    LOG_FORMAT_JSON,
    _LOG_FORMAT_MAX,
} LogFormat;
DECLARE_STRTAB(log_format, LogFormat);

typedef enum LogAddresses {
    LOG_ADDRESSES_FULL,
    LOG_ADDRESSES_PREFIX,
    LOG_ADDRESSES_NONE,
    _LOG_ADDRESSES_MAX,
} LogAddresses;
DECLARE_STRTAB(log_addresses, LogAddresses);

typedef enum ShutdownChildren {
    SHUTDOWN_END,
    SHUTDOWN_LEAVE,
    _SHUTDOWN_CHILDREN_MAX,
} ShutdownChildren;
DECLARE_STRTAB(shutdown_children, ShutdownChildren);

/* So many in so long, `burst` at once; count 0 means no rate. */
typedef struct Rate {
    uint64_t count;
    uint64_t per_usec;
    uint64_t burst;
} Rate;

/* Where a thing of the config stands; `file` belongs to the service, or to the Config. line 0: nowhere (built
 * in, --try). */
typedef struct ConfigPos {
    const char *file;
    unsigned line;
    unsigned column;
    unsigned end_column; /* one past its last character */
    bool faulty; /* what stands there was told to be wrong: nothing more is said of it; never in what has been
                    loaded */
} ConfigPos;

/* Where a key got its value; `key` is its row in the key table (schema_key()). */
typedef struct ConfigOrigin {
    ConfigPos pos;
    uint32_t item; /* counted from 1: the variable of `environment`, the endpoint of `listen` (also with a key
                    * of its long form), or the item of a list (KEY_PLACES); 0: the key as a whole */
    uint16_t key;
    bool from_defaults;
    bool ignored; /* a key of `defaults` that does not fit the service's model */
} ConfigOrigin;

/* One endpoint with its options; -1 stands for "as the kernel has it" in numbers. */
typedef struct ListenConfig {
    char *text; /* of its endpoint */
    Endpoint endpoint;
    char *name; /* its LISTEN_FDNAMES entry */
    ConfigPos pos;
    int backlog; /* the kernel's somaxconn when not given */
    char *device;
    bool freebind, reuse_port, only_v6;
    int nodelay; /* -1, 0, 1 */
    bool keepalive;
    int keepalive_idle_sec, keepalive_interval_sec, keepalive_count;
    int defer_accept_sec;
    int fast_open;
    int64_t mark;
    int receive_buffer, send_buffer;
    mode_t mode;                  /* of the node that it creates: endpoint_standard_mode() */
    char *user_name, *group_name; /* of the node, as written; NULL: not given */
    uid_t user;                   /* looked up; (uid_t)-1: leave it */
    gid_t group;
    bool remove_on_stop;
    int max_messages, message_size; /* of a message queue */
} ListenConfig;

/* One rlimit to set, soft and hard alike. */
typedef struct RlimitConfig {
    int resource; /* RLIMIT_… */
    rlim_t value;
} RlimitConfig;

/* Who is admitted: plain values, so that a service can have its own copy, changed until the next reload. */
typedef struct LimitsConfig {
    unsigned instances;
    unsigned per_source;               /* 0: no limit */
    unsigned source_ipv4, source_ipv6; /* bits of an address that make a source */
    Rate rate, rate_per_source;        /* count 0: no limit */
    double load;                       /* 0: no limit */
    WhenFull when_full;
    RefuseWith refuse_with;
} LimitsConfig;

/* Who may connect, and when. */
struct AccessRules;
struct Hours;
typedef struct AccessConfig {
    char **allow, **deny, **hours; /* as written; NULL: not given */
    bool apply_to_existing;
    struct AccessRules *rules; /* of allow and deny, files read; NULL: everybody */
    struct Hours *open;        /* NULL: always */
} AccessConfig;

/* Who is banned, and for how long. */
typedef struct BanConfig {
    Rate after; /* count 0: nobody */
    uint64_t for_usec;
    char **exit_codes;          /* as written; NULL: not given */
    uint64_t exit_code_bits[4]; /* those that count as failures */
    bool sensor;                /* whoever connects */
} BanConfig;

/* What is sent before the service starts, or to who is refused. */
typedef struct BannerConfig {
    char *greeting, *refused; /* as written: a text, or file:/path; NULL: not given */
    char *greeting_bytes, *refused_bytes;
    size_t n_greeting, n_refused;
} BannerConfig;

/* The most bytes of a banner: so many a new connection takes at once, whatever the peer does. */
#define BANNER_MAX 4096U

/* A fact of an instance that may be logged; a set of them is bits 1 << LOG_FACT_x. */
typedef enum LogFact {
    LOG_FACT_PID,
    LOG_FACT_PEER,
    LOG_FACT_USER,
    LOG_FACT_EXIT,
    LOG_FACT_DURATION,
    LOG_FACT_TRAFFIC,
    LOG_FACT_CPU,
    LOG_FACT_MEMORY,
    _LOG_FACT_MAX,
} LogFact;
DECLARE_STRTAB(log_fact, LogFact); /* "pid", "peer", … */

typedef struct LogFacts {
    char **success, **failure;             /* as written; NULL: not given, the default */
    unsigned success_facts, failure_facts; /* of instances that end well, and of others */
} LogFacts;

/* The workers of a pool: so many, and so many of them idle. */
typedef struct PoolConfig {
    unsigned min, max, spare_min, spare_max;
    uint64_t max_requests; /* then a worker is replaced; 0: never */
    PoolHandoff handoff;
} PoolConfig;

#define RLIMITS_MAX 8

typedef struct ResourceConfig {
    RlimitConfig rlimits[RLIMITS_MAX];
    size_t n_rlimits;
    bool has_nice, has_oom_score_adjust, has_io_priority, has_cpus;
    int nice;
    int oom_score_adjust;
    int io_priority;   /* as ioprio_set(2) takes it */
    uint64_t cpus[16]; /* a mask of up to 1024 processors, as sched_setaffinity(2) takes it */
} ResourceConfig;

/* Limits of control groups (cgroups(7), version 2), for all processes of a service together, or for each. */
typedef struct CgroupConfig {
    uint64_t memory_max, memory_high; /* bytes; UINT64_MAX: none */
    uint64_t cpu_max;                 /* thousandths of one processor; UINT64_MAX: none */
    uint64_t pids_max;                /* UINT64_MAX: none */
    unsigned io_weight;               /* 0: not given */
    bool per_instance; /* each process has a group of its own with these limits, below the service's */
} CgroupConfig;

/* Identity and program, looked up in the user data base and the file system when the config is loaded, so
 * that nothing is looked up at a connection. Filled by service_config_resolve(). */
typedef struct Resolved {
    bool ok;
    char *program; /* absolute path; NULL: there is no exec */
    char *forward; /* the same of mp-forward, for model forward */
    uid_t uid;
    gid_t gid;
    bool change_ids;  /* false when the process keeps the daemon's own identity */
    uint16_t to_port; /* forward: that of `to`, where it is a name there; else 0 */
    gid_t *groups;
    size_t n_groups;
    char *user_name, *home, *shell; /* for USER, LOGNAME, HOME, SHELL */
} Resolved;

/* On which terms it serves: who, how many, for how long. Most services have the terms of others, and share
 * them. */
typedef struct ServiceTerms {
    LimitsConfig limits;
    AccessConfig access;
    BanConfig ban;
    BannerConfig banner;
    LogFacts log;
    uint64_t timeout_start_usec;
    uint64_t timeout_idle_usec, timeout_lifetime_usec, timeout_watchdog_usec; /* USEC_INFINITY */
    uint64_t timeout_stop_usec;
    RestartPolicy restart_policy;
    uint64_t restart_delay_usec, restart_max_delay_usec;
    Rate restart_limit;
    PoolConfig pool;
    char **proxy_accept_from;          /* prefixes as written; NULL: nobody */
    struct AccessRules *proxy_trusted; /* the same, compiled */
} ServiceTerms;

/* The user and the group that stand for all that the kernel cannot name, from another user namespace say. */
#define ID_NOBODY 65534U

/* Generations of the config share those that are the same. */
struct Interned;
typedef struct ServiceConfig {
    unsigned refs;
    struct Interned *interned; /* what of it may be shared is there; NULL: all of it is its own */
    uint64_t digest[2];        /* of its bytes in a blob; 0, 0: not known */
    char **files;              /* those that its places name */
    char *name;
    ConfigPos pos;      /* of its name */
    ConfigPos exec_pos; /* of its exec */
    ConfigPos user_pos;
    char *description; /* "" */
    bool enabled;
    Model model;
    Handoff pass;
    bool start_now; /* on-demand: `start: now` */
    unsigned prespawn;
    ListenConfig *listen;
    size_t n_listen;
    char *to; /* forward: the endpoint as written */
    ProxySend proxy_send;
    char
        *tcpmux; /* the name by which model tcpmux reaches it, as written: "+" in front, the daemon answers */
    char **exec; /* argv as written; NULL: none, of a forward to somebody else's backend */
    char *argv0; /* NULL: exec[0] */
    char *user;  /* as written; NULL: not given */
    char *group;
    char **supplementary_groups; /* NULL: not given */
    mode_t umask;
    char *working_directory;   /* "/" */
    char *root_directory;      /* NULL: none */
    char **environment;        /* "NAME=VALUE" */
    char **pass_environment;   /* names, or globs */
    const ServiceTerms *terms; /* never NULL */
    NotifyMode notify;
    bool report;
    StderrTarget stderr_target;
    ResourceConfig *resources; /* NULL: as the daemon has them; service_config_resources() */
    bool no_new_privileges;
    SandboxConfig *sandbox; /* NULL: nothing of it but no_new_privileges */
    CgroupConfig *cgroup;   /* NULL: none */

    ConfigOrigin *origins; /* of the keys that were given; of two for the same thing the later holds */
    size_t n_origins;

    Resolved resolved;
    Diag *problem;   /* why it cannot run as things are (not-found, not-allowed), or NULL */
    bool incomplete; /* a file or a name of its rules or banners is missing: looked for again with the rest */
} ServiceConfig;

typedef struct Config {
    unsigned refs;
    char *path;           /* of the file, as given */
    char **files;         /* every file read, path first */
    char *control_socket; /* NULL: the default */
    mode_t control_mode;
    char *control_group;   /* as written, or NULL */
    gid_t control_gid;     /* (gid_t)-1: leave it */
    char **control_manage; /* as written, or NULL */
    uid_t *manage_uids;    /* the same, looked up at load; uid 0 and the daemon's own are implied */
    size_t n_manage_uids;
    gid_t *manage_gids;
    size_t n_manage_gids;
    LogLevel log_level;
    LogFormat log_format;
    LogAddresses log_addresses;
    ShutdownChildren shutdown_children;
    uint64_t shutdown_drain_usec;
    ServiceConfig **services; /* in the order of their names */
    size_t n_services;
    ConfigOrigin *origins; /* of the keys outside of services that were given */
    size_t n_origins;
} Config;

ServiceConfig *service_config_ref(ServiceConfig *s);
ServiceConfig *service_config_unref(ServiceConfig *s); /* returns NULL; NULL is fine */
DEFINE_CLEANUP(ServiceConfig *, service_config_unref);
#define CLEANUP_SERVICE CLEANUP(service_config_unrefp)
Config *config_ref(Config *c);
Config *config_unref(Config *c); /* returns NULL */
/* The same for who has other things to do: frees @n services at most, and returns @c while there are more. */
Config *config_unref_some(Config *c, size_t n);
DEFINE_CLEANUP(Config *, config_unref);
#define CLEANUP_CONFIG CLEANUP(config_unrefp)
ServiceConfig *config_find(const Config *c, const char *name);
/* Where the key at @path outside of services was given; all 0: nowhere. Borrowed. */
ConfigPos config_place(const Config *c, const char *path);
/* Puts @s in the place of the service of its name, which is given up. A reference is taken. False: there is
 * no such service, and nothing has changed. */
bool config_replace(Config *c, ServiceConfig *s);

/* Makes the config of `mpinetd --try`: one per-connection service "try" with these endpoints and this
 * command, as the caller. Returns 0 with @ret, or -EINVAL with @diags. */
struct LoadContext;
int config_new_try(char *const *endpoints, char *const *command, const struct LoadContext *context,
                   DiagList *diags, Config **ret);

/* Whether what was looked up makes for the same processes. Pure. */
bool resolved_is_same(const Resolved *a, const Resolved *b);
/* Whether the daemon accepts the service's connections itself, so that it can admit, count and limit them.
 * Pure. */
bool service_config_accepts(const ServiceConfig *s);
/* How many sockets it listens on: an endpoint may have two. Pure. */
size_t service_config_count_sockets(const ServiceConfig *s);
/* Whether it ever has a process: a service of model tcpmux has none, nor has a sensor. Pure. */
bool service_config_has_processes(const ServiceConfig *s);
/* Whether it is a forward with a backend of its own, a process of the service. Pure. */
bool service_config_has_backend(const ServiceConfig *s);

/* What its processes are given; never NULL. Pure. */
const ResourceConfig *service_config_resources(const ServiceConfig *s);

/* What differs between two versions of a service, for the plan of a reload: calls @emit with each key's path
 * and its old and new value as text ("limits.instances", "50", "80"; NULL for not given). Values of
 * `environment` are not shown ("…"). Pure. Returns the number of differences. */
typedef void (*ConfigDiffEmit)(const char *key, const char *from, const char *to, void *userdata);
size_t service_config_diff(const ServiceConfig *a, const ServiceConfig *b, ConfigDiffEmit emit,
                           void *userdata);
bool limits_config_equal(const LimitsConfig *a, const LimitsConfig *b);
/* The same for limits alone, with the keys' whole paths. */
size_t limits_config_diff(const LimitsConfig *a, const LimitsConfig *b, ConfigDiffEmit emit, void *userdata);
/* The same for what stands outside of the services: control, log, shutdown. */
size_t config_diff_globals(const Config *a, const Config *b, ConfigDiffEmit emit, void *userdata);

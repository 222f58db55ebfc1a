/* SPDX-License-Identifier: MIT */
/* The named types of dev.mpinetd.Control. */
#include <string.h>

#include "conf/config.h"
#include "conf/effective.h"
#include "ctl/proto/methods.h"

#define FIELD(name, type, doc)                                                                               \
    { name, type, doc, 0 }
#define END                                                                                                  \
    { NULL, NULL, NULL, 0 }

static const char *service_state_word(size_t i) {
    return service_state_to_string((ServiceState)i);
}

static const char *refuse_reason_word(size_t i) {
    return refuse_reason_to_string((RefuseReason)i);
}

static const char *exit_result_word(size_t i) {
    return exit_result_to_string((ExitResult)i);
}

static const char *log_level_word(size_t i) {
    return log_level_to_string((LogLevel)i);
}

static const char *severity_word(size_t i) {
    return diag_severity_to_string((DiagSeverity)i);
}

static const char *when_full_word(size_t i) {
    return when_full_to_string((WhenFull)i);
}

static const char *refuse_with_word(size_t i) {
    return refuse_with_to_string((RefuseWith)i);
}

static const char *ban_cause_word(size_t i) {
    return ban_cause_to_string((BanCause)i);
}

static const char *phase_word(size_t i) {
    static const char *const words[] = {"starting", "running", "stopping"};
    return i < ELEMENTS(words) ? words[i] : NULL;
}

static const char *action_word(size_t i) {
    static const char *const words[] = {"add", "change", "remove"};
    return i < ELEMENTS(words) ? words[i] : NULL;
}

static const char *plan_object_word(size_t i) {
    static const char *const words[] = {"service", "listener", "processes", "workers"};
    return i < ELEMENTS(words) ? words[i] : NULL;
}

static const char *plan_action_word(size_t i) {
    static const char *const words[] = {"add",  "change", "remove", "open", "close",
                                        "move", "keep",   "end",    "roll"};
    return i < ELEMENTS(words) ? words[i] : NULL;
}

static const char *order_word(size_t i) {
    static const char *const words[] = {"pause", "drain", "stop"};
    return i < ELEMENTS(words) ? words[i] : NULL;
}

static const char *config_from_word(size_t i) {
    return config_from_to_string((ConfigFrom)i);
}

static const ApiField last_reload_fields[] = {
    FIELD("ok", "bool", "whether the newest load of the config was taken"),
    FIELD("error", "?string", "why not"),
    FIELD("time_usec", "int", "when, in microseconds since 1970"),
    END,
};

static const ApiField daemon_fields[] = {
    FIELD("pid", "int", NULL),
    FIELD("version", "string", NULL),
    FIELD("state", "Phase", NULL),
    FIELD("uptime_usec", "int", NULL),
    FIELD("generation", "int", "number of the config in force"),
    FIELD("config", "?string", "its file; null without one"),
    FIELD("last_reload", "LastReload", NULL),
    FIELD("children", "int", "processes of all services"),
    FIELD("fds", "int", "open descriptors of the daemon"),
    END,
};

static const ApiField listener_fields[] = {
    FIELD("endpoint", "string", "as written in the config"),
    FIELD("type", "string", "tcp, udp, unix, unix-dgram, unix-seqpacket, fifo, mqueue, vsock or systemd"),
    FIELD("address", "?string", "without its port"),
    FIELD("port", "?int", "the one that is bound, also where the config says 0"),
    FIELD("path", "?string", "of UNIX sockets, fifos and queues"),
    FIELD("adopted", "bool", "passed in by a service manager"),
    FIELD("queued", "int", "connections that wait in the kernel's queue"),
    FIELD("backlog", "int", "how many may wait there"),
    FIELD("error", "?string", "why it is not open"),
    END,
};

static const ApiField workers_fields[] = {
    FIELD("idle", "int", NULL),
    FIELD("busy", "int", NULL),
    FIELD("starting", "int", NULL),
    END,
};

static const ApiField last_error_fields[] = {
    FIELD("time_usec", "int", "microseconds since 1970"),
    FIELD("step", "?string", "what was being done"),
    FIELD("errno", "?int", NULL),
    FIELD("message", "string", NULL),
    FIELD("file", "?string", "where the config causes it"),
    FIELD("line", "?int", NULL),
    END,
};

static const ApiField quantiles_fields[] = {
    FIELD("count", "int", "how many were measured, since the daemon's start"),
    FIELD("p50_usec", "?int", "half of them took no longer; an estimate"),
    FIELD("p99_usec", "?int", "all but one of a hundred"),
    END,
};

static const ApiField bucket_fields[] = {
    FIELD("le_usec", "?int", "its upper bound; null: none"),
    FIELD("count", "int", "those above the bucket before, up to the bound"),
    END,
};

static const ApiField source_fields[] = {
    FIELD("source", "string", "a prefix, uid:N or vsock:CID"),
    FIELD("active", "int", "of its connections are being served"),
    FIELD("accepted", "int", "how often, as far as is remembered"),
    FIELD("refused", "int", "how often, at least"),
    FIELD("reason", "?string", "of the newest refusal; null: none is remembered"),
    FIELD("last_time_usec", "?int", "when that was, in microseconds since 1970"),
    FIELD("first_time_usec", "?int", "when it came first, as far as is remembered"),
    FIELD("newest_time_usec", "?int", "when it came last"),
    FIELD("banned", "bool", NULL),
    FIELD("until_usec", "?int", "when it will be served again by itself, in microseconds since 1970"),
    END,
};

static const ApiField ban_fields[] = {
    FIELD("prefix", "?string", "as log.addresses has it for who may only look; null: not shown"),
    FIELD("service", "?string", "from which; null: from all"),
    FIELD("by", "string", "the service that banned it"),
    FIELD("cause", "BanCause", NULL),
    FIELD("since_usec", "int", "microseconds since 1970"),
    FIELD("until_usec", "int", "when it ends"),
    FIELD("remaining_usec", "int", "how long it still holds"),
    END,
};

static const ApiField waiting_fields[] = {
    FIELD("reason", "string", "instances, rate or load"),
    FIELD("used", "?int", "so many, of instances"),
    FIELD("limit", "?int", NULL),
    FIELD("until_usec", "?int", "when it goes on by itself, in microseconds since 1970, if that is known"),
    END,
};

static const ApiField hours_fields[] = {
    FIELD("open", "bool", NULL),
    FIELD("until_usec", "?int", "until when, in microseconds since 1970; null: for good"),
    END,
};

static const ApiField order_fields[] = {
    FIELD("action", "OrderAction", NULL),
    FIELD("uid", "int", "who asked for it"),
    FIELD("time_usec", "int", "when, in microseconds since 1970"),
    END,
};

static const ApiField origin_fields[] = {
    FIELD("key", "string", "services.git.limits.instances, control.mode"),
    FIELD("from", "ConfigFrom", NULL),
    FIELD("file", "?string", NULL),
    FIELD("line", "?int", NULL),
    FIELD("column", "?int", NULL),
    FIELD("applied", "bool", "false: a key of defaults that does not fit"),
    FIELD("note", "?string", "why it is not applied"),
    END,
};

static const ApiField service_fields[] = {
    FIELD("name", "string", NULL),
    FIELD("model", "string", "per-connection, on-demand, pool, forward or tcpmux"),
    FIELD("state", "ServiceState", NULL),
    FIELD("since_usec", "int", "in this state since, in microseconds since 1970"),
    FIELD("listen", "[]string", "endpoints as written"),
    FIELD("listeners", "[]Listener", "the sockets that they stand for"),
    FIELD("active", "int", "instances that run"),
    FIELD("queued", "int", "sum over the listeners"),
    FIELD("workers", "?Workers", "of a pool"),
    FIELD("instances_limit", "int", NULL),
    FIELD("accepted", "int",
          "connections; 0 where the daemon does not accept; of tcpmux those that go no further"),
    FIELD("refused", "Refused", NULL),
    FIELD("gone", "int", "connections that ended before they could be served"),
    FIELD("spawned", "int", "instances that were given work"),
    FIELD("spawn_failed", "int", NULL),
    FIELD("exited", "Exited", NULL),
    FIELD("restarts", "int", NULL),
    FIELD("requests", "int", "as the instances report them; of tcpmux names that were found, and help"),
    FIELD("work_queued", "int", "as the instances report it"),
    FIELD("report_errors", "int", "malformed lines on status pipes"),
    FIELD("status", "?string", "the newest STATUS= text"),
    FIELD("last_error", "?LastError", NULL),
    FIELD("accept_rate", "float", "connections a second, over the last ten"),
    FIELD("latency", "Quantiles", "from accept to exec"),
    FIELD("duration", "Quantiles", "from exec to end"),
    FIELD("order", "?Order", "what was asked for and still holds; null: to run"),
    FIELD("waiting", "?Waiting", "what holds new connections up; null: nothing"),
    END,
};

static const ApiField instance_fields[] = {
    FIELD("service", "string", NULL),
    FIELD("instance", "int", "MP_INSTANCE"),
    FIELD("pid", "int", NULL),
    FIELD("peer", "?string", "ADDR:PORT, [V6]:PORT, uid:N or vsock:CID:PORT"),
    FIELD("state", "Phase", NULL),
    FIELD("since_usec", "int", "microseconds since 1970"),
    FIELD("cpu_usec", "int", NULL),
    FIELD("memory", "int", "resident, in bytes"),
    FIELD("generation", "int", "of the config that it was started with"),
    FIELD("status", "?string", NULL),
    FIELD("requests", "?int", "null when it has not said"),
    FIELD("active", "?int", NULL),
    END,
};

static const ApiField event_fields[] = {
    FIELD("time_usec", "int", "microseconds since 1970"),
    FIELD("level", "Level", NULL),
    FIELD("event", "string",
          "listening, started, ended, refused, gone, spawn_failed, ready, status, state, reloaded, …"),
    FIELD("service", "?string", "null: of the daemon itself"),
    FIELD("instance", "?int", NULL),
    FIELD("pid", "?int", NULL),
    FIELD("peer", "?string", NULL),
    FIELD("reason", "?string", "of a refusal, or why it ended"),
    FIELD("step", "?string", "where a start failed"),
    FIELD("errno", "?int", NULL),
    FIELD("error", "?string", "errno in words"),
    FIELD("exit_code", "?int", NULL),
    FIELD("signal", "?string", "SIGKILL and so on"),
    FIELD("duration_usec", "?int", NULL),
    FIELD("message", "?string", NULL),
    END,
};

static const ApiField diagnostic_fields[] = {
    FIELD("file", "?string", NULL),
    FIELD("line", "?int", "1 is the first, as with columns"),
    FIELD("column", "?int", "in characters"),
    FIELD("end_column", "?int", "one past the last character"),
    FIELD("severity", "Severity", NULL),
    FIELD("code", "string", "unknown-key, wrong-type, …: see mpinetd.yaml(5)"),
    FIELD("message", "string", NULL),
    FIELD("hint", "?string", "what to write instead"),
    FIELD("excerpt", "?string", "the line of the file, for who may change things"),
    END,
};

static const ApiField change_fields[] = {
    FIELD("service", "?string", "null: of the daemon itself"),
    FIELD("action", "Action", NULL),
    FIELD("key", "?string", "limits.instances and so on"),
    FIELD("from", "?string", "null: not given"),
    FIELD("to", "?string", NULL),
    END,
};

static const ApiField plan_item_fields[] = {
    FIELD("service", "string", NULL),
    FIELD("object", "PlanObject", "listeners that stay as they are do not appear"),
    FIELD("endpoint", "?string", "of a listener, as written"),
    FIELD("action", "PlanAction", NULL),
    FIELD("detail", "?string", "for people"),
    END,
};

static const ApiField source_prefix_fields[] = {
    FIELD("ipv4", "int", "bits"),
    FIELD("ipv6", "int", NULL),
    END,
};

static const ApiField limits_fields[] = {
    FIELD("instances", "int", NULL),
    FIELD("per_source", "?int", "null: none, as with the others"),
    FIELD("source_prefix", "SourcePrefix", NULL),
    FIELD("rate", "?string", "50/s burst 100"),
    FIELD("rate_per_source", "?string", NULL),
    FIELD("load", "?float", NULL),
    FIELD("when_full", "WhenFull", NULL),
    FIELD("refuse_with", "RefuseWith", NULL),
    END,
};

static const ApiField timeouts_fields[] = {
    FIELD("lifetime_usec", "?int", "null: none"),
    FIELD("stop_usec", "?int", NULL),
    END,
};

static const ApiField cgroup_fields[] = {
    FIELD("path", "string", "its folder"),
    FIELD("per_instance", "bool", "each process has one below, with the limits"),
    FIELD("memory", "?int", "bytes in use; null: not known, as with pids"),
    FIELD("memory_max", "?int", "null: no limit, as with the others"),
    FIELD("memory_high", "?int", NULL),
    FIELD("pids", "?int", "processes and threads"),
    FIELD("pids_max", "?int", NULL),
    FIELD("cpu_usec", "?int", "used so far"),
    FIELD("cpu_max", "?float", "processors"),
    FIELD("io_weight", "?int", NULL),
    FIELD("oom_kills", "int", "processes that were killed for want of memory"),
    FIELD("pids_limited", "int", "processes that could not be made"),
    END,
};

static const ApiType types[] = {
    {"Phase", "The life of the daemon, and of an instance.", NULL, phase_word, false},
    {"ServiceState", "disabled, paused, failed and stopped are not running.", NULL, service_state_word,
     false},
    {"Level", "How much an event matters.", NULL, log_level_word, false},
    {"Severity", "What a diagnostic does: an error refuses the config.", NULL, severity_word, false},
    {"Action", "What a reload does to a service.", NULL, action_word, false},
    {"PlanObject", "What a step of a reload is about.", NULL, plan_object_word, false},
    {"PlanAction",
     "A service is added, changed, removed; a listener opened, changed in place, moved from another service, "
     "closed; processes and workers are kept, told to end, or (roll) replaced one after the other.",
     NULL, plan_action_word, false},
    {"WhenFull", "What becomes of a connection past the limit.", NULL, when_full_word, false},
    {"RefuseWith", "How a connection is refused.", NULL, refuse_with_word, false},
    {"BanCause",
     "Why: refused too often, processes that failed, BAN=1 from a process, or whoever touches a sensor.",
     NULL, ban_cause_word, false},
    {"OrderAction", "What holds until start or resume.", NULL, order_word, false},
    {"ConfigFrom",
     "Where a value comes from: built in, the file, its defaults, the service, Set until the next reload, or "
     "the preset of its sandbox.",
     NULL, config_from_word, false},
    {"LastReload", "The newest load of the config.", last_reload_fields, NULL, false},
    {"Daemon", "The daemon itself.", daemon_fields, NULL, false},
    {"Listener", "An open socket, or one that should be.", listener_fields, NULL, false},
    {"Workers", "The workers of a pool.", workers_fields, NULL, false},
    {"Refused", "Connections that were refused, by reason.", NULL, refuse_reason_word, true},
    {"Exited", "How instances ended; each counts once.", NULL, exit_result_word, true},
    {"LastError", "What went wrong last.", last_error_fields, NULL, false},
    {"Quantiles", "How long something took.", quantiles_fields, NULL, false},
    {"Bucket", "Of a histogram.", bucket_fields, NULL, false},
    {"Source", "Where connections come from, and what becomes of them.", source_fields, NULL, false},
    {"Ban", "Who is not served, and until when.", ban_fields, NULL, false},
    {"Waiting", "Why new connections wait.", waiting_fields, NULL, false},
    {"Hours", "Whether access.hours let anybody in.", hours_fields, NULL, false},
    {"Order", "What an administrator has asked for.", order_fields, NULL, false},
    {"Origin", "Where a value of the config comes from.", origin_fields, NULL, false},
    {"Service", "A service and its counters since the daemon's start.", service_fields, NULL, false},
    {"Instance", "One process of a service.", instance_fields, NULL, false},
    {"Event", "Something that happened. What does not apply is null.", event_fields, NULL, false},
    {"Diagnostic", "What is wrong in the config, and where.", diagnostic_fields, NULL, false},
    {"Change", "One thing that a reload changes.", change_fields, NULL, false},
    {"PlanItem", "One step of a reload.", plan_item_fields, NULL, false},
    {"SourcePrefix", "So much of an address makes a source.", source_prefix_fields, NULL, false},
    {"Limits", "The limits of a service.", limits_fields, NULL, false},
    {"Cgroup", "The control group of a service.", cgroup_fields, NULL, false},
    {"Timeouts", "The timeouts of a service.", timeouts_fields, NULL, false},
};

const ApiType *api_type(size_t i) {
    return i < ELEMENTS(types) ? &types[i] : NULL;
}

const ApiType *api_type_find(const char *name, size_t n) {
    for (size_t i = 0; i < ELEMENTS(types); i++)
        if (strlen(types[i].name) == n && memcmp(types[i].name, name, n) == 0)
            return &types[i];
    return NULL;
}

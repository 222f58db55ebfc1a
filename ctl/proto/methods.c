/* SPDX-License-Identifier: MIT */
#include "ctl/proto/methods.h"

#include <string.h>

#include "conf/config.h"

#define PARAMETER(name, type, member, doc)                                                                   \
    { name, type, doc, offsetof(ApiRequest, member) }
#define FIELD(name, type, doc)                                                                               \
    { name, type, doc, 0 }
#define END                                                                                                  \
    { NULL, NULL, NULL, 0 }

static const ApiField no_fields[] = {END};

/* Types. */

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

static const char *phase_word(size_t i) {
    static const char *const words[] = {"starting", "running", "stopping"};
    return i < ELEMENTS(words) ? words[i] : NULL;
}

static const char *action_word(size_t i) {
    static const char *const words[] = {"add", "change", "remove"};
    return i < ELEMENTS(words) ? words[i] : NULL;
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
    FIELD("accepted", "int", "connections; 0 where the daemon does not accept"),
    FIELD("refused", "Refused", NULL),
    FIELD("gone", "int", "connections that ended before they could be served"),
    FIELD("spawned", "int", "instances that were given work"),
    FIELD("spawn_failed", "int", NULL),
    FIELD("exited", "Exited", NULL),
    FIELD("restarts", "int", NULL),
    FIELD("requests", "int", "as the instances report them"),
    FIELD("work_queued", "int", "as the instances report it"),
    FIELD("report_errors", "int", "malformed lines on status pipes"),
    FIELD("status", "?string", "the newest STATUS= text"),
    FIELD("last_error", "?LastError", NULL),
    END,
};

static const ApiField instance_fields[] = {
    FIELD("service", "string", NULL),
    FIELD("instance", "int", "MP_INSTANCE"),
    FIELD("pid", "int", NULL),
    FIELD("peer", "?string", "ADDR:PORT, [V6]:PORT or uid:N"),
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
    FIELD("from", "?string", NULL),
    FIELD("to", "?string", NULL),
    END,
};

static const ApiField limits_fields[] = {
    FIELD("instances", "int", NULL),
    FIELD("when_full", "WhenFull", NULL),
    END,
};

static const ApiField timeouts_fields[] = {
    FIELD("lifetime_usec", "?int", "null: none"),
    FIELD("stop_usec", "?int", NULL),
    END,
};

static const ApiType types[] = {
    {"Phase", "The life of the daemon, and of an instance.", NULL, phase_word, false},
    {"ServiceState", "disabled, paused, failed and stopped are not running.", NULL, service_state_word,
     false},
    {"Level", "How much an event matters.", NULL, log_level_word, false},
    {"Severity", "What a diagnostic does: an error refuses the config.", NULL, severity_word, false},
    {"Action", "What a reload does to a service.", NULL, action_word, false},
    {"WhenFull", "What becomes of a connection past the limit.", NULL, when_full_word, false},
    {"LastReload", "The newest load of the config.", last_reload_fields, NULL, false},
    {"Daemon", "The daemon itself.", daemon_fields, NULL, false},
    {"Listener", "An open socket, or one that should be.", listener_fields, NULL, false},
    {"Workers", "The workers of a pool.", workers_fields, NULL, false},
    {"Refused", "Connections that were refused, by reason.", NULL, refuse_reason_word, true},
    {"Exited", "How instances ended; each counts once.", NULL, exit_result_word, true},
    {"LastError", "What went wrong last.", last_error_fields, NULL, false},
    {"Service", "A service and its counters since the daemon's start.", service_fields, NULL, false},
    {"Instance", "One process of a service.", instance_fields, NULL, false},
    {"Event", "Something that happened. What does not apply is null.", event_fields, NULL, false},
    {"Diagnostic", "What is wrong in the config, and where.", diagnostic_fields, NULL, false},
    {"Change", "One thing that a reload changes.", change_fields, NULL, false},
    {"Limits", "The limits of a service.", limits_fields, NULL, false},
    {"Timeouts", "The timeouts of a service.", timeouts_fields, NULL, false},
};

/* Methods. */

static const ApiField info_out[] = {
    FIELD("vendor", "string", NULL), FIELD("product", "string", NULL),      FIELD("version", "string", NULL),
    FIELD("url", "string", NULL),    FIELD("interfaces", "[]string", NULL), END,
};

static const ApiField description_in[] = {
    PARAMETER("interface", "string", interface, NULL),
    END,
};

static const ApiField description_out[] = {
    FIELD("description", "string", NULL),
    END,
};

static const ApiField ping_out[] = {
    FIELD("version", "string", NULL),
    FIELD("pid", "int", NULL),
    END,
};

static const ApiField status_in[] = {
    PARAMETER("services", "?[]string", services, "names; null: all"),
    END,
};

static const ApiField status_out[] = {
    FIELD("api", "int", "raised only when a field changes its meaning"),
    FIELD("daemon", "Daemon", NULL),
    FIELD("services", "[]Service", NULL),
    END,
};

static const ApiField describe_in[] = {
    PARAMETER("service", "string", service, NULL),
    END,
};

static const ApiField describe_out[] = {
    FIELD("service", "Service", NULL),
    FIELD("description", "string", NULL),
    FIELD("exec", "[]string", "as written"),
    FIELD("user", "?string", "null: as the daemon"),
    FIELD("group", "?string", NULL),
    FIELD("pass", "string", "stdio or listen_fds"),
    FIELD("stderr", "string", "log, socket, discard or inherit"),
    FIELD("file", "?string", "where the config has it"),
    FIELD("line", "?int", NULL),
    FIELD("limits", "Limits", NULL),
    FIELD("timeouts", "Timeouts", NULL),
    FIELD("instances", "[]Instance", "the newest"),
    FIELD("events", "[]Event", "the newest, in the order of time"),
    END,
};

static const ApiField instances_in[] = {
    PARAMETER("service", "?string", service, "null: of all services"),
    END,
};

static const ApiField instances_out[] = {
    FIELD("instances", "[]Instance", NULL),
    END,
};

static const ApiField events_in[] = {
    PARAMETER("service", "?string", service, "null: of all services"),
    PARAMETER("last", "?int", last, "how many of the past to send first"),
    END,
};

static const ApiField events_out[] = {
    FIELD("events", "[]Event", NULL),
    END,
};

static const ApiField reload_out[] = {
    FIELD("ok", "bool", NULL),
    FIELD("generation", "int", "the one in force; 0: none"),
    FIELD("diagnostics", "[]Diagnostic", NULL),
    FIELD("changes", "[]Change", NULL),
    END,
};

static const ApiField names_in[] = {
    PARAMETER("services", "[]string", services, "names, or shell globs"),
    END,
};

static const ApiField done_out[] = {
    FIELD("services", "[]string", "the services that it was done for"),
    FIELD("progress", "?string", "with continues: what is awaited"),
    END,
};

/* Indexed by Method. A description shows them in this order. */
static const ApiMethod methods[_METHOD_MAX] = {
    [METHOD_GET_INFO] = {INTERFACE_SERVICE, INTERFACE_SERVICE ".GetInfo", METHOD_READS, no_fields, info_out,
                         "Who answers here, and with which interfaces."},
    [METHOD_GET_INTERFACE_DESCRIPTION] = {INTERFACE_SERVICE, INTERFACE_SERVICE ".GetInterfaceDescription",
                                          METHOD_READS, description_in, description_out,
                                          "The description of one interface."},
    [METHOD_PING] = {INTERFACE_CONTROL, INTERFACE_CONTROL ".Ping", METHOD_READS, no_fields, ping_out,
                     "Answers, and so shows that the daemon serves."},
    [METHOD_STATUS] = {INTERFACE_CONTROL, INTERFACE_CONTROL ".Status", METHOD_READS, status_in, status_out,
                       "The daemon and its services."},
    [METHOD_DESCRIBE] = {INTERFACE_CONTROL, INTERFACE_CONTROL ".Describe", METHOD_READS, describe_in,
                         describe_out, "All about one service, but for values of its environment."},
    [METHOD_INSTANCES] = {INTERFACE_CONTROL, INTERFACE_CONTROL ".Instances", METHOD_READS, instances_in,
                          instances_out, "The processes of services; with more, in parts."},
    [METHOD_EVENTS] = {INTERFACE_CONTROL, INTERFACE_CONTROL ".Events", METHOD_READS, events_in, events_out,
                       "What happened; with more, it goes on as things happen."},
    [METHOD_CHECK_CONFIG] = {INTERFACE_CONTROL, INTERFACE_CONTROL ".CheckConfig", METHOD_READS, no_fields,
                             reload_out,
                             "Judges the daemon's config files as they are now, and what Reload would do."},
    [METHOD_START] = {INTERFACE_CONTROL, INTERFACE_CONTROL ".Start", METHOD_CHANGES, names_in, done_out,
                      "Starts services. With more, tells of progress."},
    [METHOD_STOP] = {INTERFACE_CONTROL, INTERFACE_CONTROL ".Stop", METHOD_CHANGES, names_in, done_out,
                     "Stops services: their listening, then their instances. With more, tells of progress."},
    [METHOD_RELOAD] = {INTERFACE_CONTROL, INTERFACE_CONTROL ".Reload", METHOD_CHANGES, no_fields, reload_out,
                       "Loads the config again, all or nothing."},
    [METHOD_SHUTDOWN] = {INTERFACE_CONTROL, INTERFACE_CONTROL ".Shutdown", METHOD_CHANGES, no_fields,
                         no_fields, "Ends the daemon as SIGTERM does."},
};

/* Errors. */

static const ApiField error_service[] = {FIELD("service", "string", NULL), END};
static const ApiField error_instance[] = {FIELD("instance", "string", NULL), END};
static const ApiField error_method[] = {FIELD("method", "string", NULL), END};
static const ApiField error_interface[] = {FIELD("interface", "string", NULL), END};
static const ApiField error_parameter[] = {FIELD("parameter", "string", NULL), END};
static const ApiField error_state[] = {
    FIELD("service", "string", NULL),
    FIELD("reason", "?string", NULL),
    END,
};
static const ApiField error_failed[] = {
    FIELD("step", "?string", "what was being done"),
    FIELD("errno", "?int", NULL),
    FIELD("message", "string", NULL),
    END,
};

/* Indexed by ApiError; past its end stand errors of org.varlink.service that we never send. */
static const ApiErrorRow errors[] = {
    [API_NO_SUCH_SERVICE] = {INTERFACE_CONTROL, INTERFACE_CONTROL ".NoSuchService", error_service,
                             "No service has this name, or matches it."},
    [API_NO_SUCH_INSTANCE] = {INTERFACE_CONTROL, INTERFACE_CONTROL ".NoSuchInstance", error_instance,
                              "No instance answers to this."},
    [API_INVALID_CONFIG] = {INTERFACE_CONTROL, INTERFACE_CONTROL ".InvalidConfig", reload_out,
                            "The config has errors; the generation in force stays."},
    [API_NOT_ALLOWED] = {INTERFACE_CONTROL, INTERFACE_CONTROL ".NotAllowed", error_method,
                         "Only root, the daemon's own user and who stands in control.manage may call it."},
    [API_INVALID_STATE] = {INTERFACE_CONTROL, INTERFACE_CONTROL ".InvalidState", error_state,
                           "Not possible in the state that the service is in."},
    [API_FAILED] = {INTERFACE_CONTROL, INTERFACE_CONTROL ".Failed", error_failed, "It was tried and failed."},
    [API_METHOD_NOT_FOUND] = {INTERFACE_SERVICE, INTERFACE_SERVICE ".MethodNotFound", error_method,
                              "No such method."},
    [API_INTERFACE_NOT_FOUND] = {INTERFACE_SERVICE, INTERFACE_SERVICE ".InterfaceNotFound", error_interface,
                                 "No such interface."},
    [API_INVALID_PARAMETER] = {INTERFACE_SERVICE, INTERFACE_SERVICE ".InvalidParameter", error_parameter,
                               "This parameter is missing, unknown, or of the wrong type."},
    [API_EXPECTED_MORE] = {INTERFACE_SERVICE, INTERFACE_SERVICE ".ExpectedMore", no_fields,
                           "This method is to be called with more."},
    {INTERFACE_SERVICE, INTERFACE_SERVICE ".MethodNotImplemented", error_method, "Described, but not there."},
    {INTERFACE_SERVICE, INTERFACE_SERVICE ".PermissionDenied", no_fields, "The caller may not do this."},
};

const ApiMethod *api_method(Method m) {
    return (size_t)m < ELEMENTS(methods) ? &methods[m] : NULL;
}

const char *method_name(Method m) {
    return methods[m].name;
}

MethodAccess method_access(Method m) {
    return methods[m].access;
}

int api_method_find(const char *name) {
    for (size_t i = 0; i < ELEMENTS(methods); i++)
        if (streq(methods[i].name, name))
            return (int)i;
    return -ENOENT;
}

const ApiErrorRow *api_error(size_t e) {
    return e < ELEMENTS(errors) ? &errors[e] : NULL;
}

const ApiType *api_type(size_t i) {
    return i < ELEMENTS(types) ? &types[i] : NULL;
}

const ApiType *api_type_find(const char *name, size_t n) {
    for (size_t i = 0; i < ELEMENTS(types); i++)
        if (strlen(types[i].name) == n && memcmp(types[i].name, name, n) == 0)
            return &types[i];
    return NULL;
}

bool api_interface_exists(const char *interface) {
    return streq(interface, INTERFACE_CONTROL) || streq(interface, INTERFACE_SERVICE);
}

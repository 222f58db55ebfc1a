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
    FIELD("to", "?string", "the backend of a forward"),
    FIELD("file", "?string", "where the config has it"),
    FIELD("line", "?int", NULL),
    FIELD("limits", "Limits", "as they are now"),
    FIELD("load", "?float", "the machine's, over the last minute; null without limits.load"),
    FIELD("hours", "?Hours", "access.hours; null: always open"),
    FIELD("access_rules", "int", "of access.allow and access.deny"),
    FIELD("bans", "int", "that hold for it now; Bans lists them"),
    FIELD("timeouts", "Timeouts", NULL),
    FIELD("cgroup", "?Cgroup", "null: it has none"),
    FIELD("set", "[]Change", "limits that Set has changed, until the next reload"),
    FIELD("latency", "[]Bucket", "from accept to exec"),
    FIELD("duration", "[]Bucket", "from exec to end"),
    FIELD("sources", "[]Source", "who is refused most, and behind them who is accepted most"),
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
    FIELD("missed", "int", "how many before these were left out, because they were not read in time"),
    END,
};

static const ApiField metrics_out[] = {
    FIELD("metrics", "string", "Prometheus text; with more, the parts make one text"),
    END,
};

static const ApiField get_config_in[] = {
    PARAMETER("origin", "?bool", origin, "with where each value comes from"),
    END,
};

static const ApiField get_config_out[] = {
    FIELD("generation", "int", NULL),
    FIELD("path", "?string", "the main file; null without one"),
    FIELD("files", "[]string", "every file that was read"),
    FIELD("config", "object", "as a file would have it; with more, in parts with some of the services each"),
    FIELD("origins", "[]Origin", "empty unless asked for"),
    END,
};

static const ApiField bans_out[] = {
    FIELD("bans", "[]Ban", "in the order in which they were imposed"),
    END,
};

static const ApiField unban_in[] = {
    PARAMETER("prefix", "string", prefix, "an address, a prefix, uid:N, vsock:CID, or any"),
    END,
};

static const ApiField unban_out[] = {
    FIELD("lifted", "int", "how many bans"),
    END,
};

static const ApiField signal_in[] = {
    PARAMETER("service", "?string", service, "its instances; a name, or a shell glob"),
    PARAMETER("pid", "?int", pid, "this instance"),
    PARAMETER("source", "?string", source, "instances whose peer is in this prefix, uid:N or vsock:CID"),
    PARAMETER("signal", "scalar", signal, "a name such as SIGHUP or HUP, or a number"),
    END,
};

static const ApiField signal_out[] = {
    FIELD("services", "[]string", "whose instances"),
    FIELD("signaled", "int", "how many"),
    END,
};

static const ApiField set_in[] = {
    PARAMETER("service", "string", service, NULL),
    PARAMETER("limits", "object", limits,
              "keys of the config, with or without 'limits.', and values as there"),
    END,
};

static const ApiField set_out[] = {
    FIELD("changes", "[]Change", NULL),
    END,
};

static const ApiField reload_out[] = {
    FIELD("ok", "bool", NULL),
    FIELD("generation", "int", "the one in force; 0: none"),
    FIELD("diagnostics", "[]Diagnostic", NULL),
    FIELD("changes", "[]Change", "what differs in the config"),
    FIELD("plan", "[]PlanItem", "what follows from that for listeners and processes"),
    END,
};

static const ApiField upgrade_out[] = {
    FIELD("version", "string", "of the program that runs now"),
    FIELD("previous", "?string", "of the one that ran before; null with continues, when it has only begun"),
    FIELD("pause_usec", "?int",
          "for so long nothing was accepted and nobody answered; what came waited; null with continues"),
    FIELD("duration_usec", "?int", "since it was asked for; null with continues"),
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
    [METHOD_METRICS] = {INTERFACE_CONTROL, INTERFACE_CONTROL ".Metrics", METHOD_READS, no_fields, metrics_out,
                        "All counters as Prometheus text. With more, in parts."},
    [METHOD_CHECK_CONFIG] = {INTERFACE_CONTROL, INTERFACE_CONTROL ".CheckConfig", METHOD_READS, no_fields,
                             reload_out,
                             "Judges the daemon's config files as they are now, and what Reload would do."},
    [METHOD_GET_CONFIG] = {INTERFACE_CONTROL, INTERFACE_CONTROL ".GetConfig", METHOD_READS, get_config_in,
                           get_config_out,
                           "The effective config. Values of environment are for who may change things."},
    [METHOD_BANS] = {INTERFACE_CONTROL, INTERFACE_CONTROL ".Bans", METHOD_READS, no_fields, bans_out,
                     "Who is banned, why, and until when; with more, in parts."},
    [METHOD_START] = {INTERFACE_CONTROL, INTERFACE_CONTROL ".Start", METHOD_CHANGES, names_in, done_out,
                      "Starts services. With more, tells of progress."},
    [METHOD_STOP] = {INTERFACE_CONTROL, INTERFACE_CONTROL ".Stop", METHOD_CHANGES, names_in, done_out,
                     "Stops services: their listening, then their instances. With more, tells of progress."},
    [METHOD_RESTART] = {INTERFACE_CONTROL, INTERFACE_CONTROL ".Restart", METHOD_CHANGES, names_in, done_out,
                        "Ends instances, keeps the listeners open, and starts again what ran."},
    [METHOD_PAUSE] = {INTERFACE_CONTROL, INTERFACE_CONTROL ".Pause", METHOD_CHANGES, names_in, done_out,
                      "Keeps the listeners and accepts nothing, until Resume or Start."},
    [METHOD_RESUME] = {INTERFACE_CONTROL, INTERFACE_CONTROL ".Resume", METHOD_CHANGES, names_in, done_out,
                       "Goes on after Pause."},
    [METHOD_DRAIN] = {INTERFACE_CONTROL, INTERFACE_CONTROL ".Drain", METHOD_CHANGES, names_in, done_out,
                      "Serves what is queued, closes the listeners, and lets the running end by themselves."},
    [METHOD_SIGNAL] = {INTERFACE_CONTROL, INTERFACE_CONTROL ".Signal", METHOD_CHANGES, signal_in, signal_out,
                       "Sends a signal to instances: one of service, pid and source says which."},
    [METHOD_SET] = {INTERFACE_CONTROL, INTERFACE_CONTROL ".Set", METHOD_CHANGES, set_in, set_out,
                    "Changes limits of a service until the next reload, all or none of them."},
    [METHOD_UNBAN] = {INTERFACE_CONTROL, INTERFACE_CONTROL ".Unban", METHOD_CHANGES, unban_in, unban_out,
                      "Lifts all bans within a prefix, and those that it is a part of."},
    [METHOD_RELOAD] = {INTERFACE_CONTROL, INTERFACE_CONTROL ".Reload", METHOD_CHANGES, no_fields, reload_out,
                       "Loads the config again, all or nothing."},
    [METHOD_UPGRADE] = {INTERFACE_CONTROL, INTERFACE_CONTROL ".Upgrade", METHOD_CHANGES, no_fields,
                        upgrade_out,
                        "Runs the program that the daemon was started from anew in its place, if it proves "
                        "itself; the answer comes from that. With more, tells first that it has begun."},
    [METHOD_SHUTDOWN] = {INTERFACE_CONTROL, INTERFACE_CONTROL ".Shutdown", METHOD_CHANGES, no_fields,
                         no_fields,
                         "Ends the daemon as SIGTERM does. With more, tells first that it has begun."},
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

bool api_interface_exists(const char *interface) {
    return streq(interface, INTERFACE_CONTROL) || streq(interface, INTERFACE_SERVICE);
}

/* SPDX-License-Identifier: MIT */
#include "daemon/metrics.h"

#include <inttypes.h>
#include <math.h>

#include "daemon/base/clock.h"

typedef struct Family Family;

struct Family {
    const char *name, *type, *help;
    void (*of_daemon)(Text *out, const Family *f, const MetricsDaemon *d);
    void (*of_service)(Text *out, const Family *f, const MetricsService *s);
    size_t offset; /* of a counter, or the first of several, in Counters */
    bool needs_queue, needs_reported;
};

/* The exposition format: in a label's value \, " and the newline are escaped. */
static void add_label_value(Text *out, const char *s) {
    for (; *s; s++) {
        if (*s == '\\' || *s == '"')
            text_addc(out, '\\');
        if (*s == '\n')
            text_add(out, "\\n");
        else
            text_addc(out, *s);
    }
}

/* NAME[SUFFIX]{service="…"[,LABEL="…"]} and a space. */
static void begin_sample(Text *out, const Family *f, const char *suffix, const MetricsService *s,
                         const char *label, const char *value) {
    text_add(out, f->name);
    text_add(out, suffix);
    text_add(out, "{service=\"");
    add_label_value(out, s->name);
    if (label && value) {
        text_add(out, "\",");
        text_add(out, label);
        text_add(out, "=\"");
        add_label_value(out, value);
    }
    text_add(out, "\"} ");
}

static void add_count(Text *out, uint64_t n) {
    text_addf(out, "%" PRIu64 "\n", n);
}

static void add_seconds(Text *out, uint64_t usec) {
    text_addf(out, "%llu.%06llu\n", (unsigned long long)(usec / USEC_PER_SEC),
              (unsigned long long)(usec % USEC_PER_SEC));
}

static void add_daemon_count(Text *out, const Family *f, uint64_t n) {
    text_add(out, f->name);
    text_addc(out, ' ');
    add_count(out, n);
}

static void add_daemon_seconds(Text *out, const Family *f, uint64_t usec) {
    text_add(out, f->name);
    text_addc(out, ' ');
    add_seconds(out, usec);
}

/* Of the daemon. */

static void build_info(Text *out, const Family *f, const MetricsDaemon *d) {
    text_add(out, f->name);
    text_add(out, "{version=\"");
    add_label_value(out, d->daemon->version);
    text_add(out, "\"} 1\n");
}

static void generation(Text *out, const Family *f, const MetricsDaemon *d) {
    add_daemon_count(out, f, d->daemon->generation);
}

static void reload_successful(Text *out, const Family *f, const MetricsDaemon *d) {
    add_daemon_count(out, f, d->daemon->last_reload.ok);
}

static void reload_time(Text *out, const Family *f, const MetricsDaemon *d) {
    add_daemon_seconds(out, f, d->daemon->last_reload.success_usec);
}

static void control_clients(Text *out, const Family *f, const MetricsDaemon *d) {
    add_daemon_count(out, f, d->control_clients);
}

static void events_missed(Text *out, const Family *f, const MetricsDaemon *d) {
    add_daemon_count(out, f, d->events_missed);
}

static void interpreter_restarts(Text *out, const Family *f, const MetricsDaemon *d) {
    add_daemon_count(out, f, d->interpreter_restarts);
}

static void bans_now(Text *out, const Family *f, const MetricsDaemon *d) {
    add_daemon_count(out, f, d->bans);
}

static void bans_dropped_early(Text *out, const Family *f, const MetricsDaemon *d) {
    add_daemon_count(out, f, d->bans_dropped);
}

static void sources_known(Text *out, const Family *f, const MetricsDaemon *d) {
    add_daemon_count(out, f, d->sources.known);
}

static void sources_evicted(Text *out, const Family *f, const MetricsDaemon *d) {
    add_daemon_count(out, f, d->sources.evicted);
}

static void sources_failed(Text *out, const Family *f, const MetricsDaemon *d) {
    add_daemon_count(out, f, d->sources.failed);
}

static void process_cpu(Text *out, const Family *f, const MetricsDaemon *d) {
    add_daemon_seconds(out, f, d->cpu_usec);
}

static void process_resident(Text *out, const Family *f, const MetricsDaemon *d) {
    add_daemon_count(out, f, d->resident);
}

static void process_virtual(Text *out, const Family *f, const MetricsDaemon *d) {
    add_daemon_count(out, f, d->virtual_size);
}

static void process_open_fds(Text *out, const Family *f, const MetricsDaemon *d) {
    add_daemon_count(out, f, d->daemon->fds);
}

static void process_max_fds(Text *out, const Family *f, const MetricsDaemon *d) {
    add_daemon_count(out, f, d->max_fds);
}

static void process_start(Text *out, const Family *f, const MetricsDaemon *d) {
    add_daemon_seconds(out, f, d->started_usec);
}

/* Of each service. */

static const uint64_t *counter(const Family *f, const MetricsService *s) {
    return (const uint64_t *)(const void *)((const char *)s->counters + f->offset);
}

static void one_counter(Text *out, const Family *f, const MetricsService *s) {
    begin_sample(out, f, "", s, NULL, NULL);
    add_count(out, *counter(f, s));
}

static void state(Text *out, const Family *f, const MetricsService *s) {
    for (size_t i = 0; i < _SERVICE_STATE_MAX; i++) {
        begin_sample(out, f, "", s, "state", service_state_to_string((ServiceState)i));
        add_count(out, s->state == (ServiceState)i);
    }
}

static void refusals(Text *out, const Family *f, const MetricsService *s) {
    for (size_t i = 0; i < _REFUSE_REASON_MAX; i++) {
        begin_sample(out, f, "", s, "reason", refuse_reason_to_string((RefuseReason)i));
        add_count(out, counter(f, s)[i]);
    }
}

static void bans_imposed(Text *out, const Family *f, const MetricsService *s) {
    for (size_t i = 0; i < _BAN_CAUSE_MAX; i++) {
        begin_sample(out, f, "", s, "cause", ban_cause_to_string((BanCause)i));
        add_count(out, counter(f, s)[i]);
    }
}

static void exits(Text *out, const Family *f, const MetricsService *s) {
    for (size_t i = 0; i < _EXIT_RESULT_MAX; i++) {
        begin_sample(out, f, "", s, "result", exit_result_to_string((ExitResult)i));
        add_count(out, counter(f, s)[i]);
    }
}

static void failed_steps(Text *out, const Family *f, const MetricsService *s) {
    for (size_t i = 0; i < _STEP_MAX; i++) {
        begin_sample(out, f, "", s, "step", spawn_step_to_string((SpawnStep)i));
        add_count(out, counter(f, s)[i]);
    }
}

static void instances(Text *out, const Family *f, const MetricsService *s) {
    begin_sample(out, f, "", s, NULL, NULL);
    add_count(out, s->instances);
}

static void instances_limit(Text *out, const Family *f, const MetricsService *s) {
    begin_sample(out, f, "", s, NULL, NULL);
    add_count(out, s->instances_limit);
}

static void backlog(Text *out, const Family *f, const MetricsService *s) {
    begin_sample(out, f, "", s, NULL, NULL);
    add_count(out, s->queued);
}

static void backlog_limit(Text *out, const Family *f, const MetricsService *s) {
    begin_sample(out, f, "", s, NULL, NULL);
    add_count(out, s->backlog);
}

static void workers(Text *out, const Family *f, const MetricsService *s) {
    const struct {
        const char *state;
        uint64_t n;
    } rows[] = {{"idle", s->workers.idle}, {"busy", s->workers.busy}, {"starting", s->workers.starting}};
    for (size_t i = 0; s->workers.present && i < ELEMENTS(rows); i++) {
        begin_sample(out, f, "", s, "state", rows[i].state);
        add_count(out, rows[i].n);
    }
}

static void spares(Text *out, const Family *f, const MetricsService *s) {
    if (!s->sets_up_ahead)
        return;
    begin_sample(out, f, "", s, NULL, NULL);
    add_count(out, s->spares);
}

static void reported(Text *out, const Family *f, const MetricsService *s) {
    for (size_t i = 0; i < s->n_reported; i++) {
        double value = s->reported[i].value;
        begin_sample(out, f, "", s, "name", s->reported[i].name);
        if (isnan(value))
            text_add(out, "NaN\n");
        else if (isinf(value))
            text_add(out, value > 0 ? "+Inf\n" : "-Inf\n");
        else
            text_addf(out, "%.15g\n", value);
    }
}

/* Histograms: on bounds for which the counts are exact. */

typedef struct Bound {
    const char *le;
    uint64_t usec;
} Bound;

static const Bound delay_bounds[] = {{"0.0001", 100}, {"0.0002", 200}, {"0.0005", 500}, {"0.001", 1000},
                                     {"0.002", 2000}, {"0.005", 5000}, {"0.01", 10000}, {"0.02", 20000},
                                     {"0.05", 50000}, {"0.1", 100000}, {"0.2", 200000}, {"0.5", 500000},
                                     {"1", 1000000},  {"2", 2000000},  {"5", 5000000},  {"10", 10000000}};

static const Bound duration_bounds[] = {
    {"0.01", 10000},        {"0.05", 50000},        {"0.1", 100000},         {"0.5", 500000},
    {"1", 1000000},         {"5", 5000000},         {"10", 10000000},        {"50", 50000000},
    {"100", 100000000},     {"500", 500000000},     {"1000", 1000000000},    {"5000", 5000000000},
    {"10000", 10000000000}, {"50000", 50000000000}, {"100000", 100000000000}};

static void add_histogram(Text *out, const Family *f, const MetricsService *s, const Histogram *h,
                          const Bound *bounds, size_t n) {
    uint64_t count = h ? h->count : 0;
    for (size_t i = 0; i < n; i++) {
        begin_sample(out, f, "_bucket", s, "le", bounds[i].le);
        add_count(out, histogram_at_most(h, bounds[i].usec));
    }
    begin_sample(out, f, "_bucket", s, "le", "+Inf");
    add_count(out, count);
    begin_sample(out, f, "_sum", s, NULL, NULL);
    add_seconds(out, h ? h->sum_usec : 0);
    begin_sample(out, f, "_count", s, NULL, NULL);
    add_count(out, count);
}

static void spawn_delay(Text *out, const Family *f, const MetricsService *s) {
    add_histogram(out, f, s, s->latency, delay_bounds, ELEMENTS(delay_bounds));
}

static void instance_duration(Text *out, const Family *f, const MetricsService *s) {
    add_histogram(out, f, s, s->duration, duration_bounds, ELEMENTS(duration_bounds));
}

#define OF_DAEMON(name, type, help, add)                                                                     \
    { name, type, help, add, NULL, 0, false, false }
#define OF_SERVICE(name, type, help, add)                                                                    \
    { name, type, help, NULL, add, 0, false, false }
#define COUNTER(name, help, add, member)                                                                     \
    { name, "counter", help, NULL, add, offsetof(Counters, member), false, false }

static const Family families[] = {
    OF_DAEMON("mpinetd_build_info", "gauge", "Always 1; the version is in the label.", build_info),
    OF_DAEMON("mpinetd_config_generation", "gauge", "Generation of the config in force.", generation),
    OF_DAEMON("mpinetd_config_last_reload_successful", "gauge", "Whether the last reload succeeded.",
              reload_successful),
    OF_DAEMON("mpinetd_config_last_reload_success_timestamp_seconds", "gauge",
              "When the config in force was loaded.", reload_time),
    OF_DAEMON("mpinetd_control_clients", "gauge", "Connections to the control socket.", control_clients),
    OF_DAEMON("mpinetd_events_missed_total", "counter",
              "Events that were left out for followers that did not read them in time.", events_missed),
    OF_DAEMON("mpinetd_interpreter_restarts_total", "counter",
              "Processes that read requests of control clients and were lost, to be replaced.",
              interpreter_restarts),
    OF_DAEMON("mpinetd_bans", "gauge", "Bans that hold.", bans_now),
    OF_DAEMON("mpinetd_bans_dropped_total", "counter",
              "Bans that ended before their time because there were too many.", bans_dropped_early),
    OF_DAEMON("mpinetd_sources", "gauge", "Sources of connections that are remembered, of all services.",
              sources_known),
    OF_DAEMON("mpinetd_sources_evicted_total", "counter", "Sources that were forgotten to make room.",
              sources_evicted),
    OF_DAEMON("mpinetd_sources_failed_total", "counter",
              "Sources that could not be remembered, and so were not limited.", sources_failed),
    OF_SERVICE("mpinetd_service_state", "gauge", "1 for the state that the service is in, 0 for the others.",
               state),
    COUNTER("mpinetd_connections_accepted_total", "Connections accepted.", one_counter, accepted),
    COUNTER("mpinetd_connections_refused_total", "Connections refused after they were accepted.", refusals,
            refused),
    COUNTER("mpinetd_connections_gone_total", "Connections whose client left before they were served.",
            one_counter, gone),
    COUNTER("mpinetd_bans_total", "Bans that the service has imposed, by cause.", bans_imposed, bans),
    {"mpinetd_backlog_connections", "gauge", "Connections that wait to be accepted.", NULL, backlog, 0, true,
     false},
    {"mpinetd_backlog_limit", "gauge", "How many connections may wait to be accepted.", NULL, backlog_limit,
     0, true, false},
    OF_SERVICE("mpinetd_instances", "gauge", "Processes of the service.", instances),
    OF_SERVICE("mpinetd_instances_limit", "gauge", "The most processes at once (limits.instances).",
               instances_limit),
    OF_SERVICE("mpinetd_workers", "gauge", "Workers of a pool.", workers),
    OF_SERVICE("mpinetd_spares", "gauge", "Processes that are set up ahead and wait (prespawn).", spares),
    COUNTER("mpinetd_spawns_total", "Processes started.", one_counter, spawned),
    COUNTER("mpinetd_spawn_failures_total", "Processes that could not be started, by the step that failed.",
            failed_steps, failed_steps),
    COUNTER("mpinetd_exits_total", "Processes that ended, by how they did.", exits, exited),
    COUNTER("mpinetd_restarts_total", "Processes started again after they had ended.", one_counter, restarts),
    COUNTER("mpinetd_requests_total", "Requests that processes have reported as done.", one_counter,
            requests),
    COUNTER("mpinetd_report_errors_total", "Malformed lines on status pipes.", one_counter, report_errors),
    COUNTER("mpinetd_cgroup_oom_kills_total",
            "Processes in control groups of the service that were killed for want of memory.", one_counter,
            cgroup_oom_kills),
    COUNTER("mpinetd_cgroup_pids_limited_total",
            "Processes in control groups of the service that could not be made (cgroup.pids_max).",
            one_counter, cgroup_pids_limited),
    {"mpinetd_reported", "gauge", "What processes report of themselves as X_NAME=, summed over them.", NULL,
     reported, 0, false, true},
    OF_SERVICE("mpinetd_spawn_delay_seconds", "histogram",
               "From the acceptance of a connection, or the wake-up, to the start of the program.",
               spawn_delay),
    OF_SERVICE("mpinetd_instance_duration_seconds", "histogram", "How long processes lived.",
               instance_duration),
    OF_DAEMON("process_cpu_seconds_total", "counter", "User and system CPU time of the daemon itself.",
              process_cpu),
    OF_DAEMON("process_resident_memory_bytes", "gauge", "Resident memory of the daemon itself.",
              process_resident),
    OF_DAEMON("process_virtual_memory_bytes", "gauge", "Virtual memory of the daemon itself.",
              process_virtual),
    OF_DAEMON("process_open_fds", "gauge", "Open descriptors of the daemon itself.", process_open_fds),
    OF_DAEMON("process_max_fds", "gauge", "The most descriptors that the daemon may have open.",
              process_max_fds),
    OF_DAEMON("process_start_time_seconds", "gauge", "When the daemon was started, in seconds since 1970.",
              process_start),
};

size_t metrics_families(void) {
    return ELEMENTS(families);
}

const char *metrics_family_name(size_t family) {
    return families[family].name;
}

bool metrics_family_needs_queue(size_t family) {
    return families[family].needs_queue;
}

bool metrics_family_needs_reported(size_t family) {
    return families[family].needs_reported;
}

bool metrics_family_counts_cgroup(size_t family) {
    return families[family].of_service == one_counter &&
           families[family].offset == offsetof(Counters, cgroup_oom_kills);
}

bool metrics_family_is_of_services(size_t family) {
    return families[family].of_service != NULL;
}

void metrics_begin_family(Text *out, size_t family, const MetricsDaemon *d) {
    const Family *f = &families[family];
    text_addf(out, "# HELP %s %s\n# TYPE %s %s\n", f->name, f->help, f->name, f->type);
    if (f->of_daemon)
        f->of_daemon(out, f, d);
}

void metrics_add_service(Text *out, size_t family, const MetricsService *s) {
    families[family].of_service(out, &families[family], s);
}

void metrics_sum_reported(MetricsReported *sums, size_t *n, const char *name, double value) {
    for (size_t i = 0; i < *n; i++) {
        if (streq(sums[i].name, name)) {
            sums[i].value += value;
            return;
        }
    }
    if (*n < METRICS_REPORTED_MAX)
        sums[(*n)++] = (MetricsReported){.name = name, .value = value};
}

/* SPDX-License-Identifier: MIT */
/* Metrics: families one after the other, each over all services, in parts. */
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "daemon/base/clock.h"
#include "daemon/control-private.h"
#include "daemon/metrics.h"
#include "daemon/service-cgroup.h"
#include "daemon/status.h"

/* One part ends after so many services, of one family or several, or so much text. */
#define SERVICES_IN_PART 64
#define PART_BYTES ((size_t)32 << 10)

/* proc_pid_stat(5) and getrlimit(2), of this process. */
static void describe_process(MetricsDaemon *d) {
    ProcessUsage usage = process_usage(getpid());
    struct rlimit limit = {0};
    uint64_t since_boot = clock_usec(CLOCK_BOOTTIME);
    d->cpu_usec = clock_usec(CLOCK_PROCESS_CPUTIME_ID);
    d->resident = usage.resident;
    d->virtual_size = usage.virtual_size;
    d->started_usec = clock_realtime_usec() - (since_boot - usage.started_usec);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        d->max_fds = limit.rlim_cur;
}

static void begin_family(Calls *calls, size_t family, Text *text) {
    ApiDaemon daemon = {0};
    MetricsDaemon d = {
        .daemon = &daemon,
        .control_clients = calls->n_clients,
        .events_missed = calls->events_missed,
        .interpreter_restarts = calls->interpreter_restarts,
    };
    if (!metrics_family_is_of_services(family)) {
        Runtime *rt = manager_runtime(calls->manager);
        d.bans = bans_count(rt->bans, clock_usec(CLOCK_BOOTTIME));
        d.bans_dropped = bans_dropped(rt->bans);
        d.sources = sources_stats(rt->sources);
        manager_describe(calls->manager, &daemon);
        describe_process(&d);
    }
    metrics_begin_family(text, family, &d);
}

static void add_queues(const Service *s, MetricsService *m) {
    for (size_t i = 0; i < s->n_listeners; i++) {
        int64_t queued = 0, backlog = 0;
        listener_queue(s->listeners[i], &queued, &backlog);
        m->queued += queued > 0 ? (uint64_t)queued : 0;
        m->backlog += backlog > 0 ? (uint64_t)backlog : 0;
    }
}

static size_t sum_reported(const Service *s, MetricsReported *sums) {
    size_t n = 0;
    LIST_FOREACH (i, &s->instances, const Instance, link)
        for (size_t k = 0; i->report && k < i->report->n_metrics; k++)
            metrics_sum_reported(sums, &n, i->report->metrics[k].name, i->report->metrics[k].value);
    return n;
}

static void add_service(Service *s, size_t family, Text *text) {
    MetricsReported sums[METRICS_REPORTED_MAX];
    if (metrics_family_counts_cgroup(family))
        service_cgroup_count(s);
    MetricsService m = {
        .name = s->name,
        .state = s->state,
        .counters = &service_past(s)->counters,
        .instances = s->n_instances,
        .instances_limit = snapshot_instances_limit(s),
        .workers = snapshot_workers(s),
        .sets_up_ahead = s->config->prespawn > 0,
        .spares = spares_count(s),
        .latency = service_past(s)->latency,
        .duration = service_past(s)->duration,
        .reported = sums,
    };
    if (metrics_family_needs_queue(family))
        add_queues(s, &m);
    if (metrics_family_needs_reported(family) && s->config->report)
        m.n_reported = sum_reported(s, sums);
    metrics_add_service(text, family, &m);
}

/* 1 at the end of the last family, 0 when there is more, or -ENOMEM. */
static int collect(Calls *calls, Stream *s, Text *text) {
    unsigned services = 0;
    int error = 0;
    while (s->section < metrics_families()) {
        if (!s->any)
            begin_family(calls, s->section, text);
        s->any = true; /* of this family */
        while (metrics_family_is_of_services(s->section)) {
            if (services++ == SERVICES_IN_PART || text->len > PART_BYTES)
                return 0;
            Service *service = calls_next_service(calls, s, &error);
            if (error < 0)
                return error;
            if (!service)
                break;
            add_service(service, s->section, text);
        }
        stream_rewind(s);
        s->section++;
        s->any = false;
    }
    return 1;
}

int calls_metrics_part(Calls *calls, Client *client, Stream *s, Text *out) {
    Text text CLEANUP_TEXT = {0};
    (void)client;
    int last = collect(calls, s, &text);
    if (last < 0 || !text_ok(&text))
        return -ENOMEM;
    if (stream_begins_message(s))
        api_encode_metrics_begin(out);
    s->begun = true;
    api_encode_metrics_part(out, text.s ? text.s : "", text.len);
    if (stream_ends_message(s, last))
        api_encode_metrics_end(out, !last);
    return last;
}

void call_metrics(Calls *calls, Client *client, ApiRequest *r) {
    (void)calls;
    calls_stream_of(client, calls_metrics_part, r);
}

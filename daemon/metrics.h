/* SPDX-License-Identifier: MIT */
#pragma once
/* Counters as Prometheus text, family by family, each in one block with its HELP and TYPE. Every series is
 * there from the start; no peer is in a label. Pure. */
#include "daemon/service.h"

/* What is of the daemon. Sizes in bytes. */
typedef struct MetricsDaemon {
    const ApiDaemon *daemon;
    uint64_t control_clients, events_missed, interpreter_restarts;
    uint64_t bans, bans_dropped;
    SourcesStats sources;
    uint64_t cpu_usec, resident, virtual_size, max_fds;
    uint64_t started_usec; /* since 1970 */
} MetricsDaemon;

/* A number that processes report of themselves, summed over them. */
typedef struct MetricsReported {
    const char *name;
    double value;
} MetricsReported;

#define METRICS_REPORTED_MAX 64

/* What is of one service. */
typedef struct MetricsService {
    const char *name;
    ServiceState state;
    const Counters *counters;
    uint64_t instances, instances_limit;
    uint64_t queued, backlog; /* for a family that needs them */
    ApiWorkers workers;
    bool sets_up_ahead;                  /* prespawn is set */
    uint64_t spares;                     /* processes that wait */
    const Histogram *latency, *duration; /* NULL: nothing was measured */
    const MetricsReported *reported;     /* for a family that needs them */
    size_t n_reported;
} MetricsService;

size_t metrics_families(void);
const char *metrics_family_name(size_t family);
/* What is costly to know. */
bool metrics_family_needs_queue(size_t family);
bool metrics_family_needs_reported(size_t family);
bool metrics_family_counts_cgroup(size_t family);
/* Whether metrics_add_service() is to be called for each service, behind metrics_begin_family(). */
bool metrics_family_is_of_services(size_t family);

/* HELP, TYPE, and what is of the daemon. */
void metrics_begin_family(Text *out, size_t family, const MetricsDaemon *d);
void metrics_add_service(Text *out, size_t family, const MetricsService *s);
/* Adds @value to what @sums, which has room for METRICS_REPORTED_MAX, holds under @name. */
void metrics_sum_reported(MetricsReported *sums, size_t *n, const char *name, double value);

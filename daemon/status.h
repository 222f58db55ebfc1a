/* SPDX-License-Identifier: MIT */
#pragma once
/* Snapshots of services and instances as plain values, for whoever asks. What they point to is the services':
 * they are to be used at once. */
#include "ctl/proto/api.h"
#include "daemon/service.h"

/* What the long form of a service adds. */
typedef struct Measures {
    ApiBucket latency[HISTOGRAM_API_BUCKETS], duration[HISTOGRAM_API_BUCKETS];
} Measures;

/* What its workers are doing; `present` only of a pool. */
ApiWorkers snapshot_workers(const Service *s);
/* So many processes at once. */
uint64_t snapshot_instances_limit(const Service *s);

/* The arrays behind snapshots; freed as one. */
typedef struct Snapshot {
    ApiService *services;
    size_t n_services;
    ApiListener *listeners; /* of all services */
    char (*addresses)[ADDR_TEXT_MAX];
    char (*errors)[128];
    const char **endpoints;
} Snapshot;

/* 0 or -ENOMEM. */
int snapshot_services(Service *const *services, size_t n, Snapshot *ret);
void snapshot_done(Snapshot *s);

/* Sets the latency and duration of @ret to those of @s, which are in @m. */
void snapshot_measures(const Service *s, Measures *m, ApiDescription *ret);

/* Fills @ret for @i; @peer_buf must live as long. CPU time and memory come from /proc; 0 where it does not
 * tell. */
void snapshot_instance(const Instance *i, LogAddresses addresses, char peer_buf[static PEER_TEXT_MAX],
                       ApiInstance *ret);
/* What proc_pid_stat(5) says of a process; all 0 where it says nothing. */
typedef struct ProcessUsage {
    uint64_t cpu_usec, started_usec; /* since the machine was started */
    uint64_t resident, virtual_size; /* bytes */
} ProcessUsage;
ProcessUsage process_usage(pid_t pid);
/* Open descriptors of this process. */
uint64_t count_open_fds(void);

/* SPDX-License-Identifier: MIT */
#pragma once
/* Snapshots of services and instances as plain values, for whoever asks. What they point to is the services':
 * they are to be used at once. */
#include "ctl/proto/api.h"
#include "daemon/service.h"

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

/* Fills @ret for @i; @peer_buf must live as long. CPU time and memory come from /proc; 0 where it does not
 * tell. */
void snapshot_instance(const Instance *i, LogAddresses addresses, char peer_buf[static PEER_TEXT_MAX],
                       ApiInstance *ret);
/* Open descriptors of this process. */
uint64_t count_open_fds(void);

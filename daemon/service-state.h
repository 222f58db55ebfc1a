/* SPDX-License-Identifier: MIT */
#pragma once
/* The state of a service, as one pure function of the facts about it. It is computed anew whenever a fact has
 * changed, so that no lost event can leave a service in a wrong state.
 *
 *   disabled ── enabled: false
 *   failed ──── nothing to run, or no listener open; retried ──> listening
 *   listening ─┬─ per-connection at its limit ──> full ── one ends ──> listening
 *              └─ on-demand: process runs ──> active ── ends ──> listening
 *                                                └─ fails too often ──> backoff ── time over ──> listening
 *   any ── stop ──> draining ── last instance ended ──> stopped ── start ──> listening
 */
#include "conf/config.h"
#include "ctl/proto/api.h"

/* What an administrator has asked for; lasts until start. */
typedef enum ServiceOrder {
    ORDER_RUN,
    ORDER_STOP,
} ServiceOrder;

typedef struct ServiceFacts {
    bool enabled;
    bool removed;     /* gone from the config; its instances go on */
    bool has_problem; /* what it runs is missing */
    Model model;
    ServiceOrder order;
    size_t listeners, listeners_open;
    uint64_t instances;
    bool waiting; /* admission said wait */
    bool backoff; /* a start is being delayed */
} ServiceFacts;

ServiceState service_state_of(const ServiceFacts *f);
/* Whether listeners are polled for new work in @state. */
bool service_state_polls(ServiceState state);

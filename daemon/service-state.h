/* SPDX-License-Identifier: MIT */
#pragma once
/* The state of a service, as one pure function of the facts about it. It is computed anew whenever a fact has
 * changed, so that no lost event can leave a service in a wrong state.
 *
 *   disabled ── enabled: false
 *   failed ──── nothing to run, or no listener open; retried ──> listening
 *   listening ─┬─ per-connection at its limit ──> full ── one ends ──> listening
 *              ├─ at its rate, or the machine's load is too high ──> throttled ── that is over ──> listening
 *              └─ on-demand: process starts ─> starting ── is ready ──> active ── ends ──> listening
 *                                                └─ fails too often ──> backoff ── time over ──> listening
 *   any ── stop ──> draining ── last instance ended ──> stopped ── start ──> listening
 *   any ── drain ─> draining ── queue served, listeners closed, last instance ended ──> stopped ── start ──>
 * … any that has an open listener ── pause ──> paused ── resume, start ──> listening
 */
#include "conf/config.h"
#include "ctl/proto/api.h"

/* What an administrator has asked for; lasts over reloads until start, or resume. */
typedef enum ServiceOrder {
    ORDER_RUN,
    ORDER_PAUSE, /* listeners stay open, nothing new is served */
    ORDER_DRAIN, /* what is queued is served, then the listeners are closed */
    ORDER_STOP,
    _SERVICE_ORDER_MAX,
} ServiceOrder;
DECLARE_STRTAB(service_order, ServiceOrder); /* "run", "pause", "drain", "stop" */

/* Whether listeners are to be opened, and kept, under @order. */
bool service_order_listens(ServiceOrder order);

/* The words in which it is asked for. */
typedef enum ServiceVerb {
    VERB_START,
    VERB_STOP,
    VERB_RESTART,
    VERB_PAUSE,
    VERB_RESUME,
    VERB_DRAIN,
    _SERVICE_VERB_MAX,
} ServiceVerb;
DECLARE_STRTAB(service_verb, ServiceVerb);

typedef struct ServiceFacts {
    bool enabled;
    bool removed;     /* gone from the config; its instances go on */
    bool has_problem; /* what it runs is missing */
    Model model;
    ServiceOrder order;
    size_t listeners, listeners_open;
    uint64_t instances; /* all its processes */
    uint64_t flying;    /* so many of them have not come to exec yet */
    uint64_t backends;  /* forward: so many of them are the backend's */
    bool accepts;       /* forward: connections, and not datagrams */
    uint64_t starting;  /* so many of them are not ready yet */
    bool waiting;       /* admission said wait */
    uint64_t preludes;  /* connections whose first bytes are being read, or that wait for room */
    bool reached;       /* it has no listeners, and needs none: tcpmux leads to it */
    bool throttled;     /* not, or not only, for a place: limits.rate, limits.load */
    bool backoff;       /* a start is being delayed */
} ServiceFacts;

ServiceState service_state_of(const ServiceFacts *f);
/* Whether listeners are polled for new work in @state. */
bool service_state_polls(ServiceState state);
/* The same with all that is known: one that drains serves what is queued. */
bool service_facts_poll(const ServiceFacts *f);
/* Why @verb cannot be done as things are, or NULL when it can. */
const char *service_verb_refusal(ServiceVerb verb, const ServiceFacts *f);

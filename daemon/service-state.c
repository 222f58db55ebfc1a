/* SPDX-License-Identifier: MIT */
#include "daemon/service-state.h"

static const char *const order_table[_SERVICE_ORDER_MAX] = {
    [ORDER_RUN] = "run",
    [ORDER_PAUSE] = "pause",
    [ORDER_DRAIN] = "drain",
    [ORDER_STOP] = "stop",
};
DEFINE_STRTAB(service_order, ServiceOrder, order_table);

static const char *const verb_table[_SERVICE_VERB_MAX] = {
    [VERB_START] = "start", [VERB_STOP] = "stop",     [VERB_RESTART] = "restart",
    [VERB_PAUSE] = "pause", [VERB_RESUME] = "resume", [VERB_DRAIN] = "drain",
};
DEFINE_STRTAB(service_verb, ServiceVerb, verb_table);

bool service_order_listens(ServiceOrder order) {
    return order == ORDER_RUN || order == ORDER_PAUSE;
}

/* Processes that run whether or not somebody is served. */
static bool has_servers(const ServiceFacts *f) {
    if (f->model == MODEL_PER_CONNECTION || (f->model == MODEL_FORWARD && f->accepts))
        return f->backends > 0;
    return f->instances > f->flying;
}

/* While its only process is on its way; with a backend, while that is. */
static bool is_starting(const ServiceFacts *f) {
    return f->starting > 0 && (f->backends > 0 || f->starting == f->instances - f->flying);
}

ServiceState service_state_of(const ServiceFacts *f) {
    bool busy = f->instances > 0 || f->preludes > 0, reached = f->listeners_open > 0 || f->reached;
    if (f->order == ORDER_STOP || f->removed)
        return busy ? SERVICE_DRAINING : SERVICE_STOPPED;
    if (f->order == ORDER_DRAIN)
        return busy || f->listeners_open > 0 ? SERVICE_DRAINING : SERVICE_STOPPED;
    if (!f->enabled)
        return busy ? SERVICE_DRAINING : SERVICE_DISABLED;
    if (f->order == ORDER_PAUSE && reached)
        return SERVICE_PAUSED;
    if (f->has_problem || !reached)
        return SERVICE_FAILED;
    if (f->backoff)
        return SERVICE_BACKOFF;
    if (f->throttled)
        return SERVICE_THROTTLED;
    if (f->waiting)
        return SERVICE_FULL;
    if (has_servers(f))
        return is_starting(f) ? SERVICE_STARTING : SERVICE_ACTIVE;
    return SERVICE_LISTENING;
}

bool service_state_polls(ServiceState state) {
    switch (state) {
    case SERVICE_LISTENING:
    case SERVICE_ACTIVE:
    case SERVICE_BACKOFF:
    case SERVICE_STARTING:
        return true;
    case SERVICE_DISABLED:
    case SERVICE_PAUSED:
    case SERVICE_FULL:
    case SERVICE_THROTTLED:
    case SERVICE_DRAINING:
    case SERVICE_FAILED:
    case SERVICE_STOPPED:
    case _SERVICE_STATE_MAX:
        return false;
    }
    return false;
}

bool service_facts_poll(const ServiceFacts *f) {
    ServiceState state = service_state_of(f);
    if (state == SERVICE_DRAINING)
        return f->order == ORDER_DRAIN && f->enabled && !f->removed && !f->waiting;
    return service_state_polls(state);
}

const char *service_verb_refusal(ServiceVerb verb, const ServiceFacts *f) {
    if (verb == VERB_STOP || verb == VERB_DRAIN)
        return NULL;
    if (f->removed)
        return "it is no longer in the config";
    if (!f->enabled)
        return "it has 'enabled: false' in its config";
    if ((verb != VERB_PAUSE && verb != VERB_RESUME) || service_order_listens(f->order))
        return NULL;
    return service_state_of(f) == SERVICE_DRAINING ? "it is draining; start it instead"
                                                   : "it is stopped; start it instead";
}

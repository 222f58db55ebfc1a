/* SPDX-License-Identifier: MIT */
#include "daemon/service-state.h"

ServiceState service_state_of(const ServiceFacts *f) {
    if (f->order == ORDER_STOP || f->removed)
        return f->instances > 0 ? SERVICE_DRAINING : SERVICE_STOPPED;
    if (!f->enabled)
        return f->instances > 0 ? SERVICE_DRAINING : SERVICE_DISABLED;
    if (f->has_problem || f->listeners_open == 0)
        return SERVICE_FAILED;
    if (f->backoff)
        return SERVICE_BACKOFF;
    if (f->waiting)
        return SERVICE_FULL;
    if (f->model != MODEL_PER_CONNECTION && f->instances > 0)
        return SERVICE_ACTIVE;
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

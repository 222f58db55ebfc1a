/* SPDX-License-Identifier: MIT */
#pragma once
/* What service-save.c and service-restore.c share: the fields of a service in a blob, and its smaller parts.
 */
#include "daemon/base/blob-rows.h"
#include "daemon/service.h"

/* Never used again for something else. Not among them is what follows from the facts: what is built for
 * processes (it is built with the next one), which listeners are polled, why nobody is let in. Processes are
 * counted as they come back. Spares have ended by then, and no reload is under way. */
typedef enum ServiceTag {
    SERVICE_NAME = 1,
    SERVICE_ID,
    SERVICE_CONFIG, /* config_put_some(), of one that is not in the config in force */
    SERVICE_GENERATION,
    SERVICE_REMOVED,
    SERVICE_LIMITS,
    SERVICE_STATE, /* a word */
    SERVICE_SINCE,
    SERVICE_HAS_STATED,
    SERVICE_ORDER, /* a word, as the verb */
    SERVICE_ORDER_UID,
    SERVICE_ORDER_USEC,
    SERVICE_VERB,
    SERVICE_N_ORDERS,
    SERVICE_WATERMARK,
    SERVICE_DRAIN_TIME,
    SERVICE_DRAIN_LOOKS,
    SERVICE_LISTENER, /* one, in their order */
    SERVICE_SLOT,     /* the same */
    SERVICE_POOL,
    SERVICE_INSTANCE, /* one, in their order, the ghosts after the others: after listeners, slots and pool */
    SERVICE_IDLE,     /* of a slot; after the instances, as what follows */
    SERVICE_BACKEND,
    SERVICE_PASSED,
    SERVICE_TOLD_BLIND,
    SERVICE_TOLD_IDLE_BLIND,
    SERVICE_STARVED,
    SERVICE_GATE,
    SERVICE_PRELUDES,
    SERVICE_ENDINGS,
    SERVICE_COUNTERS,
    SERVICE_ACCEPT_RATE,
    SERVICE_LATENCY,
    SERVICE_DURATION,
    SERVICE_REFUSED_SOURCES,
    SERVICE_STATUS,
    SERVICE_LAST_ERROR,
    SERVICE_RING,
    SERVICE_LINES,
    SERVICE_LIMITED, /* one, in the order of LimitedLine */
    SERVICE_RETRY_TIME,
    SERVICE_RETRY_LEVEL,
    SERVICE_SPARES_TOLD,
    SERVICE_LEAVING, /* one, in their order */
    SERVICE_LEAVE_LOOKS,
    SERVICE_LEAVE_EMPTY,
    SERVICE_CGROUP,
    SERVICE_LOOKS, /* what it lacks is being looked up: asked for anew. After the time of the next try */
} ServiceTag;

/* In SERVICE_IDLE. */
enum {
    IDLE_SLOT = 1,
    IDLE_TIMES,
};

/* The plain members. */
extern const BlobRow service_rows[];
extern const size_t service_n_rows;

/* A listener that it gives up; into its list of them. */
void leaving_save(BlobWriter *w, const Listener *l);
int leaving_restore(BlobReader r, Service *s); /* 0, -EBADMSG or -ENOMEM */
void counters_save(BlobWriter *w, const Counters *c);
int counters_restore(BlobReader r, Counters *c); /* 0 or -EBADMSG */
void last_error_save(BlobWriter *w, const LastError *e);
int last_error_restore(BlobReader r, LastError *e); /* the same */

/* SPDX-License-Identifier: MIT */
#pragma once
/* What happened: an event kept in memory, and rings of them, the newest pushing out the oldest. */
#include "ctl/proto/api.h"
#include "daemon/base/blob.h"

/* A counted copy of an ApiEvent, its strings included, in one allocation and in few bytes: thousands of
 * services keep the one that says where they listen. To be read by event_read(). */
typedef struct Event {
    uint32_t refs, size;
    uint64_t seq; /* counts up with each; clocks may be set back */
    const char *level;
    uint64_t time_usec, instance, duration_usec;
    pid_t pid;
    int error, exit_code;
    uint8_t signal;
    uint8_t addresses; /* LogAddresses: as which the peer was written */
    uint8_t has;       /* which of its strings are there, a bit each */
    char strings[];    /* one after the other */
} Event;

Event *event_new(const ApiEvent *e); /* NULL when memory runs out */
Event *event_ref(Event *e);
Event *event_unref(Event *e); /* returns NULL */

/* As it was, but for its facts, which only the log has; its strings are those of @e. */
ApiEvent event_read(const Event *e);
/* Whether it is a line that a process wrote, and nothing that happened to it. */
bool event_is_output(const ApiEvent *e);
/* As somebody may see it to whom peers are shown as @addresses: a peer that was kept with more is left out.
 */
ApiEvent event_shown(const Event *e, LogAddresses addresses);

/* Whether the log is to have it; all of it; and as the log has it: without the facts that are not wanted
 * there. */
bool event_is_logged(const ApiEvent *e);
bool event_is_logged_whole(const ApiEvent *e);
ApiEvent event_logged(const ApiEvent *e);

typedef struct EventRing {
    union {
        Event *only;   /* where there is place for one */
        Event **slots; /* for more: allocated */
    };
    uint32_t n, first;
    uint32_t capacity, max;    /* so many places there are, growing up to so many */
    uint32_t bytes, max_bytes; /* of what it refers to */
} EventRing;

/* At most @max events, and @max_bytes of them, but one always. */
void event_ring_init(EventRing *r, uint32_t max, uint32_t max_bytes);
void event_ring_done(EventRing *r);
void event_ring_push(EventRing *r, Event *e); /* takes a reference of its own */
/* The @i-th oldest, or NULL. */
const Event *event_ring_get(const EventRing *r, size_t i);
/* The newest @n events, as a ring to read from while @r does not change. */
EventRing event_ring_newest(const EventRing *r, size_t n);
/* The newest @last of @a and @b together, in the order in which they came, in @ret, which has
 * room for so many. Returns how many there are. */
size_t event_rings_merge(const EventRing *a, const EventRing *b, size_t last, const Event **ret);

/* The line that people read: `service[pid] peer message`, escaped, without time and newline. */
void event_format(const ApiEvent *e, Text *out);

/* See handover.h. The newest that fit come back behind what is in @q. 0 or -EBADMSG. */
void event_ring_save(BlobWriter *w, const EventRing *q);
int event_ring_restore(BlobReader r, EventRing *q);

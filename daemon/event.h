/* SPDX-License-Identifier: MIT */
#pragma once
/* What happened: an event kept in memory, and rings of them, the newest pushing out the oldest. */
#include "ctl/proto/api.h"

/* A counted copy of an ApiEvent, its strings included, in one allocation. */
typedef struct Event {
    unsigned refs;
    ApiEvent e;
    char strings[];
} Event;

Event *event_new(const ApiEvent *e); /* NULL when memory runs out */
Event *event_ref(Event *e);
Event *event_unref(Event *e); /* returns NULL */

typedef struct EventRing {
    Event **slots; /* allocated with the first event */
    size_t capacity, n, first;
} EventRing;

void event_ring_init(EventRing *r, size_t capacity);
void event_ring_done(EventRing *r);
void event_ring_push(EventRing *r, Event *e); /* takes a reference of its own */
/* The @i-th oldest, or NULL. */
const Event *event_ring_get(const EventRing *r, size_t i);

/* The line that people read: `service[pid] peer message`, escaped, without time and newline. */
void event_format(const ApiEvent *e, Text *out);

/* SPDX-License-Identifier: MIT */
/* Events: what happened, and what happens to whoever follows. */
#include <string.h>

#include "daemon/control-private.h"

/* Events that a call without `last` gets. */
#define EVENTS_DEFAULT 100

static bool event_is_of(const ApiEvent *e, const char *service) {
    return !service || streq_null(e->service, service);
}

/* The peer as the client may see it: an event was written with what log.addresses said then. */
static void answer_events(const EventRing *ring, Client *client, const char *service, int64_t last,
                          bool continues) {
    size_t wanted = last < 0 ? EVENTS_DEFAULT : (size_t)last, n = 0, first = ring->n;
    if (wanted > ring->n)
        wanted = ring->n;
    ApiEvent *events CLEANUP_FREE = calloc(wanted + 1, sizeof(ApiEvent));
    if (!events)
        return;
    while (first > 0 && n < wanted) {
        const Event *e = event_ring_get(ring, --first);
        n += event_is_of(&e->e, service);
    }
    n = 0;
    for (size_t i = first; i < ring->n && n < wanted; i++) {
        const Event *e = event_ring_get(ring, i);
        if (event_is_of(&e->e, service))
            events[n++] = e->e;
    }
    api_encode_events(client_out(client), events, n, 0, continues);
}

void call_events(Calls *calls, Client *client, ApiRequest *r) {
    const EventRing *ring = manager_events(calls->manager);
    if (r->service) {
        const Service *s = service_set_find(manager_services(calls->manager), r->service);
        if (!s) {
            calls_answer_failure(client, -ENOENT, r->service);
            return;
        }
        ring = &s->ring;
    }
    answer_events(ring, client, r->service, r->last, r->more);
    if (r->more) {
        client->following = true;
        client->follow = TAKE_PTR(r->service);
    }
}

void calls_send_event(Calls *calls, Client *client, const ApiEvent *e) {
    (void)calls;
    if (!event_is_of(e, client->follow))
        return;
    api_encode_events(client_out(client), e, 1, 0, true);
    client_flush(client);
}

/* SPDX-License-Identifier: MIT */
/* Events: what happened, and what happens to whoever follows. What a follower does not read in time is
 * counted instead of kept, and told when it has read the rest. */
#include <string.h>

#include "daemon/control-private.h"

/* Events that a call without `last` gets, and the most there can be of one kept. */
#define EVENTS_DEFAULT 100
#define EVENTS_MOST (EVENTS_KEPT + LINES_KEPT_SERVICE)

/* Peers as the client may see them now; who may change things sees them as they were kept. */
static LogAddresses kept_addresses(const Calls *calls, const Client *client) {
    return client_may_change(client, manager_config(calls->manager)) ? LOG_ADDRESSES_FULL
                                                                     : calls->log->addresses;
}

size_t calls_recall(const Calls *calls, const Client *client, const Service *s, size_t last,
                    size_t last_lines, ApiEvent *ret) {
    const EventRing lines = s ? event_ring_newest(&service_past(s)->lines, last_lines) : (EventRing){0};
    const Event *events[EVENTS_MOST];
    size_t n = event_rings_merge(s ? &s->ring : &calls->log->ring, &lines,
                                 last < EVENTS_MOST ? last : EVENTS_MOST, events);
    LogAddresses addresses = kept_addresses(calls, client);
    for (size_t i = 0; i < n; i++)
        ret[i] = event_shown(events[i], addresses);
    return n;
}

int calls_events_part(Calls *calls, Client *client, Stream *stream, Text *out) {
    const char *service = stream->subject;
    const Service *s = service ? service_set_find(manager_services(calls->manager), service) : NULL;
    if (service && !s) {
        calls_answer_failure(client, -ENOENT, service);
        return 1;
    }
    size_t last = stream->last < 0             ? EVENTS_DEFAULT
                  : stream->last < EVENTS_MOST ? (size_t)stream->last
                                               : EVENTS_MOST;
    ApiEvent *events CLEANUP_FREE = calloc(last + 1, sizeof(ApiEvent));
    if (!events)
        return -ENOMEM;
    size_t n = calls_recall(calls, client, s, last, last, events);
    api_encode_events(out, events, n, 0, stream->more);
    client->following = stream->more;
    if (stream->more)
        client->follow = TAKE_PTR(stream->subject);
    return 1;
}

void call_events(Calls *calls, Client *client, ApiRequest *r) {
    (void)calls;
    calls_stream_of(client, calls_events_part, r);
}

/* Of a service all that is of it, by its name, so that it is followed through a reload that takes it away and
 * brings it back; else all but the output of processes. */
static bool follows(const Client *client, const ApiEvent *e) {
    return client->follow ? streq_null(e->service, client->follow) : !event_is_output(e);
}

void calls_send_event(Calls *calls, Client *client, const ApiEvent *e, Text *message) {
    if (!follows(client, e))
        return;
    /* Each follower gets the same bytes. */
    if (message->len == 0)
        api_encode_events(message, e, 1, 0, true);
    /* Where nothing waits to be read, nothing else would tell. */
    calls_tell_missed(client);
    if (client->missed > 0 || !text_ok(message) || client_unsent(client) + message->len > CLIENT_FOLLOW_MAX) {
        client->missed++;
        calls->events_missed++;
        return;
    }
    text_add_n(client_out(client), message->s, message->len);
    client_flush_later(client);
}

void calls_tell_missed(Client *client) {
    if (client->missed == 0 || client_unsent(client) > 0)
        return;
    api_encode_events(client_out(client), NULL, 0, client->missed, true);
    client->missed = 0;
}

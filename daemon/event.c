/* SPDX-License-Identifier: MIT */
#include "daemon/event.h"

#include <string.h>

static size_t string_size(const char *s) {
    return s ? strlen(s) + 1 : 0;
}

static const char *copy_string(char **at, const char *s) {
    if (!s)
        return NULL;
    size_t n = strlen(s) + 1;
    char *copy = *at;
    memcpy(copy, s, n);
    *at += n;
    return copy;
}

Event *event_new(const ApiEvent *e) {
    /* level and event are words of the program and need no copy. */
    size_t n = string_size(e->service) + string_size(e->peer) + string_size(e->reason) +
               string_size(e->step) + string_size(e->message);
    Event *copy = malloc(sizeof(Event) + n);
    if (!copy)
        return NULL;
    char *at = copy->strings;
    copy->refs = 1;
    copy->e = *e;
    copy->e.service = copy_string(&at, e->service);
    copy->e.peer = copy_string(&at, e->peer);
    copy->e.reason = copy_string(&at, e->reason);
    copy->e.step = copy_string(&at, e->step);
    copy->e.message = copy_string(&at, e->message);
    return copy;
}

Event *event_ref(Event *e) {
    e->refs++;
    return e;
}

Event *event_unref(Event *e) {
    if (e && --e->refs == 0)
        free(e);
    return NULL;
}

void event_ring_init(EventRing *r, size_t capacity) {
    *r = (EventRing){.capacity = capacity};
}

void event_ring_done(EventRing *r) {
    for (size_t i = 0; i < r->n; i++)
        event_unref(r->slots[(r->first + i) % r->capacity]);
    free((void *)r->slots);
    *r = (EventRing){.capacity = r->capacity};
}

void event_ring_push(EventRing *r, Event *e) {
    if (!r->slots) {
        r->slots = (Event **)calloc(r->capacity, sizeof(Event *));
        if (!r->slots)
            return;
    }
    if (r->n == r->capacity) {
        event_unref(r->slots[r->first]);
        r->slots[r->first] = event_ref(e);
        r->first = (r->first + 1) % r->capacity;
    } else {
        r->slots[(r->first + r->n++) % r->capacity] = event_ref(e);
    }
}

const Event *event_ring_get(const EventRing *r, size_t i) {
    return i < r->n ? r->slots[(r->first + i) % r->capacity] : NULL;
}

void event_format(const ApiEvent *e, Text *out) {
    text_add(out, e->service ? e->service : "mpinetd");
    if (e->pid > 0)
        text_addf(out, "[%d]", (int)e->pid);
    if (e->peer) {
        text_addc(out, ' ');
        text_add_escaped(out, e->peer, strlen(e->peer));
    } else if (e->pid <= 0) {
        text_addc(out, ':');
    }
    if (e->message) {
        text_addc(out, ' ');
        text_add_escaped(out, e->message, strlen(e->message));
    }
}

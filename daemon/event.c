/* SPDX-License-Identifier: MIT */
#include "daemon/event.h"

#include <string.h>

/* So many places a ring has at first. */
#define RING_FIRST 2U

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
    /* The level is a word of the program and needs no copy; nor would the event, were it not for one that an
     * earlier version has kept. */
    size_t n = string_size(e->event) + string_size(e->service) + string_size(e->peer) +
               string_size(e->reason) + string_size(e->step) + string_size(e->message);
    Event *copy = malloc(sizeof(Event) + n);
    if (!copy)
        return NULL;
    *copy = (Event){.refs = 1, .size = sizeof(Event) + n, .e = *e};
    copy->e.facts = NULL;
    char *at = copy->strings;
    copy->e.event = copy_string(&at, e->event);
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

bool event_is_output(const ApiEvent *e) {
    return streq(e->event, "stderr");
}

ApiEvent event_shown(const Event *e, LogAddresses addresses) {
    ApiEvent shown = e->e;
    if (e->addresses < addresses)
        shown.peer = NULL;
    return shown;
}

bool event_is_logged(const ApiEvent *e) {
    return !e->facts || e->facts->logged != 0;
}

/* What event_logged() may take away. */
#define FACTS_OF_ALL                                                                                         \
    (1U << LOG_FACT_PID | 1U << LOG_FACT_PEER | 1U << LOG_FACT_EXIT | 1U << LOG_FACT_DURATION)

bool event_is_logged_whole(const ApiEvent *e) {
    return !e->facts || (e->facts->logged & FACTS_OF_ALL) == FACTS_OF_ALL;
}

ApiEvent event_logged(const ApiEvent *e) {
    ApiEvent logged = *e;
    if (!e->facts)
        return logged;
    unsigned wanted = e->facts->logged;
    if (!(wanted & 1U << LOG_FACT_PID))
        logged.pid = 0;
    if (!(wanted & 1U << LOG_FACT_PEER))
        logged.peer = NULL;
    if (!(wanted & 1U << LOG_FACT_EXIT)) {
        logged.exit_code = -1;
        logged.signal = 0;
    }
    if (!(wanted & 1U << LOG_FACT_DURATION))
        logged.duration_usec = UINT64_MAX;
    return logged;
}

void event_ring_init(EventRing *r, uint32_t max, size_t max_bytes) {
    *r = (EventRing){.max = max, .max_bytes = max_bytes};
}

static void drop_oldest(EventRing *r) {
    Event *oldest = r->slots[r->first];
    r->bytes -= oldest->size;
    r->first = r->first + 1 < r->capacity ? r->first + 1 : 0;
    r->n--;
    event_unref(oldest);
}

void event_ring_done(EventRing *r) {
    while (r->n > 0)
        drop_oldest(r);
    free((void *)r->slots);
    r->slots = NULL;
    r->capacity = 0;
}

/* Of ten thousand services most have little to tell. Without memory it stays as it is. */
static void grow(EventRing *r) {
    uint32_t capacity = r->capacity == 0 ? RING_FIRST : r->capacity * 2;
    if (capacity > r->max)
        capacity = r->max;
    Event **slots = (Event **)calloc(capacity, sizeof(Event *));
    if (!slots)
        return;
    for (uint32_t i = 0; i < r->n; i++)
        slots[i] = r->slots[(r->first + i) % r->capacity];
    free((void *)r->slots);
    r->slots = slots;
    r->capacity = capacity;
    r->first = 0;
}

void event_ring_push(EventRing *r, Event *e) {
    bool fits = r->n == 0 || r->bytes + e->size <= r->max_bytes;
    if (r->n == r->capacity && r->capacity < r->max && fits)
        grow(r);
    if (r->capacity == 0)
        return;
    while (r->n == r->capacity || (r->n > 0 && r->bytes + e->size > r->max_bytes))
        drop_oldest(r);
    r->slots[(r->first + r->n++) % r->capacity] = event_ref(e);
    r->bytes += e->size;
}

const Event *event_ring_get(const EventRing *r, size_t i) {
    return i < r->n ? r->slots[(r->first + i) % r->capacity] : NULL;
}

EventRing event_ring_newest(const EventRing *r, size_t n) {
    EventRing newest = *r;
    if (n < r->n) {
        newest.first = (uint32_t)((r->first + r->n - n) % r->capacity);
        newest.n = (uint32_t)n;
    }
    return newest;
}

size_t event_rings_merge(const EventRing *a, const EventRing *b, size_t last, const Event **ret) {
    size_t of_a = a->n, of_b = b->n, n = of_a + of_b, at;
    n = n < last ? n : last;
    /* From the newest back. */
    for (at = n; at > 0; at--) {
        const Event *x = of_a > 0 ? event_ring_get(a, of_a - 1) : NULL;
        const Event *y = of_b > 0 ? event_ring_get(b, of_b - 1) : NULL;
        bool take_x = x && (!y || x->seq > y->seq);
        ret[at - 1] = take_x ? x : y;
        of_a -= take_x;
        of_b -= !take_x;
    }
    return n;
}

void event_format(const ApiEvent *e, Text *out) {
    text_add(out, e->service ? e->service : "mpinetd");
    if (e->pid > 0) {
        text_addc(out, '[');
        text_add_u64(out, (uint64_t)e->pid);
        text_addc(out, ']');
    }
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

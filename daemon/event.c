/* SPDX-License-Identifier: MIT */
#include "daemon/event.h"

#include <string.h>

/* The strings of an event, in the order in which a copy has them. The level is a word of the program and
 * needs no copy; nor would the event, were it not for one that an earlier version has kept. */
static const size_t strings[] = {
    offsetof(ApiEvent, event),  offsetof(ApiEvent, service), offsetof(ApiEvent, peer),
    offsetof(ApiEvent, reason), offsetof(ApiEvent, step),    offsetof(ApiEvent, message),
};

static const char *string_of(const ApiEvent *e, size_t i) {
    const char *s;
    memcpy((void *)&s, (const char *)e + strings[i], sizeof(s));
    return s;
}

Event *event_new(const ApiEvent *e) {
    size_t sizes[ELEMENTS(strings)], n = offsetof(Event, strings);
    unsigned has = 0;
    for (size_t i = 0; i < ELEMENTS(strings); i++) {
        const char *s = string_of(e, i);
        sizes[i] = s ? strlen(s) + 1 : 0;
        has |= s ? 1U << i : 0;
        n += sizes[i];
    }
    Event *copy = malloc(n < sizeof(Event) ? sizeof(Event) : n);
    if (!copy)
        return NULL;
    *copy = (Event){
        .refs = 1,
        .size = (uint32_t)n,
        .level = e->level,
        .time_usec = e->time_usec,
        .instance = e->instance,
        .duration_usec = e->duration_usec,
        .pid = e->pid,
        .error = e->error,
        .exit_code = e->exit_code,
        .signal = (uint8_t)e->signal,
        .has = (uint8_t)has,
    };
    char *at = copy->strings;
    for (size_t i = 0; i < ELEMENTS(strings); at += sizes[i++])
        if (sizes[i] > 0)
            memcpy(at, string_of(e, i), sizes[i]);
    return copy;
}

ApiEvent event_read(const Event *e) {
    ApiEvent read = {
        .level = e->level,
        .time_usec = e->time_usec,
        .instance = e->instance,
        .duration_usec = e->duration_usec,
        .pid = e->pid,
        .error = e->error,
        .exit_code = e->exit_code,
        .signal = e->signal,
    };
    const char *at = e->strings;
    for (size_t i = 0; i < ELEMENTS(strings); i++) {
        if (!(e->has & 1U << i))
            continue;
        memcpy((char *)&read + strings[i], (const void *)&at, sizeof(at));
        at += strlen(at) + 1;
    }
    return read;
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
    ApiEvent shown = event_read(e);
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

void event_ring_init(EventRing *r, uint32_t max, uint32_t max_bytes) {
    *r = (EventRing){.max = max, .max_bytes = max_bytes};
}

/* Where the @i-th oldest is, or is to be. */
static uint32_t place_of(const EventRing *r, uint32_t i) {
    uint32_t at = r->first + i;
    return at < r->capacity ? at : at - r->capacity;
}

static Event *at_place(const EventRing *r, uint32_t place) {
    return r->capacity > 1 ? r->slots[place] : r->only;
}

static void drop_oldest(EventRing *r) {
    Event *oldest = at_place(r, r->first);
    r->bytes -= oldest->size;
    r->first = r->first + 1 < r->capacity ? r->first + 1 : 0;
    r->n--;
    event_unref(oldest);
}

void event_ring_done(EventRing *r) {
    while (r->n > 0)
        drop_oldest(r);
    if (r->capacity > 1)
        free((void *)r->slots);
    r->slots = NULL;
    r->capacity = 0;
}

/* Of ten thousand services most have little to tell. Without memory it stays as it is. */
static void grow(EventRing *r) {
    uint32_t capacity = r->capacity * 2;
    if (r->capacity == 0) {
        r->capacity = 1;
        r->first = 0;
        return;
    }
    if (capacity > r->max)
        capacity = r->max;
    Event **slots = (Event **)calloc(capacity, sizeof(Event *));
    if (!slots)
        return;
    for (uint32_t i = 0; i < r->n; i++)
        slots[i] = at_place(r, place_of(r, i));
    if (r->capacity > 1)
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
    if (r->capacity > 1)
        r->slots[place_of(r, r->n)] = event_ref(e);
    else
        r->only = event_ref(e);
    r->n++;
    r->bytes += e->size;
}

const Event *event_ring_get(const EventRing *r, size_t i) {
    return i < r->n ? at_place(r, place_of(r, (uint32_t)i)) : NULL;
}

EventRing event_ring_newest(const EventRing *r, size_t n) {
    EventRing newest = *r;
    if (n < r->n) {
        newest.first = place_of(r, r->n - (uint32_t)n);
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

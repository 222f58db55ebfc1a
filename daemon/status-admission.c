/* SPDX-License-Identifier: MIT */
#include "daemon/status-admission.h"

#include <string.h>
#include <time.h>

#include "conf/access.h"
#include "conf/hours.h"
#include "daemon/base/clock.h"
#include "daemon/knock.h"
#include "daemon/pool.h"

/* The same moment on both clocks. */
typedef struct Now {
    uint64_t monotonic_nsec, realtime_usec;
} Now;

static Now now_of_both(void) {
    return (Now){clock_monotonic_nsec(), clock_realtime_usec()};
}

/* A moment of CLOCK_MONOTONIC that is to come: not before it is over. */
static uint64_t realtime_of(const Now *now, uint64_t monotonic_nsec) {
    if (monotonic_nsec <= now->monotonic_nsec)
        return now->realtime_usec;
    uint64_t left = (monotonic_nsec - now->monotonic_nsec - 1) / NSEC_PER_USEC + 1;
    return left < INT64_MAX - now->realtime_usec ? now->realtime_usec + left : INT64_MAX;
}

/* One that was. */
static uint64_t realtime_of_past(const Now *now, uint64_t monotonic_usec) {
    uint64_t at = now->monotonic_nsec / NSEC_PER_USEC;
    return now->realtime_usec - (at > monotonic_usec ? at - monotonic_usec : 0);
}

static ApiWaiting waiting_for_room(const Service *s) {
    return (ApiWaiting){
        .present = true,
        .reason = REFUSE_INSTANCES,
        .used = s->n_instances,
        .limit = s->pool ? pool_max(s->pool) : s->limits->instances,
    };
}

ApiWaiting snapshot_waiting(const Service *s) {
    const Admission *held = &s->gate.held;
    Now now = now_of_both();
    if (s->state == SERVICE_FULL)
        return waiting_for_room(s);
    if (s->state != SERVICE_THROTTLED || !gate_is_held(s))
        return (ApiWaiting){0};
    return (ApiWaiting){
        .present = true,
        .reason = held->reason,
        .until_usec = held->until_nsec > 0 ? realtime_of(&now, held->until_nsec) : 0,
    };
}

ApiHours snapshot_hours(const Service *s) {
    const Hours *hours = s->config->terms->access.open;
    if (!hours)
        return (ApiHours){0};
    time_t now = (time_t)(clock_realtime_usec() / USEC_PER_SEC), change = hours_next_change(hours, now);
    return (ApiHours){
        .present = true,
        .open = hours_open_at(hours, now),
        .until_usec = change > now ? (uint64_t)change * USEC_PER_SEC : 0,
    };
}

/* Where processes accept nobody is asked for, and no ban holds. */
static bool asks_for_bans(const Service *s) {
    const ServiceConfig *c = s->config;
    if (c->model == MODEL_POOL)
        return c->terms->pool.handoff == POOL_HANDOFF_CONNECTION;
    bool asks = service_config_accepts(c);
    for (size_t i = 0; i < s->n_listeners && !asks; i++)
        asks = knock_is_asked(s->listeners[i]);
    return asks;
}

void snapshot_admission(Service *s, ApiDescription *ret) {
    double load = 0;
    ret->limits = s->limits;
    ret->load = s->limits->load > 0 && getloadavg(&load, 1) == 1 ? load : -1;
    ret->hours = snapshot_hours(s);
    ret->access_rules =
        s->config->terms->access.rules ? access_rules_count(s->config->terms->access.rules) : 0;
    ret->bans = asks_for_bans(s) ? bans_count_of(s->rt->bans, s->id, clock_usec(CLOCK_BOOTTIME)) : 0;
}

/* Sources. */

/* The item that is shown as @prefix is, made if it is new; NULL when it is not to be shown, or there is no
 * room. */
static ApiSource *item_of(SourceList *list, const Prefix *prefix, LogAddresses addresses) {
    char text[PEER_TEXT_MAX];
    if (!peer_format_prefix(prefix, addresses, text))
        return NULL;
    for (size_t i = 0; i < list->n; i++)
        if (streq(list->items[i].source, text))
            return &list->items[i];
    if (list->n == SOURCES_SHOWN)
        return NULL;
    memcpy(list->texts[list->n], text, sizeof(text));
    list->items[list->n] = (ApiSource){.source = list->texts[list->n]};
    return &list->items[list->n++];
}

/* What is remembered of it, and what it would be told now. */
static void add_known(Service *s, const Now *now, const Peer *prefix, const Source *known, ApiSource *item) {
    Admission a = gate_foresee(s, prefix);
    uint64_t until = a.verdict == VERDICT_REFUSE && a.until_nsec > 0 ? realtime_of(now, a.until_nsec) : 0;
    item->banned |= a.verdict == VERDICT_REFUSE && a.reason == REFUSE_BANNED;
    item->until_usec = until > item->until_usec ? until : item->until_usec;
    if (!known)
        return;
    uint64_t first = realtime_of_past(now, known->first_usec),
             newest = realtime_of_past(now, known->last_usec);
    item->active += known->active;
    item->accepted += known->accepted;
    item->first_usec = item->first_usec == 0 || first < item->first_usec ? first : item->first_usec;
    item->newest_usec = newest > item->newest_usec ? newest : item->newest_usec;
}

/* Those who are refused most are there already. */
static void add_accepted(Service *s, const Now *now, const Source *known, LogAddresses addresses,
                         SourceList *list) {
    Prefix prefix = prefix_of_source(&known->prefix, s->limits->source_ipv4, s->limits->source_ipv6);
    if (top_sources_have(service_past(s)->refused_sources, &prefix))
        return;
    ApiSource *item = item_of(list, &prefix, addresses);
    if (!item)
        return;
    item->refused += known->refused;
    add_known(s, now, &known->prefix, known, item);
}

static int compare(const void *a, const void *b) {
    const ApiSource *x = a, *y = b;
    if (x->was_refused != y->was_refused)
        return x->was_refused ? -1 : 1;
    uint64_t m = x->was_refused ? x->refused : x->accepted, n = x->was_refused ? y->refused : y->accepted;
    if (m != n)
        return m < n ? 1 : -1;
    uint64_t newest = x->was_refused ? x->last_time_usec : x->newest_usec,
             other = x->was_refused ? y->last_time_usec : y->newest_usec;
    return newest != other ? (newest < other ? 1 : -1) : strcmp(x->source, y->source);
}

void snapshot_sources(Service *s, LogAddresses addresses, SourceList *ret) {
    const TopSources *refused = service_past(s)->refused_sources;
    const Source *known[TOP_SOURCES];
    Now now = now_of_both();
    ret->n = top_sources_list(refused, addresses, ret->texts, ret->items);
    for (size_t i = 0; refused && i < refused->n; i++) {
        ApiSource *item = item_of(ret, &refused->items[i].source, addresses);
        Peer prefix = prefix_first(&refused->items[i].source);
        if (item)
            add_known(s, &now, &prefix, sources_find(s->rt->sources, s->id, &prefix), item);
    }
    size_t n = sources_top(s->rt->sources, s->id, known, TOP_SOURCES);
    for (size_t i = 0; i < n && known[i]->accepted > 0; i++)
        add_accepted(s, &now, known[i], addresses, ret);
    qsort(ret->items, ret->n, sizeof(ret->items[0]), compare);
}

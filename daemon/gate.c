/* SPDX-License-Identifier: MIT */
#include "daemon/gate.h"

#include <limits.h>

#include "conf/access.h"
#include "conf/hours.h"
#include "daemon/backend.h"
#include "daemon/base/clock.h"
#include "daemon/knock.h"
#include "daemon/launch.h"
#include "daemon/offence.h"
#include "daemon/pool.h"
#include "daemon/service.h"
#include "daemon/slot.h"

/* How often the machine's load is looked at while it is too high. */
#define LOAD_LOOK_USEC (100 * USEC_PER_MSEC)
/* A service that was held by rate or load is throttled for so long, so that its state does not follow each
 * token. */
#define THROTTLED_USEC (250 * USEC_PER_MSEC)

/* Facts */

/* When hours begin, in the clock of @now_nsec. It is looked for once a second, since it takes as long as a
 * hundred connections do. */
static uint64_t opening_nsec(Gate *g, const Hours *open, time_t now, uint64_t now_nsec) {
    if (g->opening_looked != now || g->opening_of != open)
        g->opening = hours_next_change(open, now);
    g->opening_looked = now;
    g->opening_of = open;
    return g->opening > now ? now_nsec + (uint64_t)(g->opening - now) * NSEC_PER_SEC : 0;
}

static ServiceUsage usage_of(Service *s, uint64_t now_nsec) {
    const Hours *open = s->config->terms->access.open;
    ServiceUsage u = {
        /* Workers and processes on demand are not one for each who is let in. */
        .instances = s->pool || service_n_listen_slots(s) > 0 ? 0 : s->n_instances,
        .rate = &s->gate.rate,
        .now_nsec = now_nsec,
    };
    if (s->limits->load > 0)
        u.load = machine_load(&s->rt->machine_load, now_nsec / NSEC_PER_USEC);
    if (open) {
        time_t now = time(NULL);
        u.closed = !hours_open_at(open, now);
        if (u.closed)
            u.opens_nsec = opening_nsec(&s->gate, open, now, now_nsec);
    }
    return u;
}

/* What holds for a sensor, or for somebody who waits: no limit. */
static const LimitsConfig no_limits = {.instances = UINT_MAX};

static const LimitsConfig *limits_of(const Service *s) {
    return s->config->terms->ban.sensor ? &no_limits : s->limits;
}

/* Whether each who comes is let in by the daemon. */
static bool admits(const Service *s) {
    const ServiceConfig *c = s->config;
    return service_config_accepts(c) || c->model == MODEL_TCPMUX ||
           (c->model == MODEL_POOL && c->terms->pool.handoff == POOL_HANDOFF_CONNECTION);
}

/* Of a service */

/* Without a limit or hours that the time decides no clock is read. */
static uint64_t now_if_wanted(const Service *s) {
    bool wanted = s->limits->rate.count > 0 || s->limits->load > 0 || s->config->terms->access.open;
    return wanted ? clock_monotonic_nsec() : 0;
}

Admission gate_ask(Service *s) {
    ServiceUsage usage = usage_of(s, now_if_wanted(s));
    return admission_of_service(limits_of(s), &usage);
}

/* What starts a process that then takes who comes by itself can only be put off. */
static Admission ask_to_start(Service *s) {
    LimitsConfig limits = *limits_of(s);
    limits.when_full = WHEN_FULL_WAIT;
    ServiceUsage usage = usage_of(s, clock_monotonic_nsec());
    usage.closed = false;
    return admission_of_service(&limits, &usage);
}

bool gate_may_start(Service *s) {
    return ask_to_start(s).verdict != VERDICT_WAIT;
}

void gate_count_start(Service *s) {
    (void)bucket_take(&s->gate.rate, &s->limits->rate, clock_monotonic_nsec());
}

static bool any_slot_idle(const Service *s) {
    for (size_t i = 0; i < s->n_slots; i++)
        if (slot_is_idle(&s->slots[i]) && &s->slots[i] != s->backend.slot)
            return true;
    return false;
}

/* Whether each of those who come can be refused alone, before anything is started. */
static bool only_knocks(const Service *s) {
    for (size_t i = 0; i < s->n_listeners; i++)
        if (!knock_is_asked(s->listeners[i]))
            return false;
    return true;
}

static Admission look(Service *s) {
    if (admits(s))
        return gate_ask(s);
    if (!any_slot_idle(s))
        return (Admission){.verdict = VERDICT_SERVE};
    return only_knocks(s) ? gate_ask(s) : ask_to_start(s);
}

static bool listens(const Service *s) {
    for (size_t i = 0; i < s->n_listeners; i++)
        if (listener_is_open(s->listeners[i]))
            return true;
    return false;
}

/* Whether somebody waits, or may come. */
static bool is_wanted(const Service *s) {
    return listens(s) || preludes_wait(s) || (service_order_listens(s->order) && tcpmux_reaches(s));
}

/* When the facts are to be looked at again though nothing happens. */
static uint64_t next_look(Gate *g, uint64_t now_usec) {
    bool held = g->held.verdict == VERDICT_WAIT, before = g->throttling;
    g->throttling = held && (g->held.reason == REFUSE_RATE || g->held.reason == REFUSE_LOAD);
    if (g->throttling || before)
        g->throttled_usec = now_usec;
    if (held && g->held.reason == REFUSE_LOAD)
        return now_usec + LOAD_LOOK_USEC;
    if (held && g->held.until_nsec > 0)
        return g->held.until_nsec / NSEC_PER_USEC + 1;
    if (g->throttled_usec > 0 && now_usec < g->throttled_usec + THROTTLED_USEC)
        return g->throttled_usec + THROTTLED_USEC;
    g->throttled_usec = 0;
    return USEC_INFINITY;
}

static int on_time(sd_event_source *source, uint64_t usec, void *userdata) {
    Service *s = userdata;
    (void)source;
    (void)usec;
    s->gate.timer = sd_event_source_disable_unref(s->gate.timer);
    service_update(s, NULL);
    return 0;
}

void gate_settle(Service *s) {
    Gate *g = &s->gate;
    g->held = look(s);
    bool idle = g->held.verdict != VERDICT_WAIT && g->throttled_usec == 0 && !g->throttling;
    uint64_t at = idle ? USEC_INFINITY : next_look(g, clock_monotonic_usec());
    if (at == USEC_INFINITY || !is_wanted(s)) {
        g->timer = sd_event_source_disable_unref(g->timer);
        return;
    }
    if (g->timer)
        (void)sd_event_source_set_time(g->timer, at);
    else
        (void)sd_event_add_time(s->rt->loop, &g->timer, CLOCK_MONOTONIC, at, USEC_PER_MSEC, on_time, s);
}

bool gate_is_held(const Service *s) {
    return s->gate.held.verdict == VERDICT_WAIT;
}

bool gate_is_throttled(const Service *s) {
    return s->gate.throttled_usec > 0;
}

const char *gate_why(const Service *s) {
    static const char *const why[_REFUSE_REASON_MAX] = {
        [REFUSE_LOAD] = "limits.load reached",
        [REFUSE_RATE] = "limits.rate reached",
        [REFUSE_INSTANCES] = "limits.instances reached",
    };
    return gate_is_held(s) ? why[s->gate.held.reason] : NULL;
}

void gate_done(Service *s) {
    s->gate.timer = sd_event_source_disable_unref(s->gate.timer);
}

/* Of a connection */

Peer gate_prefix(const Service *s, const Peer *peer) {
    return peer_mask(peer, s->limits->source_ipv4, s->limits->source_ipv6);
}

static Source *visit(Service *s, const Peer *peer, uint64_t now_nsec) {
    if (peer->kind == PEER_NONE)
        return NULL;
    Peer prefix = gate_prefix(s, peer);
    return sources_visit(s->rt->sources, s->id, &prefix, now_nsec / NSEC_PER_USEC);
}

static void find_ban(Service *s, const Peer *peer, uint64_t now_nsec, SourceUsage *u) {
    if (bans_newest(s->rt->bans) == 0)
        return;
    uint64_t boot_usec = clock_usec(CLOCK_BOOTTIME);
    const Ban *ban = bans_find(s->rt->bans, peer, s->id, boot_usec);
    u->banned = ban != NULL;
    if (ban && ban->until_usec > boot_usec)
        u->banned_until_nsec = now_nsec + (ban->until_usec - boot_usec) * NSEC_PER_USEC;
}

static SourceUsage source_usage(Service *s, const Connection *c, const Source *source, uint64_t now_nsec) {
    SourceUsage u = {
        .denied = !access_allows(s->config->terms->access.rules, &c->peer, c->groups, c->n_groups, NULL),
        .active = source ? source->active : 0,
        .rate = source ? &source->rate : NULL,
    };
    find_ban(s, &c->peer, now_nsec, &u);
    return u;
}

Admission gate_foresee(Service *s, const Peer *prefix) {
    uint64_t now_nsec = clock_monotonic_nsec();
    const Source *source = sources_find(s->rt->sources, s->id, prefix);
    ServiceUsage usage = usage_of(s, now_nsec);
    SourceUsage its = {.active = source ? source->active : 0, .rate = source ? &source->rate : NULL};
    find_ban(s, prefix, now_nsec, &its);
    return admission_of_source(limits_of(s), &usage, &its);
}

/* Whoever touches a sensor and is not kept out of it. */
static bool is_caught(const Service *s, const Admission *a) {
    return s->config->terms->ban.sensor && (a->verdict == VERDICT_SERVE || a->reason == REFUSE_BANNED);
}

static void book(Service *s, Connection *c, Source *source, uint64_t now_nsec) {
    (void)bucket_take(&s->gate.rate, &s->limits->rate, now_nsec);
    if (!source)
        return;
    (void)bucket_take(&source->rate, &s->limits->rate_per_source, now_nsec);
    source->accepted++;
    sources_hold(s->rt->sources, source);
    c->source = source;
}

void gate_take_back(Instance *i) {
    Source *source = visit(i->service, &i->peer, clock_monotonic_nsec());
    if (!source)
        return;
    source->accepted++;
    sources_hold(i->rt->sources, source);
    i->source = source;
}

/* The workers of a pool are not one for each who is served: that none has room is said from outside. */
static Admission ask(Service *s, ServiceUsage *usage, const SourceUsage *source, const Admission *before) {
    bool no_room = s->pool && before->verdict == VERDICT_REFUSE && before->reason == REFUSE_INSTANCES;
    if (no_room)
        usage->instances = s->limits->instances;
    Admission a = admission_of_source(limits_of(s), usage, source);
    if (a.verdict == VERDICT_SERVE && before->verdict == VERDICT_REFUSE)
        return *before;
    return no_room && a.reason == REFUSE_INSTANCES ? *before : a;
}

/* Which of those that were passed on are over. */
static void look_again(Service *s, Source *source) {
    /* Its last one may go. */
    sources_hold(s->rt->sources, source);
    passed_look(s->passed, source);
    sources_release(s->rt->sources, source);
}

Admission gate_admit(Service *s, Connection *c, const Admission *before) {
    uint64_t now_nsec = clock_monotonic_nsec();
    gate_release(s->rt, &c->source);
    Source *source = visit(s, &c->peer, now_nsec);
    if (source && s->passed && s->limits->per_source > 0 && source->active >= s->limits->per_source)
        look_again(s, source);
    ServiceUsage usage = usage_of(s, now_nsec);
    SourceUsage its = source_usage(s, c, source, now_nsec);
    Admission a = ask(s, &usage, &its, before);
    if (is_caught(s, &a)) {
        uint64_t for_usec = offence_ban(s, &c->peer, BAN_SENSOR);
        return (Admission){.verdict = VERDICT_REFUSE,
                           .reason = REFUSE_BANNED,
                           .until_nsec = now_nsec + for_usec * NSEC_PER_USEC};
    }
    if (a.verdict == VERDICT_SERVE)
        book(s, c, source, now_nsec);
    return a;
}

Admission gate_judge(Service *s, Connection *c) {
    uint64_t now_nsec = clock_monotonic_nsec();
    ServiceUsage usage = usage_of(s, now_nsec);
    SourceUsage its = source_usage(s, c, NULL, now_nsec);
    return admission_of_source(&no_limits, &usage, &its);
}

void gate_release(Runtime *rt, Source **source) {
    if (*source)
        sources_release(rt->sources, *source);
    *source = NULL;
}

/* Changes */

static Source *find_home(const Peer *peer, void *userdata) {
    return visit(userdata, peer, clock_monotonic_nsec());
}

/* Those that are being served are counted under their new prefix. */
static void rehome(Service *s) {
    if (s->passed)
        passed_rehome(s->passed, find_home, s);
    LIST_FOREACH (i, &s->instances, Instance, link) {
        if (!i->source)
            continue;
        gate_release(s->rt, &i->source);
        Source *source = visit(s, &i->peer, clock_monotonic_nsec());
        if (!source)
            continue;
        sources_hold(s->rt->sources, source);
        i->source = source;
    }
}

static bool same_rate(const Rate *a, const Rate *b) {
    return a->count == b->count && a->per_usec == b->per_usec && a->burst == b->burst;
}

void gate_change(Service *s, const LimitsConfig *before) {
    const LimitsConfig *now = s->limits;
    /* Who waits is let in at once, as far as the new rate lets him. */
    if (!same_rate(&now->rate, &before->rate))
        s->gate.rate = (Bucket){0};
    if (now->source_ipv4 != before->source_ipv4 || now->source_ipv6 != before->source_ipv6)
        rehome(s);
}

void gate_explain(const Service *s, const AccessRule *rule, Text *out) {
    if (rule->kind == ACCESS_RULE_ANY && s->config->terms->access.allow) {
        text_add(out, "nothing allows it");
        return;
    }
    text_add(out, "deny ");
    if (rule->kind != ACCESS_RULE_PREFIX) {
        access_rule_format(rule, out);
        return;
    }
    /* One of a single address says who it was. */
    char text[PEER_TEXT_MAX];
    const char *shown = peer_format_prefix(&rule->prefix, s->rt->log_addresses, text);
    text_add(out, shown ? shown : "(not shown)");
}

static void end(Instance *i, const AccessRule *rule) {
    Service *s = i->service;
    char peer[PEER_TEXT_MAX];
    CLEANUP_TEXT Text message = {0};
    text_add(&message, "told to end: no longer admitted (");
    gate_explain(s, rule, &message);
    text_addc(&message, ')');
    ApiEvent e = instance_event(i, LOG_LEVEL_INFO, "dismissed", peer);
    e.reason = refuse_reason_to_string(REFUSE_ACCESS);
    e.message = message.s ? message.s : "told to end: no longer admitted";
    service_emit(s, &e);
    i->asked = !i->timed_out;
    instance_stop(i, s->config->terms->timeout_stop_usec);
}

void gate_apply_to_existing(Service *s) {
    const AccessConfig *a = &s->config->terms->access;
    AccessRule rule;
    if (!a->apply_to_existing || !a->rules)
        return;
    LIST_FOREACH (i, &s->instances, Instance, link)
        /* One that is on its way out has been told. */
        if (i->peer.kind != PEER_NONE && (i->state != INSTANCE_STOPPING || i->only_told) &&
            !access_allows(a->rules, &i->peer, i->groups, i->n_groups, &rule))
            end(i, &rule);
}

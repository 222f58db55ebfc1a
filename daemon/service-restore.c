/* SPDX-License-Identifier: MIT */
/* A service made again from a blob. Two passes over its fields: first what it is made of, then what it has.
 */
#include "conf/config-blob.h"
#include "daemon/backend.h"
#include "daemon/idle.h"
#include "daemon/limits-save.h"
#include "daemon/pool.h"
#include "daemon/resolver.h"
#include "daemon/service-cgroup.h"
#include "daemon/service-leave.h"
#include "daemon/service-private.h"
#include "daemon/service-save.h"
#include "daemon/slot.h"

const BlobRow service_rows[] = {
    BLOB_ROW(SERVICE_ID, Service, id),
    BLOB_ROW(SERVICE_GENERATION, Service, generation),
    BLOB_ROW(SERVICE_REMOVED, Service, removed),
    BLOB_ROW(SERVICE_SINCE, Service, since_usec),
    BLOB_ROW(SERVICE_HAS_STATED, Service, has_stated),
    BLOB_ROW(SERVICE_ORDER_UID, Service, order_uid),
    BLOB_ROW(SERVICE_ORDER_USEC, Service, order_usec),
    BLOB_ROW(SERVICE_N_ORDERS, Service, n_orders),
    BLOB_ROW(SERVICE_WATERMARK, Service, watermark),
    BLOB_ROW(SERVICE_DRAIN_LOOKS, Service, drain_looks),
    BLOB_ROW(SERVICE_TOLD_BLIND, Service, told_blind),
    BLOB_ROW(SERVICE_TOLD_IDLE_BLIND, Service, told_idle_blind),
    BLOB_ROW(SERVICE_STARVED, Service, starved),
    BLOB_ROW(SERVICE_STATUS, Service, status),
    BLOB_ROW(SERVICE_RETRY_LEVEL, Service, retry_level),
    BLOB_ROW(SERVICE_SPARES_TOLD, Service, spares_told),
    BLOB_ROW(SERVICE_LEAVE_LOOKS, Service, leave_looks),
    BLOB_ROW(SERVICE_LEAVE_EMPTY, Service, leave_empty),
};
const size_t service_n_rows = ELEMENTS(service_rows);

/* What it is made of */

typedef struct Making {
    char *name;
    Config *own; /* with its config alone; NULL: it is in the one in force */
    uint64_t generation;
    bool has_listeners, removed;
} Making;

static void making_done(Making *m) {
    free(m->name);
    config_unref(m->own);
}

static int take_config(const BlobField *f, Config **ret) {
    BlobReader r = blob_enter(f);
    ConfigDecoder *d = config_decoder_new(&r, NULL);
    int e = d ? 1 : -ENOMEM;
    while (e > 0)
        e = config_decoder_step(d, SIZE_MAX);
    if (e == 0 && !*ret)
        *ret = config_decoder_take(d);
    config_decoder_free(d);
    return e;
}

static int look_ahead(BlobReader r, Making *m) {
    BlobField f;
    int e = 0;
    while (e >= 0 && blob_next(&r, &f)) {
        if (f.tag == SERVICE_NAME)
            blob_take_str(&f, &m->name);
        else if (f.tag == SERVICE_GENERATION)
            m->generation = blob_u64(&f);
        else if (f.tag == SERVICE_REMOVED)
            m->removed = blob_bool(&f);
        else if (f.tag == SERVICE_LISTENER)
            m->has_listeners = true;
        else if (f.tag == SERVICE_CONFIG)
            e = take_config(&f, &m->own);
    }
    return blob_is_spoilt(r.source) ? -EBADMSG : e;
}

/* One that has been removed has given up all that new ones could come by. */
static void strip(Service *s) {
    for (size_t i = 0; i < s->n_listeners; i++)
        listener_free(s->listeners[i], false);
    free((void *)s->listeners);
    s->listeners = NULL;
    s->n_listeners = 0;
    service_free_slots(s);
    s->pool = pool_free(s->pool, true);
}

static int make(Runtime *rt, Config *current, const Making *m, BlobSource *source, Service **ret) {
    Config *from = m->own ? m->own : current;
    ServiceConfig *config = m->name ? config_find(from, m->name) : NULL;
    if (!config) {
        blob_spoil(source, "the service %.64s has no config", m->name ? m->name : "without a name");
        return -EBADMSG;
    }
    uint32_t newest = rt->newest_service;
    Service *s = service_new(rt, from, config, m->generation);
    rt->newest_service = newest;
    if (!s)
        return -ENOMEM;
    if (m->removed && !m->has_listeners)
        strip(s);
    *ret = s;
    return 0;
}

/* What it has */

static Listener *listener_at(const Service *s, BlobReader r) {
    size_t endpoint, index;
    listener_place(r, &endpoint, &index);
    for (size_t i = 0; i < s->n_listeners && endpoint < s->config->n_listen; i++) {
        Listener *l = s->listeners[i];
        if (l->config == &s->config->listen[endpoint] && l->index == index && !listener_has_socket(l))
            return l;
    }
    return NULL;
}

static int restore_listener(BlobReader r, Service *s) {
    Listener *l = listener_at(s, r);
    if (l)
        listener_load(r, l);
    else
        blob_spoil(r.source, "the service %.64s has a listener that its config does not have", s->name);
    return 0;
}

static int restore_pool(BlobReader r, Service *s) {
    if (s->pool)
        return pool_restore(r, s->pool);
    blob_spoil(r.source, "the service %.64s has a pool, and should not", s->name);
    return -EBADMSG;
}

static int restore_instance(BlobReader r, Service *s) {
    Instance *i = NULL;
    return instance_restore(r, s->rt, s, &i);
}

static int restore_idle(BlobReader r, Service *s) {
    BlobField f;
    size_t slot = SIZE_MAX;
    int e = 0;
    while (e >= 0 && blob_next(&r, &f)) {
        if (f.tag == IDLE_SLOT)
            slot = blob_u64(&f);
        else if (f.tag == IDLE_TIMES && slot < s->n_slots && s->slots[slot].instance)
            e = idle_restore(blob_enter(&f), &s->slots[slot]);
    }
    return blob_is_spoilt(r.source) ? -EBADMSG : e;
}

static int restore_passed(BlobReader r, Service *s) {
    if (!s->passed)
        s->passed = passed_new(s->rt);
    return s->passed ? passed_restore(r, s->passed) : 0;
}

static int restore_limits(BlobReader r, Service *s) {
    LimitsConfig limits = *s->limits;
    int e = limits_restore(r, &limits);
    return e < 0 || limits_config_equal(&limits, s->limits) ? e : service_set_limits(s, &limits);
}

static int restore_gate(BlobReader r, Service *s) {
    return gate_restore(r, &s->gate);
}

/* What follows is kept there; without it the counters would say less than there is. */
static int need_history(Service *s) {
    if (!s->history)
        s->history = history_new();
    return s->history ? 0 : -ENOMEM;
}

static int restore_counters(BlobReader r, Service *s) {
    return counters_restore(r, &service_history(s)->counters);
}

static int restore_accept_rate(BlobReader r, Service *s) {
    return rate_window_restore(r, &service_history(s)->accept_rate);
}

static int restore_latency(BlobReader r, Service *s) {
    return histogram_restore(r, &service_history(s)->latency);
}

static int restore_duration(BlobReader r, Service *s) {
    return histogram_restore(r, &service_history(s)->duration);
}

static int restore_refused_sources(BlobReader r, Service *s) {
    return top_sources_restore(r, &service_history(s)->refused_sources);
}

static int restore_last_error(BlobReader r, Service *s) {
    return last_error_restore(r, &service_history(s)->last_error);
}

static int restore_ring(BlobReader r, Service *s) {
    return event_ring_restore(r, &s->ring);
}

static int restore_lines(BlobReader r, Service *s) {
    return event_ring_restore(r, &service_history(s)->lines);
}

static const struct {
    ServiceTag tag;
    int (*restore)(BlobReader r, Service *s);
    bool of_history;
} parts[] = {
    {SERVICE_LISTENER, restore_listener},
    {SERVICE_LEAVING, leaving_restore},
    {SERVICE_POOL, restore_pool},
    {SERVICE_INSTANCE, restore_instance},
    {SERVICE_IDLE, restore_idle},
    {SERVICE_BACKEND, backend_restore},
    {SERVICE_PASSED, restore_passed},
    {SERVICE_CGROUP, service_cgroup_restore},
    {SERVICE_LIMITS, restore_limits},
    {SERVICE_GATE, restore_gate},
    {SERVICE_PRELUDES, preludes_restore},
    {SERVICE_ENDINGS, service_restore_endings},
    {SERVICE_COUNTERS, restore_counters, true},
    {SERVICE_ACCEPT_RATE, restore_accept_rate, true},
    {SERVICE_LATENCY, restore_latency, true},
    {SERVICE_DURATION, restore_duration, true},
    {SERVICE_REFUSED_SOURCES, restore_refused_sources, true},
    {SERVICE_LAST_ERROR, restore_last_error, true},
    {SERVICE_RING, restore_ring},
    {SERVICE_LINES, restore_lines, true},
};

static int restore_part(const BlobField *f, Service *s) {
    for (size_t i = 0; i < ELEMENTS(parts); i++)
        if (parts[i].tag == f->tag) {
            int r = parts[i].of_history ? need_history(s) : 0;
            return r < 0 ? r : parts[i].restore(blob_enter(f), s);
        }
    return 0;
}

/* Which @f says, of @from_string; a word that is not known leaves it as it is. */
static int take_word(const BlobField *f, int (*from_string)(const char *), int otherwise) {
    char *word CLEANUP_FREE = blob_str(f);
    int value = word ? from_string(word) : -EINVAL;
    return value < 0 ? otherwise : value;
}

/* At once, since somebody may wait for what comes of it. */
static void restore_look(const BlobField *f, Service *s) {
    if (blob_bool(f) && s->config->problem && resolver_ask(s->rt->resolver, s) >= 0)
        s->retry = sd_event_source_disable_unref(s->retry);
}

/* What there is several of, in its order. */
typedef struct Counts {
    size_t slots, limited;
} Counts;

static int restore_field(const BlobField *f, Service *s, Counts *n) {
    if (blob_get_row(f, service_rows, service_n_rows, s))
        return 0;
    switch (f->tag) {
    case SERVICE_STATE:
        s->state = (ServiceState)take_word(f, service_state_from_string, SERVICE_STOPPED);
        return 0;
    case SERVICE_ORDER:
        s->order = (ServiceOrder)take_word(f, service_order_from_string, ORDER_RUN);
        return 0;
    case SERVICE_VERB:
        s->verb = (ServiceVerb)take_word(f, service_verb_from_string, VERB_START);
        return 0;
    case SERVICE_SLOT:
        return n->slots < s->n_slots ? slot_restore(blob_enter(f), &s->slots[n->slots++]) : 0;
    case SERVICE_LIMITED:
        return n->limited < _LIMITED_MAX
                   ? ratelimit_restore(blob_enter(f), &service_history(s)->limited[n->limited++])
                   : 0;
    case SERVICE_DRAIN_TIME:
        service_look_at(s, blob_u64(f));
        return 0;
    case SERVICE_RETRY_TIME:
        service_retry_at(s, blob_u64(f));
        return 0;
    case SERVICE_LOOKS:
        restore_look(f, s);
        return 0;
    default:
        return restore_part(f, s);
    }
}

static void count_old(Service *s) {
    LIST_FOREACH (i, &s->instances, Instance, link)
        s->n_old += i->number <= s->watermark;
}

int service_restore(BlobReader r, Runtime *rt, Config *current, Service **ret) {
    Making m CLEANUP(making_done) = {0};
    Counts n = {0};
    Service *s = NULL;
    BlobField f;
    int e = look_ahead(r, &m);
    if (e >= 0)
        e = make(rt, current, &m, r.source, &s);
    while (e >= 0 && blob_next(&r, &f))
        e = restore_field(&f, s, &n);
    if (s && s->id == 0)
        blob_spoil(r.source, "the service %.64s has no number", s->name);
    if (e >= 0 && blob_is_spoilt(r.source))
        e = -EBADMSG;
    if (e < 0 || !s) {
        service_abandon(s);
        return e;
    }
    if (rt->newest_service < s->id)
        rt->newest_service = s->id;
    count_old(s);
    *ret = s;
    return 0;
}

void service_resume(Service *s) {
    service_cgroup_resume(s);
    LIST_FOREACH (i, &s->instances, Instance, link)
        instance_resume(i);
    preludes_resume(s);
    if (!list_is_empty(&s->leaving) || s->n_strays > 0)
        service_go_on_leaving(s);
    service_update(s, NULL);
    if (s->pool)
        pool_look(s->pool);
    slots_go_on(s);
    for (size_t i = 0; i < _LIMITED_MAX; i++)
        if (service_past(s)->limited[i].suppressed > 0 && s->rt->on_suppressed)
            s->rt->on_suppressed(s->rt->on_suppressed_userdata);
}

/* Its workers are not the pool's any more: nobody is told to end, and the memory that they share stays. */
static void leave_workers(Service *s) {
    LIST_FOREACH (i, &s->instances, Instance, link) {
        if (!i->worker)
            continue;
        i->worker->pool = NULL;
        i->worker = worker_free(i->worker);
    }
}

Service *service_abandon(Service *s) {
    if (!s)
        return NULL;
    leave_workers(s);
    preludes_abandon(s);
    for (size_t i = 0; i < s->n_listeners; i++)
        s->listeners[i]->kept = NULL;
    LIST_FOREACH (l, &s->leaving, Listener, link)
        l->ino = 0;
    return service_free(s);
}

/* SPDX-License-Identifier: MIT */
#include "daemon/service-save.h"

#include "conf/config-blob.h"
#include "daemon/backend.h"
#include "daemon/base/clock.h"
#include "daemon/idle.h"
#include "daemon/limits-save.h"
#include "daemon/pool.h"
#include "daemon/service-cgroup.h"
#include "daemon/slot.h"
#include "daemon/timer-save.h"

/* Which of the endpoints of its service it stands for. */
static size_t place_of(const Service *s, const Listener *l) {
    size_t i = 0;
    while (i < s->config->n_listen && &s->config->listen[i] != l->config)
        i++;
    return i;
}

static void save_listeners(BlobWriter *w, const Service *s) {
    for (size_t i = 0; i < s->n_listeners; i++) {
        size_t at = blob_open(w, SERVICE_LISTENER);
        listener_save(w, s->listeners[i], place_of(s, s->listeners[i]));
        blob_close(w, at);
    }
}

static void save_leaving(BlobWriter *w, const Service *s) {
    LIST_FOREACH (l, &s->leaving, Listener, link) {
        size_t at = blob_open(w, SERVICE_LEAVING);
        leaving_save(w, l);
        blob_close(w, at);
    }
}

static void save_slots(BlobWriter *w, const Service *s) {
    for (size_t i = 0; i < s->n_slots; i++) {
        size_t at = blob_open(w, SERVICE_SLOT);
        slot_save(w, &s->slots[i]);
        blob_close(w, at);
    }
}

static void save_instances(BlobWriter *w, const Service *s) {
    const List *lists[] = {&s->instances, &s->ghosts};
    for (size_t k = 0; k < ELEMENTS(lists); k++)
        LIST_FOREACH (i, lists[k], Instance, link) {
            size_t at = blob_open(w, SERVICE_INSTANCE);
            instance_save(w, i);
            blob_close(w, at);
        }
}

static void save_idle(BlobWriter *w, const Service *s) {
    for (size_t i = 0; i < s->n_slots; i++) {
        if (!s->slots[i].idle)
            continue;
        size_t at = blob_open(w, SERVICE_IDLE);
        blob_put_u64(w, IDLE_SLOT, i);
        size_t times = blob_open(w, IDLE_TIMES);
        idle_save(w, s->slots[i].idle);
        blob_close(w, times);
        blob_close(w, at);
    }
}

/* The parts that a service always has; each is a field of fields. */

static void save_limits(BlobWriter *w, const Service *s) {
    limits_save(w, s->limits);
}

static void save_gate(BlobWriter *w, const Service *s) {
    gate_save(w, &s->gate);
}

static void save_preludes(BlobWriter *w, const Service *s) {
    preludes_save(w, s);
}

static void save_counters(BlobWriter *w, const Service *s) {
    counters_save(w, &service_past(s)->counters);
}

static void save_accept_rate(BlobWriter *w, const Service *s) {
    rate_window_save(w, &service_past(s)->accept_rate);
}

static void save_latency(BlobWriter *w, const Service *s) {
    histogram_save(w, service_past(s)->latency);
}

static void save_duration(BlobWriter *w, const Service *s) {
    histogram_save(w, service_past(s)->duration);
}

static void save_refused_sources(BlobWriter *w, const Service *s) {
    top_sources_save(w, service_past(s)->refused_sources);
}

static void save_last_error(BlobWriter *w, const Service *s) {
    last_error_save(w, &service_past(s)->last_error);
}

static void save_ring(BlobWriter *w, const Service *s) {
    event_ring_save(w, &s->ring);
}

static void save_lines(BlobWriter *w, const Service *s) {
    event_ring_save(w, &service_past(s)->lines);
}

typedef struct Part {
    ServiceTag tag;
    void (*save)(BlobWriter *w, const Service *s);
} Part;

static const Part parts[] = {
    {SERVICE_LIMITS, save_limits},     {SERVICE_BACKEND, backend_save},         {SERVICE_GATE, save_gate},
    {SERVICE_PRELUDES, save_preludes}, {SERVICE_ENDINGS, service_save_endings}, {SERVICE_RING, save_ring},
};

/* Of one to which something has happened. */
static const Part past_parts[] = {
    {SERVICE_COUNTERS, save_counters},
    {SERVICE_ACCEPT_RATE, save_accept_rate},
    {SERVICE_LATENCY, save_latency},
    {SERVICE_DURATION, save_duration},
    {SERVICE_REFUSED_SOURCES, save_refused_sources},
    {SERVICE_LAST_ERROR, save_last_error},
    {SERVICE_LINES, save_lines},
};

static void save_part(BlobWriter *w, const Part *part, const Service *s) {
    size_t at = blob_open(w, (uint16_t)part->tag);
    part->save(w, s);
    blob_close(w, at);
}

static void save_past(BlobWriter *w, const Service *s) {
    for (size_t i = 0; i < ELEMENTS(past_parts); i++)
        save_part(w, &past_parts[i], s);
    for (size_t i = 0; i < _LIMITED_MAX; i++) {
        size_t at = blob_open(w, SERVICE_LIMITED);
        ratelimit_save(w, &s->history->limited[i]);
        blob_close(w, at);
    }
}

static void save_parts(BlobWriter *w, const Service *s) {
    for (size_t i = 0; i < ELEMENTS(parts); i++)
        save_part(w, &parts[i], s);
    if (s->history)
        save_past(w, s);
    if (s->cgroup) {
        size_t at = blob_open(w, SERVICE_CGROUP);
        service_cgroup_save(w, s->cgroup);
        blob_close(w, at);
    }
    if (s->passed) {
        size_t at = blob_open(w, SERVICE_PASSED);
        passed_save(w, s->passed);
        blob_close(w, at);
    }
}

void service_save(BlobWriter *w, const Service *s, const Config *current) {
    blob_put_str(w, SERVICE_NAME, s->name);
    if (config_find(current, s->name) != s->config) {
        size_t at = blob_open(w, SERVICE_CONFIG);
        config_put_some(w, s->generation_config, &s->config, 1);
        blob_close(w, at);
    }
    blob_put_rows(w, service_rows, service_n_rows, s);
    blob_put_str(w, SERVICE_STATE, service_state_to_string(s->state));
    blob_put_str(w, SERVICE_ORDER, service_order_to_string(s->order));
    blob_put_str(w, SERVICE_VERB, service_verb_to_string(s->verb));
    save_listeners(w, s);
    save_leaving(w, s);
    save_slots(w, s);
    if (s->pool) {
        size_t at = blob_open(w, SERVICE_POOL);
        pool_save(w, s->pool);
        blob_close(w, at);
    }
    save_instances(w, s);
    save_idle(w, s);
    save_parts(w, s);
    timer_put(w, SERVICE_DRAIN_TIME, s->drain_timer);
    timer_put(w, SERVICE_RETRY_TIME, s->retry);
    if (service_is_looked_for(s)) {
        /* For a program that does not know more than that. */
        blob_put_u64(w, SERVICE_RETRY_TIME, clock_monotonic_usec());
        blob_put_bool(w, SERVICE_LOOKS, true);
    }
}

/* SPDX-License-Identifier: MIT */
#include "daemon/backend.h"

#include <string.h>

#include "daemon/backend-ready.h"
#include "daemon/base/clock.h"
#include "daemon/base/text.h"
#include "daemon/serve.h"
#include "daemon/service-private.h"
#include "daemon/slot.h"
#include "daemon/timer-save.h"

bool slot_is_backend(const Slot *slot) {
    return slot == slot->service->backend.slot;
}

size_t service_n_listen_slots(const Service *s) {
    return s->n_slots - (s->backend.slot != NULL);
}

static bool is_alive(const Instance *i) {
    return i && (i->state == INSTANCE_RUNNING || i->state == INSTANCE_STARTING);
}

Instance *backend_process(const Service *s) {
    return s->backend.slot ? s->backend.slot->instance : NULL;
}

/* Whether somebody can be passed on to it. */
static bool is_up(const Service *s) {
    const Instance *i = backend_process(s);
    return i && !i->flight &&
           (i->state == INSTANCE_RUNNING ||
            (i->state == INSTANCE_STARTING && backend_ready_is_held_for(s->config)));
}

bool backend_wake(Service *s) {
    Slot *slot = s->backend.slot;
    if (!slot)
        return true;
    s->backend.waking = true;
    if (slot_is_idle(slot))
        slot_activate(slot);
    s->backend.waking = is_up(s);
    return s->backend.waking;
}

void backend_end_wake(Service *s) {
    if (!s->backend.slot)
        return;
    s->backend.waking = false;
    service_update(s, NULL);
}

bool backend_is_open(const Service *s) {
    const Slot *slot = s->backend.slot;
    return !slot || (slot->instance ? is_up(s) : slot_is_idle(slot));
}

/* ------------------------------------------------------------------------------------------ who is passed on
 */

void backend_on_connection(Instance *i) {
    Service *s = i->service;
    if (!s->backend.slot)
        return;
    /* One that cannot tell counts as answered; of datagrams it knows nothing. */
    if (!i->report || !service_config_accepts(s->config) || backend_of_before(i)) {
        backend_ready_settle(s);
        return;
    }
    i->waits = true;
    s->backend.n_waiting++;
}

static void forget_waiting(Instance *i) {
    if (i->waits)
        i->service->backend.n_waiting--;
    i->waits = false;
}

bool backend_is_awaited(const Service *s) {
    return s->backend.n_waiting > 0 || s->n_flying > 0;
}

void backend_answers(Instance *i) {
    bool waited = i->waits;
    forget_waiting(i);
    backend_ready_take(i, waited);
}

void backend_on_connection_end(Instance *i) {
    forget_waiting(i);
    i->service->backend.idle = sd_event_source_disable_unref(i->service->backend.idle);
}

/* ------------------------------------------------------------------------------------------ its processes */

void backend_on_start(Instance *i) {
    Service *s = i->service;
    s->backend.stale = false;
    backend_ready_forget(s);
    int r = s->config->notify == NOTIFY_NONE ? instance_await(i) : instance_watch(i);
    if (r < 0)
        instance_stop(i, s->config->terms->timeout_stop_usec);
}

void backend_on_end(Instance *i) {
    i->service->backend.n_processes--;
}

void backend_on_failure(Service *s, bool ran) {
    /* Who is being passed on is held there, while it is tried again. */
    if (ran && s->config->notify == NOTIFY_NONE)
        return;
    if (!service_config_accepts(s->config))
        return;
    serve_turn_away(s);
    preludes_turn_away(s, "closed: the backend did not become ready");
}

static void stop(Instance *i) {
    if (!is_alive(i))
        return;
    i->asked = !i->timed_out;
    instance_stop(i, i->service->config->terms->timeout_stop_usec);
}

static bool has_connections_until(const Service *s, uint64_t number) {
    LIST_FOREACH (i, &s->instances, Instance, link)
        if (i->role != ROLE_BACKEND && i->number <= number)
            return true;
    return false;
}

/* Nobody new will come. */
static bool is_closed(const Service *s) {
    if (!s->config->enabled || s->removed || s->rt->stopping || s->order == ORDER_STOP)
        return true;
    if (s->order != ORDER_DRAIN || preludes_count(s) > 0)
        return false;
    for (size_t i = 0; i < s->n_listeners; i++)
        if (listener_is_open(s->listeners[i]))
            return false;
    return true;
}

static void end_what_is_due(Service *s, bool closed) {
    bool alone = s->n_instances == 0;
    Slot *slot = s->backend.slot;
    LIST_FOREACH (i, &s->instances, Instance, link) {
        if (i->role != ROLE_BACKEND)
            continue;
        if ((alone && closed) || (i->retired_at > 0 && !has_connections_until(s, i->retired_at)))
            stop(i);
    }
    if (slot && alone && s->backend.stale && is_alive(slot->instance)) {
        slot->again = s->config->start_now && s->order == ORDER_RUN;
        stop(slot->instance);
    }
}

static int on_idle(sd_event_source *source, uint64_t usec, void *userdata) {
    Service *s = userdata;
    (void)source;
    (void)usec;
    s->backend.idle = sd_event_source_disable_unref(s->backend.idle);
    bool wanted = s->n_instances > 0;
    for (size_t i = 0; i < s->n_listeners; i++)
        wanted = wanted || listener_has_queued(s->listeners[i]);
    Instance *i = backend_process(s);
    if (!wanted && i && i->state == INSTANCE_RUNNING)
        instance_time_out(i, TIMEOUT_IDLE);
    service_update(s, "idle");
    return 0;
}

static void look_at(Service *s, uint64_t at_usec) {
    (void)sd_event_add_time(s->rt->loop, &s->backend.idle, CLOCK_MONOTONIC, at_usec, USEC_PER_MSEC, on_idle,
                            s);
}

static void watch_idle(Service *s, bool closed) {
    BackendState *b = &s->backend;
    const Instance *i = backend_process(s);
    uint64_t limit = s->config->terms->timeout_idle_usec;
    bool idle = i && i->state == INSTANCE_RUNNING && s->n_instances == 0 && !closed && !b->waking;
    if (!idle || limit == USEC_INFINITY)
        b->idle = sd_event_source_disable_unref(b->idle);
    else if (!b->idle)
        look_at(s, clock_monotonic_usec() + limit);
}

void backend_settle(Service *s) {
    BackendState *b = &s->backend;
    if (!b->slot && b->n_processes == 0)
        return;
    bool closed = is_closed(s);
    backend_ready_settle(s);
    end_what_is_due(s, closed);
    watch_idle(s, closed);
}

/* ------------------------------------------------------------------------------------------------- reload */

bool backend_is_made_of(const char *key) {
    static const char *const parts[] = {"exec",
                                        "argv0",
                                        "user",
                                        "group",
                                        "umask",
                                        "supplementary_groups",
                                        "environment",
                                        "stderr",
                                        "pass_environment",
                                        "resources",
                                        "report",
                                        "working_directory",
                                        "sandbox",
                                        "notify",
                                        "root_directory",
                                        "cgroup",
                                        "timeouts.watchdog"};
    for (size_t i = 0; i < ELEMENTS(parts); i++) {
        size_t n = strlen(parts[i]);
        if (strncmp(key, parts[i], n) == 0 && (key[n] == '\0' || key[n] == '.'))
            return true;
    }
    return false;
}

static void on_difference(const char *key, const char *from, const char *to, void *userdata) {
    bool *differs = userdata;
    (void)from;
    (void)to;
    *differs = *differs || backend_is_made_of(key);
}

void backend_begin_change(Service *s, const ServiceConfig *config) {
    bool differs = false;
    if (!s->backend.slot)
        return;
    s->backend.replaced =
        !config || !service_config_has_backend(config) || !streq_null(config->to, s->config->to);
    if (s->backend.replaced)
        return;
    (void)service_config_diff(s->config, config, on_difference, &differs);
    if (differs && s->backend.slot->instance)
        s->backend.stale = true;
}

void backend_leave_slot(Slot *slot) {
    Service *s = slot->service;
    if (slot->instance) {
        slot->instance->slot = NULL;
        slot->instance->retired_at = s->rt->next_instance;
        slot->instance = NULL;
    }
    /* Who waits for that one says nothing of the next. */
    LIST_FOREACH (i, &s->instances, Instance, link)
        forget_waiting(i);
    backend_ready_forget(s);
    s->backend.idle = sd_event_source_disable_unref(s->backend.idle);
    s->backend.slot = NULL;
    s->backend.stale = s->backend.replaced = false;
}

/* ---------------------------------------------------------------------------------------------- upgrade */

/* Never used again for something else. */
enum {
    BACKEND_STALE = 1,
    BACKEND_IDLE, /* when it is looked whether it is idle */
};

void backend_save(BlobWriter *w, const Service *s) {
    blob_put_bool(w, BACKEND_STALE, s->backend.stale);
    timer_put(w, BACKEND_IDLE, s->backend.idle);
}

int backend_restore(BlobReader r, Service *s) {
    BlobField f;
    while (blob_next(&r, &f)) {
        if (f.tag == BACKEND_STALE)
            s->backend.stale = blob_bool(&f);
        else if (f.tag == BACKEND_IDLE && !s->backend.idle)
            look_at(s, blob_u64(&f));
    }
    return blob_is_spoilt(r.source) ? -EBADMSG : 0;
}

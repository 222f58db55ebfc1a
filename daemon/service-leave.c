/* SPDX-License-Identifier: MIT */
#include "daemon/service-leave.h"

#include "daemon/backend.h"
#include "daemon/base/clock.h"
#include "daemon/fd-store.h"
#include "daemon/knock.h"
#include "daemon/serve.h"
#include "daemon/service-private.h"
#include "daemon/slot.h"

#define LOOK_USEC (50 * USEC_PER_MSEC)

/* Who had begun to connect has so long to come to the end of it. */
#define HANDSHAKE_USEC USEC_PER_SEC

/* Strays are told to end when that many looks in a row have found nothing, or after so many in all: some
 * never take what waits. */
#define LOOKS_EMPTY 2
#define LOOKS_MAX 100

static int on_look(sd_event_source *source, uint64_t usec, void *userdata) {
    Service *s = userdata;
    (void)source;
    (void)usec;
    service_go_on_leaving(s);
    service_update(s, NULL);
    return 0;
}

/* One that has only got its TERM, as by a drain, is to end in time now. */
static bool is_told(const Instance *i) {
    return i->state == INSTANCE_STOPPING && !i->only_told;
}

static bool has_untold(const Service *s) {
    if (s->n_strays == 0)
        return false;
    LIST_FOREACH (i, &s->instances, Instance, link)
        if (i->stray && !is_told(i))
            return true;
    return false;
}

static Listener *end(Listener *l) {
    return listener_free(l, true);
}

/* Whether the daemon accepts, be it to pass what it gets to a worker. */
static bool takes_connections(const Service *s) {
    return service_config_accepts(s->config) ||
           (s->pool && s->config->terms->pool.handoff == POOL_HANDOFF_CONNECTION);
}

/* Its pool may be gone: those for whom there was no worker are told of as such. */
static void end_unserved(Listener *l) {
    const ServiceConfig *c = l->service->config;
    if (c->model == MODEL_POOL && c->terms->pool.handoff == POOL_HANDOFF_CONNECTION)
        serve_nobody(l, "no worker had room for it when the service was taken away");
    end(l);
}

/* Whether it serves who waits there, paused or not: at what goes, nobody will be served later. A pool that is
 * disabled has no more workers to come. */
static bool accepts(const Service *s) {
    bool anybody = !s->pool || s->config->enabled || s->n_instances > 0;
    return takes_connections(s) && anybody && s->order != ORDER_STOP && !s->rt->stopping;
}

/* Whether nothing is left to be served there. */
static bool is_served(Service *s, Listener *l, uint64_t now_usec) {
    serve_queue(l);
    if (l->exhausted)
        return true;
    bool may_come = l->kind == ENDPOINT_TCP && !l->adopted && now_usec - l->left_usec < HANDSHAKE_USEC;
    return !may_come && (!listener_has_queued(l) || !accepts(s));
}

/* Whether a process is still there that listens on it: as long as that is so it is not taken from it, nor the
 * node by which it is reached; and when it is wanted again it is there. */
static bool is_shared(const Service *s, const Listener *l) {
    LIST_FOREACH (i, &s->instances, Instance, link)
        if (i->number <= l->left_instance)
            return true;
    return false;
}

/* Whether its processes accept by themselves, and without asking who has come. */
static bool hands_listeners_on(const Service *s) {
    const ServiceConfig *c = s->config;
    return c->model == MODEL_ON_DEMAND ||
           (c->model == MODEL_POOL && c->terms->pool.handoff == POOL_HANDOFF_LISTENER);
}

static bool start_one(Service *s, Listener *l) {
    l->left_served = true;
    const Instance *i = launch_for_leaving(s, l);
    if (!i)
        return false;
    l->left_instance = i->number;
    s->leave_looks = s->leave_empty = 0;
    return true;
}

/* A process for who has come while those of before were still there, and whom none of them can serve, or
 * before the first one could be started. Once: one that does not take what waits is not followed by others.
 * Whether there is one now. */
static bool starts_for(Service *s, Listener *l) {
    bool may_run = hands_listeners_on(s) && !s->config->problem && s->order != ORDER_STOP && !s->rt->stopping;
    if (!may_run || l->left_served || !endpoint_kind_is_stream(l->kind) || !listener_has_waiting(l))
        return false;
    /* It is looked at again then. */
    return !launch_may_start(s, true) || start_one(s, l);
}

/* Whether a look at them without being told of anything may find something new. */
static bool serve_leaving(Service *s) {
    uint64_t now = clock_monotonic_usec();
    LIST_FOREACH_SAFE (l, &s->leaving, Listener, link)
        if (accepts(s) ? is_served(s, l, now) : !is_shared(s, l) && !starts_for(s, l))
            end_unserved(l);
    return accepts(s) && !list_is_empty(&s->leaving);
}

static bool any_queued(const Service *s) {
    LIST_FOREACH (l, &s->leaving, Listener, link)
        if (listener_has_waiting(l))
            return true;
    return false;
}

/* One that passes datagrams on reads no more of them once it is told, it has but answers to wait for: the
 * next one need not wait for its end. Unless it is in the way of a backend that is to be replaced. */
static bool makes_way(const Instance *i) {
    const Service *s = i->service;
    return i->role == ROLE_FORWARD && s->config->model == MODEL_FORWARD && !s->backend.stale;
}

static void tell_strays(Service *s) {
    LIST_FOREACH (i, &s->instances, Instance, link) {
        if (!i->stray || is_told(i))
            continue;
        i->asked = !i->timed_out;
        instance_stop(i, s->config->terms->timeout_stop_usec);
        if (!makes_way(i))
            continue;
        i->stray = false;
        s->n_strays--;
    }
}

/* What strays are to serve: as long as there is some they go on. */
static void look_at_strays(Service *s) {
    s->leave_looks++;
    s->leave_empty = any_queued(s) ? 0 : s->leave_empty + 1;
    if (s->leave_empty < LOOKS_EMPTY && s->leave_looks < LOOKS_MAX)
        return;
    tell_strays(s);
}

/* Later, unless that is so already. The timer is made once, so that memory is wanted but for the first time.
 */
static bool look_again(Service *s) {
    int enabled = SD_EVENT_OFF;
    if (!s->leave_timer)
        return sd_event_add_time_relative(s->rt->loop, &s->leave_timer, CLOCK_MONOTONIC, LOOK_USEC,
                                          USEC_PER_MSEC, on_look, s) >= 0;
    (void)sd_event_source_get_enabled(s->leave_timer, &enabled);
    return enabled != SD_EVENT_OFF || (sd_event_source_set_time_relative(s->leave_timer, LOOK_USEC) >= 0 &&
                                       sd_event_source_set_enabled(s->leave_timer, SD_EVENT_ONESHOT) >= 0);
}

void service_go_on_leaving(Service *s) {
    if (has_untold(s))
        look_at_strays(s);
    bool more = serve_leaving(s) || has_untold(s);
    if (more && look_again(s))
        return;
    if (more) {
        tell_strays(s);
        service_drop_leaving(s);
    }
    s->leave_timer = sd_event_source_disable_unref(s->leave_timer);
    if (s->rt->on_state && s->removed)
        s->rt->on_state(s, s->rt->on_state_userdata);
}

void service_leave(Service *s, Listener *l) {
    listener_disarm(l);
    /* Datagrams wait for processes alone. */
    bool served = endpoint_kind_is_stream(l->kind) || service_processes_listen(s);
    if (!listener_is_open(l) || !served || listener_keep_config(l) < 0) {
        end(l);
        return;
    }
    l->kept = stored_fd_release(l->kept);
    l->left_usec = clock_monotonic_usec();
    l->left_instance = s->rt->next_instance;
    s->leave_looks = s->leave_empty = 0;
    list_append(&s->leaving, &l->link);
}

/* Whether there is nobody who will take what waits at @l. */
static bool lacks_process(Service *s, Listener *l) {
    bool by_slot = service_n_listen_slots(s) > 0;
    /* The workers of a paused pool have been told to end. */
    if ((by_slot && !slot_is_idle(&s->slots[l->slot])) || (!by_slot && (!s->pool || s->order != ORDER_PAUSE)))
        return false;
    return !s->config->problem && listener_has_queued(l) &&
           (l->admitted || !knock_is_asked(l) || knock_may_start(l)) && launch_may_start(s, true);
}

void service_serve_before_leaving(Service *s, Listener *l) {
    if (!listener_is_open(l))
        return;
    listener_unhook(l, !takes_connections(s));
    if (s->order == ORDER_STOP || s->removed)
        return;
    if (takes_connections(s))
        serve_queue(l);
    else if (lacks_process(s, l) && s->order == ORDER_PAUSE)
        (void)start_one(s, l); /* of its listeners that one alone, as the others wait */
    else if (lacks_process(s, l))
        slot_activate(&s->slots[l->slot]);
}

void service_end_leaving(Listener *l) {
    Service *s = l->service;
    if (listener_is_open(l) && accepts(s))
        serve_queue(l);
    end(l);
}

void service_drop_leaving(Service *s) {
    LIST_FOREACH_SAFE (l, &s->leaving, Listener, link)
        end(l);
    s->leave_timer = sd_event_source_disable_unref(s->leave_timer);
}

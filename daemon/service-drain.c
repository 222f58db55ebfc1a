/* SPDX-License-Identifier: MIT */
/* Draining: what is queued is served, then the listeners are closed. Nobody who was let in is turned away:
 * first the queues are cut, so that they come to an end; once one is seen empty it is sealed, looked at
 * again, and closed. A queue that others keep filling is sealed at the second look. */
#include "daemon/backend.h"
#include "daemon/base/clock.h"
#include "daemon/handoff.h"
#include "daemon/service-private.h"
#include "daemon/slot.h"

/* How often idle processes are looked for. */
#define LOOK_USEC (100 * USEC_PER_MSEC)

/* Processes that may be started, one after the other, for who came in while the one before was ending. */
#define TOLD_MAX 3

static int on_look(sd_event_source *source, uint64_t usec, void *userdata) {
    Service *s = userdata;
    (void)source;
    (void)usec;
    s->drain_timer = sd_event_source_disable_unref(s->drain_timer);
    s->drain_looks++;
    service_update(s, NULL);
    return 0;
}

void service_look_at(Service *s, uint64_t at_usec) {
    if (!s->drain_timer)
        (void)sd_event_add_time(s->rt->loop, &s->drain_timer, CLOCK_MONOTONIC, at_usec, USEC_PER_MSEC,
                                on_look, s);
}

static void look_later(Service *s) {
    service_look_at(s, clock_monotonic_usec() + LOOK_USEC);
}

static void tell(Instance *i) {
    i->asked = !i->timed_out;
    instance_tell(i);
}

/* Whether @l is served, and so can be closed. */
static bool is_served(const Service *s, Listener *l) {
    if (l->exhausted)
        return true;
    if (listener_has_queued(l)) {
        if (s->drain_looks > 0)
            listener_seal(l, false);
        return false;
    }
    /* One that was passed in is not closed, but put aside: what comes now is served at the next start. */
    if (l->adopted)
        return true;
    listener_seal(l, false);
    return !listener_has_queued(l);
}

static void drain_connections(Service *s) {
    for (size_t i = 0; i < s->n_listeners; i++) {
        Listener *l = s->listeners[i];
        if (!listener_is_open(l))
            continue;
        if (is_served(s, l))
            listener_close(l, true);
        else if (s->drain_looks == 0)
            look_later(s);
    }
}

static bool slot_has_queued(const Slot *slot) {
    const Service *s = slot->service;
    for (size_t i = 0; i < s->n_listeners; i++)
        if (s->listeners[i]->slot == slot->index && listener_has_queued(s->listeners[i]))
            return true;
    return false;
}

/* Whether something waits on a listener of @slot; when nothing does, nothing gets in any more. */
static bool slot_is_wanted(const Slot *slot) {
    const Service *s = slot->service;
    bool waits = slot_has_queued(slot);
    if (waits && s->drain_looks == 0)
        return true;
    for (size_t i = 0; i < s->n_listeners; i++)
        if (s->listeners[i]->slot == slot->index && listener_is_open(s->listeners[i]))
            listener_seal(s->listeners[i], true);
    return waits || slot_has_queued(slot);
}

static bool close_slot(const Slot *slot) {
    Service *s = slot->service;
    bool any = false;
    for (size_t i = 0; i < s->n_listeners; i++) {
        Listener *l = s->listeners[i];
        any |= l->slot == slot->index && listener_is_open(l);
        if (l->slot == slot->index)
            listener_close(l, true);
    }
    return any;
}

static bool slot_is_adopted(const Slot *slot) {
    const Service *s = slot->service;
    for (size_t i = 0; i < s->n_listeners; i++)
        if (s->listeners[i]->slot == slot->index && s->listeners[i]->adopted)
            return true;
    return false;
}

static void drain_slot(Slot *slot) {
    Service *s = slot->service;
    bool wanted = slot_is_wanted(slot);
    bool over = slot->told >= TOLD_MAX || (slot->told > 0 && slot_is_adopted(slot));
    if (!slot->instance) {
        slot->busy = true;
        if ((!wanted || over) && close_slot(slot))
            slot_reset(slot);
        return;
    }
    if (slot->instance->state != INSTANCE_RUNNING)
        return;
    look_later(s);
    /* One that has just taken the last of the queue has the time until the next look to answer it. */
    if (!wanted && !slot->busy) {
        slot->told++;
        tell(slot->instance);
    }
    slot->busy = wanted;
}

static bool any_open(const Service *s) {
    for (size_t i = 0; i < s->n_listeners; i++)
        if (listener_is_open(s->listeners[i]))
            return true;
    return false;
}

/* Workers that accept, like the process of a slot, serve what is queued until nothing is seen at two looks.
 */
static void drain_shared(Service *s) {
    bool waits = false;
    for (size_t i = 0; i < s->n_listeners; i++)
        waits = waits || listener_has_queued(s->listeners[i]);
    for (size_t i = 0; i < s->n_listeners && (!waits || s->drain_looks > 0); i++)
        if (listener_is_open(s->listeners[i]))
            listener_seal(s->listeners[i], true);
    for (size_t i = 0; i < s->n_listeners; i++)
        waits = waits || listener_has_queued(s->listeners[i]);
    if ((waits && pool_can_drain(s->pool)) || s->drain_looks == 0) {
        look_later(s);
        return;
    }
    for (size_t i = 0; i < s->n_listeners; i++)
        listener_close(s->listeners[i], true);
}

static void drain_pool(Service *s) {
    bool accepts = s->config->terms->pool.handoff == POOL_HANDOFF_CONNECTION;
    if (any_open(s) && accepts && pool_can_drain(s->pool))
        drain_connections(s);
    else if (any_open(s) && accepts)
        service_close_listeners(s, false);
    else if (any_open(s))
        drain_shared(s);
    if (any_open(s))
        return;
    /* Those who have been let in go to a worker first. */
    if (preludes_count(s) > 0 && pool_can_drain(s->pool))
        return;
    preludes_drop(s);
    s->pool->drained = true;
    LIST_FOREACH (i, &s->instances, Instance, link) {
        if (!i->worker)
            continue;
        if (!handoff_is_received(i->worker)) {
            look_later(s);
            continue;
        }
        if (i->worker->fd >= 0)
            handoff_close(i->worker);
        tell(i);
    }
}

void service_go_on_draining(Service *s) {
    /* Those that a reload has parted from their slots have its listeners: they go first. */
    if (s->n_strays > 0) {
        LIST_FOREACH (i, &s->instances, Instance, link)
            if (i->stray)
                tell(i);
        return;
    }
    if (s->pool)
        drain_pool(s);
    else if (service_n_listen_slots(s) == 0)
        drain_connections(s);
    for (size_t i = 0; i < service_n_listen_slots(s); i++)
        drain_slot(&s->slots[i]);
}

void service_begin_drain(Service *s) {
    s->drain_looks = 0;
    if (s->pool)
        pool_reset(s->pool);
    for (size_t i = 0; i < s->n_listeners; i++)
        if (listener_is_open(s->listeners[i]))
            listener_cut(s->listeners[i]);
    for (size_t i = 0; i < s->n_slots; i++) {
        Slot *slot = &s->slots[i];
        slot->start_by_itself = slot->again = slot->busy = slot->held = false;
        slot->told = 0;
    }
}

void service_end_drain(Service *s) {
    s->drain_timer = sd_event_source_disable_unref(s->drain_timer);
    for (size_t i = 0; i < s->n_listeners; i++)
        if (listener_is_open(s->listeners[i]))
            listener_readmit(s->listeners[i]);
}

void service_renew_listeners(Service *s) {
    for (size_t i = 0; i < s->n_listeners; i++) {
        if (!s->listeners[i]->exhausted)
            continue;
        listener_close(s->listeners[i], true);
        if (service_order_listens(s->order) && !s->removed && !s->rt->stopping)
            (void)service_open_listener(s, i);
    }
}

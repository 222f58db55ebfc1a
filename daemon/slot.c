/* SPDX-License-Identifier: MIT */
#include "daemon/slot.h"

#include <inttypes.h>

#include "daemon/backend.h"
#include "daemon/base/clock.h"
#include "daemon/idle.h"
#include "daemon/launch.h"

size_t slot_count(const ServiceConfig *config, size_t n_listeners) {
    if (config->model == MODEL_FORWARD)
        return !service_config_accepts(config) + (size_t)service_config_has_backend(config);
    if (config->model != MODEL_ON_DEMAND)
        return 0;
    return config->pass == HANDOFF_STDIO ? n_listeners : 1;
}

bool slot_is_idle(const Slot *slot) {
    return !slot->instance && !slot->delayed;
}

void slot_reset(Slot *slot) {
    slot->timer = sd_event_source_disable_unref(slot->timer);
    slot->delayed = slot->start_by_itself = slot->start_failed = slot->held = false;
    slot->backoff = (Backoff){0};
}

/* Who waited for a backend may have gone meanwhile, and then it is nobody's. */
static bool is_still_wanted(const Slot *slot) {
    const Service *s = slot->service;
    return slot->start_by_itself && (!slot_is_backend(slot) || backend_is_awaited(s) ||
                                     s->config->terms->restart_policy != RESTART_NEVER);
}

static int on_delay_over(sd_event_source *source, uint64_t usec, void *userdata) {
    Slot *slot = userdata;
    (void)source;
    (void)usec;
    slot->timer = sd_event_source_disable_unref(slot->timer);
    slot->delayed = false;
    slot->start_by_itself = is_still_wanted(slot);
    if (slot->start_by_itself)
        slot_activate(slot);
    service_update(slot->service, "the delay is over");
    return 0;
}

void slot_delay_until(Slot *slot, uint64_t at_usec) {
    slot->timer = sd_event_source_disable_unref(slot->timer);
    slot->delayed = sd_event_add_time(slot->service->rt->loop, &slot->timer, CLOCK_MONOTONIC, at_usec,
                                      USEC_PER_MSEC, on_delay_over, slot) >= 0;
}

/* Whether its process could run, whatever was ordered, and nobody else still has its listeners. */
static bool could_start(const Slot *slot) {
    const Service *s = slot->service;
    bool alone = s->n_strays == 0 || slot_is_backend(slot);
    return s->config->enabled && !s->config->problem && !s->removed && !s->rt->stopping && alone;
}

void slot_on_start_failure(Slot *slot) {
    Service *s = slot->service;
    /* While it drains: nobody can be served that way for ever. */
    slot->told++;
    slot_on_end(slot, &(SlotEnd){.failed = true, .unready = true, .starved = s->starved});
    if (slot_is_backend(slot))
        backend_on_failure(s, false);
}

/* One that has none of its listeners waits for that: its process could do nothing. */
static bool has_what_it_needs(const Slot *slot) {
    const Service *s = slot->service;
    for (size_t i = 0; i < s->n_listeners; i++)
        if (s->listeners[i]->slot == slot->index && listener_is_open(s->listeners[i]))
            return true;
    return slot_is_backend(slot);
}

void slot_activate(Slot *slot) {
    Service *s = slot->service;
    /* While it drains, what is queued is still served. */
    if (!slot_is_idle(slot) || !could_start(slot) || (s->order != ORDER_RUN && s->order != ORDER_DRAIN) ||
        !has_what_it_needs(slot))
        return;
    if (!launch_may_start(s, false)) {
        slot->held = slot->held || slot->start_by_itself;
        service_update(s, NULL);
        return;
    }
    bool again = slot->start_by_itself;
    slot->start_by_itself = slot->held = false;
    slot->instance = slot_is_backend(slot) ? launch_backend(s, slot) : launch_for_slot(s, slot);
    slot->start_failed = !slot->instance;
    if (!slot_is_backend(slot))
        gate_count_start(s);
    if (!slot->instance) {
        slot_on_start_failure(slot);
    } else {
        slot->starved = 0;
        service_history(s)->counters.restarts += again;
    }
    service_update(s, NULL);
}

void slots_go_on(Service *s) {
    for (size_t i = 0; i < s->n_slots; i++)
        if (s->slots[i].start_by_itself || s->slots[i].held)
            slot_activate(&s->slots[i]);
}

/* What the end costs. One that had nothing to do may end as often as it likes; a shortage is not its fault,
 * and when it is over nobody is to wait for long. */
static uint64_t charge(Slot *slot, const SlotEnd *end) {
    const ServiceConfig *c = slot->service->config;
    if (end->starved)
        return backoff_retry_delay(&slot->starved, BACKOFF_STARVED_MIN_USEC, BACKOFF_STARVED_MAX_USEC);
    return backoff_on_end(&slot->backoff, &c->terms->restart_limit, c->terms->restart_delay_usec,
                          c->terms->restart_max_delay_usec, end->failed && !end->idle,
                          end->idle ? USEC_INFINITY : end->lived_usec, clock_monotonic_usec());
}

/* Whether the next one is started without waiting for traffic. */
static bool restarts(const Slot *slot, const SlotEnd *end) {
    const ServiceConfig *c = slot->service->config;
    if (end->idle)
        return false;
    /* Somebody has been let in who is not served yet. */
    if (slot_is_backend(slot) && backend_is_awaited(slot->service))
        return true;
    return c->terms->restart_policy == RESTART_ALWAYS ||
           (c->terms->restart_policy == RESTART_ON_FAILURE && end->failed);
}

void slot_on_end(Slot *slot, const SlotEnd *end) {
    const ServiceConfig *c = slot->service->config;
    Service *s = slot->service;
    slot->instance = NULL;
    idle_update(slot);
    slot->start_failed = end->unready;
    if (!could_start(slot) || s->order == ORDER_STOP)
        return;
    if (slot->again && s->order == ORDER_RUN) {
        slot->again = false;
        slot_reset(slot);
        slot->start_by_itself = true;
        slot_activate(slot);
        return;
    }
    uint64_t delay = charge(slot, end);
    /* Of a paused one that is remembered until it goes on. */
    slot->start_by_itself = (s->order != ORDER_DRAIN || slot_is_backend(slot)) && restarts(slot, end);
    /* Without traffic to pace it, a restart always waits a little. */
    if (slot->start_by_itself && delay < c->terms->restart_delay_usec)
        delay = c->terms->restart_delay_usec;
    if (delay == 0)
        return;
    slot_delay_until(slot, clock_monotonic_usec() + delay);
}

/* SPDX-License-Identifier: MIT */
/* What an administrator orders a service to do. Whoever asked may wait for it: that is the control plane's.
 */
#include "daemon/backend.h"
#include "daemon/base/clock.h"
#include "daemon/handoff.h"
#include "daemon/launch.h"
#include "daemon/pool.h"
#include "daemon/service-cgroup.h"
#include "daemon/service-private.h"
#include "daemon/slot.h"

const char *service_refuses(const Service *s, ServiceVerb verb) {
    ServiceFacts facts = service_facts(s);
    /* Stop still makes it quicker. */
    return s->rt->stopping && verb != VERB_STOP ? "the daemon is stopping"
                                                : service_verb_refusal(verb, &facts);
}

bool service_processes_listen(const Service *s) {
    bool pool = s && s->pool && s->config->terms->pool.handoff == POOL_HANDOFF_LISTENER;
    return s && s->n_instances > 0 && (service_n_listen_slots(s) > 0 || s->n_strays > 0 || pool);
}

static void stop_instance(Service *s, Instance *i) {
    /* What one of `timeouts` has ended already stays that. */
    i->asked = !i->timed_out;
    instance_stop(i, s->config->terms->timeout_stop_usec);
}

void service_stop_instances(Service *s, bool on_demand_only) {
    LIST_FOREACH (i, &s->instances, Instance, link)
        /* What connections are passed on to goes after them. */
        if (!on_demand_only || (i->peer.kind == PEER_NONE && i->role != ROLE_BACKEND))
            stop_instance(s, i);
}

void service_stop_non_strays(Service *s) {
    LIST_FOREACH (i, &s->instances, Instance, link)
        /* A worker that is to take what it has been passed, and to end then, has been asked already. */
        if (!i->stray && !i->asked && i->peer.kind == PEER_NONE && i->role != ROLE_BACKEND)
            stop_instance(s, i);
}

void service_kill_instances(Service *s) {
    LIST_FOREACH (i, &s->instances, Instance, link) {
        i->asked = !i->timed_out;
        instance_kill(i);
    }
    service_cgroup_kill_all(s);
}

/* Listens and serves again, whatever it did before; delays are forgotten. */
static void run(Service *s, const char *why) {
    service_end_drain(s);
    for (size_t i = 0; i < s->n_slots; i++) {
        Slot *slot = &s->slots[i];
        bool by_itself = slot->start_by_itself;
        slot_reset(slot);
        slot->start_by_itself = by_itself;
        /* One that is on its way out makes place for the next. */
        if (s->config->start_now && slot->instance && slot->instance->state == INSTANCE_STOPPING)
            slot->again = true;
    }
    if (s->pool)
        pool_reset(s->pool);
    service_end_retry(s);
    s->retry_level = 0;
    (void)service_open(s);
    service_update(s, why);
    slots_go_on(s);
    service_start_now(s);
}

static void order_start(Service *s) {
    s->order = ORDER_RUN;
    run(s, "start");
}

static void order_stop(Service *s) {
    s->order = ORDER_STOP;
    s->drain_timer = sd_event_source_disable_unref(s->drain_timer);
    service_close_listeners(s, service_processes_listen(s));
    for (size_t i = 0; i < s->n_slots; i++) {
        slot_reset(&s->slots[i]);
        s->slots[i].again = false;
    }
    if (s->pool) {
        pool_reset(s->pool);
        handoff_drop_held(s->pool);
    }
    service_stop_instances(s, false);
    service_update(s, "stop");
}

static void order_pause(Service *s) {
    s->order = ORDER_PAUSE;
    for (size_t i = 0; i < s->n_slots; i++)
        s->slots[i].again = false;
    service_update(s, "pause");
    if (s->pool)
        pool_look(s->pool);
}

static void order_resume(Service *s) {
    s->order = ORDER_RUN;
    service_update(s, "resume");
    slots_go_on(s);
    if (s->pool)
        pool_look(s->pool);
}

static void order_drain(Service *s) {
    s->order = ORDER_DRAIN;
    service_end_retry(s);
    service_begin_drain(s);
    service_update(s, "drain");
}

static void order_restart(Service *s) {
    bool runs = s->order != ORDER_PAUSE;
    if (runs)
        s->order = ORDER_RUN;
    s->watermark = s->rt->next_instance;
    s->n_old = service_n_processes(s);
    for (size_t i = 0; i < s->n_slots; i++) {
        s->slots[i].again = runs && s->slots[i].instance;
        s->slots[i].start_failed = false;
    }
    if (s->pool && runs)
        pool_renew(s->pool);
    else
        service_stop_instances(s, false);
    spares_drop(s);
    if (runs)
        run(s, "restart");
}

/* Whether there is nothing to be done for @verb. */
static bool is_done(const Service *s, ServiceVerb verb) {
    switch (verb) {
    case VERB_PAUSE:
        return s->order == ORDER_PAUSE;
    case VERB_RESUME:
        return s->order == ORDER_RUN;
    case VERB_DRAIN:
        return s->order == ORDER_DRAIN || s->order == ORDER_STOP;
    case VERB_START:
    case VERB_STOP:
    case VERB_RESTART:
    case _SERVICE_VERB_MAX:
        return false;
    }
    return false;
}

void service_order(Service *s, ServiceVerb verb, uid_t uid) {
    static void (*const orders[_SERVICE_VERB_MAX])(Service * s) = {
        [VERB_START] = order_start, [VERB_STOP] = order_stop,     [VERB_RESTART] = order_restart,
        [VERB_PAUSE] = order_pause, [VERB_RESUME] = order_resume, [VERB_DRAIN] = order_drain,
    };
    if (verb >= _SERVICE_VERB_MAX || is_done(s, verb))
        return;
    ServiceOrder before = s->order;
    s->verb = verb;
    s->n_orders++;
    orders[verb](s);
    if (s->order != before) {
        s->order_uid = uid;
        s->order_usec = clock_realtime_usec();
    }
    /* Even when the state is what it was: somebody may wait for the end of what was ordered before. */
    if (s->rt->on_state)
        s->rt->on_state(s, s->rt->on_state_userdata);
}

/* Its process has not come to exec yet. */
static bool is_on_its_way(const Slot *slot) {
    return slot->instance && slot->instance->flight;
}

bool service_is_restarted(const Service *s) {
    /* What is held back while it is paused starts when it goes on, and that is another order. */
    for (size_t i = 0; i < s->n_slots; i++)
        if (s->slots[i].again || is_on_its_way(&s->slots[i]) || (s->slots[i].held && s->order != ORDER_PAUSE))
            return false;
    return s->n_old == 0 || (s->pool && s->pool->start_failed);
}

bool service_start_is_held(const Service *s) {
    for (size_t i = 0; i < s->n_slots; i++)
        if (s->slots[i].held || is_on_its_way(&s->slots[i]))
            return true;
    /* Of a pool, its first workers. */
    return s->pool && s->config->terms->pool.min > 0 && s->n_instances == 0 && launch_is_awaited(s);
}

bool service_restart_failed(const Service *s) {
    for (size_t i = 0; i < s->n_slots; i++)
        if (s->slots[i].start_failed && !s->slots[i].instance)
            return true;
    return s->pool && s->pool->start_failed;
}

/* SPDX-License-Identifier: MIT */
/* What has become of the processes that are on their way to exec, and what follows from it. */
#include <string.h>
#include <sys/socket.h>

#include "daemon/backend.h"
#include "daemon/base/clock.h"
#include "daemon/descriptors.h"
#include "daemon/gate.h"
#include "daemon/idle-connection.h"
#include "daemon/launch-private.h"
#include "daemon/pool.h"
#include "daemon/service-cgroup.h"
#include "daemon/service-leave.h"
#include "daemon/slot.h"
#include "daemon/spares.h"

void launch_fault_of(const Flight *f, const FlightEnd *end, LaunchFault *ret) {
    *ret = (LaunchFault){.step = end->step, .which = end->which};
    (void)sandbox_where(f->recipe->sandbox, end->which, ret->where, sizeof(ret->where));
}

const char *launch_fault_text(const LaunchFault *fault, int error, char *buf, size_t size) {
    const char *hint = sandbox_hint(fault->which, error);
    if (fault->step == STEP_EXEC && error == ENOENT && fault->which == 0)
        hint = "the program or its interpreter is missing";
    if (fault->step == STEP_FDS && error == E2BIG)
        hint = "too many sockets for one process";
    (void)snprintf(buf, size, "%s: %s%s%s%s%s%s", spawn_step_to_string(fault->step), fault->where,
                   fault->where[0] ? ": " : "", strerror(error), hint[0] ? " (" : "", hint,
                   hint[0] ? ")" : "");
    return buf;
}

void launch_tell_failure(Instance *i, const LaunchFault *fault, int error) {
    Service *s = i->service;
    SpawnStep step = fault->step;
    char peer[PEER_TEXT_MAX], text[512], message[544];
    const char *name = spawn_step_to_string(step);
    s->starved = s->probing = spawn_is_starved(step, error);
    /* Those are counted who could not be served. */
    if (i->role != ROLE_BACKEND) {
        service_history(s)->counters.spawn_failed++;
        service_history(s)->counters.failed_steps[step]++;
    }
    CLEANUP_TEXT Text why = {0};
    if (s->cgroup && step == STEP_CGROUP)
        service_cgroup_doubt(s);
    service_cgroup_explain(s, step, error, &why);
    (void)launch_fault_text(fault, error, text, sizeof(text));
    (void)snprintf(message, sizeof(message), "not started: %s%s", text, why.s ? why.s : "");
    ApiEvent e = instance_event(i, LOG_LEVEL_ERROR, "spawn_failed", peer);
    e.step = name;
    e.error = error;
    e.message = message;
    service_emit_limited(s, LIMITED_SPAWN_FAILED, &e);
    const ConfigPos *pos = step == STEP_EXEC                          ? &s->config->exec_pos
                           : step == STEP_USER || step == STEP_GROUPS ? &s->config->user_pos
                                                                      : &s->config->pos;
    if (fault->where[0])
        service_keep_error(s, name, error, text, pos);
    else
        service_set_error(s, name, error, NULL, pos);
}

/* It was made at @began_usec, and has been seen to have come to exec at @seen_usec: how long it lives counts
 * from the first, or one that is quick would seem to have lived for no time at all. */
static void tell_start_at(Instance *i, uint64_t began_usec, uint64_t seen_usec) {
    i->service->starved = i->service->probing = false;
    if (i->role != ROLE_BACKEND) {
        service_history(i->service)->counters.spawned++;
        histogram_add(&service_history(i->service)->latency, seen_usec - i->started_usec);
    }
    i->started_usec = began_usec;
    service_tell_start(i->service, i);
}

void launch_tell_start(Instance *i) {
    uint64_t now = clock_monotonic_usec();
    tell_start_at(i, now, now);
}

void launch_watch(Instance *i) {
    const ServiceConfig *c = i->service->config;
    if (i->role == ROLE_BACKEND) {
        backend_on_start(i);
        return;
    }
    int r = instance_limit_lifetime(i, c->terms->timeout_lifetime_usec);
    if (i->role == ROLE_FORWARD)
        backend_on_connection(i);
    else if (r >= 0)
        r = instance_watch(i);
    if (r < 0)
        instance_stop(i, c->terms->timeout_stop_usec);
}

/* Places */

bool launch_is_awaited(const Service *s) {
    return !list_is_empty(&s->flights_link);
}

bool launch_may_start(Service *s, bool urgent) {
    /* None is on its way when another program takes over. */
    bool room = s->rt->spawner->n_flying < FLIGHTS_MAX && !s->rt->handing_over;
    bool own_room = s->n_flights < (s->probing ? 1 : FLIGHTS_OF_SERVICE_MAX);
    bool ready = !s->config->sandbox || launch_prepare(s, urgent);
    if (ready && room && (urgent || (own_room && !launch_is_awaited(s))))
        return true;
    if (!launch_is_awaited(s))
        list_append(&s->rt->spawner->waiting, &s->flights_link);
    return false;
}

static bool may_start_again(const Service *s) {
    return !s->rt->handing_over && s->n_flights <= (s->probing ? 0 : FLIGHTS_OF_SERVICE_AGAIN) &&
           s->rt->spawner->n_flying < FLIGHTS_MAX && !launch_is_preparing(s);
}

static void start_what_waited(Service *s) {
    list_remove(&s->flights_link);
    slots_go_on(s);
    if (s->pool)
        pool_look(s->pool);
    if (!list_is_empty(&s->leaving))
        service_go_on_leaving(s);
    service_update(s, NULL);
}

static void look_who_waits(Runtime *rt) {
    LIST_FOREACH_SAFE (s, &rt->spawner->waiting, Service, flights_link)
        if (may_start_again(s))
            start_what_waited(s);
}

void launch_forget_flight(Instance *i) {
    if (!i->flight)
        return;
    if (i->flight->counted)
        i->service->n_flights--;
    flight_let_go(i->flight, i->rt->discard);
    i->flight = flight_free(i->flight);
}

/* One */

void launch_set_aside(Instance *i) {
    list_remove(&i->link);
    i->state = INSTANCE_SPAWN_FAILED;
    list_append(&i->service->ghosts, &i->link);
}

/* It is no longer among those that have not come to exec yet. */
static void arrive(Instance *i) {
    Service *s = i->service;
    *(i->role == ROLE_BACKEND ? &s->backend.n_flying : &s->n_flying) -= 1;
    /* The place of one that cannot even be killed is not free before it has ended. */
    if (i->flight->ended)
        launch_forget_flight(i);
}

/* The daemon's copy of the connection of one that was set up ahead. It may be the last one by now, whether
 * the process has ended or goes on without it. */
static void let_connection_go(Instance *i) {
    if (!i->connection)
        return;
    i->connection->fd = discard_copy(i->rt->discard, i->connection->fd);
    i->connection = connection_free(i->rt, i->connection);
}

/* Of one that has been reaped already it is known only that it had been made at @began_usec. */
static void on_started(Instance *i, uint64_t began_usec) {
    bool over = instance_table_find(&i->rt->instances, i->pid) != i;
    let_connection_go(i);
    tell_start_at(i, began_usec, over ? began_usec : clock_monotonic_usec());
    if (!i->asked)
        launch_watch(i);
}

/* It never was one of the service's. */
static void on_failure(Instance *i) {
    Service *s = i->service;
    *(i->role == ROLE_BACKEND ? &s->backend.n_processes : &s->n_instances) -= 1;
    if (s->n_old > 0 && i->number <= s->watermark)
        s->n_old--;
    launch_set_aside(i);
    i->idle = idle_connection_free(i->idle);
}

Instance *launch_conclude(Instance *i) {
    FlightEnd end = flight_look(i->flight);
    uint64_t began = i->flight->began_usec;
    LaunchFault fault;
    bool failed = !i->asked && end.fate != FLIGHT_STARTED;
    if (failed)
        launch_fault_of(i->flight, &end, &fault);
    arrive(i);
    /* One that was asked to end has ended as asked, however far it came. */
    if (!failed) {
        on_started(i, began);
        return i;
    }
    on_failure(i);
    launch_tell_failure(i, &fault, end.error ? end.error : ESRCH);
    i->worker = worker_free(i->worker);
    return NULL;
}

/* Those who wait are not to be taken and closed one after the other. */
static void pause_listeners(Service *s) {
    if (service_past(s)->last_error.error == EMFILE)
        descriptors_refresh(s->rt);
    for (size_t i = 0; i < s->n_listeners; i++)
        if (listener_is_open(s->listeners[i]))
            listener_pause(s->listeners[i]);
    preludes_rest(s);
}

/* Whoever has ordered a start waits for the process of a slot, even where the state says nothing of it. */
static void tell_who_waits(Service *s) {
    if (s->rt->on_state)
        s->rt->on_state(s, s->rt->on_state_userdata);
}

/* What depended on it is told only now. */
static void tell_late(Service *s, Slot *slot, Pool *pool, bool stray) {
    if (stray && --s->n_strays == 0)
        service_start_now(s);
    if (slot) {
        slot->instance = NULL;
        slot->start_failed = true;
        slot_on_start_failure(slot);
    }
    if (pool)
        pool_on_start_failure(pool, s->starved);
    if (s->starved && !slot && !pool)
        pause_listeners(s);
    service_update(s, NULL);
    if (slot)
        tell_who_waits(s);
}

void launch_settle(Instance *i) {
    Service *s = i->service;
    FlightEnd end = flight_look(i->flight);
    if (end.fate == FLIGHT_UNDER_WAY)
        return;
    /* Without work, or the connection can still be served by another. */
    if (i->state == INSTANCE_SPARE || (end.fate == FLIGHT_LOST && i->connection && !i->asked)) {
        spares_on_lost(i, &end);
        return;
    }
    Slot *slot = i->slot;
    Pool *pool = i->worker ? i->worker->pool : NULL;
    bool stray = i->stray;
    bool was_ahead = i->connection;
    if (launch_conclude(i)) {
        if (was_ahead && !i->asked)
            spares_on_started(s);
        /* Who waits for the process of a slot has been told to wait for longer than it was waited for. */
        if (slot) {
            service_update(s, NULL);
            tell_who_waits(s);
        }
        return;
    }
    i->slot = NULL;
    i->stray = false;
    i->connection = connection_free(s->rt, i->connection);
    gate_release(s->rt, &i->source);
    tell_late(s, slot, pool, stray);
}

/* All */

/* One whose end is to be looked at, or NULL. */
static Flight *next_ended(const Spawner *spawner) {
    LIST_FOREACH (f, &spawner->flying, Flight, link)
        if (f->owner && !f->overdue && flight_has_ended(f))
            return f;
    return NULL;
}

static void end_overdue(Runtime *rt, uint64_t now_usec) {
    LIST_FOREACH_SAFE (f, &rt->spawner->flying, Flight, link) {
        if (f->overdue || now_usec - f->began_usec < CHILD_SECONDS_MAX * USEC_PER_SEC)
            continue;
        flight_end_overdue(f);
        /* A spare that has not taken its connection is dead first, and then another serves it. */
        if (f->owner)
            launch_settle(f->owner);
        return;
    }
}

void launch_settle_all(Runtime *rt) {
    Spawner *spawner = rt->spawner;
    if (spawner->n_flying == 0 && list_is_empty(&spawner->waiting))
        return;
    LIST_FOREACH (f, &spawner->flying, Flight, link)
        flight_let_go(f, rt->discard);
    for (Flight *f = next_ended(spawner); f; f = next_ended(spawner))
        launch_settle(f->owner);
    uint64_t now = clock_monotonic_usec();
    /* Frozen together with the daemon, they have not had their time. */
    if (now - spawner->looked_usec > USEC_PER_SEC)
        flights_postpone(spawner, now - spawner->looked_usec, now);
    spawner->looked_usec = now;
    end_overdue(rt, now);
    if (!list_is_empty(&spawner->waiting))
        look_who_waits(rt);
}

uint64_t launch_due(const Runtime *rt, bool often, uint64_t now_usec) {
    /* What they have waited for may have come without anybody's having come to exec. */
    LIST_FOREACH (s, &rt->spawner->waiting, const Service, flights_link)
        if (may_start_again(s))
            return now_usec;
    uint64_t patience =
        rt->spawner->n_flying == 0 ? UINT64_MAX : flights_patience(rt->spawner, often, now_usec);
    return patience == UINT64_MAX ? USEC_INFINITY : now_usec + patience;
}

bool launch_is_settled(const Service *s) {
    return s->n_flying == 0 && s->backend.n_flying == 0;
}

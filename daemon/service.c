/* SPDX-License-Identifier: MIT */
#include "daemon/service.h"

#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "daemon/backend.h"
#include "daemon/base/clock.h"
#include "daemon/flight.h"
#include "daemon/forward.h"
#include "daemon/idle.h"
#include "daemon/knock.h"
#include "daemon/launch.h"
#include "daemon/ledger.h"
#include "daemon/offence.h"
#include "daemon/pool.h"
#include "daemon/recipe.h"
#include "daemon/serve.h"
#include "daemon/service-cgroup.h"
#include "daemon/service-leave.h"
#include "daemon/service-private.h"
#include "daemon/slot.h"

/* Ended processes whose stderr others still hold. */
#define GHOSTS_MAX 256

#define RETRY_MIN_USEC USEC_PER_SEC
#define RETRY_MAX_USEC (60 * USEC_PER_SEC)
/* Of an address that somebody has: nobody is to be refused for longer than a second once it is free. A
 * process of a daemon that was killed may have it. */
#define RETRY_HELD_MIN_USEC (100 * USEC_PER_MSEC)
#define RETRY_HELD_MAX_USEC (500 * USEC_PER_MSEC)

void service_set_config(Service *s, Config *generation_config, ServiceConfig *config, uint64_t generation) {
    LimitsConfig before = s->config ? *s->limits : config->terms->limits;
    config_ref(generation_config);
    config_unref(s->generation_config);
    s->generation_config = generation_config;
    s->config = config;
    s->name = config->name;
    /* What is looked for is what the one before lacked. */
    list_remove(&s->look_link);
    free(s->own_limits);
    s->own_limits = NULL;
    s->limits = &config->terms->limits;
    s->generation = generation;
    gate_change(s, &before);
}

int service_set_limits(Service *s, const LimitsConfig *limits) {
    if (!s->own_limits)
        s->own_limits = malloc(sizeof(*s->own_limits));
    if (!s->own_limits)
        return -ENOMEM;
    *s->own_limits = *limits;
    s->limits = s->own_limits;
    return 0;
}

void service_forget_process_data(Service *s) {
    s->recipe = recipe_unref(s->recipe);
}

Service *service_new(Runtime *rt, Config *generation_config, ServiceConfig *config, uint64_t generation) {
    Service *s = calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    s->rt = rt;
    s->id = ++rt->newest_service;
    s->state = config->enabled ? SERVICE_STOPPED : SERVICE_DISABLED;
    s->since_usec = clock_realtime_usec();
    list_init(&s->instances);
    list_init(&s->ghosts);
    list_init(&s->endings);
    list_init(&s->leaving);
    list_init(&s->flights_link);
    event_ring_init(&s->ring, EVENTS_KEPT_SERVICE, EVENTS_KEPT_SERVICE_BYTES);
    list_init(&s->look_link);
    service_set_config(s, generation_config, config, generation);
    if (service_make_listeners(s) < 0)
        return service_free(s);
    return s;
}

Service *service_free(Service *s) {
    if (!s)
        return NULL;
    for (size_t i = 0; i < s->n_listeners; i++)
        listener_free(s->listeners[i], false);
    free((void *)s->listeners);
    service_drop_leaving(s);
    preludes_done(s);
    s->pool = pool_free(s->pool, true);
    service_free_slots(s);
    service_end_retry(s);
    s->drain_timer = sd_event_source_disable_unref(s->drain_timer);
    spares_done(s);
    service_tell_endings(s);
    s->backend.idle = sd_event_source_disable_unref(s->backend.idle);
    LIST_FOREACH_SAFE (i, &s->instances, Instance, link) {
        instance_table_remove(&s->rt->instances, i);
        instance_free(i);
    }
    LIST_FOREACH_SAFE (i, &s->ghosts, Instance, link) {
        instance_table_remove(&s->rt->instances, i);
        instance_free(i);
    }
    service_cgroup_free(s);
    gate_done(s);
    list_remove(&s->flights_link);
    s->passed = passed_free(s->passed);
    service_forget_process_data(s);
    event_ring_done(&s->ring);
    s->history = history_free(s->history);
    free(s->status);
    free(s->own_limits);
    config_unref(s->generation_config);
    free(s);
    return NULL;
}

History *service_history(Service *s) {
    if (!s->history)
        s->history = history_new();
    return s->history ? s->history : &s->rt->lost;
}

static size_t count_open(const Service *s) {
    size_t n = 0;
    for (size_t i = 0; i < s->n_listeners; i++)
        n += listener_is_open(s->listeners[i]);
    return n;
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata) {
    Service *s = userdata;
    (void)source;
    (void)usec;
    s->retry = sd_event_source_disable_unref(s->retry);
    size_t before = count_open(s);
    (void)service_open(s);
    if (count_open(s) > before)
        service_hand_on_anew(s);
    service_update(s, "tried again");
    slots_go_on(s);
    service_start_now(s);
    return 0;
}

void service_retry_at(Service *s, uint64_t at_usec) {
    if (!s->retry)
        (void)sd_event_add_time(s->rt->loop, &s->retry, CLOCK_MONOTONIC, at_usec, USEC_PER_SEC / 10, on_retry,
                                s);
}

static bool any_listener_held(const Service *s) {
    for (size_t i = 0; i < s->n_listeners; i++)
        if (!listener_is_open(s->listeners[i]) && s->listeners[i]->error == EADDRINUSE)
            return true;
    return false;
}

void service_retry_later(Service *s) {
    bool held = any_listener_held(s);
    uint64_t delay = backoff_retry_delay(&s->retry_level, held ? RETRY_HELD_MIN_USEC : RETRY_MIN_USEC,
                                         held ? RETRY_HELD_MAX_USEC : RETRY_MAX_USEC);
    service_retry_at(s, clock_monotonic_usec() + delay);
}

size_t service_open(Service *s) {
    if (!s->config->enabled || !service_order_listens(s->order) || s->removed || s->rt->stopping)
        return 0;
    size_t failed = 0;
    if (s->config->problem) {
        service_look(s);
        return s->n_listeners;
    }
    if (!service_cgroup_prepare(s)) {
        service_retry_later(s);
        return s->n_listeners;
    }
    for (size_t i = 0; i < s->n_listeners; i++)
        if (!listener_is_open(s->listeners[i]) && !s->listeners[i]->dispensable)
            failed += !service_open_listener(s, i);
    if (failed > 0)
        service_retry_later(s);
    else
        s->retry_level = 0;
    return failed;
}

static bool any_slot_delayed(const Service *s) {
    for (size_t i = 0; i < s->n_slots; i++)
        if (s->slots[i].delayed)
            return true;
    return false;
}

ServiceFacts service_facts(const Service *s) {
    return (ServiceFacts){
        .enabled = s->config->enabled,
        .removed = s->removed,
        .has_problem = s->config->problem || service_cgroup_is_missing(s),
        .model = s->config->model,
        .order = s->rt->stopping ? ORDER_STOP : s->order,
        .listeners = s->n_listeners,
        .listeners_open = count_open(s),
        .instances = service_n_processes(s) + service_cgroup_is_ending(s),
        .flying = s->n_flying + s->backend.n_flying,
        .backends = s->backend.n_processes - s->backend.n_flying,
        .accepts = service_config_accepts(s->config),
        .waiting = preludes_are_full(s) || (s->pool ? s->pool->full : gate_is_held(s)),
        .preludes = preludes_count(s),
        /* Those who have named it already are still there. */
        .reached = s->n_listeners == 0 && (preludes_count(s) > 0 || tcpmux_reaches(s)),
        .throttled = gate_is_throttled(s),
        .backoff = s->pool ? s->pool->delayed : any_slot_delayed(s),
        .starting = !s->pool                    ? s->n_starting
                    : pool_is_starting(s->pool) ? s->n_instances - s->n_flying
                                                : 0,
    };
}

/* " (3 of 4096 queued)": who waits while nobody is let in, where the kernel tells; else "". */
static const char *format_queue(const Service *s, ServiceState state, char *buf, size_t size) {
    int64_t queued = 0, backlog = 0;
    buf[0] = '\0';
    if (state != SERVICE_FULL && state != SERVICE_THROTTLED)
        return buf;
    for (size_t i = 0; i < s->n_listeners; i++) {
        int64_t n = -1, of = -1;
        listener_queue(s->listeners[i], &n, &of);
        queued += n > 0 ? n : 0;
        backlog += of > 0 ? of : 0;
    }
    if (backlog > 0)
        (void)snprintf(buf, size, " (%" PRId64 " of %" PRId64 " queued)", queued, backlog);
    return buf;
}

static void set_state(Service *s, ServiceState state, const char *why) {
    if (state == s->state)
        return;
    char message[256], queue[64];
    (void)snprintf(message, sizeof(message), "%s -> %s%s%s%s", service_state_to_string(s->state),
                   service_state_to_string(state), why ? ": " : "", why ? why : "",
                   format_queue(s, state, queue, sizeof(queue)));
    s->state = state;
    s->since_usec = clock_realtime_usec();
    if (s->rt->on_state)
        s->rt->on_state(s, s->rt->on_state_userdata);
    bool trouble = state == SERVICE_FAILED || state == SERVICE_BACKOFF || state == SERVICE_FULL ||
                   state == SERVICE_THROTTLED;
    /* That a new service listens is told by its listeners. */
    bool first = !s->has_stated;
    s->has_stated = true;
    if (first && !trouble)
        return;
    ApiEvent e = eventlog_event(trouble ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO, "state");
    e.service = s->name;
    e.message = message;
    e.reason = why;
    service_emit_limited(s, LIMITED_STATE, &e);
}

/* One whose only way in is tcpmux, and there is none. */
static void tell_unreached(Service *s) {
    if (s->state == SERVICE_FAILED && s->n_listeners == 0 && !s->config->problem)
        service_set_error(s, "tcpmux", 0,
                          "no service of model tcpmux listens, and it has no listener of its own",
                          &s->config->pos);
}

static void wake_slot(Listener *l) {
    Service *s = l->service;
    if (knock_is_asked(l)) {
        l->admitted = l->admitted || knock_may_start(l);
        if (!l->admitted)
            return;
    } else if (!gate_may_start(s)) {
        service_update(s, NULL);
        return;
    }
    Slot *slot = &s->slots[l->slot];
    if (backend_wake(s))
        slot_activate(slot);
    /* Until there is a process it is still the same datagram. */
    if (slot->instance)
        l->admitted = false;
    backend_end_wake(s);
}

/* What is called when something waits. */
static ListenerWake wake_of(const Service *s) {
    if (s->pool && s->config->terms->pool.handoff == POOL_HANDOFF_LISTENER)
        return pool_wake;
    return service_n_listen_slots(s) == 0 ? serve_listener : wake_slot;
}

static void arm_listeners(Service *s, bool polls) {
    bool accepts = service_n_listen_slots(s) == 0;
    ListenerWake wake = wake_of(s);
    for (size_t i = 0; i < s->n_listeners; i++) {
        Listener *l = s->listeners[i];
        bool wanted = polls && listener_is_open(l) && (accepts || slot_is_idle(&s->slots[l->slot]));
        if (wanted)
            knock_prepare(l);
        if (wanted == l->armed && (!wanted || l->wake == wake))
            continue;
        if (!wanted) {
            listener_disarm(l);
            continue;
        }
        int r = accepts && wake != pool_wake && !l->untouched ? listener_set_blocking(l, false) : 0;
        if (r >= 0)
            r = listener_arm(l, wake);
        if (r < 0)
            service_set_error(s, "poll", -r, NULL, &l->config->pos);
    }
}

void service_update(Service *s, const char *why) {
    if (s->order == ORDER_DRAIN && !s->rt->stopping)
        service_go_on_draining(s);
    else
        service_renew_listeners(s);
    for (size_t i = 0; i < s->n_slots; i++)
        idle_update(&s->slots[i]);
    preludes_settle(s);
    backend_settle(s);
    gate_settle(s);
    if (s->cgroup)
        service_cgroup_settle(s);
    ServiceFacts facts = service_facts(s);
    ServiceState before = s->state;
    set_state(s, service_state_of(&facts), why ? why : gate_why(s));
    if (s->state != before) {
        tell_unreached(s);
        tcpmux_update(s);
    }
    facts.throttled = false;
    facts.waiting = gate_is_held(s) || (s->pool && !pool_wants_traffic(s->pool));
    s->lets_in = service_facts_poll(&facts) && !s->rt->stopping && s->n_strays == 0 && backend_is_open(s) &&
                 !launch_is_awaited(s);
    arm_listeners(s, s->lets_in && !preludes_are_full(s));
    preludes_open(s);
    spares_update(s);
}

void service_start_now(Service *s) {
    if (s->pool)
        pool_look(s->pool);
    /* Who does not wait for traffic is not held back with it. */
    if (!s->config->start_now || (!service_state_polls(s->state) && s->state != SERVICE_THROTTLED))
        return;
    for (size_t i = 0; i < s->n_slots; i++)
        if (slot_is_idle(&s->slots[i]) && (!s->backend.slot || slot_is_backend(&s->slots[i]))) {
            slot_activate(&s->slots[i]);
            s->slots[i].held = slot_is_idle(&s->slots[i]) && launch_is_awaited(s);
        }
}

static void free_oldest_ghost(Service *s) {
    size_t n = 0;
    LIST_FOREACH (i, &s->ghosts, Instance, link)
        n++;
    if (n <= GHOSTS_MAX)
        return;
    Instance *oldest = LIST_ENTRY(s->ghosts.next, Instance, link);
    if (oldest->state == INSTANCE_GHOST)
        instance_free(oldest);
}

static void count_end(Service *s, Instance *i, ExitResult result, uint64_t lived_usec) {
    s->n_instances--;
    service_history(s)->counters.exited[result]++;
    histogram_add(&service_history(s)->duration, lived_usec);
    if (i->role == ROLE_FORWARD)
        forward_on_end(i, result);
}

void service_on_instance_end(Service *s, Instance *i, int status, const struct rusage *usage) {
    instance_table_remove(&s->rt->instances, i);
    ledger_remove(s->rt->ledger, &i->ledger_place);
    if (i->flight)
        flight_on_reaped(i->flight);
    if (i->flight && i->state != INSTANCE_SPAWN_FAILED) {
        launch_settle(i);
        /* Who else is still aboard holds no place. */
        launch_forget_flight(i);
    }
    if (s->cgroup)
        service_cgroup_leave(i, WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    if (i->state == INSTANCE_SPAWN_FAILED) {
        instance_free(i);
        return;
    }
    uint64_t lived = clock_monotonic_usec() - i->started_usec;
    instance_drain_pipes(i);
    /* Of one that we have adopted nobody tells us how. */
    if (!i->adopted)
        offence_on_end(i, status);
    ExitResult result =
        i->adopted ? EXIT_UNKNOWN : exit_classify(status, i->asked, i->timed_out != TIMEOUT_NONE);
    bool failed = !i->adopted && instance_has_failed(i, result), unready = i->unready && !i->asked;
    /* To end well without having been ready is not what was asked for. */
    if (failed && result == EXIT_OK)
        result = EXIT_FAILED;
    s->n_starting -= i->unready;
    service_tell_end(s, i, status, result, lived, usage);
    if (i->role == ROLE_BACKEND)
        backend_on_end(i);
    else
        count_end(s, i, result, lived);
    Slot *slot = i->slot;
    SlotEnd end = {
        .failed = failed, .unready = unready, .idle = i->timed_out == TIMEOUT_IDLE, .lived_usec = lived};
    Pool *pool = i->worker ? i->worker->pool : NULL;
    bool asked = i->asked;
    pool_take_leave(pool, i);
    bool old = s->n_old > 0 && i->number <= s->watermark;
    bool last_stray = i->stray && --s->n_strays == 0;
    instance_bury(i, &s->ghosts);
    free_oldest_ghost(s);
    if (slot)
        slot_on_end(slot, &end);
    if (slot && slot_is_backend(slot) && end.unready)
        backend_on_failure(s, true);
    if (pool)
        pool_on_end(pool, asked, failed, lived);
    /* Whoever waits for the last one may want to know how many are left. */
    if (s->rt->on_state && (s->order != ORDER_RUN || s->n_old > 0))
        s->rt->on_state(s, s->rt->on_state_userdata);
    if (old)
        s->n_old--;
    if (s->n_instances == 0 && (s->order == ORDER_STOP || s->rt->stopping))
        service_close_listeners(s, false);
    if (!list_is_empty(&s->leaving))
        service_go_on_leaving(s);
    service_update(s, NULL);
    if (last_stray)
        service_start_now(s);
}

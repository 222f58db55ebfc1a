/* SPDX-License-Identifier: MIT */
#include "daemon/spares.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/adopt.h"
#include "daemon/base/clock.h"
#include "daemon/gate.h"
#include "daemon/launch-private.h"

/* How soon it is tried again when they cannot be set up. */
#define RETRY_MIN_USEC USEC_PER_SEC
#define RETRY_MAX_USEC (60 * USEC_PER_SEC)
/* Those that were killed from outside are replaced at once, within reason. */
#define REPLACED_PER_SECOND 100
#define REPLACED_BURST 1000

size_t spares_wanted(bool serves, size_t prespawn, uint64_t instances_limit) {
    if (!serves)
        return 0;
    return prespawn < instances_limit ? prespawn : (size_t)instances_limit;
}

static size_t wanted(const Service *s) {
    bool serves =
        !s->rt->stopping && !s->rt->handing_over && s->config->model == MODEL_PER_CONNECTION &&
        (s->state == SERVICE_LISTENING || s->state == SERVICE_FULL || s->state == SERVICE_THROTTLED);
    return spares_wanted(serves, s->config->prespawn, s->limits->instances);
}

size_t spares_count(const Service *s) {
    return s->spares ? s->spares->n : 0;
}

/* NULL when memory runs out. */
static Spares *make(Service *s) {
    if (s->spares)
        return s->spares;
    s->spares = calloc(1, sizeof(Spares));
    if (s->spares)
        list_init(&s->spares->waiting);
    return s->spares;
}

static void set_aside(Instance *i) {
    if (i->state == INSTANCE_SPARE)
        i->service->spares->n--;
    launch_set_aside(i);
}

static void end_spare(Instance *i) {
    instance_kill(i);
    set_aside(i);
}

/* Setting up */

static int on_refill(sd_event_source *source, void *userdata);

static void refill_later(Service *s) {
    Spares *spares = s->spares;
    if (!spares || spares->retry || spares->n >= wanted(s))
        return;
    if (!spares->refill) {
        if (sd_event_add_defer(s->rt->loop, &spares->refill, on_refill, s) < 0)
            return;
        (void)sd_event_source_set_priority(spares->refill, PRIORITY_AHEAD);
    }
    (void)sd_event_source_set_enabled(spares->refill, SD_EVENT_ONESHOT);
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata) {
    Service *s = userdata;
    (void)source;
    (void)usec;
    s->spares->retry = sd_event_source_disable_unref(s->spares->retry);
    refill_later(s);
    return 0;
}

static void retry_later(Service *s) {
    Spares *spares = s->spares;
    if (spares->retry)
        return;
    uint64_t delay = backoff_retry_delay(&spares->retry_level, RETRY_MIN_USEC, RETRY_MAX_USEC);
    (void)sd_event_add_time_relative(s->rt->loop, &spares->retry, CLOCK_MONOTONIC, delay, USEC_PER_SEC / 10,
                                     on_retry, s);
}

/* Told once, until one has come to exec or the config has changed. Whoever connects meanwhile is told of on
 * its own. */
static void on_set_up_failure(Service *s, const LaunchFault *fault, int error) {
    char text[512], message[560];
    const char *name = spawn_step_to_string(fault->step);
    bool user = fault->step == STEP_USER || fault->step == STEP_GROUPS;
    retry_later(s);
    if (s->spares_told)
        return;
    s->spares_told = true;
    (void)snprintf(message, sizeof(message), "prespawn: cannot be set up ahead: %s",
                   launch_fault_text(fault, error, text, sizeof(text)));
    service_set_error(s, name, error, message, user ? &s->config->user_pos : &s->config->pos);
}

static int start(Instance *i, Pipes *pipes, LaunchFault *fault) {
    Service *s = i->service;
    fault->step = STEP_FDS;
    int r = pipes_open(s->rt, s->config, pipes);
    if (r >= 0 && s->config->notify == NOTIFY_SD_NOTIFY)
        r = instance_open_notify(i);
    if (r >= 0)
        r = launch_begin_flight(s, &i->flight, fault);
    if (r < 0)
        return r;
    launch_begin_plan(s, i->flight->plan);
    r = launch_move_connection(s, i->flight->plan, -EBADF, pipes);
    if (r >= 0)
        r = launch_move_status(i->flight->plan, pipes, &i->status_number);
    if (r >= 0)
        r = instance_table_reserve(&s->rt->instances);
    return r < 0 ? r : launch_start_flight(i, &fault->step);
}

static int set_up(Service *s, LaunchFault *fault) {
    Pipes pipes CLEANUP(pipes_done) = PIPES_NONE;
    Instance *i = s->rt->memory.low ? NULL : instance_new_spare(s->rt, s);
    fault->step = STEP_LIMIT;
    if (!i)
        return -ENOMEM;
    int r = start(i, &pipes, fault);
    if (r < 0) {
        instance_free(i);
        return r;
    }
    fault->step = STEP_FDS;
    i->pid = i->flight->pid;
    i->flight->owner = i;
    (void)instance_table_add(&s->rt->instances, i);
    list_append(&s->spares->waiting, &i->link);
    s->spares->n++;
    r = instance_read_pipes(i, TAKE_FD(pipes.stderr_read), TAKE_FD(pipes.status_read));
    if (r >= 0 && i->flight->tether >= s->rt->fd_ceiling)
        r = -EMFILE;
    if (r < 0)
        end_spare(i);
    return r;
}

/* One a turn of the loop, and only where there is nothing else to do. */
static int on_refill(sd_event_source *source, void *userdata) {
    Service *s = userdata;
    LaunchFault fault = LAUNCH_FAULT(STEP_FORK);
    (void)source;
    /* It is looked at again when what they need is there. */
    if (s->spares->retry || s->spares->n >= wanted(s) || !launch_prepare(s, false))
        return 0;
    int r = set_up(s, &fault);
    if (r < 0)
        on_set_up_failure(s, &fault, -r);
    else
        refill_later(s);
    return 0;
}

void spares_update(Service *s) {
    size_t n = wanted(s);
    if ((n == 0 && !s->spares) || !make(s))
        return;
    while (s->spares->n > n)
        end_spare(LIST_ENTRY(s->spares->waiting.prev, Instance, link));
    if (n > 0)
        refill_later(s);
    else
        s->spares->retry = sd_event_source_disable_unref(s->spares->retry);
}

void spares_drop(Service *s) {
    s->spares_told = false;
    if (!s->spares)
        return;
    LIST_FOREACH_SAFE (i, &s->spares->waiting, Instance, link)
        end_spare(i);
    s->spares->retry = sd_event_source_disable_unref(s->spares->retry);
    s->spares->retry_level = 0;
    refill_later(s);
}

void spares_done(Service *s) {
    Spares *spares = s->spares;
    if (!spares)
        return;
    spares->refill = sd_event_source_disable_unref(spares->refill);
    spares->retry = sd_event_source_disable_unref(spares->retry);
    LIST_FOREACH_SAFE (i, &spares->waiting, Instance, link)
        end_spare(i);
    free(spares);
    s->spares = NULL;
}

/* Giving work */

static int give(Instance *i, Connection *c) {
    i->connection = malloc(sizeof(*i->connection));
    if (!i->connection)
        return -ENOMEM;
    *i->connection = *c;
    i->connection->fd = -EBADF;
    i->connection->groups = NULL;
    i->connection->source = NULL;
    i->connection->n_groups = 0;
    int r = env_builder_begin(i->flight->env, &i->flight->recipe->env);
    if (r < 0)
        return r;
    instance_begin(i, &c->peer);
    i->started_usec = c->accepted_usec;
    r = launch_set_environment(i, c, i->status_number);
    if (r >= 0)
        r = flight_give(i->flight, c->fd);
    if (r < 0)
        i->state = INSTANCE_SPARE;
    return r;
}

Instance *spares_give(Service *s, Connection *connection) {
    while (s->spares && !list_is_empty(&s->spares->waiting)) {
        Instance *i = LIST_ENTRY(s->spares->waiting.next, Instance, link);
        int r = give(i, connection);
        if (r < 0) {
            end_spare(i);
            continue;
        }
        /* Kept until it has come to exec: should it die before, another serves it. */
        i->connection->fd = TAKE_FD(connection->fd);
        list_remove(&i->link);
        s->spares->n--;
        list_append(&s->instances, &i->link);
        s->n_instances++;
        s->n_flying++;
        s->n_flights++;
        adopt_note(i);
        refill_later(s);
        return i;
    }
    return NULL;
}

/* What has become of one */

static void on_lost_ahead(Instance *i, const FlightEnd *end, const LaunchFault *fault) {
    Service *s = i->service;
    set_aside(i);
    if (end->error)
        on_set_up_failure(s, fault, end->error);
    else if (!ratelimit_pass(&s->spares->replaced, REPLACED_PER_SECOND, REPLACED_BURST,
                             clock_monotonic_usec()))
        retry_later(s);
    refill_later(s);
}

static void serve_by_another(Instance *lost, const FlightEnd *end, const LaunchFault *fault) {
    Service *s = lost->service;
    Connection *c = TAKE_PTR(lost->connection);
    if (end->error)
        on_set_up_failure(s, fault, end->error);
    c->source = TAKE_PTR(lost->source);
    c->groups = TAKE_PTR(lost->groups);
    c->n_groups = lost->n_groups;
    (void)launch_for_connection(s, c);
    gate_release(s->rt, &c->source);
    connection_free(s->rt, c);
}

void spares_on_lost(Instance *i, const FlightEnd *end) {
    Service *s = i->service;
    LaunchFault fault;
    launch_fault_of(i->flight, end, &fault);
    launch_forget_flight(i);
    if (i->state == INSTANCE_SPARE) {
        on_lost_ahead(i, end, &fault);
        return;
    }
    s->n_flying--;
    s->n_instances--;
    set_aside(i);
    serve_by_another(i, end, &fault);
    service_update(s, NULL);
}

void spares_on_started(Service *s) {
    if (s->spares)
        s->spares->retry_level = 0;
    s->spares_told = false;
}

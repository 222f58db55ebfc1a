/* SPDX-License-Identifier: MIT */
#include "daemon/backend-ready.h"

#include <sys/epoll.h>

#include "conf/target.h"
#include "daemon/backend.h"
#include "daemon/base/clock.h"
#include "daemon/base/dial.h"
#include "daemon/discard.h"
#include "daemon/service-private.h"

/* It is tried for the first time after so long, and then less and less often. */
#define TRY_MIN_USEC (10 * USEC_PER_MSEC)
#define TRY_MAX_USEC (200 * USEC_PER_MSEC)
/* A connection that has not come about by then is given up for another: what it was waiting for may have been
 * sent before anybody was there. */
#define TRY_LIMIT_USEC (2 * USEC_PER_SEC)

typedef struct BackendTries {
    sd_event_source *timer;   /* the next one */
    sd_event_source *pending; /* the one that is under way; owns its socket */
    Addr to;                  /* where that goes */
    unsigned level;
} BackendTries;

BackendStep backend_step_of(const BackendFacts *f) {
    if (!f->starting || f->says)
        return BACKEND_STEP_NONE;
    if (!f->can_be_seen)
        return BACKEND_STEP_TAKE;
    /* One connection more than it is there for would be one too many. */
    return f->tried ? BACKEND_STEP_NONE : BACKEND_STEP_TRY;
}

/* Of a port by its name that is not known, from the state of a version that did not keep it, nothing is
 * looked up. */
static int find_target(const Service *s, Endpoint *ret) {
    return target_parse_again(s->config->to, s->config->resolved.to_port, ret);
}

static bool can_be_seen(const Service *s) {
    Endpoint to;
    return target_kind(s->config->to) != ENDPOINT_UDP && find_target(s, &to) == 0;
}

static BackendStep step_of(const Service *s) {
    const Instance *i = backend_process(s);
    BackendFacts f = {.starting = i && i->state == INSTANCE_STARTING && !i->flight,
                      .says = s->config->notify != NOTIFY_NONE};
    if (!f.starting || f.says)
        return BACKEND_STEP_NONE;
    f.can_be_seen = can_be_seen(s);
    f.tried = s->backend.waking || backend_is_awaited(s);
    return backend_step_of(&f);
}

void backend_ready_forget(Service *s) {
    BackendTries *t = s->backend.tries;
    if (!t)
        return;
    s->backend.tries = NULL;
    t->pending = sd_event_source_disable_unref(t->pending);
    t->timer = sd_event_source_disable_unref(t->timer);
    free(t);
}

/* Without a timer another one begins when any fact has changed; timeouts.start holds all the same. */
static void try_after(Service *s, uint64_t usec) {
    BackendTries *t = s->backend.tries;
    if (sd_event_source_set_time(t->timer, clock_monotonic_usec() + usec) < 0 ||
        sd_event_source_set_enabled(t->timer, SD_EVENT_ONESHOT) < 0)
        backend_ready_forget(s);
}

static void try_later(Service *s) {
    try_after(s, backoff_retry_delay(&s->backend.tries->level, TRY_MIN_USEC, TRY_MAX_USEC));
}

/* Of a try, which is over. */
static void take_result(Service *s, int r) {
    if (r < 0) {
        try_later(s);
        return;
    }
    backend_ready_forget(s);
    service_take_ready(s, backend_process(s));
}

static int on_connected(sd_event_source *source, int fd, uint32_t events, void *userdata) {
    Service *s = userdata;
    BackendTries *t = s->backend.tries;
    (void)source;
    (void)events;
    int r = dial_result(fd, &t->to);
    t->pending = sd_event_source_disable_unref(t->pending);
    if (step_of(s) == BACKEND_STEP_TRY)
        take_result(s, r);
    else
        backend_ready_forget(s);
    return 0;
}

/* Takes @fd over. */
static int watch(Service *s, int fd) {
    BackendTries *t = s->backend.tries;
    CLEANUP_CLOSE int own = fd;
    int r = sd_event_add_io(s->rt->loop, &t->pending, fd, EPOLLOUT, on_connected, s);
    if (r >= 0)
        r = sd_event_source_set_io_fd_own(t->pending, true);
    if (r >= 0)
        (void)TAKE_FD(own);
    else
        t->pending = sd_event_source_disable_unref(t->pending);
    return r;
}

/* 0: it is reached; -EINPROGRESS: on_connected() is called; or another negative errno. */
static int try_once(Service *s) {
    BackendTries *t = s->backend.tries;
    Endpoint to;
    int fd = -EBADF, r = find_target(s, &to);
    if (r < 0)
        return r;
    t->to = endpoint_addr(&to, 0);
    r = dial_begin(&t->to, endpoint_socket_type(to.kind), &fd);
    if (r == -EINPROGRESS) {
        int watched = watch(s, fd);
        return watched < 0 ? watched : r;
    }
    /* It may have answered already, with descriptors. */
    (void)discard_socket(s->rt->discard, fd);
    return r;
}

/* Who waits to be let in is about to try, and may be the only one that it is there for. */
static bool is_about_to_be_tried(const Service *s) {
    for (size_t i = 0; s->lets_in && i < s->n_listeners; i++)
        if (listener_is_open(s->listeners[i]) && listener_has_queued(s->listeners[i]))
            return true;
    return false;
}

static int on_try(sd_event_source *source, uint64_t usec, void *userdata) {
    Service *s = userdata;
    BackendTries *t = s->backend.tries;
    (void)source;
    (void)usec;
    t->pending = sd_event_source_disable_unref(t->pending);
    if (step_of(s) != BACKEND_STEP_TRY) {
        backend_ready_forget(s);
        return 0;
    }
    if (is_about_to_be_tried(s)) {
        try_later(s);
        return 0;
    }
    int r = try_once(s);
    if (r == -EINPROGRESS)
        try_after(s, TRY_LIMIT_USEC);
    else
        take_result(s, r);
    return 0;
}

static void begin(Service *s) {
    BackendTries *t = calloc(1, sizeof(*t));
    if (!t)
        return;
    uint64_t first = backoff_retry_delay(&t->level, TRY_MIN_USEC, TRY_MAX_USEC);
    s->backend.tries = t;
    if (sd_event_add_time(s->rt->loop, &t->timer, CLOCK_MONOTONIC, clock_monotonic_usec() + first,
                          USEC_PER_MSEC, on_try, s) < 0)
        backend_ready_forget(s);
}

void backend_ready_settle(Service *s) {
    BackendStep step = step_of(s);
    if (step != BACKEND_STEP_TRY)
        backend_ready_forget(s);
    else if (!s->backend.tries)
        begin(s);
    if (step == BACKEND_STEP_TAKE)
        service_take_ready(s, backend_process(s));
}

Instance *backend_of_before(const Instance *i) {
    const Service *s = i->service;
    if (s->backend.n_processes == (backend_process(s) != NULL))
        return NULL;
    LIST_FOREACH (b, &s->instances, Instance, link)
        if (b->role == ROLE_BACKEND && b->retired_at >= i->number)
            return b;
    return NULL;
}

void backend_ready_take(Instance *i, bool awaited) {
    Service *s = i->service;
    Instance *b = backend_of_before(i);
    if (!b && awaited)
        b = backend_process(s);
    if (b && b->state == INSTANCE_STARTING && s->config->notify == NOTIFY_NONE)
        service_take_ready(s, b);
}

bool backend_ready_is_held_for(const ServiceConfig *config) {
    return config->notify == NOTIFY_NONE && target_kind(config->to) != ENDPOINT_UNIX_DGRAM;
}

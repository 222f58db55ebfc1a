/* SPDX-License-Identifier: MIT */
#include "daemon/serve.h"

#include <string.h>
#include <sys/socket.h>

#include "conf/access.h"
#include "daemon/backend.h"
#include "daemon/base/clock.h"
#include "daemon/base/errors.h"
#include "daemon/descriptors.h"
#include "daemon/greeting.h"
#include "daemon/handoff.h"
#include "daemon/launch.h"
#include "daemon/linger.h"
#include "daemon/refusal.h"

/* The most that one wake-up takes, so that a flood on one listener never starves the others. */
#define BUDGET_MAX 16
/* So many wake-ups with one connection each until a second one is looked for. */
#define FULL_FOR_MORE 8

static ApiEvent connection_event(Service *s, const Connection *c, LogLevel level, const char *event,
                                 char *peer_buf) {
    ApiEvent e = eventlog_event(level, event);
    e.service = s->name;
    e.peer = peer_format(&c->peer, s->rt->log_addresses, peer_buf);
    return e;
}

/* The own end's address: known from the listener unless that is bound to a wildcard. */
static void find_local(const Listener *l, Connection *c) {
    c->local = listener_addr(l);
    if (!addr_is_wildcard(&c->local))
        return;
    Addr own = {.len = sizeof(own.storage)};
    if (getsockname(c->fd, &own.sa, &own.len) == 0)
        c->local = own;
}

/* All of them, its own first. Without memory, or of a peer that is gone: none, and no rule holds for it. */
static void find_groups(Connection *c) {
    socklen_t n = 0;
    if (getsockopt(c->fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &n) == 0 || errno != ERANGE)
        n = 0;
    c->groups = malloc(n + sizeof(gid_t));
    if (!c->groups)
        return;
    c->groups[0] = c->gid;
    c->n_groups = 1;
    if (n > 0 && getsockopt(c->fd, SOL_SOCKET, SO_PEERGROUPS, c->groups + 1, &n) == 0)
        c->n_groups += n / sizeof(gid_t);
}

static void find_peer(const Service *s, Connection *c) {
    const AccessConfig *access = &s->config->terms->access;
    const AccessRules *trusted = s->config->terms->proxy_trusted;
    if (c->remote.sa.sa_family != AF_UNIX) {
        c->peer = peer_from_addr(&c->remote);
        return;
    }
    struct ucred credentials;
    socklen_t n = sizeof(credentials);
    if (getsockopt(c->fd, SOL_SOCKET, SO_PEERCRED, &credentials, &n) < 0)
        return;
    c->has_credentials = true;
    c->uid = credentials.uid;
    c->gid = credentials.gid;
    c->pid = credentials.pid;
    c->peer = peer_from_uid(c->uid);
    /* Rules to come may want to know of those that are there (access.apply_to_existing). */
    if (!s->pool || (access->rules && access_rules_want_groups(access->rules)) ||
        (trusted && access_rules_want_groups(trusted)))
        find_groups(c);
}

static void count_accepted(Service *s, const Connection *c) {
    service_history(s)->counters.accepted++;
    rate_window_add(&service_history(s)->accept_rate, c->accepted_usec);
}

void serve_count_gone(Service *s, const Peer *peer, const char *why) {
    char text[PEER_TEXT_MAX];
    service_history(s)->counters.gone++;
    ApiEvent e = eventlog_event(LOG_LEVEL_INFO, "gone");
    e.service = s->name;
    e.peer = peer ? peer_format(peer, s->rt->log_addresses, text) : NULL;
    e.message = why;
    service_emit_limited(s, LIMITED_GONE, &e);
}

/* Nothing can be accepted. Told when it begins, not at each try; a moment in which it works is not the end.
 */
static void wait_for_better(Listener *l, int error) {
    char message[ENDPOINT_TEXT_MAX + 128];
    (void)snprintf(message, sizeof(message), "accept: %s: %s waits until that is over", strerror(error),
                   l->config->endpoint.text);
    if (error == EMFILE)
        descriptors_refresh(l->service->rt);
    if (l->short_usec == 0)
        service_set_error(l->service, "accept", error, message, &l->config->pos);
    l->short_usec = clock_monotonic_usec();
    listener_pause(l);
}

/* Somebody was served. */
static void go_on(Listener *l, uint64_t now_usec) {
    listener_relax(l);
    if (l->short_usec == 0 || now_usec - l->short_usec < USEC_PER_SEC)
        return;
    char message[ENDPOINT_TEXT_MAX + 32];
    (void)snprintf(message, sizeof(message), "%s accepts again", l->config->endpoint.text);
    l->short_usec = 0;
    ApiEvent e = eventlog_event(LOG_LEVEL_INFO, "listening");
    e.service = l->service->name;
    e.message = message;
    service_emit_limited(l->service, LIMITED_ERROR, &e);
}

/* accept(2) failed with @error; whether the listener may be tried again at once. */
static bool on_accept_error(Listener *l, int error) {
    Service *s = l->service;
    if (error == ECONNABORTED || error == EPROTO) {
        service_history(s)->counters.accepted++;
        rate_window_add(&service_history(s)->accept_rate, clock_monotonic_usec());
        serve_count_gone(s, NULL, GONE_LEFT);
        return true;
    }
    if (error == EINTR)
        return true;
    /* unix(7) after shutdown(2): EINVAL. */
    if (l->sealed && (error == EAGAIN || error == EINVAL)) {
        l->exhausted = true;
        return false;
    }
    if (errno_is_accept_transient(error))
        return false;
    /* Descriptors or memory ran out, or the socket is broken: it stays readable, so polling on would spin. */
    wait_for_better(l, error);
    return false;
}

/* Whether a worker of the pool has room, who that is. */
static Admission ask_pool(Pool *p, Instance **ret_worker) {
    Admission no_room = {.verdict = VERDICT_WAIT,
                         .reason = REFUSE_INSTANCES,
                         .used = p->service->n_instances,
                         .limit = pool_max(p)};
    *ret_worker = handoff_pass_held(p) ? handoff_pick(p) : NULL;
    if (!*ret_worker && handoff_refuses(p)) {
        no_room.verdict = VERDICT_REFUSE;
        return no_room;
    }
    if (!*ret_worker && handoff_wait(p))
        *ret_worker = handoff_pick(p);
    const Admission room = {.verdict = VERDICT_SERVE};
    return *ret_worker ? room : no_room;
}

/* What is said of a service before anybody is taken, and the worker that has room. */
typedef struct Door {
    Admission admission;
    Instance *worker;
} Door;

static Door ask(Service *s) {
    Door d = {.admission = gate_ask(s)};
    if (s->pool && d.admission.verdict == VERDICT_SERVE)
        d.admission = ask_pool(s->pool, &d.worker);
    return d;
}

/* It counts for its source until it is over, and nobody will say when that is. */
static void follow(Service *s, Connection *c) {
    if (!s->passed)
        s->passed = passed_new(s->rt);
    int r = s->passed ? passed_add(s->passed, c->fd, &c->peer, c->source) : -ENOMEM;
    if (r >= 0)
        c->source = NULL;
    else if (!s->told_blind)
        service_set_error(s, "per_source", -r,
                          "limits.per_source cannot hold: the kernel does not say when a "
                          "connection that was passed on is over",
                          &s->config->pos);
    s->told_blind = r < 0;
}

static void pass(Service *s, Instance *worker, Connection *c) {
    int r = handoff_pass(s->pool, worker, c);
    if (r < 0) {
        serve_count_gone(s, &c->peer, "it could not be passed on to a worker");
        return;
    }
    if (c->source && s->limits->per_source > 0)
        follow(s, c);
    c->fd = fd_close(c->fd);
}

/* One that is counted as accepted: it is served, or refused. */
static Verdict serve_taken(Service *s, Connection *c, const Door *door) {
    Admission a = gate_admit(s, c, &door->admission);
    if (a.verdict == VERDICT_REFUSE)
        refusal_refuse(s, c, &a, NULL);
    else if (s->config->model == MODEL_TCPMUX)
        prelude_read_name(s, c);
    else if (greeting_send(s, c) < 0)
        serve_count_gone(s, &c->peer, GONE_LEFT);
    else if (s->pool)
        pass(s, door->worker, c);
    else
        (void)launch_for_connection(s, c);
    /* Without a process, nobody is served. */
    gate_release(s->rt, &c->source);
    connection_done(s->rt, c);
    return a.verdict;
}

Verdict serve_connection(Service *s, Connection *c) {
    Door door = ask(s);
    if (door.admission.verdict == VERDICT_WAIT || !launch_may_start(s, false)) {
        Admission a = gate_judge(s, c);
        if (a.verdict == VERDICT_SERVE)
            return VERDICT_WAIT;
        door.admission = a;
    }
    count_accepted(s, c);
    return serve_taken(s, c, &door);
}

/* Alone, a connection costs one accept(2); under load the queue is emptied in batches. Some that came one
 * after the other are no queue yet: to look for a second one each time would be a call for nothing. */
static void learn_budget(Listener *l, unsigned taken) {
    if (taken < l->budget) {
        l->budget = l->budget > 1 ? l->budget / 2 : 1;
        l->n_full = 0;
    } else if (l->budget < BUDGET_MAX && ++l->n_full >= (l->budget == 1 ? FULL_FOR_MORE : 1)) {
        l->budget *= 2;
        l->n_full = 0;
    }
}

/* Whether nobody is there for whom what is not there yet would have to be made. */
static bool needs_nothing(Listener *l) {
    if (launch_is_prepared(l->service) || listener_has_waiting(l))
        return false;
    l->exhausted = l->sealed;
    return true;
}

/* Takes one connection; whether there may be more. @leaves: the listener is about to go, so that nobody is
 * kept waiting for the sake of other services. */
static bool serve_one(Listener *l, bool leaves) {
    Service *s = l->service;
    Door door = ask(s);
    if (door.admission.verdict == VERDICT_WAIT || !prelude_has_room(s) || (leaves && needs_nothing(l)) ||
        !launch_may_start(s, leaves))
        return false;
    Connection c = {.remote.len = sizeof(c.remote.storage)};
    if (s->rt->memory.low || descriptors_are_scarce(s)) {
        wait_for_better(l, s->rt->memory.low ? ENOMEM : EMFILE);
        return false;
    }
    c.fd = accept4(l->fd, &c.remote.sa, &c.remote.len, SOCK_CLOEXEC);
    if (c.fd < 0)
        return on_accept_error(l, errno);
    s->rt->crowded |= c.fd >= s->rt->fd_ceiling;
    uint64_t now = c.accepted_usec = clock_monotonic_usec();
    find_peer(s, &c);
    find_local(l, &c);
    s->starved = false;
    if (prelude_wants_header(s, &c)) {
        prelude_read_header(s, &c);
    } else {
        count_accepted(s, &c);
        (void)serve_taken(s, &c, &door);
    }
    if (!s->starved) {
        if (!s->probing)
            go_on(l, now);
        return true;
    }
    /* Those who wait are not to be taken and closed one after the other. */
    if (service_past(s)->last_error.error == EMFILE)
        descriptors_refresh(s->rt);
    listener_pause(l);
    return false;
}

void serve_listener(Listener *l) {
    Service *s = l->service;
    unsigned taken = 0;
    if (!backend_wake(s))
        return;
    while (taken < l->budget && serve_one(l, false))
        taken++;
    learn_budget(l, taken);
    if (s->pool && s->pool->blocked)
        service_update(s, "no worker has room");
    else if (preludes_are_full(s))
        service_update(s, "too many are still to say who they are, or what they want");
    else if (gate_ask(s).verdict == VERDICT_WAIT)
        service_update(s, NULL);
    else if (l->cut || l->sealed || launch_is_awaited(s))
        service_update(s, NULL);
    backend_end_wake(s);
}

/* The longest queue that a kernel is likely to be set to. */
#define QUEUE_MAX 65536

void serve_queue(Listener *l) {
    if (listener_set_blocking(l, false) < 0)
        return;
    /* A backend that is not ready yet has the time that mp-forward holds them. */
    if (listener_has_queued(l))
        (void)backend_wake(l->service);
    for (unsigned i = 0; i < QUEUE_MAX && serve_one(l, true); i++)
        continue;
    backend_end_wake(l->service);
}

static void turn_away(Listener *l) {
    Service *s = l->service;
    char peer[PEER_TEXT_MAX];
    Connection c = {.remote.len = sizeof(c.remote.storage)};
    c.fd = accept4(l->fd, &c.remote.sa, &c.remote.len, SOCK_CLOEXEC);
    if (c.fd < 0)
        return;
    c.accepted_usec = clock_monotonic_usec();
    count_accepted(s, &c);
    service_history(s)->counters.spawn_failed++;
    service_history(s)->counters.failed_steps[STEP_EXEC]++;
    find_peer(s, &c);
    ApiEvent e = connection_event(s, &c, LOG_LEVEL_WARNING, "spawn_failed", peer);
    e.step = spawn_step_to_string(STEP_EXEC);
    e.message = "closed: the backend did not become ready";
    service_emit_limited(s, LIMITED_SPAWN_FAILED, &e);
    c.fd = linger_not(s->rt->discard, c.fd);
    connection_done(s->rt, &c);
}

void serve_nobody(Listener *l, const char *why) {
    Service *s = l->service;
    if (listener_set_blocking(l, false) < 0)
        return;
    for (unsigned i = 0; i < QUEUE_MAX; i++) {
        Connection c = {.remote.len = sizeof(c.remote.storage)};
        c.fd = accept4(l->fd, &c.remote.sa, &c.remote.len, SOCK_CLOEXEC);
        if (c.fd < 0)
            return;
        c.accepted_usec = clock_monotonic_usec();
        count_accepted(s, &c);
        find_peer(s, &c);
        serve_count_gone(s, &c.peer, why);
        connection_done(s->rt, &c);
    }
}

void serve_turn_away(Service *s) {
    for (size_t i = 0; i < s->n_listeners; i++) {
        Listener *l = s->listeners[i];
        if (!listener_is_open(l) || listener_set_blocking(l, false) < 0)
            continue;
        /* Those who are there now: who comes later is served later. */
        int64_t queued = 0, backlog = 0;
        listener_queue(l, &queued, &backlog);
        for (int64_t n = 0; n < (queued > 0 ? queued : QUEUE_MAX) && listener_has_queued(l); n++)
            turn_away(l);
    }
}

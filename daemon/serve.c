/* SPDX-License-Identifier: MIT */
#include "daemon/serve.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

#include "daemon/admission.h"
#include "daemon/backend.h"
#include "daemon/base/clock.h"
#include "daemon/base/errors.h"
#include "daemon/handoff.h"
#include "daemon/launch.h"

/* The most that one wake-up takes, so that a flood on one listener never starves the others. */
#define BUDGET_MAX 16

static ApiEvent connection_event(Service *s, const Connection *c, LogLevel level, const char *event,
                                 char *peer_buf) {
    ApiEvent e = eventlog_event(level, event);
    e.service = s->name;
    e.peer = peer_format(&c->peer, s->rt->log_addresses, peer_buf);
    return e;
}

/* The own end's address: known from the listener unless that is bound to a wildcard. */
static void find_local(const Listener *l, Connection *c) {
    if (!addr_is_wildcard(&l->addr)) {
        c->local = l->addr;
        return;
    }
    c->local.len = sizeof(c->local.storage);
    if (getsockname(c->fd, &c->local.sa, &c->local.len) < 0)
        c->local = l->addr;
}

static void find_peer(Connection *c) {
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
}

static void refuse(Service *s, const Connection *c, RefuseReason reason) {
    char peer[PEER_TEXT_MAX], message[96];
    s->counters.refused[reason]++;
    uint64_t limit = s->pool ? pool_max(s->pool) : s->limits.instances;
    (void)snprintf(message, sizeof(message), "refused: %s (%llu of %llu)", refuse_reason_to_string(reason),
                   (unsigned long long)s->n_instances, (unsigned long long)limit);
    ApiEvent e = connection_event(s, c, LOG_LEVEL_WARNING, "refused", peer);
    e.reason = refuse_reason_to_string(reason);
    e.message = message;
    top_sources_add(&s->refused_sources, &c->peer, reason, e.time_usec);
    service_emit_limited(s, LIMITED_REFUSED, &e);
}

static void count_gone(Service *s) {
    s->counters.accepted++;
    s->counters.gone++;
    rate_window_add(&s->accept_rate, clock_monotonic_usec());
    ApiEvent e = eventlog_event(LOG_LEVEL_INFO, "gone");
    e.service = s->name;
    e.message = "the client left before it was served";
    service_emit_limited(s, LIMITED_GONE, &e);
}

/* accept(2) failed with @error; whether the listener may be tried again at once. */
static bool on_accept_error(Listener *l, int error) {
    Service *s = l->service;
    if (error == ECONNABORTED || error == EPROTO) {
        count_gone(s);
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
    if (l->pause_level == 0)
        service_set_error(s, "accept", error, NULL, &l->config->pos);
    listener_pause(l);
    return false;
}

/* Whether only the reserve of descriptors is left. The kernel gives the lowest free number: it tells how full
 * it is. */
static bool is_crowded(Runtime *rt) {
    if (!rt->crowded)
        return false;
    int probe = fcntl(rt->null_fd, F_DUPFD_CLOEXEC, 0);
    rt->crowded = probe < 0 || probe >= rt->fd_ceiling;
    (void)fd_close(probe);
    return rt->crowded;
}

/* Of a pool: whether a worker has room, who that is. */
static Admission admission_of_pool(Pool *p, Instance **ret_worker) {
    *ret_worker = handoff_pass_held(p) ? handoff_pick(p) : NULL;
    if (!*ret_worker && handoff_refuses(p))
        return (Admission){.verdict = VERDICT_REFUSE, .reason = REFUSE_INSTANCES};
    if (!*ret_worker && handoff_wait(p))
        *ret_worker = handoff_pick(p);
    return (Admission){.verdict = *ret_worker ? VERDICT_SERVE : VERDICT_WAIT, .reason = REFUSE_INSTANCES};
}

/* Takes one connection; whether there may be more. */
static bool serve_one(Listener *l) {
    Service *s = l->service;
    Instance *worker = NULL;
    Admission admission = s->pool ? admission_of_pool(s->pool, &worker)
                                  : admission_of_service(&s->limits, &(ServiceUsage){.instances = s->n_instances});
    if (admission.verdict == VERDICT_WAIT)
        return false;
    Connection c = {.remote.len = sizeof(c.remote.storage)};
    if (is_crowded(s->rt)) {
        if (l->pause_level == 0)
            service_set_error(s, "accept", EMFILE, NULL, &l->config->pos);
        listener_pause(l);
        return false;
    }
    CLEANUP_CLOSE int fd = accept4(l->fd, &c.remote.sa, &c.remote.len, SOCK_CLOEXEC);
    if (fd < 0)
        return on_accept_error(l, errno);
    c.fd = fd;
    if (fd >= s->rt->fd_ceiling)
        s->rt->crowded = true;
    else
        listener_relax(l);
    c.accepted_usec = clock_monotonic_usec();
    s->counters.accepted++;
    rate_window_add(&s->accept_rate, c.accepted_usec);
    find_peer(&c);
    if (admission.verdict == VERDICT_REFUSE) {
        refuse(s, &c, admission.reason);
        return true;
    }
    find_local(l, &c);
    if (worker)
        handoff_pass(s->pool, worker, &c);
    else
        (void)launch_for_connection(s, &c);
    /* Launching may have taken the descriptor over. */
    if (c.fd < 0)
        (void)TAKE_FD(fd);
    return true;
}

void serve_listener(Listener *l) {
    Service *s = l->service;
    unsigned taken = 0;
    if (!backend_wake(s))
        return;
    while (taken < l->budget && serve_one(l))
        taken++;
    /* Alone, a connection costs one accept(2); under load the queue is emptied in batches. */
    if (taken < l->budget)
        l->budget = l->budget > 1 ? l->budget / 2 : 1;
    else if (l->budget < BUDGET_MAX)
        l->budget *= 2;
    if (s->pool && s->pool->blocked)
        service_update(s, "no worker has room");
    else if (!s->pool && s->n_instances >= s->limits.instances)
        service_update(s, "limits.instances reached");
    else if (l->cut || l->sealed)
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
    for (unsigned i = 0; i < QUEUE_MAX && serve_one(l); i++)
        continue;
    backend_end_wake(l->service);
}

/* What it has sent is taken in, so that it sees an end and no reset. */
static void let_go(int fd) {
    char sent[4096];
    (void)shutdown(fd, SHUT_WR);
    for (unsigned i = 0; i < 16 && recv(fd, sent, sizeof(sent), MSG_DONTWAIT) > 0; i++)
        continue;
}

static void turn_away(Listener *l) {
    Service *s = l->service;
    char peer[PEER_TEXT_MAX];
    Connection c = {.remote.len = sizeof(c.remote.storage)};
    CLEANUP_CLOSE int fd = accept4(l->fd, &c.remote.sa, &c.remote.len, SOCK_CLOEXEC);
    if (fd < 0)
        return;
    c.fd = fd;
    s->counters.accepted++;
    s->counters.spawn_failed++;
    s->counters.failed_steps[STEP_EXEC]++;
    rate_window_add(&s->accept_rate, clock_monotonic_usec());
    find_peer(&c);
    ApiEvent e = connection_event(s, &c, LOG_LEVEL_WARNING, "spawn_failed", peer);
    e.step = spawn_step_to_string(STEP_EXEC);
    e.message = "closed: the backend did not become ready";
    service_emit_limited(s, LIMITED_SPAWN_FAILED, &e);
    let_go(fd);
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

/* SPDX-License-Identifier: MIT */
#include "daemon/prelude.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "conf/access.h"
#include "daemon/backend.h"
#include "daemon/base/clock.h"
#include "daemon/base/passed.h"
#include "daemon/gate.h"
#include "daemon/launch.h"
#include "daemon/linger.h"
#include "daemon/pool.h"
#include "daemon/prelude-private.h"
#include "daemon/refusal.h"
#include "daemon/serve.h"
#include "daemon/tcpmux.h"

/* So many at once of a service, besides those that it has room for; of all services together, but some of
 * each whatever the others do; and no more than a share of the descriptors. */
#define EXTRA 16
#define SERVICE_MAX 256
#define KEPT 16
#define ALL_MAX 1024
#define DESCRIPTOR_SHARE 4

/* So many that wait for room are served in one turn of the loop. */
#define PASSED_AT_ONCE 16

/* When no place came free although there should be one, it is looked for again after so long. */
#define AGAIN_USEC (20 * USEC_PER_MSEC)

/* After one for whom there were no processes, descriptors or memory, the others wait for so long: they are
 * not to be taken and closed one after the other. */
#define REST_USEC (250 * USEC_PER_MSEC)

Preludes *preludes_make(Service *s) {
    if (s->preludes)
        return s->preludes;
    s->preludes = calloc(1, sizeof(Preludes));
    if (s->preludes) {
        list_init(&s->preludes->reading);
        list_init(&s->preludes->held);
    }
    return s->preludes;
}

size_t preludes_count(const Service *s) {
    return s->preludes ? s->preludes->n : 0;
}

bool preludes_wait(const Service *s) {
    return s->preludes && !list_is_empty(&s->preludes->held);
}

size_t preludes_held(const Service *s) {
    size_t n = 0;
    if (s->preludes)
        LIST_FOREACH (p, &s->preludes->held, const Prelude, link)
            n++;
    return n;
}

bool preludes_are_full(const Service *s) {
    return s->preludes && s->preludes->blocked;
}

/* Bounds */

/* Whether @s has its connections read at all. */
static bool reads(const Service *s) {
    return s->config->terms->proxy_trusted || s->config->model == MODEL_TCPMUX;
}

static size_t bound_of(const Service *s) {
    uint64_t places = s->pool ? pool_max(s->pool) : s->limits->instances;
    return places + EXTRA < SERVICE_MAX ? (size_t)places + EXTRA : SERVICE_MAX;
}

/* Whether there is room for @more. */
static bool has_room_for(const Service *s, size_t more) {
    size_t share = s->rt->fd_ceiling > 0 ? (size_t)s->rt->fd_ceiling / DESCRIPTOR_SHARE : ALL_MAX;
    size_t all = share < ALL_MAX ? share : ALL_MAX, n = preludes_count(s) + more;
    return n <= bound_of(s) && (s->rt->n_preludes + more <= all || n <= KEPT);
}

bool prelude_has_room(Service *s) {
    if (!reads(s) || s->limits->when_full == WHEN_FULL_REFUSE || has_room_for(s, 1))
        return true;
    Preludes *preludes = preludes_make(s);
    if (preludes)
        preludes->blocked = true;
    return false;
}

/* Coming and going */

static int on_pass(sd_event_source *source, uint64_t usec, void *userdata);

/* Looks at what is held in a turn of its own. */
static void pass_later(Service *s, uint64_t delay_usec) {
    if (!s->preludes->pass)
        (void)sd_event_add_time_relative(s->rt->loop, &s->preludes->pass, CLOCK_MONOTONIC, delay_usec, 1,
                                         on_pass, s);
}

/* One less: somebody may wait for that, or all for the end. */
static void on_less(Service *s) {
    if (s->preludes->blocked || s->order == ORDER_DRAIN || s->removed || !s->config->enabled)
        pass_later(s, 0);
}

Prelude *prelude_new(Service *s, Connection *c, PreludeKind kind) {
    Prelude *p = preludes_make(s) ? calloc(1, sizeof(*p)) : NULL;
    if (!p)
        return NULL;
    *p = (Prelude){.service = s, .connection = *c, .data = {.kind = kind}};
    *c = (Connection){.fd = -EBADF};
    list_init(&p->link);
    s->preludes->n++;
    s->rt->n_preludes++;
    return p;
}

void prelude_free(Prelude *p) {
    Service *s = p->service;
    list_remove(&p->link);
    p->source = sd_event_source_disable_unref(p->source);
    gate_release(s->rt, &p->connection.source);
    connection_done(s->rt, &p->connection);
    prelude_data_done(&p->data);
    s->rt->n_preludes--;
    s->preludes->n--;
    on_less(s);
    free(p);
}

/* Of a name that has been read it was, until it was known that it stays. */
static void count_accepted(const Prelude *p) {
    Service *s = p->service;
    service_history(s)->counters.accepted++;
    if (p->data.kind == PRELUDE_HEADER)
        rate_window_add(&service_history(s)->accept_rate, clock_monotonic_usec());
}

/* It ends here, without having been served. */
static void leave(Prelude *p, const char *why) {
    count_accepted(p);
    serve_count_gone(p->service, &p->connection.peer, why);
    prelude_free(p);
}

/* Before any close, and before anybody else waits for it: a copy of the socket in a child would keep firing
 * in epoll, for what is gone by then. */
static void unwatch(Prelude *p) {
    p->source = sd_event_source_disable_unref(p->source);
}

static void refuse(Prelude *p, RefuseReason reason, const char *detail) {
    unwatch(p);
    count_accepted(p);
    refusal_refuse(p->service, &p->connection, &(Admission){.verdict = VERDICT_REFUSE, .reason = reason},
                   detail);
    prelude_free(p);
}

void preludes_drop(Service *s) {
    static const char why[] = "the service was stopped before it was served";
    if (!s->preludes)
        return;
    LIST_FOREACH_SAFE (p, &s->preludes->reading, Prelude, link)
        leave(p, why);
    LIST_FOREACH_SAFE (p, &s->preludes->held, Prelude, link)
        leave(p, why);
    s->preludes->overdue = sd_event_source_disable_unref(s->preludes->overdue);
    s->preludes->pass = sd_event_source_disable_unref(s->preludes->pass);
    s->preludes->blocked = false;
}

void preludes_done(Service *s) {
    preludes_drop(s);
    free(s->preludes);
    s->preludes = NULL;
}

/* Passing on */

/* Whether somebody may be let in, as far as the service alone knows: what its listeners are polled by. A
 * service that a reload takes away serves those whom it has accepted, if there is room. */
static bool serves(const Service *s) {
    return s->lets_in || s->removed || !s->config->enabled;
}

void preludes_rest(Service *s) {
    if (s->preludes)
        s->preludes->rest_until_usec = clock_monotonic_usec() + REST_USEC;
}

/* Whether nobody is passed on for now; it is looked at again in time. */
static bool rests(Service *s) {
    uint64_t now = clock_monotonic_usec();
    if (now < s->preludes->rest_until_usec)
        pass_later(s, s->preludes->rest_until_usec - now);
    return now < s->preludes->rest_until_usec;
}

/* The oldest first, as long as there is room, and some at a time. Whether any was passed on. */
static bool pass_held(Service *s) {
    List *held = &s->preludes->held;
    bool any = false;
    if (rests(s))
        return false;
    for (unsigned n = 0; n < PASSED_AT_ONCE && !list_is_empty(held) && serves(s); n++) {
        bool awake = backend_wake(s);
        /* A backend that cannot be started has turned them all away. */
        if (list_is_empty(held))
            break;
        Prelude *p = LIST_ENTRY(held->next, Prelude, link);
        /* Serving it may end them all, too. */
        list_remove(&p->link);
        p->connection.accepted_usec = clock_monotonic_usec();
        s->starved = false;
        Verdict v = awake ? serve_connection(s, &p->connection) : VERDICT_WAIT;
        if (v != VERDICT_WAIT) {
            prelude_free(p);
            any = true;
            if (s->starved && !s->pool) {
                preludes_rest(s);
                break;
            }
        } else if ((s->removed || !s->config->enabled) && !launch_is_awaited(s)) {
            leave(p, "there was no room for it when the service was taken away");
        } else {
            list_append(held->next, &p->link);
            break;
        }
    }
    backend_end_wake(s);
    return any;
}

static int on_pass(sd_event_source *source, uint64_t usec, void *userdata) {
    Service *s = userdata;
    (void)source;
    (void)usec;
    s->preludes->pass = sd_event_source_disable_unref(s->preludes->pass);
    bool any = pass_held(s);
    if (s->preludes->blocked && has_room_for(s, 1)) {
        s->preludes->blocked = false;
        any = true;
    }
    if (!any && preludes_wait(s) && serves(s))
        pass_later(s, AGAIN_USEC);
    service_update(s, NULL);
    return 0;
}

/* It is known who is there, or what is wanted: it is let in when its turn comes. */
static void hold(Prelude *p) {
    Service *s = p->service;
    unwatch(p);
    passed_leave(p->connection.fd);
    prelude_data_done(&p->data);
    list_remove(&p->link);
    list_append(&s->preludes->held, &p->link);
    (void)pass_held(s);
    service_update(s, NULL);
}

/* Whether the daemon serves single connections of @s, as things are. */
static bool takes_connections(const Service *s) {
    if (s->config->model == MODEL_POOL)
        return s->pool && s->config->terms->pool.handoff == POOL_HANDOFF_CONNECTION;
    return service_config_accepts(s->config);
}

void preludes_settle(Service *s) {
    if (preludes_count(s) > 0 && (s->rt->stopping || s->order == ORDER_STOP || !takes_connections(s)))
        preludes_drop(s);
}

void preludes_open(Service *s) {
    if (preludes_wait(s) && serves(s))
        pass_later(s, 0);
}

void preludes_resume(Service *s) {
    if (preludes_are_full(s) || preludes_count(s) > 0)
        pass_later(s, 0);
}

void preludes_turn_away(Service *s, const char *why) {
    if (!s->preludes)
        return;
    LIST_FOREACH_SAFE (p, &s->preludes->held, Prelude, link)
        leave(p, why);
}

/* Headers */

bool prelude_wants_header(const Service *s, const Connection *c) {
    const AccessRules *trusted = s->config->terms->proxy_trusted;
    return trusted && access_allows(trusted, &c->peer, c->groups, c->n_groups, NULL);
}

/* Whom the proxy tells of becomes the peer. Where it tells nobody that could be counted, a check of its own
 * or a client over a UNIX socket, the peer is the proxy. */
static void take_header(Prelude *p) {
    const ProxyHeader *h = &p->data.header;
    Connection *c = &p->connection;
    if (!h->local && (h->source.sa.sa_family == AF_INET || h->source.sa.sa_family == AF_INET6)) {
        c->remote = h->source;
        c->local = h->destination;
        addr_unmap(&c->remote);
        addr_unmap(&c->local);
        c->peer = peer_from_addr(&c->remote);
        c->has_credentials = false;
        free(c->groups);
        c->groups = NULL;
        c->n_groups = 0;
    }
    hold(p);
}

/* Names */

/* Whoever asks for help gets the names, and that is all. */
static void answer_help(Prelude *p) {
    Service *door = p->service;
    CLEANUP_TEXT Text list = {0};
    unwatch(p);
    tcpmux_list(&door->rt->tcpmux, &list);
    service_history(door)->counters.requests++;
    if (text_ok(&list) && list.len > 0)
        (void)send(p->connection.fd, list.s, list.len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (p->connection.fd < door->rt->fd_ceiling)
        linger_add(door->rt->linger, TAKE_FD(p->connection.fd));
    prelude_free(p);
}

/* From now on it is one of @s, and only there it is counted. */
static void move(Prelude *p, Service *s) {
    Service *door = p->service;
    if (!preludes_make(s)) {
        leave(p, "it could not wait for the service: memory ran out");
        return;
    }
    service_history(door)->counters.requests++;
    door->preludes->n--;
    s->preludes->n++;
    on_less(door);
    gate_release(door->rt, &p->connection.source);
    p->service = s;
    p->connection.tcpmux = true;
    hold(p);
}

static void take_name(Prelude *p) {
    Service *door = p->service;
    const char *name = p->data.name, *why = NULL;
    char detail[PRELUDE_NAME_MAX + 64];
    if (door->config->model != MODEL_TCPMUX) {
        leave(p, "a reload has made another service of it");
        return;
    }
    if (tcpmux_is_help(name)) {
        answer_help(p);
        return;
    }
    Service *s = tcpmux_find(&door->rt->tcpmux, name);
    if (!s) {
        (void)snprintf(detail, sizeof(detail), "no service has the tcpmux name '%s'", name);
        refuse(p, REFUSE_ACCESS, detail);
    } else if (!tcpmux_is_available(s, &why)) {
        (void)snprintf(detail, sizeof(detail), "the service '%.128s' is %s", s->name, why);
        refuse(p, REFUSE_INSTANCES, detail);
    } else if (!has_room_for(s, 1)) {
        (void)snprintf(detail, sizeof(detail), "too many wait for the service '%.128s'", s->name);
        refuse(p, REFUSE_INSTANCES, detail);
    } else {
        move(p, s);
    }
}

/* Reading */

static void take(Prelude *p) {
    if (p->data.kind == PRELUDE_NAME)
        take_name(p);
    else
        take_header(p);
}

static void refuse_bad(Prelude *p, const char *why) {
    char detail[160];
    (void)snprintf(detail, sizeof(detail), "%s: %s", p->data.kind == PRELUDE_NAME ? "tcpmux" : "PROXY header",
                   why);
    refuse(p, REFUSE_PROXY, detail);
}

/* Reads what is there. Whether there is more to come; else it has come to its end here, in one way or
 * another. */
static bool read_on(Prelude *p) {
    unsigned char bytes[PRELUDE_MAX];
    const char *why = NULL;
    size_t n_taken = 0;
    int fd = p->connection.fd;
    PassedLook look;
    ssize_t n = passed_peek(fd, bytes, prelude_data_room(&p->data), &look);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (n <= 0) {
        leave(p, GONE_LEFT);
        return false;
    }
    PreludeResult r = prelude_data_add(&p->data, bytes, (size_t)n, &n_taken, &why);
    /* Descriptors behind it are the service's. Of a packet (unix-seqpacket) the rest would be lost. */
    bool whole = r == PRELUDE_BAD ||
                 (passed_peek(fd, bytes, n_taken, &look) == (ssize_t)n_taken && !look.descriptors &&
                  !look.truncated && recv(fd, bytes, n_taken, MSG_DONTWAIT) == (ssize_t)n_taken);
    if (!whole) {
        r = PRELUDE_BAD;
        why = look.descriptors ? "descriptors have come with it" : "it does not end with its packet";
    }
    if (r == PRELUDE_BAD)
        refuse_bad(p, why);
    else if (r == PRELUDE_DONE)
        take(p);
    return r == PRELUDE_MORE;
}

static int on_readable(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
    (void)source;
    (void)fd;
    (void)revents;
    (void)read_on(userdata);
    return 0;
}

static int on_overdue(sd_event_source *source, uint64_t usec, void *userdata) {
    Service *s = userdata;
    List *reading = &s->preludes->reading;
    uint64_t now = clock_monotonic_usec();
    (void)usec;
    while (!list_is_empty(reading)) {
        Prelude *p = LIST_ENTRY(reading->next, Prelude, link);
        if (p->until_usec > now) {
            (void)sd_event_source_set_time(source, p->until_usec);
            (void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
            return 0;
        }
        /* It may have come while the daemon was at something else. */
        if (!read_on(p))
            continue;
        refuse(p, REFUSE_PROXY,
               p->data.kind == PRELUDE_NAME ? "no tcpmux name within 3 s" : "no PROXY header within 3 s");
    }
    s->preludes->overdue = sd_event_source_disable_unref(s->preludes->overdue);
    return 0;
}

/* All of them have as long: the timer is that of the oldest, or of one that was older. */
int prelude_await(Prelude *p) {
    Service *s = p->service;
    int r = sd_event_add_io(s->rt->loop, &p->source, p->connection.fd, EPOLLIN, on_readable, p);
    if (r >= 0 && !s->preludes->overdue)
        r = sd_event_add_time(s->rt->loop, &s->preludes->overdue, CLOCK_MONOTONIC, p->until_usec,
                              10 * USEC_PER_MSEC, on_overdue, s);
    if (r >= 0)
        list_append(&s->preludes->reading, &p->link);
    return r;
}

/* Mostly the first bytes are there as soon as the connection is. */
static void begin(Service *s, Connection *c, PreludeKind kind, size_t more) {
    bool room = has_room_for(s, more);
    Prelude *p = prelude_new(s, c, kind);
    if (!p) {
        service_history(s)->counters.accepted++;
        service_history(s)->counters.gone++;
        gate_release(s->rt, &c->source);
        connection_done(s->rt, c);
    } else if (!room) {
        refuse(p, REFUSE_INSTANCES, "too many are still to say who they are, or what they want");
    } else if (read_on(p)) {
        p->until_usec = clock_monotonic_usec() + PRELUDE_USEC;
        if (prelude_await(p) < 0)
            leave(p, "it could not be waited for: descriptors or memory ran out");
    }
}

void prelude_read_header(Service *s, Connection *c) {
    begin(s, c, PRELUDE_HEADER, 1);
}

void prelude_read_name(Service *s, Connection *c) {
    /* Until it is known where it belongs. */
    service_history(s)->counters.accepted--;
    c->last_word = TCPMUX_REFUSAL;
    /* One whose header has just been read has its place. */
    begin(s, c, PRELUDE_NAME, s->config->terms->proxy_trusted ? 0 : 1);
}

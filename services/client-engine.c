/* SPDX-License-Identifier: MIT */
#include "services/client-engine.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"
#include "services/client-socket.h"
#include "services/mp-service.h"

#define BUFFER (64U << 10)
#define EVENTS 64
/* Connections begun between two looks at those that are open, so that a large start does not let them wait.
 */
#define BEGIN_BATCH 64
/* How long a place rests after its connection could not be begun: a server that refuses is not asked as fast
 * as the processor can, and a full queue is asked again. */
#define REST_USEC USEC_PER_MSEC
#define LOOK_USEC (50 * USEC_PER_MSEC)
#define PROGRESS_USEC (200 * USEC_PER_MSEC)

typedef enum Phase {
    PHASE_FREE,
    PHASE_RESTING, /* free from until_usec on */
    PHASE_QUEUED,  /* to be connected again at until_usec */
    PHASE_CONNECTING,
    PHASE_TALKING,
    PHASE_HELD,   /* answered, and kept until until_usec */
    PHASE_ENDING, /* our end is told */
} Phase;

typedef struct Place {
    int fd;
    Phase phase;
    uint32_t events; /* that epoll watches for */
    uint64_t begin_usec, request_usec, until_usec;
    uint64_t deadline_usec;
    Exchange exchange;
} Place;

struct Engine {
    const EnginePlan *plan;
    Tally *tally;
    int epoll, signals;
    int signal; /* that ended it */
    Place *places;
    uint64_t *free;                   /* a stack of places */
    uint64_t n_free, open, n_waiting; /* waiting: resting, queued, held */
    size_t address;                   /* of those of the plan */
    bool connected;                   /* some connection was made: it is the right address */
    bool shown;                       /* progress stands on the terminal */
    char in[BUFFER], scratch[BUFFER];
};

Engine *engine_new(const EnginePlan *plan, Tally *tally) {
    Engine *e = calloc(1, sizeof(*e));
    if (!e)
        return NULL;
    e->plan = plan;
    e->tally = tally;
    e->epoll = epoll_create1(EPOLL_CLOEXEC);
    e->places = calloc(plan->at_once, sizeof(*e->places));
    e->free = calloc(plan->at_once, sizeof(*e->free));
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    e->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN};
    if (!e->places || !e->free || e->epoll < 0 || e->signals < 0 ||
        epoll_ctl(e->epoll, EPOLL_CTL_ADD, e->signals, &event) < 0)
        return engine_free(e);
    for (uint64_t i = 0; i < plan->at_once; i++) {
        e->places[i].fd = -EBADF;
        e->free[e->n_free++] = plan->at_once - 1 - i;
    }
    return e;
}

Engine *engine_free(Engine *e) {
    if (!e)
        return NULL;
    for (uint64_t i = 0; e->places && i < e->plan->at_once; i++)
        if (e->places[i].phase != PHASE_FREE)
            (void)fd_close(e->places[i].fd);
    (void)fd_close(e->epoll);
    (void)fd_close(e->signals);
    free(e->places);
    free(e->free);
    free(e);
    return NULL;
}

const Addr *engine_address(const Engine *e) {
    return &e->plan->addresses->list[e->address];
}

/* Never is not passed over. */
static uint64_t later(uint64_t usec, uint64_t by_usec) {
    return by_usec < USEC_INFINITY - usec ? usec + by_usec : USEC_INFINITY;
}

static bool is_waiting(Phase phase) {
    return phase == PHASE_RESTING || phase == PHASE_QUEUED || phase == PHASE_HELD;
}

static void set_phase(Engine *e, Place *p, Phase phase, uint64_t until_usec) {
    e->n_waiting -= is_waiting(p->phase);
    e->n_waiting += is_waiting(phase);
    p->phase = phase;
    p->until_usec = until_usec;
}

static void release(Engine *e, Place *p) {
    set_phase(e, p, PHASE_FREE, 0);
    e->free[e->n_free++] = (uint64_t)(p - e->places);
}

/* Closes it; the place is free at once, or after a rest. */
static void leave(Engine *e, Place *p, uint64_t now, bool rest) {
    if (p->fd >= 0)
        e->open--;
    p->fd = fd_close(p->fd);
    e->tally->end_usec = now;
    if (rest)
        set_phase(e, p, PHASE_RESTING, now + REST_USEC);
    else
        release(e, p);
}

static void fail(Engine *e, Place *p, Failure failure, int error, uint64_t now) {
    tally_fail(e->tally, failure, error);
    leave(e, p, now, failure == FAILURE_CONNECT || failure == FAILURE_LOCAL);
}

static void succeed(Engine *e, Place *p, uint64_t now) {
    /* What was held on purpose is not what it took. */
    uint64_t held = p->exchange.request > 0 ? e->plan->hold_usec : 0, took = now - p->begin_usec;
    latency_add(&e->tally->whole, took > held ? took - held : 0);
    e->tally->answered++;
    leave(e, p, now, false);
}

static bool watch(Engine *e, Place *p, uint32_t events) {
    if (events == p->events)
        return true;
    struct epoll_event event = {.events = events, .data.ptr = p};
    if (epoll_ctl(e->epoll, p->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, p->fd, &event) < 0)
        return false;
    p->events = events;
    return true;
}

static bool has_to_send(const Engine *e, const Place *p) {
    return p->exchange.request < e->plan->script.requests && p->exchange.sent < e->plan->script.size;
}

/* Sends what can be sent of the request, and sees to it that epoll tells when there is more to do. */
static void send_request(Engine *e, Place *p, uint64_t now) {
    const Script *s = &e->plan->script;
    while (has_to_send(e, p)) {
        const char *data = NULL;
        size_t n = exchange_next(s, &p->exchange, e->scratch, sizeof(e->scratch), &data);
        ssize_t sent = send(p->fd, data, n, MSG_NOSIGNAL);
        if (sent < 0 && (errno == EAGAIN || errno == EINTR || (errno == ENOBUFS && s->records)))
            break;
        if (sent < 0) {
            /* Before it said no, the server may have said why; that it is gone is told by reading. */
            if (errno == EPIPE && watch(e, p, EPOLLIN)) {
                p->exchange.sent = s->size;
                return;
            }
            fail(e, p, FAILURE_BROKEN, errno, now);
            return;
        }
        p->exchange.sent += (size_t)sent;
        e->tally->sent += (size_t)sent;
        /* A large request: what comes back is looked at in between. */
        if ((size_t)sent < n)
            break;
    }
    if (!watch(e, p, has_to_send(e, p) ? EPOLLIN | EPOLLOUT : EPOLLIN))
        fail(e, p, FAILURE_LOCAL, errno, now);
}

static void on_connected(Engine *e, Place *p, uint64_t now) {
    e->connected = true;
    latency_add(&e->tally->connect, now - p->begin_usec);
    set_phase(e, p, PHASE_TALKING, 0);
    p->request_usec = now;
    send_request(e, p, now);
}

/* A name of several addresses: the first that takes a connection is the one for all. */
static bool try_next_address(Engine *e, int error) {
    if (e->connected || tally_errno_is_local(-error) || e->address + 1 >= e->plan->addresses->n)
        return false;
    e->address++;
    return true;
}

static void connect_place(Engine *e, Place *p, uint64_t now);

static void on_connect_failed(Engine *e, Place *p, int error, uint64_t now) {
    if (error == -EAGAIN) {
        e->tally->queue_full++;
        set_phase(e, p, PHASE_QUEUED, now + REST_USEC);
    } else if (e->connected || e->open > 1 || !try_next_address(e, error)) {
        fail(e, p, tally_errno_is_local(-error) ? FAILURE_LOCAL : FAILURE_CONNECT, -error, now);
    } else {
        p->fd = fd_close(p->fd);
        e->open--;
        connect_place(e, p, now);
    }
}

static void connect_place(Engine *e, Place *p, uint64_t now) {
    const Addr *address = engine_address(e);
    set_phase(e, p, PHASE_CONNECTING, 0);
    if (p->fd < 0) {
        p->events = 0;
        p->fd = client_socket(e->plan->target, address);
        if (p->fd < 0) {
            fail(e, p, FAILURE_LOCAL, -p->fd, now);
            return;
        }
        e->open++;
    }
    int r = client_connect_begin(p->fd, address);
    if (r == 1)
        on_connected(e, p, clock_monotonic_usec());
    else if (r < 0)
        on_connect_failed(e, p, r, now);
    else if (!watch(e, p, EPOLLOUT))
        fail(e, p, FAILURE_LOCAL, errno, now);
    if (e->open > e->tally->most_open)
        e->tally->most_open = e->open;
}

static bool may_begin(const Engine *e, uint64_t now) {
    return e->signal == 0 && e->tally->begun < e->plan->connections &&
           (e->plan->time_usec == USEC_INFINITY || now - e->tally->begin_usec < e->plan->time_usec);
}

/* Until an address is known to answer, one connection finds out for all. */
static void begin_batch(Engine *e) {
    uint64_t now = clock_monotonic_usec();
    bool alone = !e->connected && e->address + 1 < e->plan->addresses->n;
    for (int i = 0; i < BEGIN_BATCH && e->n_free > 0 && may_begin(e, now) && !(alone && e->open > 0); i++) {
        Place *p = &e->places[e->free[--e->n_free]];
        now = clock_monotonic_usec();
        *p = (Place){.fd = -EBADF,
                     .begin_usec = now,
                     .deadline_usec = later(now, e->plan->timeout_usec),
                     .exchange = {.number = e->tally->begun}};
        e->tally->begun++;
        connect_place(e, p, now);
    }
}

/* All is answered: the end is told and awaited, or not. */
static void end_exchange(Engine *e, Place *p, uint64_t now) {
    if (!e->plan->half_close || target_socket_type(e->plan->target) == SOCK_DGRAM) {
        succeed(e, p, now);
        return;
    }
    set_phase(e, p, PHASE_ENDING, 0);
    if (shutdown(p->fd, SHUT_WR) < 0 && errno != ENOTCONN)
        fail(e, p, FAILURE_BROKEN, errno, now);
}

static void on_verdict(Engine *e, Place *p, ExchangeVerdict verdict, uint64_t now) {
    static const Failure of[] = {[EXCHANGE_WRONG] = FAILURE_WRONG,
                                 [EXCHANGE_EXCESS] = FAILURE_EXCESS,
                                 [EXCHANGE_SHORT] = FAILURE_SHORT,
                                 [EXCHANGE_EMPTY] = FAILURE_EMPTY};
    if (verdict == EXCHANGE_MORE)
        return;
    if (verdict != EXCHANGE_REPLY && verdict != EXCHANGE_DONE) {
        fail(e, p, of[verdict], 0, now);
        return;
    }
    latency_add(&e->tally->request, now - p->request_usec);
    e->tally->requests++;
    p->request_usec = now;
    if (verdict == EXCHANGE_REPLY) {
        send_request(e, p, now);
    } else if (e->plan->hold_usec > 0) {
        p->deadline_usec = later(p->deadline_usec, e->plan->hold_usec);
        set_phase(e, p, PHASE_HELD, now + e->plan->hold_usec);
    } else {
        end_exchange(e, p, now);
    }
}

static void receive(Engine *e, Place *p, uint64_t now) {
    const Script *s = &e->plan->script;
    ssize_t n = recv(p->fd, e->in, sizeof(e->in), 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n < 0) {
        fail(e, p, FAILURE_BROKEN, errno, now);
        return;
    }
    if (n > 0 || target_socket_type(e->plan->target) == SOCK_DGRAM) {
        e->tally->received += (size_t)n;
        on_verdict(e, p, exchange_take(s, &p->exchange, e->in, (size_t)n, e->scratch), now);
        return;
    }
    ExchangeVerdict verdict = exchange_end(s, &p->exchange);
    /* One that is held should not be ended by the server. */
    if (verdict == EXCHANGE_DONE && p->phase == PHASE_HELD) {
        fail(e, p, FAILURE_BROKEN, 0, now);
        return;
    }
    if (verdict == EXCHANGE_DONE) {
        succeed(e, p, now);
        return;
    }
    on_verdict(e, p, verdict, now);
}

static void on_event(Engine *e, Place *p, uint32_t events, uint64_t now) {
    if (p->phase == PHASE_CONNECTING) {
        int r = client_connect_result(p->fd);
        if (r < 0)
            on_connect_failed(e, p, r, now);
        else
            on_connected(e, p, now);
        return;
    }
    if (events & EPOLLOUT && p->phase == PHASE_TALKING && has_to_send(e, p)) {
        send_request(e, p, now);
        if (p->fd < 0)
            return;
    }
    if (events & ~(uint32_t)EPOLLOUT)
        receive(e, p, now);
}

static void on_time(Engine *e, Place *p, uint64_t now) {
    if (p->phase == PHASE_FREE)
        return;
    if (is_waiting(p->phase) && now >= p->until_usec) {
        if (p->phase == PHASE_RESTING)
            release(e, p);
        else if (p->phase == PHASE_HELD)
            end_exchange(e, p, now);
        else if (now < p->deadline_usec)
            connect_place(e, p, now);
    }
    if (p->fd >= 0 && now >= p->deadline_usec)
        fail(e, p, FAILURE_TIMEOUT, 0, now);
}

static void show_progress(Engine *e, uint64_t now) {
    CLEANUP_TEXT Text line = {0};
    text_add(&line, "\r\033[K");
    tally_progress(e->tally, e->plan->connections, e->open, now, &line);
    if (text_ok(&line) && mp_write_all(e->plan->progress, line.s, line.len) == 0)
        e->shown = true;
}

static void on_signal(Engine *e) {
    struct signalfd_siginfo info;
    if (read(e->signals, &info, sizeof(info)) == sizeof(info))
        e->signal = (int)info.ssi_signo;
}

static int wait_once(Engine *e) {
    struct epoll_event events[EVENTS];
    bool more = e->n_free > 0 && may_begin(e, clock_monotonic_usec()) && (e->connected || e->open == 0);
    int timeout = more ? 0 : e->n_waiting > 0 ? 1 : (int)(LOOK_USEC / USEC_PER_MSEC);
    int n = epoll_wait(e->epoll, events, EVENTS, timeout);
    if (n < 0)
        return errno == EINTR ? 0 : -errno;
    for (int i = 0; i < n; i++) {
        if (!events[i].data.ptr)
            on_signal(e);
        else
            on_event(e, events[i].data.ptr, events[i].events, clock_monotonic_usec());
    }
    return 0;
}

int engine_run(Engine *e) {
    uint64_t looked_usec = 0, shown_usec = e->tally->begin_usec = e->tally->end_usec = clock_monotonic_usec();
    uint64_t cpu_usec = clock_usec(CLOCK_PROCESS_CPUTIME_ID);
    int r = 0;
    for (uint64_t now = looked_usec; r == 0 && e->signal == 0; now = clock_monotonic_usec()) {
        if (now - looked_usec >= (e->n_waiting > 0 ? REST_USEC : LOOK_USEC)) {
            for (uint64_t i = 0; i < e->plan->at_once; i++)
                on_time(e, &e->places[i], now);
            looked_usec = now;
        }
        if (e->plan->progress >= 0 && now - shown_usec >= PROGRESS_USEC) {
            show_progress(e, now);
            shown_usec = now;
        }
        begin_batch(e);
        if (e->open == 0 && e->n_waiting == 0 && !may_begin(e, clock_monotonic_usec()))
            break;
        r = wait_once(e);
    }
    e->tally->cpu_usec = clock_usec(CLOCK_PROCESS_CPUTIME_ID) - cpu_usec;
    e->tally->interrupted = e->signal ? e->tally->begun - e->tally->answered - tally_failures(e->tally) : 0;
    if (e->shown)
        (void)mp_write_all(e->plan->progress, "\r\033[K", 4);
    return r < 0 ? r : e->signal;
}

/* SPDX-License-Identifier: MIT */
#include "daemon/pool.h"

#include <stdio.h>

#include "daemon/base/clock.h"
#include "daemon/base/errors.h"
#include "daemon/handoff.h"
#include "daemon/launch.h"
#include "daemon/pool-private.h"

/* Reports come often: workers are looked at after a while, for all of them. */
#define LOOK_USEC (20 * USEC_PER_MSEC)
/* How often the scoreboard is read: while something changes, and while work is in hand. */
#define BOARD_USEC (100 * USEC_PER_MSEC)
#define BOARD_SLOW_USEC USEC_PER_SEC
/* Workers that never report say by nothing but their socket that they have room. */
#define SILENT_LOOK_USEC (5 * USEC_PER_MSEC)
/* A full pool stays full for so long, so that its state does not follow each connection. */
#define FULL_USEC (250 * USEC_PER_MSEC)
/* So many are started in a turn of the loop: others want to be served meanwhile. */
#define STARTS_A_TURN 16
/* While it drains: so many workers are started for what is queued. */
#define DRAIN_STARTS_MAX 3

int pool_new(Service *s, Pool **ret) {
    Pool *p = calloc(1, sizeof(*p));
    if (!p)
        return -ENOMEM;
    p->service = s;
    list_init(&p->held);
    *ret = p;
    return 0;
}

static bool passes_connections(const Pool *p) {
    return p->service->config->terms->pool.handoff == POOL_HANDOFF_CONNECTION;
}

bool pool_worker_is_live(const Instance *i) {
    return i->worker && i->state != INSTANCE_STOPPING && !i->worker->retired;
}

WorkerDoing pool_worker_doing(const Instance *i, uint64_t now_usec) {
    WorkerFacts facts = {
        .leaving = !pool_worker_is_live(i),
        .unready = i->unready || i->flight,
        .report = i->report,
        /* One that hangs has something in hand, whatever it says. */
        .passed = i->worker->fd < 0                        ? 0
                  : now_usec < i->worker->stuck_until_usec ? 1
                                                           : handoff_outstanding(i),
        .age_usec = now_usec - i->started_usec,
    };
    return worker_doing(&facts);
}

PoolLimits pool_limits(const Pool *p) {
    const PoolConfig *c = &p->service->config->terms->pool;
    uint64_t max = pool_max(p);
    return (PoolLimits){
        .min = c->min < max ? c->min : max,
        .max = max,
        .spare_min = c->spare_min,
        .spare_max = c->spare_max,
    };
}

uint64_t pool_max(const Pool *p) {
    unsigned max = p->service->config->terms->pool.max, limit = p->service->limits->instances;
    return max < limit ? max : limit;
}

PoolCounts pool_count(const Pool *p) {
    PoolCounts c = {0};
    uint64_t *const counts[] = {
        [WORKER_STARTING] = &c.starting, [WORKER_IDLE] = &c.idle,       [WORKER_BUSY] = &c.busy,
        [WORKER_SILENT] = &c.silent,     [WORKER_LEAVING] = &c.leaving,
    };
    uint64_t now = clock_monotonic_usec();
    LIST_FOREACH (i, &p->service->instances, Instance, link)
        if (i->worker && i->worker->pool == p)
            (*counts[pool_worker_doing(i, now)])++;
    return c;
}

static uint64_t staying(const PoolCounts *c) {
    return c->starting + c->idle + c->busy + c->silent;
}

bool pool_wants_traffic(const Pool *p) {
    PoolCounts c = pool_count(p);
    if (!passes_connections(p))
        return staying(&c) == 0 && !p->delayed;
    if (!list_is_empty(&p->held))
        return false;
    if (handoff_pick(p) || handoff_refuses(p))
        return true;
    /* Nobody is kept in reserve: the connection itself makes it grow. */
    return p->service->config->terms->pool.spare_min == 0 && staying(&c) < pool_max(p) && c.starting == 0 &&
           !p->delayed;
}

bool pool_is_starting(const Pool *p) {
    PoolCounts c = pool_count(p);
    return c.starting > 0 && staying(&c) == c.starting;
}

bool pool_can_drain(const Pool *p) {
    PoolCounts c = pool_count(p);
    return staying(&c) > 0 || p->drain_starts < DRAIN_STARTS_MAX;
}

/* Starting */

static bool any_listener_open(const Service *s) {
    for (size_t i = 0; i < s->n_listeners; i++)
        if (listener_is_open(s->listeners[i]))
            return true;
    return false;
}

static bool may_start(const Pool *p) {
    const Service *s = p->service;
    if (!s->config->enabled || s->config->problem || s->removed || s->rt->stopping || !any_listener_open(s))
        return false;
    return s->order == ORDER_RUN || (s->order == ORDER_PAUSE && passes_connections(p)) ||
           (s->order == ORDER_DRAIN && !p->drained);
}

static int on_delay_over(sd_event_source *source, uint64_t usec, void *userdata) {
    Pool *p = userdata;
    (void)source;
    (void)usec;
    p->delay_timer = sd_event_source_disable_unref(p->delay_timer);
    p->delayed = false;
    pool_look(p);
    return 0;
}

void pool_delay_until(Pool *p, uint64_t usec) {
    p->delayed = sd_event_add_time(p->service->rt->loop, &p->delay_timer, CLOCK_MONOTONIC, usec,
                                   USEC_PER_MSEC, on_delay_over, p) >= 0;
}

static void hold_back(Pool *p, uint64_t delay_usec) {
    if (p->delayed || delay_usec == 0)
        return;
    p->start_failed = true;
    pool_delay_until(p, clock_monotonic_usec() + delay_usec);
}

/* A worker has ended without having been told to, or could not be started at all. */
static void charge(Pool *p, bool failed, uint64_t lived_usec, uint64_t least_delay_usec) {
    const ServiceConfig *c = p->service->config;
    if (p->delayed)
        return;
    uint64_t delay =
        backoff_on_end(&p->backoff, &c->terms->restart_limit, c->terms->restart_delay_usec,
                       c->terms->restart_max_delay_usec, failed, lived_usec, clock_monotonic_usec());
    if (delay < least_delay_usec)
        delay = least_delay_usec;
    hold_back(p, delay);
}

/* A pool that sleeps has nothing open but its listeners. */
static void let_board_go(Pool *p) {
    LIST_FOREACH (i, &p->service->instances, Instance, link)
        if (i->worker)
            return;
    p->board = scoreboard_free(p->board);
}

/* One could not be started: a shortage is not its fault, and when it is over nobody is to wait for long. */
void pool_on_start_failure(Pool *p, bool starved) {
    let_board_go(p);
    if (starved)
        hold_back(p, backoff_retry_delay(&p->starved, BACKOFF_STARVED_MIN_USEC, BACKOFF_STARVED_MAX_USEC));
    else
        charge(p, true, 0, p->service->config->terms->restart_delay_usec);
}

static void give_slot(Pool *p, Worker *w) {
    /* Without a board its status pipe does for everything. */
    if (!p->board && scoreboard_new(&p->board) < 0)
        return;
    w->slot = scoreboard_take(p->board);
}

static bool start_worker(Pool *p, bool replaces) {
    Service *s = p->service;
    if (!launch_may_start(s, false))
        return false;
    Worker *w = worker_new(p);
    int its_end = -EBADF, r = w ? 0 : -ENOMEM;
    if (w && passes_connections(p))
        r = handoff_open(w, &its_end);
    if (r < 0) {
        service_set_error(s, "fds", -r, NULL, &s->config->pos);
        worker_free(w);
        pool_on_start_failure(p, errno_is_resource(-r));
        return false;
    }
    w->max_requests = pool_worker_requests(s->config->terms->pool.max_requests, w->number);
    w->replaces = replaces;
    if (s->config->report)
        give_slot(p, w);
    const Instance *i = launch_for_worker(s, w);
    if (!i) {
        pool_on_start_failure(p, s->starved);
        return false;
    }
    p->starved = 0;
    if (p->n_died > 0) {
        p->n_died--;
        service_history(s)->counters.restarts++;
    }
    return true;
}

void pool_start_workers(Pool *p, uint64_t n, bool replaces) {
    while (n-- > 0 && start_worker(p, replaces))
        continue;
}

/* Looking */

static uint64_t size(Pool *p, bool renews, uint64_t now_usec) {
    PoolLimits limits = pool_limits(p);
    PoolCounts counts = pool_count(p);
    if (p->service->order == ORDER_DRAIN) {
        /* To be told that it is too early is no start. */
        if (staying(&counts) == 0 && !p->delayed && p->drain_starts < DRAIN_STARTS_MAX &&
            launch_may_start(p->service, false)) {
            p->drain_starts++;
            pool_start_workers(p, 1, false);
        }
        return USEC_INFINITY;
    }
    PoolOrder order = pool_size_decide(&limits, &counts, &p->pace, !p->delayed, now_usec);
    if (p->blocked && limits.spare_min == 0 && order.start == 0 && counts.starting == 0 &&
        staying(&counts) + counts.leaving < limits.max && !p->delayed)
        order.start = 1;
    if (order.start > STARTS_A_TURN) {
        order.start = STARTS_A_TURN;
        order.again_usec = now_usec + USEC_PER_MSEC;
    }
    pool_start_workers(p, order.start, false);
    if (!renews)
        pool_end_idle(p, order.stop);
    return order.again_usec;
}

/* When something will have changed by time alone. */
static uint64_t next_change(const Pool *p, uint64_t now_usec) {
    const ServiceConfig *c = p->service->config;
    uint64_t at = USEC_INFINITY;
    LIST_FOREACH (i, &p->service->instances, Instance, link) {
        const Worker *w = i->worker;
        uint64_t then = USEC_INFINITY;
        if (!w || i->state == INSTANCE_STOPPING)
            continue;
        if (w->retired)
            then = c->terms->timeout_stop_usec == USEC_INFINITY
                       ? USEC_INFINITY
                       : w->retired_usec + c->terms->timeout_stop_usec;
        else if (!i->report || i->report->active < 0)
            then = i->started_usec + WORKER_SILENT_USEC;
        if (p->blocked && (!i->report || i->report->active < 0))
            then = now_usec + SILENT_LOOK_USEC;
        if (then > now_usec && then < at)
            at = then;
    }
    if (p->full && p->full_usec != now_usec && p->full_usec + FULL_USEC < at)
        at = p->full_usec + FULL_USEC;
    return at;
}

static void look_for_room(Pool *p, uint64_t now_usec) {
    PoolCounts c = pool_count(p);
    bool full = c.idle + c.starting + c.silent == 0 && c.busy >= pool_max(p) && !handoff_pick(p);
    if (full)
        p->full_usec = now_usec;
    p->full = full || (p->full && now_usec < p->full_usec + FULL_USEC);
}

static int on_look(sd_event_source *source, uint64_t usec, void *userdata) {
    (void)source;
    (void)usec;
    pool_look(userdata);
    return 0;
}

void pool_look_at(Pool *p, uint64_t usec) {
    if (usec == USEC_INFINITY || (p->look_timer && p->look_usec <= usec))
        return;
    p->look_timer = sd_event_source_disable_unref(p->look_timer);
    p->look_usec = usec;
    (void)sd_event_add_time(p->service->rt->loop, &p->look_timer, CLOCK_MONOTONIC, usec, USEC_PER_MSEC,
                            on_look, p);
}

void pool_look_soon(Pool *p) {
    pool_look_at(p, clock_monotonic_usec() + LOOK_USEC);
}

static void tell_number(Pool *p, Instance *i, const char *word, uint64_t value, int64_t known) {
    char line[64];
    if (known >= 0 && (uint64_t)known == value)
        return;
    int n = snprintf(line, sizeof(line), "%s=%llu", word, (unsigned long long)value);
    service_on_report(p->service, i, line, (size_t)n);
}

static void want_scores(Pool *p) {
    LIST_FOREACH (i, &p->service->instances, Instance, link)
        if (p->board && i->worker && i->worker->slot >= 0)
            score_want(scoreboard_slot(p->board, i->worker->slot));
}

/* What workers have written since the last look counts as reported. Whether there was anything, and whether
 * one of them is busy. */
static bool take_scores(Pool *p, bool *ret_busy) {
    bool changed = false;
    *ret_busy = false;
    LIST_FOREACH (i, &p->service->instances, Instance, link) {
        Score score;
        Worker *w = i->worker;
        if (!w || w->slot < 0 || !i->report || !score_read(scoreboard_slot(p->board, w->slot), &score))
            continue;
        Report *r = i->report;
        changed = changed || !w->scores || r->active != (int64_t)score.active ||
                  r->requests != (int64_t)score.requests;
        *ret_busy = *ret_busy || score.active > 0;
        w->scores = true;
        if (score.capacity > 0)
            tell_number(p, i, "CAPACITY", score.capacity, r->capacity);
        tell_number(p, i, "ACTIVE", score.active, r->active);
        tell_number(p, i, "REQUESTS", score.requests, r->requests);
        if (score.queued > 0 || r->queued >= 0)
            tell_number(p, i, "QUEUED", score.queued, r->queued);
    }
    return changed;
}

/* Returns when to look again. */
static uint64_t read_board(Pool *p, uint64_t now_usec) {
    bool busy;
    if (!p->board)
        return USEC_INFINITY;
    bool changed = take_scores(p, &busy);
    if (!changed && !busy) {
        /* Nothing happens: who has something to say next says it by the pipe, unless he has said it before he
         * could see that he is asked. */
        want_scores(p);
        changed = take_scores(p, &busy);
    }
    if (changed)
        return now_usec + BOARD_USEC;
    return busy ? now_usec + BOARD_SLOW_USEC : USEC_INFINITY;
}

/* Whether there is no worker, and will be none, for what was taken back from others. */
static bool nobody_comes(const Pool *p) {
    const Service *s = p->service;
    PoolCounts counts = pool_count(p);
    return s->order == ORDER_STOP || s->rt->stopping || (p->drained && staying(&counts) == 0);
}

void pool_look(Pool *p) {
    Service *s = p->service;
    uint64_t now = clock_monotonic_usec(), again, board;
    p->look_timer = sd_event_source_disable_unref(p->look_timer);
    p->blocked = p->blocked && passes_connections(p);
    board = read_board(p, now);
    pool_look_at(p, board);
    if (p->roll) {
        p->roll = false;
        pool_renew(p);
    }
    if (may_start(p)) {
        again = size(p, pool_renew_some(p), now);
        pool_look_at(p, again);
    } else if (s->order == ORDER_PAUSE && !passes_connections(p)) {
        /* Who accepts by himself can only be kept from it by ending. */
        LIST_FOREACH (i, &s->instances, Instance, link)
            if (pool_worker_is_live(i))
                pool_retire(p, i);
    }
    pool_tell_retired(p, now);
    if (passes_connections(p))
        pool_look_at(p, handoff_look_for_stuck(p, now));
    if (nobody_comes(p))
        handoff_drop_held(p);
    if (handoff_pass_held(p) && p->blocked && handoff_pick(p))
        p->blocked = false;
    look_for_room(p, now);
    /* The listeners are polled again as soon as one says that it has room. */
    if (passes_connections(p) && !handoff_pick(p))
        want_scores(p);
    pool_look_at(p, next_change(p, now));
    service_update(s, NULL);
}

void pool_wake(Listener *l) {
    Service *s = l->service;
    PoolCounts c = pool_count(s->pool);
    if (staying(&c) == 0 && may_start(s->pool) && !s->pool->delayed)
        pool_start_workers(s->pool, 1, false);
    service_update(s, NULL);
}

void pool_on_report(Pool *p, Instance *i, ReportKind kind) {
    Worker *w = i->worker;
    const Report *r = i->report;
    if (w->max_requests > 0 && r->requests >= 0 && (uint64_t)r->requests >= w->max_requests && !w->old)
        w->old = true;
    if (kind == REPORT_ACTIVE || kind == REPORT_CAPACITY || kind == REPORT_READY)
        handoff_on_report(p, i);
    if (kind == REPORT_ACTIVE || kind == REPORT_READY || kind == REPORT_STOPPING || w->old)
        pool_look_soon(p);
}

void pool_take_leave(Pool *p, Instance *i) {
    if (p && i->worker && i->worker->fd >= 0)
        handoff_take_back(p, i->worker);
}

void pool_on_end(Pool *p, bool asked, bool failed, uint64_t lived_usec) {
    let_board_go(p);
    if (!asked) {
        p->n_died++;
        charge(p, failed, lived_usec, 0);
    }
    pool_look(p);
}

void pool_reset(Pool *p) {
    p->delay_timer = sd_event_source_disable_unref(p->delay_timer);
    p->delayed = p->start_failed = p->blocked = p->drained = false;
    p->drain_starts = 0;
    p->full = false;
    p->backoff = (Backoff){0};
}

/* Whether it will end by itself: what it has been passed comes first, and then the end of its socket. */
static bool ends_by_itself(const Pool *p, Instance *i) {
    uint64_t stop = p->service->config->terms->timeout_stop_usec;
    if (i->worker->fd < 0 || handoff_is_received(i->worker) || stop == USEC_INFINITY)
        return false;
    handoff_close(i->worker);
    return instance_limit_lifetime(i, clock_monotonic_usec() - i->started_usec + stop) >= 0;
}

Pool *pool_free(Pool *p, bool at_once) {
    if (!p)
        return NULL;
    Service *s = p->service;
    LIST_FOREACH (i, &s->instances, Instance, link) {
        if (!i->worker)
            continue;
        bool by_itself = !at_once && ends_by_itself(p, i);
        if (!by_itself)
            pool_take_leave(p, i);
        i->stray = i->worker->fd < 0;
        s->n_strays += i->stray;
        i->worker->pool = NULL;
        i->worker = worker_free(i->worker);
        i->asked = !i->timed_out;
        if (at_once || (!by_itself && !i->stray))
            instance_stop(i, s->config->terms->timeout_stop_usec);
    }
    handoff_drop_held(p);
    p->delay_timer = sd_event_source_disable_unref(p->delay_timer);
    p->look_timer = sd_event_source_disable_unref(p->look_timer);
    scoreboard_free(p->board);
    free(p);
    return NULL;
}

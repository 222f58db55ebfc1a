/* SPDX-License-Identifier: MIT */
/* Which workers of a pool end, and how old ones are replaced one by one. */
#include <string.h>

#include "daemon/base/clock.h"
#include "daemon/handoff.h"
#include "daemon/pool-private.h"

/* Ending */

/* One that passes what it does on to others, in the end: it gets nothing more. With handoff listener only it
 * can stop accepting, so it is told at once. */
void pool_retire(Pool *p, Instance *i) {
    Worker *w = i->worker;
    i->asked = !i->timed_out;
    if (w->fd >= 0) {
        handoff_take_back(p, w);
        handoff_close(w);
        w->retired = true;
        w->retired_usec = clock_monotonic_usec();
        return;
    }
    /* What it has in hand may take longer than timeouts.stop, unless somebody is waiting. */
    if (w->old_by_order || !i->report || i->report->active <= 0)
        instance_stop(i, p->service->config->terms->timeout_stop_usec);
    else
        instance_tell(i);
}

/* Retired ones are told to end once they have nothing in hand; most have ended by then because their socket
 * did. */
void pool_tell_retired(Pool *p, uint64_t now_usec) {
    uint64_t stop = p->service->config->terms->timeout_stop_usec;
    LIST_FOREACH (i, &p->service->instances, Instance, link) {
        const Worker *w = i->worker;
        if (!w || !w->retired || i->state == INSTANCE_STOPPING)
            continue;
        bool reports = i->report && i->report->active >= 0;
        bool late = now_usec - w->retired_usec >= stop && (w->old_by_order || !reports);
        if ((reports && handoff_outstanding(i) == 0) || late)
            instance_stop(i, stop);
    }
}

/* The one to go: an old one before others, an idle one before a busy one, then the oldest of the old and the
 * newest of the others. */
static Instance *choose(const Pool *p, bool old) {
    static const unsigned order[] = {[WORKER_IDLE] = 3,
                                     [WORKER_SILENT] = 2,
                                     [WORKER_BUSY] = 1,
                                     [WORKER_STARTING] = 1,
                                     [WORKER_LEAVING] = 0};
    Instance *best = NULL;
    unsigned best_order = 0;
    uint64_t now = clock_monotonic_usec();
    LIST_FOREACH (i, &p->service->instances, Instance, link) {
        if (!pool_worker_is_live(i) || (old && !i->worker->old))
            continue;
        WorkerDoing d = pool_worker_doing(i, now);
        unsigned o = order[d] + (i->worker->old ? 4 : 0);
        if (d == WORKER_LEAVING || (!old && d != WORKER_IDLE))
            continue;
        if (o > best_order || (!old && o == best_order)) {
            best = i;
            best_order = o;
        }
    }
    return best;
}

static void end_workers(Pool *p, uint64_t n, bool old) {
    for (Instance *i; n-- > 0 && (i = choose(p, old));)
        pool_retire(p, i);
}

void pool_end_idle(Pool *p, uint64_t n) {
    end_workers(p, n, false);
}

/* Replacing */

static PoolRenewal count_renewal(const Pool *p) {
    PoolRenewal r = {0};
    uint64_t now = clock_monotonic_usec();
    LIST_FOREACH (i, &p->service->instances, Instance, link) {
        if (!pool_worker_is_live(i))
            continue;
        WorkerDoing d = pool_worker_doing(i, now);
        r.old += i->worker->old && d != WORKER_LEAVING;
        if (i->worker->replaces && d != WORKER_LEAVING)
            *(d == WORKER_STARTING ? &r.coming : &r.come) += 1;
    }
    return r;
}

/* So many of the new ones have had their old one told. */
static void settle(Pool *p, uint64_t n) {
    uint64_t now = clock_monotonic_usec();
    LIST_FOREACH (i, &p->service->instances, Instance, link) {
        if (n > 0 && pool_worker_is_live(i) && i->worker->replaces &&
            pool_worker_doing(i, now) != WORKER_STARTING) {
            i->worker->replaces = false;
            n--;
        }
    }
}

bool pool_renew_some(Pool *p) {
    PoolLimits limits = pool_limits(p);
    PoolCounts counts = pool_count(p);
    PoolRenewal renewal = count_renewal(p);
    if (renewal.old == 0) {
        settle(p, renewal.come);
        return false;
    }
    PoolOrder order = pool_renew_decide(&limits, &counts, &renewal, !p->delayed);
    settle(p, order.stop);
    end_workers(p, order.stop, true);
    pool_start_workers(p, order.start, true);
    return true;
}

void pool_renew(Pool *p) {
    p->start_failed = false;
    LIST_FOREACH (i, &p->service->instances, Instance, link)
        if (pool_worker_is_live(i)) {
            i->worker->old = i->worker->old_by_order = true;
            i->worker->replaces = false;
        }
}

static void note_change(const char *key, const char *from, const char *to, void *userdata) {
    static const char *const kept[] = {"description",    "pool.min",         "pool.max",
                                       "pool.spare_min", "pool.spare_max",   "pool.max_requests",
                                       "timeouts.stop",  "timeouts.lifetime"};
    /* What the daemon does for them. */
    static const char *const kept_sections[] = {"limits.", "restart.", "access.",        "ban.",
                                                "banner.", "log.",     "proxy_protocol."};
    bool *keeps = userdata;
    (void)from;
    (void)to;
    for (size_t i = 0; i < ELEMENTS(kept); i++)
        if (streq(key, kept[i]))
            return;
    for (size_t i = 0; i < ELEMENTS(kept_sections); i++)
        if (starts_with(key, kept_sections[i]))
            return;
    *keeps = false;
}

bool pool_config_keeps_workers(const ServiceConfig *a, const ServiceConfig *b) {
    bool keeps = true;
    (void)service_config_diff(a, b, note_change, &keeps);
    return keeps;
}

/* SPDX-License-Identifier: MIT */
#include "daemon/cgroup-spread.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/cgroup-file.h"
#include "daemon/cgroup-limits.h"
#include "daemon/service-cgroup.h"
#include "daemon/service-private.h"

/* So long all of it may take in one turn of the loop, but for the last one that is begun. */
#define TURN_USEC (20 * USEC_PER_MSEC)

void cgroup_spread_init(CgroupSpread *s) {
    *s = (CgroupSpread){0};
    list_init(&s->groups);
}

void cgroup_spread_done(CgroupSpread *s) {
    s->timer = sd_event_source_disable_unref(s->timer);
}

bool cgroup_spread_is_over(const Runtime *rt) {
    return list_is_empty(&rt->spread.groups);
}

void cgroup_spread_forget(ServiceCgroup *g) {
    list_remove(&g->spreading);
}

static bool has_time(Runtime *rt) {
    CgroupSpread *s = &rt->spread;
    uint64_t turn = 0, now = clock_monotonic_usec();
    (void)sd_event_get_iteration(rt->loop, &turn);
    if (s->until_usec == 0 || s->turn != turn) {
        s->turn = turn;
        s->until_usec = now + TURN_USEC;
    }
    return now < s->until_usec;
}

static int apply(ServiceCgroup *g, const Instance *i, const CgroupConfig *to) {
    Runtime *rt = g->service->rt;
    char name[CGROUP_NUMBER_MAX];
    (void)snprintf(name, sizeof(name), "%" PRIu64, i->group);
    CLEANUP_CLOSE int dir = cgroup_open(g->dir, name);
    const CgroupConfig *from = g->spread_known ? &g->spread_from : &cgroup_limits_unknown;
    /* It has ended meanwhile. */
    if (dir < 0)
        return 0;
    int r = cgroup_limits_apply(dir, from, to, true, rt->cgroups->enabled, &rt->errands, &g->refused);
    return r == -ENODEV ? 0 : r;
}

static size_t lists_of(const Service *s, const List *ret[static 2]) {
    ret[0] = &s->instances;
    ret[1] = s->spares ? &s->spares->waiting : NULL;
    return s->spares ? 2 : 1;
}

/* As many as there is time for, and one at least. @last: all, whatever time it takes. */
static int go_on(ServiceCgroup *g, const CgroupConfig *to, bool last) {
    const List *lists[2];
    size_t n_lists = lists_of(g->service, lists);
    int result = 0;
    bool any = false;
    list_remove(&g->spreading);
    g->refused = NULL;
    for (size_t k = 0; k < n_lists; k++)
        LIST_FOREACH (i, lists[k], Instance, link) {
            if (!i->limits_due)
                continue;
            if (any && !last && !has_time(g->service->rt)) {
                list_append(&g->service->rt->spread.groups, &g->spreading);
                return result;
            }
            any = true;
            i->limits_due = false;
            int r = i->group > 0 ? apply(g, i, to) : 0;
            result = r < 0 ? r : result;
        }
    return result;
}

static void go_on_with_first(Runtime *rt, bool last) {
    ServiceCgroup *g = LIST_ENTRY(rt->spread.groups.next, ServiceCgroup, spreading);
    int r = go_on(g, &g->limits, last);
    if (r < 0)
        service_cgroup_fail(g->service, r);
}

void cgroup_spread_finish(Runtime *rt) {
    while (!cgroup_spread_is_over(rt))
        go_on_with_first(rt, true);
}

static int on_turn(sd_event_source *source, uint64_t usec, void *userdata);

/* There is a next turn for who waits. 0 or -ENOMEM. */
static int arrange(Runtime *rt) {
    CgroupSpread *s = &rt->spread;
    if (cgroup_spread_is_over(rt) || s->timer)
        return 0;
    int r = sd_event_add_time_relative(rt->loop, &s->timer, CLOCK_MONOTONIC, 0, 1, on_turn, rt);
    return r < 0 ? r : 0;
}

static int on_turn(sd_event_source *source, uint64_t usec, void *userdata) {
    Runtime *rt = userdata;
    (void)source;
    (void)usec;
    rt->spread.timer = sd_event_source_disable_unref(rt->spread.timer);
    while (!cgroup_spread_is_over(rt) && has_time(rt))
        go_on_with_first(rt, false);
    if (arrange(rt) < 0)
        cgroup_spread_finish(rt);
    if (cgroup_spread_is_over(rt))
        rt->on_settled(rt->on_settled_userdata);
    return 0;
}

int cgroup_spread(ServiceCgroup *g, const CgroupConfig *from, const CgroupConfig *to) {
    const List *lists[2];
    size_t n_lists = lists_of(g->service, lists);
    CgroupSetting settings[CGROUP_SETTINGS_MAX];
    bool behind = !list_is_empty(&g->spreading);
    if (!behind && cgroup_settings(from, to, true, settings) == 0)
        return 0;
    /* Who still waits for what came before has not got @from. */
    g->spread_known = from != &cgroup_limits_unknown && !behind;
    g->spread_from = *from;
    for (size_t k = 0; k < n_lists; k++)
        LIST_FOREACH (i, lists[k], Instance, link)
            i->limits_due = true;
    int r = go_on(g, to, false);
    if (arrange(g->service->rt) >= 0)
        return r;
    /* Without memory for that now; the limits of @g are not these yet. */
    int rest = go_on(g, to, true);
    cgroup_spread_finish(g->service->rt);
    return r < 0 ? r : rest;
}

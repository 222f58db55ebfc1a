/* SPDX-License-Identifier: MIT */
/* The other half of service-cgroup.c: what a limit has ended, what is left behind, and what there is to be
 * told of it. */
#include <inttypes.h>
#include <signal.h>
#include <string.h>

#include "conf/value.h"
#include "daemon/base/blob-rows.h"
#include "daemon/base/clock.h"
#include "daemon/cgroup-file.h"
#include "daemon/cgroup-spread.h"
#include "daemon/service-cgroup.h"
#include "daemon/service.h"

/* How often it is looked whether those that are about to end have done so. */
#define LOOK_MIN_USEC (2 * USEC_PER_MSEC)
#define LOOK_MAX_USEC (200 * USEC_PER_MSEC)

/* The group of an instance that has ended, while others are still in it. */
typedef struct Leaving {
    List link;
    char name[CGROUP_NUMBER_MAX];
} Leaving;

/* Counting */

static uint64_t count_or_none(int dir, const char *file, const char *key) {
    uint64_t n = cgroup_count(dir, file, key);
    return n == UINT64_MAX ? 0 : n;
}

static uint64_t kills_in(int dir) {
    return count_or_none(dir, "memory.events", "oom_kill");
}

static uint64_t refusals_in(int dir) {
    return count_or_none(dir, "pids.events", "max");
}

/* What the kernel has counted since the last time, of all together. What cannot be read now is there the next
 * time. */
static uint64_t advance(uint64_t *seen, int dir, const char *file, const char *key) {
    uint64_t now = cgroup_count(dir, file, key), n = now > *seen ? now - *seen : 0;
    if (now == UINT64_MAX)
        return 0;
    *seen = now;
    return n;
}

void service_cgroup_begin_count(ServiceCgroup *g) {
    if (g->counts)
        return;
    g->counts = true;
    g->seen_kills = kills_in(g->dir);
    g->seen_refusals = refusals_in(g->dir);
}

static void tell_refusals(Service *s, uint64_t n) {
    CLEANUP_TEXT Text text = {0};
    if (n == 0)
        return;
    service_history(s)->counters.cgroup_pids_limited += n;
    text_addf(&text, "its processes could not make others: cgroup.pids_max %" PRIu64 ", %" PRIu64 " times",
              s->cgroup->limits.pids_max, n);
    service_set_error(s, spawn_step_to_string(STEP_CGROUP), EAGAIN, text.s ? text.s : "", &s->config->pos);
}

/* Where each instance has a group of its own, those have counted it. */
static uint64_t count_kills(Service *s) {
    ServiceCgroup *g = s->cgroup;
    uint64_t n = advance(&g->seen_kills, g->dir, "memory.events", "oom_kill");
    if (n > 0)
        service_history(s)->counters.cgroup_oom_kills += n;
    return n;
}

void service_cgroup_count(Service *s) {
    ServiceCgroup *g = s->cgroup;
    if (!g || g->dir < 0 || g->let_go)
        return;
    (void)count_kills(s);
    if (g->limits.pids_max != UINT64_MAX && !g->limits.per_instance)
        tell_refusals(s, advance(&g->seen_refusals, g->dir, "pids.events", "max"));
}

void service_cgroup_explain(const Service *s, SpawnStep step, int error, Text *out) {
    const ServiceCgroup *g = s->cgroup;
    if (step == STEP_CGROUP && g && g->refused)
        text_addf(out, " (%s of its control group)", g->refused);
    if (step != STEP_LIMIT || error != EAGAIN || !g || g->dir < 0 || g->limits.per_instance)
        return;
    uint64_t now = cgroup_count(g->dir, "pids.current", NULL);
    if (now != UINT64_MAX && now >= g->limits.pids_max)
        text_addf(out, " (cgroup.pids_max %" PRIu64 ")", g->limits.pids_max);
}

/* An end */

static int open_of(const Instance *i) {
    const ServiceCgroup *g = i->service->cgroup;
    char name[CGROUP_NUMBER_MAX];
    if (!g || g->dir < 0 || i->group == 0)
        return -EBADF;
    (void)snprintf(name, sizeof(name), "%" PRIu64, i->group);
    return cgroup_open(g->dir, name);
}

/* Whether it was the limit of the group, or memory has run out further up. */
static uint64_t limit_of(const ServiceCgroup *g, int dir) {
    return kills_in(dir) > 0 && count_or_none(dir, "memory.events", "oom") > 0 ? g->limits.memory_max
                                                                               : UINT64_MAX;
}

static void tell_kill(const Instance *i) {
    Service *s = i->service;
    CLEANUP_TEXT Text text = {0};
    text_addf(&text, "process %d was killed: out of memory", (int)i->pid);
    if (i->out_of_memory != UINT64_MAX) {
        text_add(&text, " (cgroup.memory_max ");
        value_size_format(i->out_of_memory, &text);
        text_add(&text, ")");
    }
    service_set_error(s, spawn_step_to_string(STEP_CGROUP), ENOMEM, text.s ? text.s : "", &s->config->pos);
}

static void find_reason(Instance *i, int own, bool killed) {
    Service *s = i->service;
    ServiceCgroup *g = s->cgroup;
    int dir = own >= 0 ? own : g->dir;
    uint64_t kills = count_kills(s);
    if (own >= 0)
        kills = kills_in(own);
    else
        g->unclaimed += kills;
    if (own < 0 && killed && g->unclaimed > 0) {
        g->unclaimed--;
        kills = 1;
    } else if (own < 0) {
        kills = 0;
    }
    if (killed && kills > 0) {
        i->out_of_memory = limit_of(g, dir);
        tell_kill(i);
    }
    if (g->limits.pids_max != UINT64_MAX)
        tell_refusals(s,
                      own >= 0 ? refusals_in(own) : advance(&g->seen_refusals, g->dir, "pids.events", "max"));
}

static void look_soon(ServiceCgroup *g);

/* Whoever is left is killed, and the group removed when they have gone. */
static void clear(ServiceCgroup *g, uint64_t group, int dir) {
    char name[CGROUP_NUMBER_MAX];
    (void)snprintf(name, sizeof(name), "%" PRIu64, group);
    if (cgroup_remove(g->dir, name) >= 0)
        return;
    cgroup_kill(dir);
    Leaving *l = calloc(1, sizeof(*l));
    /* Without memory it goes with the service's. */
    if (!l)
        return;
    memcpy(l->name, name, sizeof(name));
    list_append(&g->leaving, &l->link);
    look_soon(g);
}

void service_cgroup_leave(Instance *i, bool killed) {
    ServiceCgroup *g = i->service->cgroup;
    uint64_t group = i->group;
    if (!g || g->dir < 0)
        return;
    CLEANUP_CLOSE int own = open_of(i);
    i->group = 0;
    if (group == 0 || own >= 0)
        find_reason(i, own, killed);
    if (own >= 0)
        clear(g, group, own);
}

void service_cgroup_kill(const Instance *i) {
    CLEANUP_CLOSE int own = open_of(i);
    if (own >= 0)
        cgroup_kill(own);
}

void service_cgroup_kill_all(const Service *s) {
    if (s->cgroup && s->cgroup->dir >= 0)
        cgroup_kill(s->cgroup->dir);
}

/* The end of all */

static void remove_leaving(ServiceCgroup *g) {
    LIST_FOREACH_SAFE (l, &g->leaving, Leaving, link) {
        if (g->dir >= 0 && cgroup_remove(g->dir, l->name) < 0) {
            CLEANUP_CLOSE int dir = cgroup_open(g->dir, l->name);
            if (dir >= 0)
                cgroup_kill(dir);
            continue;
        }
        list_remove(&l->link);
        free(l);
    }
}

/* Whether nothing of it is left. */
static bool is_removed(ServiceCgroup *g) {
    CLEANUP_TEXT Text name = {0};
    const CgroupTree *tree = g->service->rt->cgroups;
    if (!tree)
        return true;
    cgroup_tree_name(tree, g->service->name, &name);
    return !text_ok(&name) || cgroup_remove(tree->base, name.s) != -EBUSY;
}

static void set_ending(ServiceCgroup *g, uint64_t kill_usec) {
    Runtime *rt = g->service->rt;
    rt->n_cgroups_ending += kill_usec > 0;
    rt->n_cgroups_ending -= g->kill_usec > 0;
    g->kill_usec = kill_usec;
}

void service_cgroup_free(Service *s) {
    ServiceCgroup *g = s->cgroup;
    if (!g)
        return;
    set_ending(g, 0);
    cgroup_spread_forget(g);
    g->timer = sd_event_source_disable_unref(g->timer);
    LIST_FOREACH_SAFE (l, &g->leaving, Leaving, link) {
        list_remove(&l->link);
        free(l);
    }
    bool had = g->dir >= 0;
    g->dir = fd_close(g->dir);
    g->all = fd_close(g->all);
    if (had)
        (void)is_removed(g);
    s->cgroup = NULL;
    free(g);
    if (--s->rt->n_cgroups == 0)
        s->rt->cgroups = cgroup_tree_free(s->rt->cgroups);
}

/* It has ended, with all that there was. */
static void conclude(Service *s) {
    Runtime *rt = s->rt;
    service_cgroup_free(s);
    service_update(s, NULL);
    rt->on_settled(rt->on_settled_userdata);
}

static int on_look(sd_event_source *source, uint64_t usec, void *userdata) {
    ServiceCgroup *g = userdata;
    (void)source;
    (void)usec;
    g->timer = sd_event_source_disable_unref(g->timer);
    remove_leaving(g);
    if (g->kill_usec > 0) {
        if (is_removed(g)) {
            conclude(g->service);
            return 0;
        }
        if (clock_monotonic_usec() >= g->kill_usec)
            cgroup_kill(g->dir);
    }
    if (g->kill_usec > 0 || !list_is_empty(&g->leaving))
        look_soon(g);
    else
        g->looks = 0;
    return 0;
}

/* More and more seldom, but not past the time of the end. */
static void look_soon(ServiceCgroup *g) {
    uint64_t wait = LOOK_MIN_USEC << (g->looks < 8 ? g->looks : 8);
    uint64_t now = clock_monotonic_usec();
    if (g->timer)
        return;
    g->looks++;
    if (wait > LOOK_MAX_USEC)
        wait = LOOK_MAX_USEC;
    if (g->kill_usec > now && g->kill_usec - now < wait)
        wait = g->kill_usec - now;
    (void)sd_event_add_time(g->service->rt->loop, &g->timer, CLOCK_MONOTONIC, now + wait, USEC_PER_MSEC,
                            on_look, g);
}

static bool has_ended(const Service *s) {
    if (s->rt->leaves_processes || service_n_processes(s) > 0)
        return false;
    ServiceFacts facts = service_facts(s);
    ServiceState state = service_state_of(&facts);
    return state == SERVICE_STOPPED || state == SERVICE_DISABLED;
}

static void begin_end(ServiceCgroup *g) {
    const Service *s = g->service;
    uint64_t now = clock_monotonic_usec(), stop = s->config->terms->timeout_stop_usec;
    cgroup_signal(g->dir, SIGTERM);
    cgroup_signal(g->dir, SIGCONT);
    set_ending(g, stop >= UINT64_MAX - now ? UINT64_MAX : now + stop);
    g->looks = 0;
    g->timer = sd_event_source_disable_unref(g->timer);
    look_soon(g);
}

void service_cgroup_settle(Service *s) {
    ServiceCgroup *g = s->cgroup;
    if (!g)
        return;
    if (g->kill_usec > 0 && (s->order == ORDER_RUN || s->order == ORDER_PAUSE) && !s->removed &&
        !s->rt->stopping && s->config->enabled)
        set_ending(g, 0);
    if (g->kill_usec > 0)
        return;
    bool ended = has_ended(s), over = ended || (g->let_go && service_n_processes(s) == 0);
    /* Of one that could not be had there is nothing to remove. */
    if (over && (g->dir < 0 || is_removed(g)))
        service_cgroup_free(s);
    else if (ended)
        begin_end(g);
}

bool service_cgroup_is_ending(const Service *s) {
    return s->cgroup && s->cgroup->kill_usec > 0;
}

/* Telling */

static uint64_t limit_or_none(const CgroupConfig *c, uint64_t limit) {
    return c ? limit : UINT64_MAX;
}

void service_cgroup_describe(const Service *s, ApiCgroup *ret) {
    const ServiceCgroup *g = s->cgroup;
    const Counters *counters = &service_past(s)->counters;
    const CgroupConfig *c = s->config->cgroup;
    *ret = (ApiCgroup){.present = false};
    if (!g || g->dir < 0)
        return;
    ret->present = true;
    CLEANUP_TEXT Text path = {0};
    text_addf(&path, "%s/", s->rt->cgroups->path);
    cgroup_tree_name(s->rt->cgroups, s->name, &path);
    (void)snprintf(ret->path, sizeof(ret->path), "%s", path.s ? path.s : "");
    ret->per_instance = g->limits.per_instance;
    ret->memory = cgroup_count(g->dir, "memory.current", NULL);
    ret->memory_max = limit_or_none(c, g->limits.memory_max);
    ret->memory_high = limit_or_none(c, g->limits.memory_high);
    ret->pids = cgroup_count(g->dir, "pids.current", NULL);
    ret->pids_max = limit_or_none(c, g->limits.pids_max);
    ret->cpu_usec = cgroup_count(g->dir, "cpu.stat", "usage_usec");
    ret->cpu_max = limit_or_none(c, g->limits.cpu_max);
    ret->io_weight = c ? g->limits.io_weight : 0;
    ret->oom_kills = counters->cgroup_oom_kills;
    ret->pids_limited = counters->cgroup_pids_limited;
}

/* The upgrade in place */

enum {
    CGROUP_NEWEST = 1,
    CGROUP_SEEN_KILLS,
    CGROUP_SEEN_REFUSALS,
    CGROUP_UNCLAIMED,
    CGROUP_COUNTS,
};

static const BlobRow rows[] = {
    BLOB_ROW(CGROUP_NEWEST, ServiceCgroup, newest),
    BLOB_ROW(CGROUP_SEEN_KILLS, ServiceCgroup, seen_kills),
    BLOB_ROW(CGROUP_SEEN_REFUSALS, ServiceCgroup, seen_refusals),
    BLOB_ROW(CGROUP_UNCLAIMED, ServiceCgroup, unclaimed),
    BLOB_ROW(CGROUP_COUNTS, ServiceCgroup, counts),
};

void service_cgroup_save(BlobWriter *w, const ServiceCgroup *g) {
    blob_put_rows(w, rows, ELEMENTS(rows), g);
}

int service_cgroup_restore(BlobReader r, Service *s) {
    BlobField f;
    ServiceCgroup *g = s->cgroup ? s->cgroup : service_cgroup_new(s);
    if (!g)
        return -ENOMEM;
    s->cgroup = g;
    while (blob_next(&r, &f))
        (void)blob_get_row(&f, rows, ELEMENTS(rows), g);
    return blob_is_spoilt(r.source) ? -EBADMSG : 0;
}

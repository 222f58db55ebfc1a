/* SPDX-License-Identifier: MIT */
#include "daemon/service-cgroup.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#include "conf/value.h"
#include "daemon/base/clock.h"
#include "daemon/base/proc-file.h"
#include "daemon/cgroup-file.h"
#include "daemon/cgroup-limits.h"
#include "daemon/cgroup-spread.h"
#include "daemon/flight.h"
#include "daemon/service-private.h"

/* Names that a killed daemon has left are passed by. */
#define NAMES_TRIED 64

/* Making */

ServiceCgroup *service_cgroup_new(Service *s) {
    ServiceCgroup *g = calloc(1, sizeof(*g));
    if (!g)
        return NULL;
    g->service = s;
    s->rt->n_cgroups++;
    g->dir = g->all = -EBADF;
    list_init(&g->leaving);
    list_init(&g->spreading);
    return g;
}

static void close_folders(ServiceCgroup *g) {
    g->dir = fd_close(g->dir);
    g->all = fd_close(g->all);
}

static int apply(const Service *s, int dir, const CgroupConfig *from, const CgroupConfig *to, bool alone) {
    return cgroup_limits_apply(dir, from, to, alone, s->rt->cgroups->enabled, &s->rt->errands,
                               &s->cgroup->refused);
}

/* What to do about a limit that was not taken. */
static const char *hint_of(int error) {
    static const struct {
        int error;
        const char *hint;
    } hints[] = {
        {ENOENT, " (this kernel does not have it: leave it out)"},
        {EINVAL, " (the kernel does not take this value)"},
        {ERANGE, " (the kernel does not take this value)"},
        {EACCES, " (it is not the daemon's to write: Delegate=yes of its unit)"},
        {EPERM, " (it is not the daemon's to write: Delegate=yes of its unit)"},
        {EROFS, " (it is read-only here: ProtectControlGroups= of its unit, or a container)"},
    };
    for (size_t i = 0; i < ELEMENTS(hints); i++)
        if (error == hints[i].error)
            return hints[i].hint;
    return "";
}

static void take_stock(int dir, const char *name, void *userdata) {
    ServiceCgroup *g = userdata;
    uint64_t number = 0;
    if (!cgroup_parse_number(name, &number))
        return;
    if (number > g->newest)
        g->newest = number;
    (void)unlinkat(dir, name, AT_REMOVEDIR);
}

static int open_folder(ServiceCgroup *g, const CgroupTree *tree, bool *ret_new) {
    CLEANUP_TEXT Text name = {0};
    cgroup_tree_name(tree, g->service->name, &name);
    if (!text_ok(&name))
        return -ENOMEM;
    g->dir = cgroup_make(tree->base, name.s, ret_new);
    if (g->dir >= 0 && !*ret_new)
        cgroup_each_group(g->dir, take_stock, g);
    return g->dir < 0 ? g->dir : 0;
}

/* Nobody knows how those came there that are all in one group: what holds for the service holds for them from
 * now on, whoever is to be limited on his own. */
static int keep_found(ServiceCgroup *g) {
    CLEANUP_CLOSE int found = g->all < 0 ? cgroup_open(g->dir, CGROUP_ALL) : -EBADF;
    int all = found >= 0 ? found : g->all;
    if (all < 0 || !cgroup_is_populated(all))
        return 0;
    return cgroup_limits_hand_down(g->dir, all, g->service->rt->cgroups->enabled);
}

/* Those that run keep what they have: those that were all in one group, in that one. */
static int part(ServiceCgroup *g, const CgroupConfig *before, const CgroupConfig *c) {
    const Service *s = g->service;
    int r = cgroup_enable(g->dir, cgroup_controllers_of(c) | (before ? cgroup_controllers_of(before) : 0));
    if (r >= 0 && before && g->all >= 0)
        r = apply(s, g->all, NULL, before, false);
    g->all = fd_close(g->all);
    return r;
}

static int unite(ServiceCgroup *g) {
    if (g->all < 0)
        g->all = cgroup_make(g->dir, CGROUP_ALL, NULL);
    return g->all < 0 ? g->all : 0;
}

/* @from: the limits that it has; NULL: nobody knows. */
static int change(ServiceCgroup *g, const CgroupConfig *from, const CgroupConfig *to) {
    const Service *s = g->service;
    const CgroupConfig *shared = from && !from->per_instance && g->all >= 0 ? from : NULL;
    const CgroupConfig *before = from ? shared : &cgroup_limits_unknown;
    int r = !from && to->per_instance ? keep_found(g) : 0;
    if (r >= 0)
        r = to->per_instance ? part(g, shared, to) : unite(g);
    if (r >= 0)
        r = apply(s, g->dir, before, to->per_instance ? NULL : to, false);
    if (!to->per_instance)
        cgroup_spread_forget(g);
    else if (r >= 0)
        r = cgroup_spread(g, from && from->per_instance ? from : &cgroup_limits_unknown, to);
    return r;
}

static int not_set_up(const Service *s, int error, CgroupProblem *why) {
    const char *refused = s->cgroup->refused;
    return cgroup_problem(why, error, "the control group of '%s' in %s cannot be set up: %s%s%s%s", s->name,
                          s->rt->cgroups->path, refused ? refused : "", refused ? ": " : "", strerror(-error),
                          refused ? hint_of(-error) : "");
}

static int set_up(Service *s, CgroupProblem *why) {
    static const CgroupConfig fresh = {.memory_max = UINT64_MAX};
    ServiceCgroup *g = s->cgroup ? s->cgroup : service_cgroup_new(s);
    if (!g)
        return cgroup_problem(why, -ENOMEM, "%s", strerror(ENOMEM));
    s->cgroup = g;
    if (g->doubted)
        close_folders(g);
    bool had = g->dir >= 0, known = had && !g->lacks && !g->let_go, is_new = false;
    g->refused = NULL;
    int r = had ? 0 : open_folder(g, s->rt->cgroups, &is_new);
    if (r >= 0)
        r = change(g, known ? &g->limits : is_new ? &fresh : NULL, s->config->cgroup);
    g->doubted = false;
    g->lacks = r < 0;
    if (r < 0) {
        /* The next try begins anew. */
        cgroup_spread_forget(g);
        return not_set_up(s, r, why);
    }
    g->limits = *s->config->cgroup;
    g->let_go = false;
    service_cgroup_begin_count(g);
    return 0;
}

static int make(Service *s, CgroupProblem *why) {
    Runtime *rt = s->rt;
    int r = rt->cgroups ? 0 : cgroup_tree_new(rt->cgroup_in_leaf, rt->socket, &rt->cgroups, why);
    if (r < 0)
        return r;
    rt->cgroup_in_leaf = rt->cgroups->root < 0;
    r = cgroup_tree_enable(rt->cgroups, cgroup_controllers_of(s->config->cgroup), why);
    if (r >= 0)
        r = set_up(s, why);
    if (rt->n_cgroups == 0)
        rt->cgroups = cgroup_tree_free(rt->cgroups);
    return r;
}

static void forget_limits(ServiceCgroup *g) {
    g->limits = (CgroupConfig){.memory_max = UINT64_MAX,
                               .memory_high = UINT64_MAX,
                               .cpu_max = UINT64_MAX,
                               .pids_max = UINT64_MAX,
                               .per_instance = g->limits.per_instance};
    g->let_go = true;
}

/* Its config has none any more: who is in it has no limits, and those that come begin elsewhere. */
static void let_go(ServiceCgroup *g) {
    if (g->let_go)
        return;
    cgroup_spread_forget(g);
    if (g->dir >= 0)
        (void)apply(g->service, g->dir, g->lacks ? &cgroup_limits_unknown : &g->limits, NULL, false);
    forget_limits(g);
}

/* One that was let go before an upgrade: there are processes in it still, which are to be found. */
static void find_again(ServiceCgroup *g) {
    Runtime *rt = g->service->rt;
    CLEANUP_TEXT Text name = {0};
    CgroupProblem why;
    forget_limits(g);
    if (!rt->cgroups && cgroup_tree_new(rt->cgroup_in_leaf, rt->socket, &rt->cgroups, &why) < 0)
        return;
    rt->cgroup_in_leaf = rt->cgroups->root < 0;
    cgroup_tree_name(rt->cgroups, g->service->name, &name);
    if (text_ok(&name))
        g->dir = cgroup_open(rt->cgroups->base, name.s);
}

void service_cgroup_resume(Service *s) {
    if (s->cgroup && s->config->cgroup)
        (void)service_cgroup_prepare(s);
    else if (s->cgroup)
        find_again(s->cgroup);
}

static void tell_lack(Service *s, const CgroupProblem *why) {
    if (s->cgroup)
        s->cgroup->lacks = true;
    if (!streq_null(service_past(s)->last_error.message, why->text))
        service_set_error(s, spawn_step_to_string(STEP_CGROUP), why->error, why->text, &s->config->pos);
}

bool service_cgroup_prepare(Service *s) {
    CgroupProblem why;
    if (!s->config->cgroup) {
        if (s->cgroup)
            let_go(s->cgroup);
        return true;
    }
    if (make(s, &why) >= 0)
        return true;
    tell_lack(s, &why);
    return false;
}

void service_cgroup_fail(Service *s, int error) {
    CgroupProblem why;
    cgroup_spread_forget(s->cgroup);
    (void)not_set_up(s, error, &why);
    tell_lack(s, &why);
    service_retry_at(s, clock_monotonic_usec() + USEC_PER_SEC);
    service_update(s, NULL);
}

bool service_cgroup_is_missing(const Service *s) {
    return s->config->cgroup && (!s->cgroup || s->cgroup->dir < 0 || s->cgroup->lacks);
}

void service_cgroup_doubt(Service *s) {
    if (s->cgroup)
        s->cgroup->doubted = true;
}

/* Entering */

static int enter_own(Instance *i, int *own) {
    ServiceCgroup *g = i->service->cgroup;
    char name[CGROUP_NUMBER_MAX];
    bool is_new = false;
    int dir = -EEXIST;
    for (unsigned tries = 0; !is_new && tries < NAMES_TRIED; tries++) {
        (void)fd_close(dir);
        (void)snprintf(name, sizeof(name), "%" PRIu64, ++g->newest);
        dir = cgroup_make(g->dir, name, &is_new);
        if (dir < 0)
            return dir;
    }
    *own = dir;
    if (!is_new)
        return -EEXIST;
    i->group = g->newest;
    return apply(i->service, dir, NULL, &g->limits, true);
}

int service_cgroup_enter(Instance *i, int *own) {
    Service *s = i->service;
    *own = fd_close(*own);
    if (s->cgroup)
        s->cgroup->refused = NULL;
    service_cgroup_forget(i);
    bool sound = s->cgroup && !service_cgroup_is_missing(s) && !s->cgroup->doubted;
    if ((!sound && !service_cgroup_prepare(s)) || !s->cgroup) {
        /* It does not listen now, so that nobody else would see to it. */
        service_retry_at(s, clock_monotonic_usec() + USEC_PER_SEC);
        return service_past(s)->last_error.error ? -service_past(s)->last_error.error : -ENODEV;
    }
    int r = s->config->cgroup->per_instance ? enter_own(i, own) : 0;
    if (r < 0) {
        service_cgroup_forget(i);
        return r;
    }
    i->flight->cgroup = *own >= 0 ? *own : s->cgroup->all;
    return 0;
}

void service_cgroup_forget(Instance *i) {
    const ServiceCgroup *g = i->service->cgroup;
    char name[CGROUP_NUMBER_MAX];
    if (i->group == 0)
        return;
    (void)snprintf(name, sizeof(name), "%" PRIu64, i->group);
    i->group = 0;
    if (g && g->dir >= 0)
        (void)unlinkat(g->dir, name, AT_REMOVEDIR);
}

/* proc_pid_cgroup(5): …/SERVICE/NUMBER. */
void service_cgroup_adopt(Instance *i) {
    char text[CGROUP_FILE_MAX];
    CLEANUP_TEXT Text member = {0};
    if (proc_file_read(i->pid, "cgroup", text, sizeof(text)) == 0)
        return;
    if (cgroup_parse_membership(text, &member) < 0)
        return;
    char *last = strrchr(member.s, '/');
    if (!last)
        return;
    *last = '\0';
    const char *group = strrchr(member.s, '/');
    if (group && cgroup_is_of(group + 1, i->service->name))
        (void)cgroup_parse_number(last + 1, &i->group);
}

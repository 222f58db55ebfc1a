/* SPDX-License-Identifier: MIT */
/* A reload carried out: prepared as far as that can fail and be undone, then changed over in one go. */
#include "daemon/reload.h"

#include <string.h>

#include "daemon/bind.h"
#include "daemon/open-beside.h"
#include "daemon/service-leave.h"

/* All that is prepared before anything changes. */
typedef struct Prepared {
    Runtime *rt;
    const ServiceSet *set;
    Config *to;
    Running running;
    Plan plan;
    size_t n_options;   /* the sockets before this one have their new options */
    Listener **opened;  /* of each socket of the plan: what was opened for it, or is closed */
    Listener ***lists;  /* of each entry that changes: its listeners to be */
    Service **services; /* what the set will be: of each entry its service */
    OpenBeside beside;
} Prepared;

size_t service_set_index(const ServiceSet *set, const char *name) {
    size_t low = 0, high = set->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(name, set->items[middle]->name);
        if (order == 0)
            return middle;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return set->n;
}

Service *service_set_find(const ServiceSet *set, const char *name) {
    size_t i = service_set_index(set, name);
    return i < set->n ? set->items[i] : NULL;
}

/* Whether its processes have the listeners themselves, or are workers. */
static bool has_holders(const ServiceConfig *c) {
    return c->model == MODEL_ON_DEMAND || c->model == MODEL_POOL ||
           (c->model == MODEL_FORWARD && !service_config_accepts(c));
}

int running_of(const ServiceSet *set, const Comparison *known, Running *ret) {
    size_t n = 0;
    for (size_t i = 0; i < set->n; i++)
        n += set->items[i]->n_listeners;
    Running r = {.services = calloc(set->n + 1, sizeof(PlanService)),
                 .listeners = calloc(n + 1, sizeof(PlanListener)),
                 .n = set->n};
    if (!r.services || !r.listeners) {
        running_done(&r);
        return -ENOMEM;
    }
    PlanListener *at = r.listeners;
    size_t at_known = 0;
    for (size_t i = 0; i < set->n; i++) {
        const Service *s = set->items[i];
        const Compared *pair = known ? comparison_next(known, s->config, &at_known) : NULL;
        bool holds = has_holders(s->config);
        r.services[i] = (PlanService){
            .name = s->name,
            .config = s->config,
            .compared = pair ? pair->to : NULL,
            .differs = pair && pair->n > 0,
            .listeners = at,
            .n_listeners = s->n_listeners,
            .removed = s->removed,
            .quiet = !service_order_listens(s->order),
            .limits_set = !limits_config_equal(s->limits, &s->config->terms->limits),
            .connections = holds ? 0 : s->n_instances,
            .holders = holds ? s->n_instances : 0,
        };
        for (size_t k = 0; k < s->n_listeners; k++) {
            const Listener *l = s->listeners[k];
            *at++ = (PlanListener){.config = l->config,
                                   .index = l->index,
                                   .addr = listener_has_socket(l) ? &l->addr : NULL,
                                   .has_socket = listener_has_socket(l)};
        }
    }
    *ret = r;
    return 0;
}

void running_done(Running *r) {
    free(r->services);
    free(r->listeners);
    *r = (Running){0};
}

int reload_plan(const ServiceSet *set, const Config *to, const Comparison *known, PlanItems *ret) {
    Running running CLEANUP(running_done) = {0};
    Plan plan CLEANUP_PLAN = {0};
    int r = running_of(set, known, &running);
    if (r >= 0)
        r = plan_make(running.services, running.n, to, &plan);
    return r < 0 ? r : plan_items_make(&plan, running.services, to, ret);
}

/* Whether @e is changed over; a service that has gone before, or stays as it is, is not. */
static bool changes(const PlanEntry *e) {
    return e->fate == FATE_CHANGED || e->fate == FATE_ADDED || e->fate == FATE_REMOVED;
}

static Listener *listener_of(const Prepared *p, const PlanSocket *socket) {
    return socket->service == PLAN_NONE ? NULL : p->set->items[socket->service]->listeners[socket->listener];
}

/* Options of open sockets */

static int set_options(const Listener *l, const ListenConfig *from, const ListenConfig *to,
                       const char **ret_step) {
    int r = bind_change_options(l->fd, from, to, ret_step);
    if (r < 0 || l->ino == 0)
        return r;
    *ret_step = "mode";
    return bind_adjust(to, l->fd, l->dev, l->ino);
}

static bool takes_options(const PlanSocket *socket, const Listener *l) {
    return l && listener_is_open(l) && socket->options != 0;
}

static void undo_options(Prepared *p) {
    const char *step = NULL;
    while (p->n_options > 0) {
        const PlanSocket *socket = &p->plan.sockets[--p->n_options];
        const Listener *l = listener_of(p, socket);
        if (takes_options(socket, l))
            (void)set_options(l, socket->config, l->config, &step);
    }
}

static void tell(const ListenConfig *c, int error, const char *what, const char *why, DiagList *diags) {
    DiagPos pos = {
        .file = c->pos.file, .line = c->pos.line, .column = c->pos.column, .end_column = c->pos.column + 1};
    DiagCode code = error == EACCES || error == EPERM        ? DIAG_NOT_ALLOWED
                    : error == EADDRINUSE || error == EEXIST ? DIAG_CONFLICT
                                                             : DIAG_NOT_FOUND;
    diag_add(diags, DIAG_ERROR, code, &pos, NULL, NULL, "%s %s: %s", what, c->endpoint.text, why);
}

/* All that fails is told. */
static int prepare_options(Prepared *p, DiagList *diags) {
    for (; p->n_options < p->plan.n_sockets; p->n_options++) {
        const PlanSocket *socket = &p->plan.sockets[p->n_options];
        const Listener *l = listener_of(p, socket);
        const char *step = "options";
        char why[160];
        if (!takes_options(socket, l))
            continue;
        int r = set_options(l, l->config, socket->config, &step);
        /* Somebody has put another one in its place: that is not ours to change. */
        if (r >= 0 || r == -ESTALE || r == -ENOENT)
            continue;
        (void)snprintf(why, sizeof(why), "%s: %s", step, strerror(-r));
        tell(socket->config, -r, "cannot change", why, diags);
        (void)set_options(l, socket->config, l->config, &step);
    }
    return diags->n_errors > 0 ? -EINVAL : 0;
}

/* New listeners */

/* The port that the kernel chose for the other family of the same endpoint. */
static uint16_t port_of_pair(const Prepared *p, size_t i) {
    const PlanSocket *socket = &p->plan.sockets[i];
    if (socket->index == 0 || i == 0 || p->plan.sockets[i - 1].config != socket->config)
        return 0;
    const Listener *other = p->opened[i - 1] ? p->opened[i - 1] : listener_of(p, socket - 1);
    const Addr addr = other ? listener_addr(other) : (Addr){0};
    return other && listener_is_open(other) ? addr_port(&addr) : 0;
}

static int open_new(Prepared *p, size_t i, DiagList *diags) {
    const PlanSocket *socket = &p->plan.sockets[i];
    Listener *l = listener_new(NULL, p->rt->loop, socket->config, socket->index);
    char why[128];
    if (!l)
        return -ENOMEM;
    p->opened[i] = l;
    if (socket->fate != SOCKET_OPENED)
        return 0;
    int r = open_beside(&p->beside, p->set, l, port_of_pair(p, i));
    if (r >= 0)
        return 0;
    if (listener_family_is_missing(l, -r)) {
        l->error = 0;
        l->dispensable = true;
        return 0;
    }
    tell(socket->config, -r, "cannot listen on", listener_error_text(l, why, sizeof(why)), diags);
    return 0;
}

static int prepare_listeners(Prepared *p, DiagList *diags) {
    p->opened = (Listener **)calloc(p->plan.n_sockets + 1, sizeof(Listener *));
    if (!p->opened)
        return -ENOMEM;
    for (size_t i = 0; i < p->plan.n_sockets; i++) {
        if (p->plan.sockets[i].service != PLAN_NONE)
            continue;
        int r = open_new(p, i, diags);
        if (r < 0)
            return r;
    }
    return diags->n_errors > 0 ? -EINVAL : 0;
}

/* Room for the listeners of each service that changes. One that is disabled has closed ones. */
static int prepare_lists(Prepared *p) {
    p->lists = (Listener ***)calloc(p->plan.n_entries + 1, sizeof(Listener **));
    for (size_t i = 0; p->lists && i < p->plan.n_entries; i++) {
        const PlanEntry *e = &p->plan.entries[i];
        if (!changes(e))
            continue;
        size_t n = e->to == PLAN_NONE ? 0 : service_config_count_sockets(p->to->services[e->to]);
        p->lists[i] = (Listener **)calloc(n + 1, sizeof(Listener *));
        if (!p->lists[i])
            return -ENOMEM;
        const ServiceConfig *c = n > 0 && e->n_sockets == 0 ? p->to->services[e->to] : NULL;
        for (size_t k = 0, at = 0; c && k < c->n_listen; k++)
            for (size_t a = 0; a < c->listen[k].endpoint.n_addrs; a++)
                if (!(p->lists[i][at++] = listener_new(NULL, p->rt->loop, &c->listen[k], a)))
                    return -ENOMEM;
    }
    return p->lists ? 0 : -ENOMEM;
}

/* Services that are new, as empty shells: their listeners are attached at the change-over. */
static int prepare_services(Prepared *p, uint64_t generation) {
    p->services = (Service **)calloc(p->plan.n_entries + 1, sizeof(Service *));
    if (!p->services)
        return -ENOMEM;
    for (size_t i = 0; i < p->plan.n_entries; i++) {
        const PlanEntry *e = &p->plan.entries[i];
        p->services[i] = e->from != PLAN_NONE ? p->set->items[e->from]
                                              : service_new(p->rt, p->to, p->to->services[e->to], generation);
        if (!p->services[i])
            return -ENOMEM;
    }
    return 0;
}

/* Undoes all that has not been carried out. */
static void prepared_done(Prepared *p) {
    undo_options(p);
    open_beside_done(&p->beside);
    for (size_t i = 0; p->opened && i < p->plan.n_sockets; i++)
        listener_free(p->opened[i], true);
    for (size_t i = 0; p->lists && i < p->plan.n_entries; i++) {
        for (size_t k = 0; p->lists[i] && p->lists[i][k]; k++)
            listener_free(p->lists[i][k], true);
        free((void *)p->lists[i]);
    }
    for (size_t i = 0; p->services && i < p->plan.n_entries; i++)
        if (p->services[i] && p->plan.entries[i].from == PLAN_NONE)
            service_free(p->services[i]);
    free((void *)p->opened);
    free((void *)p->lists);
    free((void *)p->services);
    plan_done(&p->plan);
    running_done(&p->running);
    *p = (Prepared){0};
}

/* The change-over: nothing of it fails */

/* First all give up what changes, so that what moves from one service to another is there to be taken. */
static void give_up(Prepared *p) {
    for (size_t i = 0; i < p->plan.n_entries; i++) {
        const PlanEntry *e = &p->plan.entries[i];
        if (!changes(e) || e->from == PLAN_NONE)
            continue;
        Service *s = p->services[i];
        for (size_t k = 0; k < e->n_listeners; k++)
            if (p->plan.left[e->first_listener + k])
                service_serve_before_leaving(s, s->listeners[k]);
        service_begin_change(s, e->to == PLAN_NONE ? NULL : p->to->services[e->to]);
    }
    for (size_t i = 0; i < p->plan.n_entries; i++) {
        const PlanEntry *e = &p->plan.entries[i];
        for (size_t k = 0; k < e->n_sockets; k++) {
            const PlanSocket *socket = &p->plan.sockets[e->first_socket + k];
            Listener *opened = TAKE_PTR(p->opened[e->first_socket + k]);
            p->lists[i][k] = opened ? opened : listener_of(p, socket);
        }
    }
}

/* What was opened anew for the reload, or has come from another service, is told by @s. */
static void change_service(Prepared *p, size_t i, uint64_t generation) {
    const PlanEntry *e = &p->plan.entries[i];
    ServiceConfig *c = e->to == PLAN_NONE ? NULL : p->to->services[e->to];
    Service *s = p->services[i];
    if (!changes(e)) {
        if (c)
            service_renew_config(s, p->to, c, generation);
        return;
    }
    for (size_t k = 0; k < e->n_listeners; k++)
        if (p->plan.left[e->first_listener + k])
            service_leave(s, s->listeners[k]);
    for (size_t k = 0; e->from == PLAN_NONE && k < s->n_listeners; k++)
        listener_free(s->listeners[k], false);
    size_t n = c ? service_config_count_sockets(c) : 0;
    /* Without memory for its slots a service is failed; there is no way back from here. */
    (void)service_change(s, p->to, c, generation, TAKE_PTR(p->lists[i]), n, e->holders);
}

static void forget_bans(Runtime *rt, Gone *gone) {
    if (gone->n > 0)
        bans_forget(rt->bans, gone);
    gone->n = 0;
}

/* A service that is taken away bans nobody, though it is still there for a while. */
static void forget_bans_of_removed(const Prepared *p) {
    Gone gone = {0};
    for (size_t i = 0; i < p->plan.n_entries; i++)
        if (p->plan.entries[i].to == PLAN_NONE && gone_add(&gone, p->services[i]->id))
            forget_bans(p->rt, &gone);
    forget_bans(p->rt, &gone);
}

/* What is the same may still have been waiting for a reload: what it could not open is tried again. */
static bool wants_look(const PlanEntry *e, const Service *s) {
    return changes(e) || s->retry || s->state == SERVICE_FAILED || s->config->start_now;
}

static void settle(const Prepared *p, ServiceSet *set) {
    for (size_t i = 0; i < set->n; i++) {
        const PlanEntry *e = &p->plan.entries[i];
        Service *s = set->items[i];
        if (!wants_look(e, s))
            continue;
        /* Connections of a service that is gone go on; a process that would accept new ones is told to end,
         * one that has a listener with who waits there when that is served. */
        if (changes(e) && (s->removed || !s->config->enabled))
            service_stop_non_strays(s);
        else if (changes(e))
            gate_apply_to_existing(s);
        (void)service_open(s);
    }
    for (size_t i = 0; i < set->n; i++) {
        const PlanEntry *e = &p->plan.entries[i];
        Service *s = set->items[i];
        if (!wants_look(e, s))
            continue;
        if (changes(e))
            service_go_on_leaving(s);
        service_update(s, "reload");
        service_start_now(s);
    }
}

int reload_apply(Runtime *rt, ServiceSet *set, Config *to, const Comparison *known, uint64_t generation,
                 DiagList *diags, PlanItems *items) {
    Prepared p CLEANUP(prepared_done) = {.rt = rt, .set = set, .to = to};
    int r = running_of(set, known, &p.running);
    if (r >= 0)
        r = plan_make(p.running.services, p.running.n, to, &p.plan);
    if (r >= 0)
        r = plan_items_make(&p.plan, p.running.services, to, items);
    if (r >= 0)
        r = prepare_services(&p, generation);
    if (r >= 0)
        r = prepare_lists(&p);
    if (r >= 0)
        r = prepare_options(&p, diags);
    if (r >= 0)
        r = prepare_listeners(&p, diags);
    if (r < 0)
        return r;
    p.n_options = 0; /* they stay */
    open_beside_keep(&p.beside);
    give_up(&p);
    for (size_t i = 0; i < p.plan.n_entries; i++)
        change_service(&p, i, generation);
    forget_bans_of_removed(&p);
    free((void *)set->items);
    set->items = TAKE_PTR(p.services);
    set->n = p.plan.n_entries;
    tcpmux_collect(rt, set->items, set->n);
    settle(&p, set);
    reload_sweep(rt, set);
    return 0;
}

static void forget_sources(Runtime *rt, Gone *gone) {
    if (gone->n > 0)
        sources_forget(rt->sources, gone);
    gone->n = 0;
}

void reload_sweep(Runtime *rt, ServiceSet *set) {
    size_t kept = 0;
    Gone gone = {0};
    for (size_t i = 0; i < set->n; i++) {
        Service *s = set->items[i];
        if (!service_is_over(s)) {
            set->items[kept++] = s;
            continue;
        }
        bool full = gone_add(&gone, s->id);
        service_free(s);
        if (full)
            forget_sources(rt, &gone);
    }
    forget_sources(rt, &gone);
    set->n = kept;
    tcpmux_collect(rt, set->items, set->n);
}

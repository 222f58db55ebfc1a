/* SPDX-License-Identifier: MIT */
#include "daemon/reload.h"

#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/bind.h"
#include "daemon/serve.h"

/* All that is prepared before anything changes. */
typedef struct Prepared {
    Service *
        *services; /* what the set will be: kept ones and new ones, then the removed that have instances */
    size_t n;
    Listener **listeners; /* opened for it, to be handed out by endpoint */
    size_t n_listeners;
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

/* The listener that @s has for this socket now, open or being tried. */
static Listener *find_own(const Service *s, const ListenConfig *config, size_t index) {
    for (size_t i = 0; s && i < s->n_listeners; i++)
        if (listener_serves(s->listeners[i], config, index))
            return s->listeners[i];
    return NULL;
}

static bool config_has(const ServiceConfig *c, const Listener *l) {
    for (size_t i = 0; c && c->enabled && i < c->n_listen; i++)
        for (size_t a = 0; a < c->listen[i].endpoint.n_addrs; a++)
            if (listener_serves(l, &c->listen[i], a))
                return true;
    return false;
}

/* An open listener that its own service gives up, and that serves for @config: the endpoint has moved to
 * another service. */
static bool is_given_up(const ServiceSet *set, const Config *to, const ListenConfig *config, size_t index) {
    for (size_t i = 0; i < set->n; i++) {
        Listener *l = find_own(set->items[i], config, index);
        if (l && listener_is_open(l) && !config_has(config_find(to, set->items[i]->name), l))
            return true;
    }
    return false;
}

static DiagCode bind_code(int error) {
    if (error == EACCES || error == EPERM)
        return DIAG_NOT_ALLOWED;
    if (error == EADDRINUSE || error == EEXIST)
        return DIAG_CONFLICT;
    return DIAG_NOT_FOUND;
}

static void tell_bind_error(const Listener *l, DiagList *diags) {
    const ConfigPos *at = &l->config->pos;
    DiagPos pos = {.file = at->file, .line = at->line, .column = at->column, .end_column = at->column + 1};
    char why[128];
    diag_add(diags, DIAG_ERROR, bind_code(l->error), &pos, NULL, NULL, "cannot listen on %s: %s",
             l->config->endpoint.text, listener_error_text(l, why, sizeof(why)));
}

static void prepared_done(Prepared *p) {
    for (size_t i = 0; i < p->n_listeners; i++)
        listener_free(p->listeners[i], true);
    free((void *)p->listeners);
    free((void *)p->services);
    *p = (Prepared){0};
}

static int prepare_listener(Runtime *rt, const ListenConfig *config, size_t index, Prepared *p,
                            DiagList *diags) {
    Listener *l = listener_new(NULL, rt->loop, config, index);
    if (!l)
        return -ENOMEM;
    uint16_t port = 0;
    if (index > 0 && p->n_listeners > 0 && p->listeners[p->n_listeners - 1]->config == config)
        port = addr_port(&p->listeners[p->n_listeners - 1]->addr);
    int r = listener_open(l, port);
    if (r < 0 && listener_family_is_missing(l, -r)) {
        listener_free(l, false);
        return 0;
    }
    if (r < 0)
        tell_bind_error(l, diags);
    p->listeners[p->n_listeners++] = l;
    return 0;
}

/* Opens what @to has and nobody listens on yet. All failures are told. */
static int prepare_listeners(Runtime *rt, const ServiceSet *set, const Config *to, Prepared *p,
                             DiagList *diags) {
    size_t n = 0;
    for (size_t i = 0; i < to->n_services; i++)
        for (size_t k = 0; k < to->services[i]->n_listen; k++)
            n += to->services[i]->listen[k].endpoint.n_addrs;
    p->listeners = (Listener **)calloc(n + 1, sizeof(Listener *));
    if (!p->listeners)
        return -ENOMEM;
    for (size_t i = 0; i < to->n_services; i++) {
        const ServiceConfig *c = to->services[i];
        const Service *s = service_set_find(set, c->name);
        if (!c->enabled || (s && !service_order_listens(s->order)))
            continue;
        for (size_t k = 0; k < c->n_listen; k++) {
            for (size_t a = 0; a < c->listen[k].endpoint.n_addrs; a++) {
                const Listener *own = find_own(s, &c->listen[k], a);
                bool waits = s && own && !listener_is_open(own) && !s->removed && s->config->enabled;
                if ((own && listener_is_open(own)) || waits || is_given_up(set, to, &c->listen[k], a))
                    continue;
                int r = prepare_listener(rt, &c->listen[k], a, p, diags);
                if (r < 0)
                    return r;
            }
        }
    }
    return diags->n_errors > 0 ? -EINVAL : 0;
}

static int compare_services(const void *a, const void *b) {
    return strcmp((*(Service *const *)a)->name, (*(Service *const *)b)->name);
}

/* Services that are new, as empty shells: their listeners are attached at the change-over. */
static int prepare_services(Runtime *rt, const ServiceSet *set, Config *to, uint64_t generation,
                            Prepared *p) {
    p->services = (Service **)calloc(set->n + to->n_services + 1, sizeof(Service *));
    if (!p->services)
        return -ENOMEM;
    for (size_t i = 0; i < set->n; i++)
        p->services[p->n++] = set->items[i];
    for (size_t i = 0; i < to->n_services; i++) {
        if (service_set_find(set, to->services[i]->name))
            continue;
        Service *s = service_new(rt, to, to->services[i], generation);
        if (!s) {
            while (p->n > set->n)
                service_free(p->services[--p->n]);
            return -ENOMEM;
        }
        p->services[p->n++] = s;
    }
    qsort((void *)p->services, p->n, sizeof(Service *), compare_services);
    return 0;
}

/* What is left over is closed last, and not before those in its queue have been served. */
static void close_spare(ListenerSet *spare) {
    for (size_t i = 0; i < spare->n; i++) {
        Listener *l = spare->items[i];
        if (!l)
            continue;
        if (l->service && service_config_accepts(l->service->config) && listener_is_open(l))
            serve_queue(l);
        /* A process that still listens there goes on being reached by its path. */
        listener_free(l, !service_processes_listen(l->service));
    }
    free((void *)spare->items);
    *spare = (ListenerSet){0};
}

/* Every listener that @set gives up, and all new ones: from here each service takes its own. */
static int make_pool(const ServiceSet *set, Prepared *p, ListenerSet *pool) {
    size_t n = p->n_listeners;
    for (size_t i = 0; i < set->n; i++)
        n += set->items[i]->n_listeners;
    pool->items = (Listener **)calloc(n + 1, sizeof(Listener *));
    if (!pool->items)
        return -ENOMEM;
    for (size_t i = 0; i < p->n_listeners; i++)
        pool->items[pool->n++] = p->listeners[i];
    p->n_listeners = 0;
    return 0;
}

int reload_apply(Runtime *rt, ServiceSet *set, Config *to, uint64_t generation, DiagList *diags) {
    Prepared p CLEANUP(prepared_done) = {0};
    ListenerSet pool = {0};
    int r = prepare_listeners(rt, set, to, &p, diags);
    if (r >= 0)
        r = prepare_services(rt, set, to, generation, &p);
    if (r >= 0)
        r = make_pool(set, &p, &pool);
    if (r < 0)
        return r;
    /* First they all give up what changes, so that what moves from one service to another is there to be
     * taken. */
    for (size_t i = 0; i < p.n; i++)
        service_begin_change(p.services[i], config_find(to, p.services[i]->name), &pool);
    for (size_t i = 0; i < p.n; i++)
        /* Without memory for its listeners a service is failed; there is no way back from here. */
        (void)service_end_change(p.services[i], to, config_find(to, p.services[i]->name), generation, &pool);
    free((void *)set->items);
    *set = (ServiceSet){.items = TAKE_PTR(p.services), .n = p.n};
    tcpmux_collect(rt, set->items, set->n);
    for (size_t i = 0; i < set->n; i++) {
        Service *s = set->items[i];
        /* Connections of a service that is gone go on; a process that would accept new ones is told to end.
         */
        if (s->removed || !s->config->enabled)
            service_stop_instances(s, true);
        else
            gate_apply_to_existing(s);
        /* What another service had open, a stopped one does not keep. */
        if (s->order == ORDER_STOP)
            service_close_listeners(s, service_processes_listen(s));
        (void)service_open(s);
    }
    for (size_t i = 0; i < set->n; i++) {
        service_update(set->items[i], "reload");
        service_start_now(set->items[i]);
    }
    close_spare(&pool);
    reload_sweep(rt, set);
    return 0;
}

void reload_sweep(Runtime *rt, ServiceSet *set) {
    size_t kept = 0;
    for (size_t i = 0; i < set->n; i++) {
        Service *s = set->items[i];
        if (service_is_over(s))
            service_free(s);
        else
            set->items[kept++] = s;
    }
    set->n = kept;
    tcpmux_collect(rt, set->items, set->n);
}

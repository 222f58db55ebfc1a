/* SPDX-License-Identifier: MIT */
#include "daemon/plan.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/base/text.h"
#include "daemon/forward.h"
#include "daemon/pool.h"

/* Sockets by name */

/* Of IPv6: whether it leaves IPv4 alone, which only bind(2) decides. */
static bool is_v6_only(const ListenConfig *c, size_t index) {
    return index < c->endpoint.n_addrs && c->endpoint.addrs[index].sa.sa_family == AF_INET6 &&
           (c->endpoint.both_families || c->only_v6);
}

static int compare_text(const char *a, const char *b) {
    return strcmp(a ? a : "", b ? b : "");
}

/* An order of addresses, of any kind: equal exactly if addr_equal(). */
static int compare_addr(const Addr *a, const Addr *b) {
    if (a->sa.sa_family != b->sa.sa_family || a->len == 0 || b->len == 0)
        return a->len == 0 || b->len == 0 ? (a->len > 0) - (b->len > 0)
                                          : (a->sa.sa_family > b->sa.sa_family ? 1 : -1);
    char x[ADDR_TEXT_MAX], y[ADDR_TEXT_MAX];
    if (addr_equal(a, b))
        return 0;
    int order = memcmp(&a->in.sin_port, &b->in.sin_port, sizeof(a->in.sin_port));
    if (a->sa.sa_family == AF_INET)
        return order != 0 ? order : memcmp(&a->in.sin_addr, &b->in.sin_addr, sizeof(a->in.sin_addr));
    if (a->sa.sa_family == AF_INET6) {
        /* The ports of both families stand in the same place. */
        if (order == 0)
            order = memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr, sizeof(a->in6.sin6_addr));
        if (order == 0)
            order = a->in6.sin6_scope_id > b->in6.sin6_scope_id ? 1 : -1;
        return order;
    }
    order = strcmp(addr_format(a, x), addr_format(b, y));
    return order != 0 ? order : memcmp(&a->storage, &b->storage, a->len < b->len ? a->len : b->len);
}

/* A socket's name: what bind(2) decides and nothing can change afterwards. */
typedef struct SocketName {
    const ListenConfig *config;
    size_t index;
    Addr addr;
} SocketName;

static SocketName name_of(const ListenConfig *config, size_t index, const EndpointAddr *bound) {
    return (SocketName){config, index,
                        bound ? endpoint_addr_widen(bound) : endpoint_addr(&config->endpoint, index)};
}

static int compare_names(const SocketName *a, const SocketName *b) {
    const ListenConfig *c = a->config, *d = b->config;
    int order = (c->endpoint.kind > d->endpoint.kind) - (c->endpoint.kind < d->endpoint.kind);
    if (order == 0)
        order = compare_addr(&a->addr, &b->addr);
    if (order == 0)
        order = is_v6_only(c, a->index) - is_v6_only(d, b->index);
    if (order == 0)
        order = compare_text(c->endpoint.path, d->endpoint.path);
    if (order == 0)
        order = strcmp(c->endpoint.scope, d->endpoint.scope);
    return order != 0 ? order : compare_text(c->device, d->device);
}

/* The kernel chooses. */
static bool has_any_port(const ListenConfig *c, size_t index) {
    const Addr a = endpoint_addr(&c->endpoint, index);
    return endpoint_kind_is_inet(c->endpoint.kind) && index < c->endpoint.n_addrs && addr_port(&a) == 0;
}

bool plan_serves(const ListenConfig *a, size_t a_index, const EndpointAddr *bound, const ListenConfig *b,
                 size_t b_index) {
    SocketName written = name_of(a, a_index, NULL), wanted = name_of(b, b_index, NULL);
    if (compare_names(&written, &wanted) == 0)
        return true;
    /* A port that the kernel had chosen is now named. */
    SocketName open = name_of(a, a_index, bound);
    return bound && bound->sa.sa_family != AF_UNSPEC && compare_names(&open, &wanted) == 0;
}

/* Options of an open socket */

typedef struct Option {
    const char *name;
    bool (*differs)(const ListenConfig *a, const ListenConfig *b);
} Option;

#define OPTION_DIFFERS(option, field)                                                                        \
    static bool option##_differs(const ListenConfig *a, const ListenConfig *b) {                             \
        return a->field != b->field;                                                                         \
    }
OPTION_DIFFERS(backlog, backlog)
OPTION_DIFFERS(reuse_port, reuse_port)
OPTION_DIFFERS(nodelay, nodelay)
OPTION_DIFFERS(defer_accept, defer_accept_sec)
OPTION_DIFFERS(fast_open, fast_open)
OPTION_DIFFERS(mark, mark)
OPTION_DIFFERS(receive_buffer, receive_buffer)
OPTION_DIFFERS(send_buffer, send_buffer)
OPTION_DIFFERS(mode, mode)
OPTION_DIFFERS(user, user)
OPTION_DIFFERS(group, group)

static bool keepalive_differs(const ListenConfig *a, const ListenConfig *b) {
    return a->keepalive != b->keepalive || a->keepalive_idle_sec != b->keepalive_idle_sec ||
           a->keepalive_interval_sec != b->keepalive_interval_sec || a->keepalive_count != b->keepalive_count;
}

static const Option options[] = {
    {"backlog", backlog_differs},
    {"reuse_port", reuse_port_differs},
    {"nodelay", nodelay_differs},
    {"keepalive", keepalive_differs},
    {"defer_accept", defer_accept_differs},
    {"fast_open", fast_open_differs},
    {"mark", mark_differs},
    {"receive_buffer", receive_buffer_differs},
    {"send_buffer", send_buffer_differs},
    {"mode", mode_differs},
    {"user", user_differs},
    {"group", group_differs},
};

uint32_t plan_options(const ListenConfig *a, const ListenConfig *b) {
    uint32_t bits = 0;
    for (size_t i = 0; i < ELEMENTS(options); i++)
        bits |= options[i].differs(a, b) ? 1U << i : 0;
    return bits;
}

const char *plan_option_name(size_t i) {
    return i < ELEMENTS(options) ? options[i].name : NULL;
}

/* Services */

static bool is_same(const PlanService *s, const ServiceConfig *c) {
    if (s->removed || s->limits_set)
        return false;
    if (s->config == c)
        return true;
    bool differs = s->compared == c ? s->differs : service_config_diff(s->config, c, NULL, NULL) > 0;
    return !differs && (s->config->enabled == c->enabled && !s->config->problem &&
                        resolved_is_same(&s->config->resolved, &c->resolved));
}

/* The services of both sides, each with its fate. */
static int merge(const PlanService *running, size_t n, const Config *to, Plan *p) {
    p->entries = calloc(n + to->n_services + 1, sizeof(PlanEntry));
    if (!p->entries)
        return -ENOMEM;
    size_t a = 0, b = 0, first_listener = 0;
    while (a < n || b < to->n_services) {
        int order = a == n ? 1 : b == to->n_services ? -1 : strcmp(running[a].name, to->services[b]->name);
        PlanEntry *e = &p->entries[p->n_entries++];
        *e = (PlanEntry){.from = order <= 0 ? a : PLAN_NONE, .to = order >= 0 ? b : PLAN_NONE};
        if (order < 0)
            e->fate = running[a].removed ? FATE_ENDING : FATE_REMOVED;
        else if (order > 0)
            e->fate = FATE_ADDED;
        else
            e->fate = is_same(&running[a], to->services[b]) ? FATE_SAME : FATE_CHANGED;
        if (e->from != PLAN_NONE) {
            e->first_listener = first_listener;
            e->n_listeners = running[a].n_listeners;
            first_listener += e->n_listeners;
        }
        e->first_socket = p->n_sockets;
        if ((e->fate == FATE_ADDED || e->fate == FATE_CHANGED) && to->services[b]->enabled)
            p->n_sockets += e->n_sockets = service_config_count_sockets(to->services[b]);
        a += order <= 0;
        b += order >= 0;
    }
    p->left = calloc(first_listener + 1, sizeof(bool));
    p->sockets = calloc(p->n_sockets + 1, sizeof(PlanSocket));
    return p->left && p->sockets ? 0 : -ENOMEM;
}

/* What an order keeps closed (@quiet) stays so; what it has open (pause, drain) stays open. */
static void list_sockets(const ServiceConfig *c, bool quiet, PlanSocket *sockets) {
    for (size_t i = 0; i < c->n_listen; i++)
        for (size_t a = 0; a < c->listen[i].endpoint.n_addrs; a++)
            *sockets++ = (PlanSocket){.config = &c->listen[i],
                                      .index = a,
                                      .fate = quiet ? SOCKET_CLOSED : SOCKET_OPENED,
                                      .service = PLAN_NONE,
                                      .listener = PLAN_NONE};
}

static void give(const PlanService *running, Plan *p, PlanSocket *socket, const PlanEntry *of,
                 size_t listener, SocketFate fate) {
    const PlanListener *l = &running[of->from].listeners[listener];
    socket->service = of->from;
    socket->listener = listener;
    socket->options = plan_options(l->config, socket->config);
    socket->fate = fate == SOCKET_KEPT && socket->options ? SOCKET_CHANGED : fate;
    if (!l->has_socket)
        socket->fate = SOCKET_CLOSED;
    p->left[of->first_listener + listener] = false;
}

/* A service's own listeners, open or being tried: those in their old places first. */
static void take_own(const PlanService *running, Plan *p, const PlanEntry *e) {
    const PlanService *s = &running[e->from];
    bool listened = !s->removed && !s->quiet && s->config->enabled;
    for (size_t i = 0; i < e->n_sockets; i++) {
        PlanSocket *socket = &p->sockets[e->first_socket + i];
        for (size_t k = 0; k < e->n_listeners; k++) {
            size_t at = (i + k) % e->n_listeners;
            const PlanListener *l = &s->listeners[at];
            if (!p->left[e->first_listener + at] || (!l->has_socket && !listened) ||
                !plan_serves(l->config, l->index, l->addr, socket->config, socket->index))
                continue;
            give(running, p, socket, e, at, SOCKET_KEPT);
            break;
        }
    }
}

/* What is given up, to be found by its name. */
typedef struct Left {
    SocketName name;
    const PlanEntry *entry;
    size_t listener;
} Left;

static int compare_left(const void *a, const void *b) {
    return compare_names(&((const Left *)a)->name, &((const Left *)b)->name);
}

static size_t list_left(const PlanService *running, const Plan *p, Left *ret) {
    size_t n = 0;
    for (size_t i = 0; i < p->n_entries; i++) {
        const PlanEntry *e = &p->entries[i];
        for (size_t k = 0; k < e->n_listeners; k++) {
            const PlanListener *l = &running[e->from].listeners[k];
            if (!p->left[e->first_listener + k] || !l->has_socket)
                continue;
            /* As it is bound, which its port alone does not tell: to be sure that it is this very one. */
            ret[n++] = (Left){
                .name = name_of(l->config, l->index, has_any_port(l->config, l->index) ? l->addr : NULL),
                .entry = e,
                .listener = k};
        }
    }
    qsort(ret, n, sizeof(Left), compare_left);
    return n;
}

static void take_left(const PlanService *running, Plan *p, const Left *left, size_t n, PlanSocket *socket) {
    SocketName wanted = name_of(socket->config, socket->index, NULL);
    size_t low = 0, high = n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_names(&left[middle].name, &wanted) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < n && compare_names(&left[low].name, &wanted) == 0; low++) {
        if (!p->left[left[low].entry->first_listener + left[low].listener])
            continue;
        give(running, p, socket, left[low].entry, left[low].listener, SOCKET_MOVED);
        return;
    }
}

/* What nobody has by now may be what another service gives up. A port that the kernel chose is nobody
 * else's: those who know it mean that service. */
static int take_moved(const PlanService *running, size_t n_left, Plan *p) {
    Left *left CLEANUP_FREE = calloc(n_left + 1, sizeof(Left));
    if (!left)
        return -ENOMEM;
    size_t n = list_left(running, p, left);
    for (size_t i = 0; i < p->n_sockets; i++) {
        PlanSocket *socket = &p->sockets[i];
        if (socket->fate == SOCKET_OPENED && !has_any_port(socket->config, socket->index))
            take_left(running, p, left, n, socket);
    }
    return 0;
}

static size_t mark_left(const PlanService *running, Plan *p) {
    size_t n = 0;
    for (size_t i = 0; i < p->n_entries; i++) {
        const PlanEntry *e = &p->entries[i];
        if (e->fate == FATE_SAME)
            continue;
        for (size_t k = 0; k < e->n_listeners; k++)
            p->left[e->first_listener + k] = true;
        n += e->n_listeners;
        if (e->fate == FATE_CHANGED)
            take_own(running, p, e);
    }
    return n;
}

/* Processes */

/* Every socket is the one that was in its place before. */
static bool has_same_sockets(const Plan *p, const PlanEntry *e) {
    if (e->n_sockets != e->n_listeners)
        return false;
    for (size_t i = 0; i < e->n_sockets; i++) {
        const PlanSocket *socket = &p->sockets[e->first_socket + i];
        if (socket->service != e->from || socket->listener != i)
            return false;
    }
    return true;
}

static HolderFate fate_of_holders(const PlanService *s, const ServiceConfig *c, const Plan *p,
                                  const PlanEntry *e) {
    const ServiceConfig *old = s->config;
    if (e->fate == FATE_SAME || e->fate == FATE_ENDING)
        return HOLDERS_GO_ON;
    if (e->fate == FATE_REMOVED || !c || !c->enabled || c->model != old->model)
        return HOLDERS_END;
    if (c->model == MODEL_POOL && c->terms->pool.handoff != old->terms->pool.handoff)
        return HOLDERS_END;
    if (c->model == MODEL_POOL)
        return pool_config_keeps_workers(old, c) ? HOLDERS_GO_ON : HOLDERS_ROLL;
    if (c->model == MODEL_ON_DEMAND)
        return c->pass == old->pass && has_same_sockets(p, e) ? HOLDERS_GO_ON : HOLDERS_END;
    if (c->model == MODEL_FORWARD && !service_config_accepts(old))
        return forward_config_keeps_process(old, c) && has_same_sockets(p, e) ? HOLDERS_GO_ON : HOLDERS_END;
    return HOLDERS_GO_ON;
}

int plan_make(const PlanService *running, size_t n, const Config *to, Plan *ret) {
    Plan p CLEANUP_PLAN = {0};
    int r = merge(running, n, to, &p);
    for (size_t i = 0; r >= 0 && i < p.n_entries; i++) {
        const PlanEntry *e = &p.entries[i];
        if (e->n_sockets > 0)
            list_sockets(to->services[e->to], e->from != PLAN_NONE && running[e->from].quiet,
                         &p.sockets[e->first_socket]);
    }
    if (r >= 0)
        r = take_moved(running, mark_left(running, &p), &p);
    if (r < 0)
        return r;
    for (size_t i = 0; i < p.n_entries; i++) {
        PlanEntry *e = &p.entries[i];
        if (e->from == PLAN_NONE)
            continue;
        const ServiceConfig *c = e->to == PLAN_NONE ? NULL : to->services[e->to];
        e->holders = fate_of_holders(&running[e->from], c, &p, e);
    }
    *ret = p;
    p = (Plan){0};
    return 0;
}

void plan_done(Plan *p) {
    free(p->entries);
    free(p->sockets);
    free(p->left);
    *p = (Plan){0};
}

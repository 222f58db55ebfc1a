/* SPDX-License-Identifier: MIT */
#include "daemon/open-beside.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "daemon/bind-node.h"
#include "daemon/bind.h"
#include "daemon/service-leave.h"

static int compare_place(EndpointKind kind, uint16_t port, const Listener *l) {
    const Addr addr = listener_addr(l);
    uint16_t other = addr_port(&addr);
    if (kind != l->kind)
        return kind > l->kind ? 1 : -1;
    return (port > other) - (port < other);
}

static int compare(const void *a, const void *b) {
    const Listener *l = *(Listener *const *)a;
    const Addr addr = listener_addr(l);
    return compare_place(l->kind, addr_port(&addr), *(Listener *const *)b);
}

static bool is_leaving(const Listener *l) {
    return l->own_config != NULL;
}

static void add(OpenBeside *b, Listener *l) {
    if (!listener_is_open(l) || l->adopted)
        return;
    if (endpoint_kind_is_inet(l->kind))
        b->items[b->n++] = l;
    else if (is_leaving(l))
        b->nodes[b->n_nodes++] = l;
}

static int collect(OpenBeside *b, const ServiceSet *set) {
    size_t n = 0, n_leaving = 0;
    for (size_t i = 0; i < set->n; i++) {
        n += set->items[i]->n_listeners;
        LIST_FOREACH (l, &set->items[i]->leaving, Listener, link)
            n_leaving++;
    }
    b->items = (Listener **)calloc(n + n_leaving + 1, sizeof(Listener *));
    b->nodes = (Listener **)calloc(n_leaving + 1, sizeof(Listener *));
    b->returns = calloc(n_leaving + 1, sizeof(Return));
    if (!b->items || !b->nodes || !b->returns) {
        open_beside_done(b);
        return -ENOMEM;
    }
    for (size_t i = 0; i < set->n; i++) {
        const Service *s = set->items[i];
        for (size_t k = 0; k < s->n_listeners; k++)
            add(b, s->listeners[k]);
        LIST_FOREACH (l, &s->leaving, Listener, link)
            add(b, l);
    }
    qsort((void *)b->items, b->n, sizeof(Listener *), compare);
    b->collected = true;
    return 0;
}

/* The first of those that have @kind and @port. */
static size_t find(const OpenBeside *b, EndpointKind kind, uint16_t port) {
    size_t low = 0, high = b->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_place(kind, port, b->items[middle]) > 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void share(const OpenBeside *b, size_t first, size_t end, bool shared) {
    for (size_t i = first; i < end; i++)
        if (!b->items[i]->config->reuse_port && listener_is_open(b->items[i]))
            bind_share(b->items[i]->fd, shared);
}

static bool come_back(OpenBeside *b, Listener *l, Listener *leaving) {
    if (listener_come_back(l, leaving) < 0)
        return false;
    b->returns[b->n_returns++] = (Return){.leaving = leaving, .to = l};
    return true;
}

/* One that is on its way out from this very address comes back with all who wait there, or else it has no
 * time left: two sockets of one address would share who comes. Returns whether it has come back as @l. */
static bool end_leaving(OpenBeside *b, size_t first, size_t *end, Listener *l) {
    size_t kept = first;
    bool back = false;
    for (size_t i = first; i < *end; i++) {
        Listener *old = b->items[i];
        if (is_leaving(old) && !back &&
            plan_serves(old->config, old->index, &old->addr, l->config, l->index)) {
            back = come_back(b, l, old);
            if (!back)
                service_end_leaving(old);
        } else {
            b->items[kept++] = old;
        }
    }
    for (size_t i = *end; i < b->n; i++)
        b->items[kept + i - *end] = b->items[i];
    b->n -= *end - kept;
    *end = kept;
    return back;
}

/* Whether the path or the address of @e leads to @l. */
static bool leads_to(const Endpoint *e, const Listener *l) {
    struct stat st;
    const Addr addr = listener_addr(l);
    if (addr.len == 0)
        return bind_node_is(e, l->fd);
    if (!endpoint_kind_is_unix(e->kind))
        return true;
    return addr.un.sun_path[0] == '\0' ||
           (l->ino != 0 && lstat(e->path, &st) == 0 && st.st_dev == l->dev && st.st_ino == l->ino);
}

/* A process has it still: as long as that is so its address is taken, and its node is not to go. */
static bool node_comes_back(OpenBeside *b, Listener *l) {
    for (size_t i = 0; b->nodes && i < b->n_nodes; i++) {
        Listener *old = b->nodes[i];
        if (old && listener_is_open(old) && !old->sealed &&
            plan_serves(old->config, old->index, NULL, l->config, l->index) &&
            leads_to(&l->config->endpoint, old) && come_back(b, l, old))
            return true;
    }
    return false;
}

static int open_inet(OpenBeside *b, Listener *l, uint16_t port) {
    Addr addr = endpoint_addr(&l->config->endpoint, l->index);
    if (port != 0)
        addr_set_port(&addr, port);
    size_t first = find(b, l->kind, addr_port(&addr)), end = first;
    while (end < b->n && compare_place(l->kind, addr_port(&addr), b->items[end]) == 0)
        end++;
    if (end == first)
        return -EADDRINUSE;
    size_t before = end;
    if (end_leaving(b, first, &end, l))
        return 0;
    int r = end < before ? listener_open(l, port) : -EADDRINUSE;
    if (r != -EADDRINUSE)
        return r;
    share(b, first, end, true);
    r = listener_open_beside(l, port);
    share(b, first, end, false);
    return r;
}

int open_beside(OpenBeside *b, const ServiceSet *set, Listener *l, uint16_t port) {
    bool inet = endpoint_kind_is_inet(l->kind);
    int r = inet ? listener_open(l, port) : -EADDRINUSE;
    if (r != -EADDRINUSE)
        return r;
    if (!b->collected && collect(b, set) < 0)
        return -ENOMEM;
    if (inet)
        return open_inet(b, l, port);
    return node_comes_back(b, l) ? 0 : listener_open(l, port);
}

void open_beside_keep(OpenBeside *b) {
    while (b->n_returns > 0)
        service_end_leaving(b->returns[--b->n_returns].leaving);
}

void open_beside_done(OpenBeside *b) {
    while (b->returns && b->n_returns > 0) {
        const Return *back = &b->returns[--b->n_returns];
        listener_give_back(back->to, back->leaving);
    }
    free((void *)b->items);
    free((void *)b->nodes);
    free(b->returns);
    *b = (OpenBeside){0};
}

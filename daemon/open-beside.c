/* SPDX-License-Identifier: MIT */
#include "daemon/open-beside.h"

#include <stdlib.h>

#include "daemon/bind.h"
#include "daemon/service-leave.h"

static int compare_place(EndpointKind kind, uint16_t port, const Listener *l) {
    uint16_t other = addr_port(&l->addr);
    if (kind != l->kind)
        return kind > l->kind ? 1 : -1;
    return (port > other) - (port < other);
}

static int compare(const void *a, const void *b) {
    const Listener *l = *(Listener *const *)a;
    return compare_place(l->kind, addr_port(&l->addr), *(Listener *const *)b);
}

static void add(OpenBeside *b, Listener *l) {
    if (listener_is_open(l) && !l->adopted && endpoint_kind_is_inet(l->kind))
        b->items[b->n++] = l;
}

static int collect(OpenBeside *b, const ServiceSet *set) {
    size_t n = 0;
    for (size_t i = 0; i < set->n; i++) {
        n += set->items[i]->n_listeners;
        LIST_FOREACH (l, &set->items[i]->leaving, Listener, link)
            n++;
    }
    b->items = (Listener **)calloc(n + 1, sizeof(Listener *));
    if (!b->items)
        return -ENOMEM;
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

static bool is_leaving(const Listener *l) {
    return l->own_config != NULL;
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
            back = listener_come_back(l, old) >= 0;
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

int open_beside(OpenBeside *b, const ServiceSet *set, Listener *l, uint16_t port) {
    int r = listener_open(l, port);
    if (r != -EADDRINUSE || !endpoint_kind_is_inet(l->kind))
        return r;
    if (!b->collected && collect(b, set) < 0)
        return -ENOMEM;
    Addr addr = l->config->endpoint.addrs[l->index];
    if (port != 0)
        addr_set_port(&addr, port);
    size_t first = find(b, l->kind, addr_port(&addr)), end = first;
    while (end < b->n && compare_place(l->kind, addr_port(&addr), b->items[end]) == 0)
        end++;
    if (end == first)
        return r;
    size_t before = end;
    if (end_leaving(b, first, &end, l))
        return 0;
    r = end < before ? listener_open(l, port) : r;
    if (r != -EADDRINUSE)
        return r;
    share(b, first, end, true);
    r = listener_open_beside(l, port);
    share(b, first, end, false);
    return r;
}

void open_beside_done(OpenBeside *b) {
    free((void *)b->items);
    *b = (OpenBeside){0};
}

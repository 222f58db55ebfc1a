/* SPDX-License-Identifier: MIT */
#include "conf/overlap.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* One address to bind. */
typedef struct Place {
    const ServiceConfig *service;
    const ListenConfig *listen;
    Addr addr;    /* empty: it has a path */
    char *path;   /* its directory resolved; of what is no node the endpoint's text, with its kind; owned */
    size_t order; /* of its endpoint in the config */
} Place;

typedef struct Places {
    Place *items;
    size_t n;
    bool *told; /* by order */
    OverlapFound found;
    void *userdata;
} Places;

static int compare_numbers(unsigned long a, unsigned long b) {
    return (a > b) - (a < b);
}

/* Scopes by name: interfaces need not be there yet. */
static int compare_hosts(const Place *x, const Place *y) {
    const Addr *a = &x->addr, *b = &y->addr;
    if (a->sa.sa_family != b->sa.sa_family)
        return compare_numbers(a->sa.sa_family, b->sa.sa_family);
    if (a->sa.sa_family == AF_VSOCK)
        return compare_numbers(a->vm.svm_cid, b->vm.svm_cid);
    if (a->sa.sa_family == AF_INET)
        return memcmp(&a->in.sin_addr, &b->in.sin_addr, sizeof(a->in.sin_addr));
    int order = memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr, sizeof(a->in6.sin6_addr));
    return order != 0 ? order : strcmp(x->listen->endpoint.scope, y->listen->endpoint.scope);
}

/* 0: the kernel chooses one. */
static unsigned long port_of(const Place *p) {
    if (p->addr.sa.sa_family != AF_VSOCK)
        return addr_port(&p->addr);
    return p->addr.vm.svm_port == VMADDR_PORT_ANY ? 0 : p->addr.vm.svm_port;
}

static int compare_groups(const Place *a, const Place *b) {
    if (a->path || b->path)
        return (a->path == NULL) - (b->path == NULL);
    int order = compare_numbers(a->listen->endpoint.kind, b->listen->endpoint.kind);
    return order != 0 ? order : compare_numbers(port_of(a), port_of(b));
}

/* Within a group those that share their port (SO_REUSEPORT) come last, each part sorted by host. */
static int compare_places(const void *x, const void *y) {
    const Place *a = x, *b = y;
    int order = compare_groups(a, b);
    if (order == 0 && !a->path)
        order = a->listen->reuse_port - b->listen->reuse_port;
    if (order == 0)
        order = a->path ? strcmp(a->path, b->path) : compare_hosts(a, b);
    return order != 0 ? order : compare_numbers(a->order, b->order);
}

static bool takes_both_families(const Place *p) {
    return p->addr.sa.sa_family == AF_INET6 && addr_is_wildcard(&p->addr) && !p->listen->only_v6 &&
           !p->listen->endpoint.both_families;
}

/* ip(7), socket(7): whether bind(2) of the second would say EADDRINUSE, both being of one kind and port. */
static bool cannot_both(const Place *a, const Place *b) {
    const ListenConfig *l = a->listen, *m = b->listen;
    if (l == m || (l->reuse_port && m->reuse_port))
        return false;
    if (l->device && m->device && !streq(l->device, m->device))
        return false;
    if (a->addr.sa.sa_family != b->addr.sa.sa_family)
        return takes_both_families(a) || takes_both_families(b);
    return addr_is_wildcard(&a->addr) || addr_is_wildcard(&b->addr) || compare_hosts(a, b) == 0;
}

/* In one file the upper line comes first; else the order of the services decides. */
static bool stands_before(const Place *a, const Place *b) {
    const ConfigPos *p = &a->listen->pos, *q = &b->listen->pos;
    if (p->file != q->file || p->line == q->line)
        return a->order < b->order;
    return p->line < q->line;
}

static bool are_told(const Places *places, const Place *a, const Place *b) {
    return places->told[a->order] && places->told[b->order];
}

static void tell(Places *places, const Place *a, const Place *b) {
    const Place *first = stands_before(a, b) ? a : b, *second = first == a ? b : a;
    if (places->told[second->order])
        return;
    places->told[second->order] = true;
    places->found(first->listen, first->service, second->listen, second->service, places->userdata);
}

/* Those that do not share their port, sorted by host: equal hosts stand together, and a wildcard meets all of
 * them. */
static void check_alone(Places *places, const Place *group, size_t n) {
    for (size_t i = 1; i < n; i++) {
        for (size_t k = i; k-- > 0 && compare_hosts(&group[k], &group[i]) == 0;) {
            if (cannot_both(&group[k], &group[i])) {
                tell(places, &group[k], &group[i]);
                break;
            }
        }
    }
    for (size_t w = 0; w < n; w++) {
        if (!addr_is_wildcard(&group[w].addr))
            continue;
        for (size_t i = 0; i < n; i++)
            if (!are_told(places, &group[w], &group[i]) && cannot_both(&group[w], &group[i]))
                tell(places, &group[w], &group[i]);
    }
}

/* Of two that overlap, one at least does not share: among those that share there is nothing to look for. */
static void check_group(Places *places, const Place *group, size_t n) {
    size_t alone = 0;
    while (alone < n && !group[alone].listen->reuse_port)
        alone++;
    check_alone(places, group, alone);
    for (size_t i = alone; i < n; i++)
        for (size_t k = 0; k < alone; k++)
            if (!are_told(places, &group[k], &group[i]) && cannot_both(&group[k], &group[i]))
                tell(places, &group[k], &group[i]);
}

static void check_paths(Places *places, const Place *group, size_t n) {
    for (size_t i = 1; i < n; i++)
        if (streq(group[i - 1].path, group[i].path))
            tell(places, &group[i - 1], &group[i]);
}

static void check_all(Places *places) {
    for (size_t i = 0, n; i < places->n; i += n) {
        const Place *group = &places->items[i];
        for (n = 1; i + n < places->n && compare_groups(group, &group[n]) == 0;)
            n++;
        if (group->path)
            check_paths(places, group, n);
        else if (port_of(group) != 0)
            check_group(places, group, n);
    }
}

/* One socket may have several paths: its directory is resolved as far as it is there. */
static char *resolve_path(const char *path) {
    char real[PATH_MAX];
    const char *slash = strrchr(path, '/');
    if (!slash)
        return strdup(path);
    CLEANUP_FREE char *folder = slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
    if (!folder || !realpath(folder, real))
        return folder ? strdup(path) : NULL;
    CLEANUP_TEXT Text text = {0};
    text_addf(&text, "%s%s", streq(real, "/") ? "" : real, slash);
    return text_take(&text);
}

static int add_places(Places *places, const ServiceConfig *s, const ListenConfig *l, size_t order) {
    const Endpoint *e = &l->endpoint;
    if (e->path) {
        /* Of a file system's nodes one at a path, whatever its kind; of other names one of each kind: an
         * abstract one is the type's own (unix(7)). */
        char *path = endpoint_has_node(e) ? resolve_path(e->path) : strdup(e->text);
        if (!path)
            return -ENOMEM;
        places->items[places->n++] = (Place){.service = s, .listen = l, .path = path, .order = order};
        return 0;
    }
    for (size_t i = 0; i < e->n_addrs; i++)
        places->items[places->n++] =
            (Place){.service = s, .listen = l, .addr = endpoint_addr(e, i), .order = order};
    return 0;
}

static int collect(Places *places, const Config *c) {
    size_t order = 0;
    for (size_t i = 0; i < c->n_services; i++) {
        const ServiceConfig *s = c->services[i];
        for (size_t k = 0; s->enabled && k < s->n_listen; k++)
            if (add_places(places, s, &s->listen[k], order++) < 0)
                return -ENOMEM;
    }
    return 0;
}

int overlap_find(const Config *c, OverlapFound found, void *userdata) {
    size_t n = 0;
    for (size_t i = 0; i < c->n_services; i++)
        n += c->services[i]->n_listen;
    CLEANUP_FREE Place *items = calloc(2 * n + 1, sizeof(Place));
    CLEANUP_FREE bool *told = calloc(n + 1, sizeof(bool));
    if (!items || !told)
        return -ENOMEM;
    Places places = {.items = items, .told = told, .found = found, .userdata = userdata};
    int r = collect(&places, c);
    if (r == 0) {
        qsort(places.items, places.n, sizeof(Place), compare_places);
        check_all(&places);
    }
    for (size_t i = 0; i < places.n; i++)
        free(items[i].path);
    return r;
}

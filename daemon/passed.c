/* SPDX-License-Identifier: MIT */
#include "daemon/passed.h"

#include <stdlib.h>

#include "daemon/base/clock.h"
#include "daemon/base/hash-table.h"
#include "daemon/runtime.h"

/* How long the kernel is asked in a turn of the loop, and how often about all. */
#define TURN_USEC (USEC_PER_MSEC)
#define SWEEP_USEC USEC_PER_SEC
/* When there are more than that, as many are asked about with each new one: of those that are over there are
 * then no more than of those that last, whatever comes. */
#define FEW 512
#define LOOKS_A_NEW_ONE 2

/* Those of a source. */
typedef struct Group {
    HashNode node;
    Source *source;
    List items; /* who was asked about last is at the end */
} Group;

typedef struct Item {
    List link; /* of all; the same */
    List in_group;
    Group *group;
    SockName name;
    Peer peer;
} Item;

struct Passed {
    Runtime *rt;
    HashTable groups;
    List items;
    size_t n;
    sd_event_source *timer;
};

Passed *passed_new(Runtime *rt) {
    Passed *p = calloc(1, sizeof(*p));
    if (!p)
        return NULL;
    p->rt = rt;
    list_init(&p->items);
    return p;
}

/* Addresses of memory, which nobody outside can choose. */
static uint32_t hash_of(const Source *s) {
    uint64_t x = (uint64_t)(uintptr_t)s * UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(x >> 32);
}

static Group *find_group(const Passed *p, const Source *s) {
    for (HashNode *n = hash_table_first(&p->groups, hash_of(s)); n; n = hash_table_next(n)) {
        Group *g = HASH_ENTRY(n, Group, node);
        if (g->source == s)
            return g;
    }
    return NULL;
}

static Group *make_group(Passed *p, Source *s) {
    Group *g = find_group(p, s);
    if (g)
        return g;
    g = calloc(1, sizeof(*g));
    if (!g)
        return NULL;
    g->source = s;
    g->node.hash = hash_of(s);
    list_init(&g->items);
    if (hash_table_add(&p->groups, &g->node) == 0)
        return g;
    free(g);
    return NULL;
}

static void leave_group(Passed *p, Item *i) {
    Group *g = i->group;
    i->group = NULL;
    list_remove(&i->in_group);
    sources_release(p->rt->sources, g->source);
    if (!list_is_empty(&g->items))
        return;
    hash_table_remove(&p->groups, &g->node);
    free(g);
}

static void drop(Passed *p, Item *i) {
    if (i->group)
        leave_group(p, i);
    list_remove(&i->link);
    p->n--;
    free(i);
}

Passed *passed_free(Passed *p) {
    if (!p)
        return NULL;
    LIST_FOREACH_SAFE (i, &p->items, Item, link)
        drop(p, i);
    hash_table_done(&p->groups);
    p->timer = sd_event_source_disable_unref(p->timer);
    free(p);
    return NULL;
}

/* Asks about @i, which goes to the end, or goes. */
static void look_at(Passed *p, Item *i) {
    SockFate fate = sock_query_ask(p->rt->sockets, &i->name, NULL);
    if (fate == SOCK_CLOSING || fate == SOCK_GONE) {
        drop(p, i);
        return;
    }
    list_remove(&i->link);
    list_append(&p->items, &i->link);
    list_remove(&i->in_group);
    list_append(&i->group->items, &i->in_group);
}

void passed_look(Passed *p, const Source *source) {
    uint64_t end = clock_monotonic_usec() + TURN_USEC;
    const Group *g = find_group(p, source);
    /* What is looked at goes to the end, and the last of all ends the group: as many as there are now. */
    for (uint32_t left = g ? source->active : 0; left > 0 && clock_monotonic_usec() < end; left--) {
        g = find_group(p, source);
        if (!g)
            return;
        look_at(p, LIST_ENTRY(g->items.next, Item, in_group));
    }
}

static int on_sweep(sd_event_source *source, uint64_t usec, void *userdata);

static void sweep_later(Passed *p) {
    if (!p->timer && p->n > 0)
        (void)sd_event_add_time_relative(p->rt->loop, &p->timer, CLOCK_MONOTONIC, SWEEP_USEC,
                                         USEC_PER_SEC / 4, on_sweep, p);
}

static int on_sweep(sd_event_source *source, uint64_t usec, void *userdata) {
    Passed *p = userdata;
    uint64_t end = clock_monotonic_usec() + TURN_USEC;
    (void)source;
    (void)usec;
    p->timer = sd_event_source_disable_unref(p->timer);
    for (size_t left = p->n; left > 0 && clock_monotonic_usec() < end; left--)
        look_at(p, LIST_ENTRY(p->items.next, Item, link));
    sweep_later(p);
    return 0;
}

void passed_rehome(Passed *p, PassedFind find, void *userdata) {
    LIST_FOREACH_SAFE (i, &p->items, Item, link) {
        leave_group(p, i);
        Source *source = find(&i->peer, userdata);
        Group *g = source ? make_group(p, source) : NULL;
        if (!g) {
            drop(p, i);
            continue;
        }
        sources_hold(p->rt->sources, source);
        i->group = g;
        list_append(&g->items, &i->in_group);
    }
}

/* A copy of @like, which takes the hold on @source over. 0 or -ENOMEM. */
static int add(Passed *p, const Item *like, Source *source) {
    Item *i = calloc(1, sizeof(*i));
    Group *g = i ? make_group(p, source) : NULL;
    if (!g) {
        free(i);
        return -ENOMEM;
    }
    *i = (Item){.group = g, .name = like->name, .peer = like->peer};
    list_append(&p->items, &i->link);
    list_append(&g->items, &i->in_group);
    p->n++;
    return 0;
}

int passed_add(Passed *p, int fd, const Peer *peer, Source *source) {
    SockName name;
    for (unsigned i = 0; i < LOOKS_A_NEW_ONE && p->n > FEW; i++)
        look_at(p, LIST_ENTRY(p->items.next, Item, link));
    if (p->n >= PASSED_MAX)
        return -ENOSPC;
    int r = sock_query_name(p->rt->sockets, fd, &name);
    if (r == -ENOTCONN) {
        sources_release(p->rt->sources, source);
        return 0;
    }
    if (r < 0)
        return r;
    r = add(p, &(Item){.name = name, .peer = *peer}, source);
    if (r >= 0)
        sweep_later(p);
    return r;
}

/* The upgrade in place */

/* Never used again for something else. */
enum {
    PASSED_ITEM = 1, /* who was asked about longest ago first */
};

enum {
    ITEM_SOURCE = 1,
    ITEM_NAME,
    ITEM_PEER,
};

void passed_save(BlobWriter *w, const Passed *p) {
    LIST_FOREACH (i, &p->items, Item, link) {
        size_t at = blob_open(w, PASSED_ITEM);
        source_put(w, ITEM_SOURCE, i->group->source);
        sock_name_put(w, ITEM_NAME, &i->name);
        peer_put(w, ITEM_PEER, &i->peer);
        blob_close(w, at);
    }
}

static int restore_item(BlobReader r, Passed *p) {
    Item item = {0};
    Source *source = NULL;
    BlobField f;
    while (blob_next(&r, &f)) {
        if (f.tag == ITEM_SOURCE && !source)
            source = source_take(&f, p->rt->sources);
        else if (f.tag == ITEM_NAME)
            item.name = sock_name_take(&f);
        else if (f.tag == ITEM_PEER)
            item.peer = peer_take(&f);
    }
    if (!source)
        return blob_is_spoilt(r.source) ? -EBADMSG : -ENOMEM;
    int e = blob_is_spoilt(r.source) ? -EBADMSG : p->n < PASSED_MAX ? add(p, &item, source) : -ENOSPC;
    if (e < 0)
        sources_release(p->rt->sources, source);
    else
        sock_query_know(p->rt->sockets, &item.name);
    return e;
}

/* What cannot be kept is a limit that does not hold for a while, and no reason to give up. */
int passed_restore(BlobReader r, Passed *p) {
    BlobField f;
    while (blob_next(&r, &f))
        if (f.tag == PASSED_ITEM)
            (void)restore_item(blob_enter(&f), p);
    sweep_later(p);
    return blob_is_spoilt(r.source) ? -EBADMSG : 0;
}

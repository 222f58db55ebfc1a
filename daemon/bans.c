/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/bans-private.h"
#include "daemon/base/text.h"

/* So many that have ended a connection clears away: all of a full table at once would take 20 ms. */
#define EXPIRE_STEP 16

Bans *bans_new(size_t max, const uint8_t key[static 16]) {
    Bans *b = calloc(1, sizeof(*b));
    if (!b)
        return NULL;
    b->max = max > 0 ? max : 1;
    list_init(&b->list);
    memcpy(b->key, key, sizeof(b->key));
    return b;
}

static void entry_free(BanEntry *e) {
    free(e->name);
    free(e);
}

Bans *bans_free(Bans *b) {
    if (!b)
        return NULL;
    for (size_t i = 0; i < b->n; i++)
        entry_free(b->heap[i]);
    free((void *)b->heap);
    hash_table_done(&b->table);
    hash_table_done(&b->numbers);
    free(b);
    return NULL;
}

static void place(Bans *b, size_t at, BanEntry *e) {
    b->heap[at] = e;
    e->place = at;
}

/* Of two that end at once the older one, so that a table that was restored goes on as it would have. */
static bool ends_before(const Ban *a, const Ban *b) {
    return a->until_usec != b->until_usec ? a->until_usec < b->until_usec : a->number < b->number;
}

static void move_up(Bans *b, BanEntry *e) {
    size_t at = e->place;
    for (; at > 0 && ends_before(&e->ban, &b->heap[(at - 1) / 2]->ban); at = (at - 1) / 2)
        place(b, at, b->heap[(at - 1) / 2]);
    place(b, at, e);
}

static void move_down(Bans *b, BanEntry *e) {
    size_t at = e->place;
    for (size_t child = 2 * at + 1; child < b->n; child = 2 * at + 1) {
        if (child + 1 < b->n && ends_before(&b->heap[child + 1]->ban, &b->heap[child]->ban))
            child++;
        if (!ends_before(&b->heap[child]->ban, &e->ban))
            break;
        place(b, at, b->heap[child]);
        at = child;
    }
    place(b, at, e);
}

/* Frees it; its place in the heap is the caller's. */
static void forget(Bans *b, BanEntry *e) {
    b->n_of[e->ban.prefix.kind][e->ban.prefix.bits]--;
    hash_table_remove(&b->table, &e->node);
    hash_table_remove(&b->numbers, &e->by_number);
    list_remove(&e->link);
    entry_free(e);
}

static void drop(Bans *b, BanEntry *e) {
    BanEntry *last = b->heap[--b->n];
    if (last != e) {
        place(b, e->place, last);
        move_up(b, last);
        move_down(b, last);
    }
    forget(b, e);
}

static bool has_ended(const BanEntry *e, uint64_t now_usec) {
    return e->ban.until_usec <= now_usec;
}

static void expire(Bans *b, uint64_t now_usec, size_t most) {
    for (; most > 0 && b->n > 0 && has_ended(b->heap[0], now_usec); most--)
        drop(b, b->heap[0]);
}

static uint32_t hash_of(const Bans *b, const Peer *source, uint32_t service, unsigned bits) {
    /* Prefixes of several lengths may look the same: 10.0.0.0/8 and 10.0.0.0/16. */
    return (uint32_t)peer_hash(source, service, b->key) + bits;
}

static BanEntry *find(const Bans *b, const Peer *source, uint32_t service, unsigned bits) {
    uint32_t hash = hash_of(b, source, service, bits);
    for (HashNode *node = hash_table_first(&b->table, hash); node; node = hash_table_next(node)) {
        BanEntry *e = HASH_ENTRY(node, BanEntry, node);
        if (e->ban.service == service && e->ban.prefix.bits == bits && peer_equal(&e->source, source))
            return e;
    }
    return NULL;
}

static bool make_room(Bans *b) {
    if (b->n == b->max) {
        b->dropped++;
        drop(b, b->heap[0]);
    }
    if (b->n < b->room)
        return true;
    size_t room = b->room ? b->room * 2 : 16;
    BanEntry **heap = (BanEntry **)realloc((void *)b->heap, room * sizeof(BanEntry *));
    if (!heap)
        return false;
    b->heap = heap;
    b->room = room;
    return true;
}

/* Takes @ban's name over as a copy. */
static int add(Bans *b, const Peer *source, const Ban *ban) {
    if (!make_room(b))
        return -ENOMEM;
    BanEntry *e = calloc(1, sizeof(*e));
    if (!e)
        return -ENOMEM;
    *e = (BanEntry){.source = *source, .ban = *ban, .name = strdup(ban->name), .place = b->n};
    e->node.hash = hash_of(b, source, ban->service, ban->prefix.bits);
    if (!e->name || hash_table_add(&b->table, &e->node) < 0) {
        entry_free(e);
        return -ENOMEM;
    }
    e->by_number.hash = (uint32_t)ban->number;
    if (hash_table_add(&b->numbers, &e->by_number) < 0) {
        hash_table_remove(&b->table, &e->node);
        entry_free(e);
        return -ENOMEM;
    }
    b->newest = ban->number;
    list_append(&b->list, &e->link);
    e->ban.name = e->name;
    b->n_of[ban->prefix.kind][ban->prefix.bits]++;
    b->heap[b->n++] = e;
    move_up(b, e);
    return 0;
}

/* Who makes it longer is who bans from then on. */
static void extend(Bans *b, BanEntry *e, const Ban *ban) {
    if (ban->until_usec <= e->ban.until_usec)
        return;
    if (!streq(e->name, ban->name)) {
        char *name = strdup(ban->name);
        if (name) {
            free(e->name);
            e->name = name;
            e->ban.name = name;
        }
    }
    e->ban.cause = ban->cause;
    e->ban.until_usec = ban->until_usec;
    move_down(b, e);
}

int bans_add(Bans *b, const Peer *peer, unsigned ipv4_bits, unsigned ipv6_bits, uint32_t service,
             const char *name, BanCause cause, uint64_t now_usec, uint64_t for_usec, bool *ret_new) {
    *ret_new = false;
    if (peer->kind == PEER_NONE)
        return 0;
    expire(b, now_usec, EXPIRE_STEP);
    Ban ban = {
        .number = b->newest + 1,
        .prefix = prefix_of_source(peer, ipv4_bits, ipv6_bits),
        .service = service,
        .name = name,
        .cause = cause,
        .since_usec = now_usec,
        .until_usec = for_usec < UINT64_MAX - now_usec ? now_usec + for_usec : UINT64_MAX,
    };
    Peer source = prefix_first(&ban.prefix);
    BanEntry *e = find(b, &source, service, ban.prefix.bits);
    if (e && !has_ended(e, now_usec)) {
        extend(b, e, &ban);
        return 0;
    }
    if (e)
        drop(b, e);
    int r = add(b, &source, &ban);
    *ret_new = r == 0;
    return r;
}

int bans_put_back(Bans *b, const Ban *ban) {
    Peer source = prefix_first(&ban->prefix);
    /* As many as that there never are: the next ones have numbers as well. */
    if (ban->number <= b->newest || ban->number > UINT64_MAX / 2 ||
        find(b, &source, ban->service, ban->prefix.bits))
        return 0;
    if (b->n == b->max && ends_before(ban, &b->heap[0]->ban)) {
        b->newest = ban->number;
        b->dropped++;
        return 0;
    }
    return add(b, &source, ban);
}

/* The one of both that ends later, if it has not ended. */
static const Ban *later(const Ban *a, const BanEntry *e, uint64_t now_usec) {
    if (!e || has_ended(e, now_usec) || (a && a->until_usec >= e->ban.until_usec))
        return a;
    return &e->ban;
}

const Ban *bans_find(Bans *b, const Peer *peer, uint32_t service, uint64_t now_usec) {
    const Ban *found = NULL;
    expire(b, now_usec, EXPIRE_STEP);
    if (b->n == 0)
        return NULL;
    unsigned most = peer->kind == PEER_INET ? 32 : peer->kind == PEER_INET6 ? 128 : 0;
    for (unsigned bits = 0; bits <= most; bits++) {
        if (b->n_of[peer->kind][bits] == 0)
            continue;
        Peer source = peer_mask(peer, bits, bits);
        found = later(found, find(b, &source, 0, bits), now_usec);
        if (service != 0)
            found = later(found, find(b, &source, service, bits), now_usec);
    }
    return found;
}

/* Whether one of both has all of the other. A scope that only one of them names is no difference. */
static bool is_in(const Ban *ban, const void *what) {
    const Prefix *prefix = what;
    if (!prefix)
        return true;
    Peer first = prefix_first(prefix), first_banned = prefix_first(&ban->prefix);
    return prefix_has(prefix, &first_banned) || prefix_has(&ban->prefix, &first);
}

static bool is_of(const Ban *ban, const void *services) {
    return ban->service != 0 && gone_has(services, ban->service);
}

/* Forgets all that @which says. Returns how many. */
static size_t forget_if(Bans *b, bool (*which)(const Ban *ban, const void *what), const void *what) {
    size_t n = b->n, kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (which(&b->heap[i]->ban, what))
            forget(b, b->heap[i]);
        else
            place(b, kept++, b->heap[i]);
    }
    b->n = kept;
    if (kept < n)
        for (size_t i = kept / 2; i-- > 0;)
            move_down(b, b->heap[i]);
    return n - kept;
}

size_t bans_lift(Bans *b, const Prefix *prefix, uint64_t now_usec) {
    expire(b, now_usec, SIZE_MAX);
    return forget_if(b, is_in, prefix);
}

void bans_forget(Bans *b, const Gone *services) {
    (void)forget_if(b, is_of, services);
}

size_t bans_count(Bans *b, uint64_t now_usec) {
    expire(b, now_usec, SIZE_MAX);
    return b->n;
}

size_t bans_count_of(Bans *b, uint32_t service, uint64_t now_usec) {
    size_t n = 0;
    expire(b, now_usec, SIZE_MAX);
    for (size_t i = 0; i < b->n; i++)
        n += b->heap[i]->ban.service == 0 || b->heap[i]->ban.service == service;
    return n;
}

uint64_t bans_newest(const Bans *b) {
    return b->newest;
}

static BanEntry *find_number(const Bans *b, uint64_t number) {
    for (HashNode *node = hash_table_first(&b->numbers, (uint32_t)number); node;
         node = hash_table_next(node)) {
        BanEntry *e = HASH_ENTRY(node, BanEntry, by_number);
        if (e->ban.number == number)
            return e;
    }
    return NULL;
}

const Ban *bans_next(Bans *b, uint64_t after, uint64_t now_usec) {
    expire(b, now_usec, SIZE_MAX);
    /* Mostly it is still there, and leads on to the next. */
    const BanEntry *last = after > 0 ? find_number(b, after) : NULL;
    for (const List *at = last ? last->link.next : b->list.next; at != &b->list; at = at->next) {
        const BanEntry *e = LIST_ENTRY(at, BanEntry, link);
        if (e->ban.number > after)
            return &e->ban;
    }
    return NULL;
}

uint64_t bans_dropped(const Bans *b) {
    return b->dropped;
}

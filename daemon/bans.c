/* SPDX-License-Identifier: MIT */
#include "daemon/bans.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/hash-table.h"
#include "daemon/base/list.h"
#include "daemon/base/siphash.h"
#include "daemon/base/text.h"

/* Room for any of 0 to 128 bits. */
#define LENGTHS (128 + 1)
#define KINDS (PEER_VSOCK + 1)
/* So many that have ended a connection clears away: all of a full table at once would take 20 ms. */
#define EXPIRE_STEP 16

typedef struct Entry {
    HashNode node;
    HashNode by_number;
    List link;    /* in the order of their numbers */
    size_t place; /* in the heap */
    Peer source;  /* masked */
    Ban ban;
    char *name;
} Entry;

struct Bans {
    HashTable table, numbers;
    List list;
    uint64_t newest;
    Entry **heap; /* a binary heap: the one that ends first is the first */
    size_t n, room, max;
    uint64_t dropped;
    size_t n_of[KINDS][LENGTHS]; /* so many have prefixes of this length */
    uint8_t key[SIPHASH_KEY_BYTES];
};

Bans *bans_new(size_t max, const uint8_t key[static 16]) {
    Bans *b = calloc(1, sizeof(*b));
    if (!b)
        return NULL;
    b->max = max > 0 ? max : 1;
    list_init(&b->list);
    memcpy(b->key, key, sizeof(b->key));
    return b;
}

static void entry_free(Entry *e) {
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

static void place(Bans *b, size_t at, Entry *e) {
    b->heap[at] = e;
    e->place = at;
}

static bool ends_before(const Entry *a, const Entry *b) {
    return a->ban.until_usec < b->ban.until_usec;
}

static void move_up(Bans *b, Entry *e) {
    size_t at = e->place;
    for (; at > 0 && ends_before(e, b->heap[(at - 1) / 2]); at = (at - 1) / 2)
        place(b, at, b->heap[(at - 1) / 2]);
    place(b, at, e);
}

static void move_down(Bans *b, Entry *e) {
    size_t at = e->place;
    for (size_t child = 2 * at + 1; child < b->n; child = 2 * at + 1) {
        if (child + 1 < b->n && ends_before(b->heap[child + 1], b->heap[child]))
            child++;
        if (!ends_before(b->heap[child], e))
            break;
        place(b, at, b->heap[child]);
        at = child;
    }
    place(b, at, e);
}

/* Frees it; its place in the heap is the caller's. */
static void forget(Bans *b, Entry *e) {
    b->n_of[e->ban.prefix.kind][e->ban.prefix.bits]--;
    hash_table_remove(&b->table, &e->node);
    hash_table_remove(&b->numbers, &e->by_number);
    list_remove(&e->link);
    entry_free(e);
}

static void drop(Bans *b, Entry *e) {
    Entry *last = b->heap[--b->n];
    if (last != e) {
        place(b, e->place, last);
        move_up(b, last);
        move_down(b, last);
    }
    forget(b, e);
}

static bool has_ended(const Entry *e, uint64_t now_usec) {
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

static Entry *find(const Bans *b, const Peer *source, uint32_t service, unsigned bits) {
    uint32_t hash = hash_of(b, source, service, bits);
    for (HashNode *node = hash_table_first(&b->table, hash); node; node = hash_table_next(node)) {
        Entry *e = HASH_ENTRY(node, Entry, node);
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
    Entry **heap = (Entry **)realloc((void *)b->heap, room * sizeof(Entry *));
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
    Entry *e = calloc(1, sizeof(*e));
    if (!e)
        return -ENOMEM;
    *e = (Entry){.source = *source, .ban = *ban, .name = strdup(ban->name), .place = b->n};
    e->node.hash = hash_of(b, source, ban->service, ban->prefix.bits);
    if (!e->name || hash_table_add(&b->table, &e->node) < 0) {
        entry_free(e);
        return -ENOMEM;
    }
    e->by_number.hash = (uint32_t)(b->newest + 1);
    if (hash_table_add(&b->numbers, &e->by_number) < 0) {
        hash_table_remove(&b->table, &e->node);
        entry_free(e);
        return -ENOMEM;
    }
    e->ban.number = ++b->newest;
    list_append(&b->list, &e->link);
    e->ban.name = e->name;
    b->n_of[ban->prefix.kind][ban->prefix.bits]++;
    b->heap[b->n++] = e;
    move_up(b, e);
    return 0;
}

/* Who makes it longer is who bans from then on. */
static void extend(Bans *b, Entry *e, const Ban *ban) {
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
        .prefix = prefix_of_source(peer, ipv4_bits, ipv6_bits),
        .service = service,
        .name = name,
        .cause = cause,
        .since_usec = now_usec,
        .until_usec = for_usec < UINT64_MAX - now_usec ? now_usec + for_usec : UINT64_MAX,
    };
    Peer source = prefix_first(&ban.prefix);
    Entry *e = find(b, &source, service, ban.prefix.bits);
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

/* The one of both that ends later, if it has not ended. */
static const Ban *later(const Ban *a, const Entry *e, uint64_t now_usec) {
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

static bool is_of(const Ban *ban, const void *service) {
    return ban->service == *(const uint32_t *)service;
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

void bans_forget(Bans *b, uint32_t service) {
    if (service != 0)
        (void)forget_if(b, is_of, &service);
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

static Entry *find_number(const Bans *b, uint64_t number) {
    for (HashNode *node = hash_table_first(&b->numbers, (uint32_t)number); node;
         node = hash_table_next(node)) {
        Entry *e = HASH_ENTRY(node, Entry, by_number);
        if (e->ban.number == number)
            return e;
    }
    return NULL;
}

const Ban *bans_next(Bans *b, uint64_t after, uint64_t now_usec) {
    expire(b, now_usec, SIZE_MAX);
    /* Mostly it is still there, and leads on to the next. */
    const Entry *last = after > 0 ? find_number(b, after) : NULL;
    for (const List *at = last ? last->link.next : b->list.next; at != &b->list; at = at->next) {
        const Entry *e = LIST_ENTRY(at, Entry, link);
        if (e->ban.number > after)
            return &e->ban;
    }
    return NULL;
}

uint64_t bans_dropped(const Bans *b) {
    return b->dropped;
}

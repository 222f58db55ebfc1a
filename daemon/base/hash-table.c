/* SPDX-License-Identifier: MIT */
#include "daemon/base/hash-table.h"

#include <errno.h>
#include <stdlib.h>

#define BUCKETS_MIN 64
/* So many old buckets are moved with each change. They are done before the new ones are full: with 1 they
 * would be just in time. */
#define MOVES 4

void hash_table_done(HashTable *t) {
    free((void *)t->buckets);
    free((void *)t->old);
    *t = (HashTable){0};
}

/* The chain of @hash: an old one until it has been moved. */
static HashNode **find_chain(const HashTable *t, uint32_t hash) {
    size_t from = hash & (t->n_old - 1);
    if (t->old && from >= t->n_moved)
        return &t->old[from];
    return &t->buckets[hash & (t->n_buckets - 1)];
}

static void move_some(HashTable *t) {
    for (unsigned i = 0; t->old && i < MOVES; i++) {
        HashNode *node = t->old[t->n_moved++];
        while (node) {
            HashNode *next = node->next, **to = &t->buckets[node->hash & (t->n_buckets - 1)];
            node->next = *to;
            *to = node;
            node = next;
        }
        if (t->n_moved == t->n_old) {
            free((void *)t->old);
            t->old = NULL;
        }
    }
}

static void grow(HashTable *t) {
    size_t n = t->n_buckets ? t->n_buckets * 2 : BUCKETS_MIN;
    HashNode **buckets = (HashNode **)calloc(n, sizeof(HashNode *));
    if (!buckets)
        return;
    t->old = t->buckets;
    t->n_old = t->n_buckets;
    t->n_moved = 0;
    t->buckets = buckets;
    t->n_buckets = n;
}

int hash_table_add(HashTable *t, HashNode *node) {
    move_some(t);
    if (t->n >= t->n_buckets && !t->old)
        grow(t);
    if (t->n_buckets == 0)
        return -ENOMEM;
    HashNode **chain = find_chain(t, node->hash);
    node->next = *chain;
    *chain = node;
    t->n++;
    return 0;
}

void hash_table_remove(HashTable *t, const HashNode *node) {
    HashNode **at = find_chain(t, node->hash);
    while (*at != node)
        at = &(*at)->next;
    *at = node->next;
    t->n--;
    move_some(t);
}

static HashNode *skip_others(HashNode *node, uint32_t hash) {
    while (node && node->hash != hash)
        node = node->next;
    return node;
}

HashNode *hash_table_first(const HashTable *t, uint32_t hash) {
    return t->n > 0 ? skip_others(*find_chain(t, hash), hash) : NULL;
}

HashNode *hash_table_next(const HashNode *node) {
    return skip_others(node->next, node->hash);
}

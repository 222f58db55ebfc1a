/* SPDX-License-Identifier: MIT */
#pragma once
/* An intrusive hash table that grows without a pause: what it holds moves over a few at a time, with each
 * change, so that no change costs more than a clean piece of memory and a few moves. Does not own what it
 * holds; never shrinks. Starts as {0}, without memory. */
#include <stddef.h>
#include <stdint.h>

typedef struct HashNode {
    struct HashNode *next; /* of its chain */
    uint32_t hash;
} HashNode;

typedef struct HashTable {
    HashNode **buckets, **old; /* old: NULL, or those that are being moved over */
    size_t n_buckets, n_old;   /* powers of 2 */
    size_t n_moved;            /* of the old ones */
    size_t n;                  /* nodes */
} HashTable;

/* Forgets everything, and gives the memory back. */
void hash_table_done(HashTable *t);
/* Adds @node, whose hash is set; what is equal to it is not looked for. 0, or -ENOMEM, only while there is no
 * memory at all: later the chains grow instead. */
int hash_table_add(HashTable *t, HashNode *node);
/* Takes out @node, which is in it. */
void hash_table_remove(HashTable *t, const HashNode *node);
/* The first that has @hash, and the next one after @node; NULL when there is none. */
HashNode *hash_table_first(const HashTable *t, uint32_t hash);
HashNode *hash_table_next(const HashNode *node);

#define HASH_ENTRY(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))

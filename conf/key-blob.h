/* SPDX-License-Identifier: MIT */
#pragma once
/* The keys of one scope of the key table as fields of a blob, and back. A key is a number there; what it is
 * called is said once for all. Pure. */
#include "conf/schema.h"
#include "daemon/base/blob.h"

/* The key of each number of a blob. */
typedef struct KeyMap {
    const Key **keys; /* NULL: not known to this version */
    size_t n;
} KeyMap;

/* The names of all keys, in the order of their numbers. */
void key_map_put(BlobWriter *w, uint16_t tag);
void key_map_get(const BlobField *f, KeyMap *ret);
void key_map_done(KeyMap *m);
/* The key of number @i; else the blob is spoilt, and it is NULL. */
const Key *key_map_find(const KeyMap *m, size_t i, BlobSource *source);

/* The fields of @base, the struct that belongs to @scope. */
void keys_put(BlobWriter *w, uint16_t tag, KeyScope scope, const void *base);
/* Puts them into @base, all zero or with what holds where nothing is given; a key that is not there has its
 * built-in default. */
void keys_get(const BlobField *f, const KeyMap *map, KeyScope scope, void *base);

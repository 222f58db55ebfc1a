/* SPDX-License-Identifier: MIT */
#pragma once
/* What bans.c and bans-save.c share: one noun in two files. */
#include "daemon/bans.h"
#include "daemon/base/hash-table.h"
#include "daemon/base/list.h"
#include "daemon/base/siphash.h"

/* Room for any of 0 to 128 bits. */
#define LENGTHS (128 + 1)
#define KINDS (PEER_VSOCK + 1)

typedef struct BanEntry {
    HashNode node;
    HashNode by_number;
    List link;    /* in the order of their numbers */
    size_t place; /* in the heap */
    Peer source;  /* masked */
    Ban ban;
    char *name;
} BanEntry;

struct Bans {
    HashTable table, numbers;
    List list;
    uint64_t newest;
    BanEntry **heap; /* a binary heap: the one that ends first is the first */
    size_t n, room, max;
    uint64_t dropped;
    size_t n_of[KINDS][LENGTHS]; /* so many have prefixes of this length */
    uint8_t key[SIPHASH_KEY_BYTES];
};

/* Puts one back as it is, its number included, which is above those that are there; its name is copied. 0, or
 * -ENOMEM. */
int bans_put_back(Bans *b, const Ban *ban);

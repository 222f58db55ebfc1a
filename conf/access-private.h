/* SPDX-License-Identifier: MIT */
#pragma once
/* What access.c and access-save.c share: how compiled rules look. */
#include "conf/access.h"

#define ACCESS_NO_RULE UINT32_MAX

/* An address of any kind as a number of 128 bits; shorter ones stand at its upper end. */
typedef struct AccessBits {
    uint64_t hi, lo;
} AccessBits;

/* Spaces of numbers that know nothing of each other. */
typedef enum AccessSpace {
    ACCESS_SPACE_INET,
    ACCESS_SPACE_INET6,
    ACCESS_SPACE_USER,
    ACCESS_SPACE_GROUP,
    ACCESS_SPACE_CID,
} AccessSpace;
#define ACCESS_SPACES (ACCESS_SPACE_CID + 1)

/* A rule in its space. */
typedef struct AccessEntry {
    AccessBits first; /* the lowest number that it has */
    uint32_t scope;
    uint8_t space, bits;
    bool deny;
    uint8_t zero; /* no byte of it is left undefined: it is hashed as it is */
} AccessEntry;

/* What stands for many rules when they are compared. */
typedef struct AccessDigest {
    uint64_t a, b;
} AccessDigest;

/* A space, and of IPv6 the scope: a run of the segments. */
typedef struct AccessTable {
    uint32_t scope;
    AccessSpace space;
    size_t first, n;
} AccessTable;

/* Prefixes lie within each other or apart, so that all of them together cut a space into segments, in each
 * of which one rule decides: the one with the longest prefix. To decide is to find the segment. */
struct AccessRules {
    unsigned refs;
    bool has_allow;
    bool any_allow, any_deny;
    AccessEntry *entries; /* sorted, each there once */
    size_t n_entries;
    AccessDigest allowed, denied;
    AccessTable *tables; /* sorted */
    size_t n_tables;
    AccessBits *starts; /* of the segments; each goes up to the next one */
    uint32_t *deciders; /* which of the entries decides there, or ACCESS_NO_RULE */
    size_t n_segments;
};

/* The prefixes around the place that a compiler has come to, from the widest to the narrowest. */
typedef struct AccessCompiler {
    AccessRules *rules;
    uint32_t around[129];
    size_t n_around;
} AccessCompiler;

/* Ones behind the first @bits bits. */
AccessBits access_rest_of(unsigned bits);
/* Shorter prefixes stand before those within them, deny before allow. For qsort(3). */
int access_compare_entries(const void *a, const void *b);
bool access_same_place(const AccessEntry *a, const AccessEntry *b);

/* Cuts the entries of @rules, sorted and each there once, into segments: begin, add each of them in their
 * order, end. 0 or -ENOMEM. */
int access_compile_begin(AccessCompiler *c, AccessRules *rules);
void access_compile_add(AccessCompiler *c, size_t i);
void access_compile_end(AccessCompiler *c);

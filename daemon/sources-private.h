/* SPDX-License-Identifier: MIT */
#pragma once
/* What sources.c and sources-save.c share: one noun in two files. */
#include "daemon/sources.h"

/* Those that have nothing running, the longest unseen first. */
typedef struct Segment {
    List list;
    size_t n, max;
} Segment;

typedef enum SegmentKind {
    SEGMENT_NEW,
    SEGMENT_KNOWN,
    _SEGMENT_MAX,
} SegmentKind;

typedef enum Family {
    FAMILY_OTHER,
    FAMILY_INET6,
    _FAMILY_MAX,
} Family;

struct Sources {
    HashTable table;
    Segment segments[_FAMILY_MAX][_SEGMENT_MAX];
    List pinned;
    size_t n_pinned;
    uint64_t evicted, failed;
    uint8_t key[SIPHASH_KEY_BYTES];
};

/* Puts one back as @like is, but for its place, as the one of its kind that was seen last. @held: for
 * somebody who will hold it again, whatever the bounds are. Without memory, and when it is there already,
 * not. */
void sources_put_back(Sources *t, const Source *like, bool held);

/* SPDX-License-Identifier: MIT */
#pragma once
/* What is remembered of sources: one table for all services, of fixed bounds, a part of it for IPv6 alone,
 * found by a keyed hash (SipHash) so that nobody can choose where he lands. A source that has something
 * running stays, and is outside of the bounds, since its processes are bounded already. Of the others those
 * that came once make room first, so that a flood of new ones does not push out who is known. O(1), no I/O.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ctl/proto/api.h"
#include "daemon/base/blob.h"
#include "daemon/base/hash-table.h"
#include "daemon/base/list.h"
#include "daemon/base/peer.h"
#include "daemon/base/siphash.h"
#include "daemon/bucket.h"
#include "daemon/gone.h"
#include "daemon/strikes.h"

#define SOURCES_MAX 65536U /* for IPv6, and as many for all others */

typedef struct Source {
    /* Its place in the table. */
    HashNode node;
    List link;
    bool known; /* it has been accepted, and came again later: what is new makes room before it */
    bool gone;  /* its service is */
    /* Who. */
    uint32_t service; /* Service.id */
    Peer prefix;      /* masked: peer_mask() */
    /* What. */
    uint32_t active; /* so many of its connections are being served; it stays while there are some */
    uint64_t accepted, refused;     /* the caller's: so are the buckets */
    uint64_t first_usec, last_usec; /* when it came, CLOCK_MONOTONIC; the table's */
    Bucket rate;                    /* limits.rate_per_source */
    Strikes strikes;                /* ban.after */
} Source;

typedef struct Sources Sources;

typedef struct SourcesStats {
    size_t known, pinned; /* all there are now; of them so many that have something running */
    uint64_t evicted;     /* forgotten to make room, ever */
    uint64_t failed;      /* not remembered: no memory */
} SourcesStats;

/* @max as SOURCES_MAX; @key is secret and random. NULL when memory runs out. Small until it is needed. */
Sources *sources_new(size_t max, const uint8_t key[static 16]);
Sources *sources_free(Sources *t);
/* The source, or NULL. */
Source *sources_find(const Sources *t, uint32_t service, const Peer *prefix);
/* The source, made when it is new; it has just come. NULL without memory. It is valid while it is held; else
 * until the next call that changes the table. */
Source *sources_visit(Sources *t, uint32_t service, const Peer *prefix, uint64_t now_usec);
/* One of its connections is being served, or no longer. */
void sources_hold(Sources *t, Source *s);
void sources_release(Sources *t, Source *s);
/* Forgets those of services that are gone and that have nothing running; those that have go when it ends. It
 * looks at all there are. */
void sources_forget(Sources *t, const Gone *services);
SourcesStats sources_stats(const Sources *t);
/* The @n of @service that have been accepted most, the most first, of those that have something running or
 * came lately: it looks at some thousands and no more. Returns how many. */
size_t sources_top(const Sources *t, uint32_t service, const Source **ret, size_t n);

/* See handover.h: of a table that is empty, and whose key may be another. All are restored with nothing
 * running: whoever held one takes it again by source_take(). What does not fit is forgotten, the longest
 * unseen first. 0 or -EBADMSG. */
void sources_save(BlobWriter *w, const Sources *t);
int sources_restore(BlobReader r, Sources *t);
/* Which one somebody holds; NULL is left out. */
void source_put(BlobWriter *w, uint16_t tag, const Source *s);
/* It again, held for him; NULL without memory, or when the blob is spoilt. */
Source *source_take(const BlobField *f, Sources *t);

/* SPDX-License-Identifier: MIT */
#pragma once
/* The sources that are refused most, in bounded memory whoever comes: the Space-Saving algorithm (Metwally,
 * Agrawal, El Abbadi, 2005). A source with more than one in TOP_SOURCES of all refusals is always among them.
 * A source is what limits.source_prefix makes one. Pure. */
#include <stddef.h>
#include <stdint.h>

#include "ctl/proto/api.h"
#include "daemon/base/blob.h"
#include "daemon/peer.h"

#define TOP_SOURCES 16

typedef struct TopSource {
    Prefix source;
    uint64_t count;     /* its refusals, and `inherited` */
    uint64_t inherited; /* the count of the one whose place it has taken: at most so many may be its own, from
                           before */
    RefuseReason reason; /* of the newest */
    uint64_t time_usec;  /* of the newest, since 1970 */
} TopSource;

/* Starts as {0}. */
typedef struct TopSources {
    TopSource items[TOP_SOURCES]; /* in no order */
    size_t n;
} TopSources;

/* Room for the texts of a listing. */
typedef char SourceTexts[TOP_SOURCES][PEER_TEXT_MAX];

/* Counts a refusal of @source in. The memory, *t, is made with the first; without memory, and of none, it is
 * not counted. To be freed. */
void top_sources_add(TopSources **t, const Prefix *source, RefuseReason reason, uint64_t time_usec);

/* Whether @source is among them. */
bool top_sources_have(const TopSources *t, const Prefix *source);
/* Those that @how shows, the most refused first; each with the refusals that are surely its own. Sources that
 * are shown by one prefix are one. @t may be NULL: none. The texts are in @texts. Returns how many. */
size_t top_sources_list(const TopSources *t, LogAddresses how, SourceTexts texts,
                        ApiSource ret[static TOP_SOURCES]);

/* See handover.h. They come back in place of *@t, or without memory none. 0 or -EBADMSG. */
void top_sources_save(BlobWriter *w, const TopSources *t);
int top_sources_restore(BlobReader r, TopSources **t);

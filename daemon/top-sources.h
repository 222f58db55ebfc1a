/* SPDX-License-Identifier: MIT */
#pragma once
/* The sources that are refused most, in bounded memory whoever comes: the Space-Saving algorithm (Metwally,
 * Agrawal, El Abbadi, 2005). A source with more than one in TOP_SOURCES of all refusals is always among them.
 * A source is a peer masked to 32 or 64 bits, or a uid. Pure. */
#include <stddef.h>
#include <stdint.h>

#include "ctl/proto/api.h"
#include "daemon/peer.h"

#define TOP_SOURCES 16

typedef struct TopSource {
    Peer source;        /* without port and scope, masked */
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

/* Counts a refusal of @peer in. The memory, *t, is made with the first; without memory, and of no peer, it is
 * not counted. To be freed. */
void top_sources_add(TopSources **t, const Peer *peer, RefuseReason reason, uint64_t time_usec);

/* The source of @p as text, "198.51.100.7", "2001:db8:1:2::/64", "uid:1000", as log.addresses wants it shown:
 * by prefix as peers are, NULL for none. */
const char *source_format(const Peer *p, LogAddresses how, char buf[static PEER_TEXT_MAX]);
/* Those that @how shows, the most refused first; each with the refusals that are surely its own. Sources that
 * are shown by one prefix are one. @t may be NULL: none. The texts are in @texts. Returns how many. */
size_t top_sources_list(const TopSources *t, LogAddresses how, SourceTexts texts,
                        ApiSource ret[static TOP_SOURCES]);

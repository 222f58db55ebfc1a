/* SPDX-License-Identifier: MIT */
#pragma once
/* Who is banned, from which service or from all, until when. Bounded; found by hash, whatever lengths the
 * prefixes have. Pure: the caller brings the clock, CLOCK_BOOTTIME in microseconds, which goes on while the
 * machine sleeps. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/prefix.h"
#include "ctl/proto/api.h"
#include "daemon/base/blob.h"
#include "daemon/gone.h"

#define BANS_MAX 65536U

typedef struct Ban {
    uint64_t number; /* counts up with each that is imposed, from 1 */
    Prefix prefix;
    uint32_t service; /* Service.id; 0: from all services */
    const char *name; /* of the service that banned it; owned by the table */
    BanCause cause;
    uint64_t since_usec, until_usec;
} Ban;

typedef struct Bans Bans;

Bans *bans_new(size_t max, const uint8_t key[static 16]); /* NULL when memory runs out */
Bans *bans_free(Bans *b);
/* Bans @peer, masked to @ipv4_bits or @ipv6_bits. One that is banned already stays so until the later of both
 * times; *ret_new is then false. When the table is full, the one that ends first makes room. 0 or -ENOMEM. */
int bans_add(Bans *b, const Peer *peer, unsigned ipv4_bits, unsigned ipv6_bits, uint32_t service,
             const char *name, BanCause cause, uint64_t now_usec, uint64_t for_usec, bool *ret_new);
/* The ban of @service, or of all, that holds for @peer now, or NULL. */
const Ban *bans_find(Bans *b, const Peer *peer, uint32_t service, uint64_t now_usec);
/* Lifts all bans that lie within @prefix (NULL: all there are), and those that have all of it. Returns how
 * many. */
size_t bans_lift(Bans *b, const Prefix *prefix, uint64_t now_usec);
/* Forgets those of services that are gone; their bans from all services stay. It looks at all there are. */
void bans_forget(Bans *b, const Gone *services);
size_t bans_count(Bans *b, uint64_t now_usec);
uint64_t bans_dropped(const Bans *b); /* ended before their time because the table was full */
size_t bans_count_of(Bans *b, uint32_t service,
                     uint64_t now_usec); /* that hold for it, also those from all */
uint64_t bans_newest(const Bans *b);     /* the number of the newest ever; 0: none */
/* The next one behind that of number @after, in the order in which they were imposed, whatever comes and goes
 * in between; 0: the first. NULL when there is none. */
const Ban *bans_next(Bans *b, uint64_t after, uint64_t now_usec);

/* The id that the service @name has now; 0: there is none of that name. */
typedef uint32_t (*BanOwner)(const char *name, void *userdata);

/* See handover.h: to a table that is empty, and whose key may be another. What does not fit ends, the first
 * to end first. 0 or -EBADMSG. */
void bans_save(BlobWriter *w, const Bans *b);
int bans_restore(BlobReader r, Bans *b);
/* The same of a daemon whose services had other ids: @owner tells those of now. Bans from a service that
 * there is no more are left out. */
int bans_restore_of(BlobReader r, Bans *b, BanOwner owner, void *userdata);

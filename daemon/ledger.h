/* SPDX-License-Identifier: MIT */
#pragma once
/* The ledger: which processes live, in memory that outlives the daemon, since the service manager keeps a
 * descriptor of it. It is written in place, with a few stores and no system call, so that it is right at any
 * instant, however the daemon ends; the next one finds there what it may adopt.
 *
 * A file in memory (memfd): a header, then records of one size, each empty or valid; the word that makes it
 * valid is written last, and taken back first. All calls do nothing with NULL. */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/base/blob.h"
#include "daemon/base/peer.h"

/* How many it can hold; of more, the rest is not known to the next daemon. */
#define LEDGER_RECORDS 65536U
#define LEDGER_NAME_MAX 32

typedef enum LedgerKind {
    LEDGER_CONNECTION, /* serves one, by itself or by passing it on */
    LEDGER_SLOT,       /* on-demand: has listeners */
    LEDGER_WORKER,     /* of a pool: it was told to end with the daemon */
    LEDGER_BACKEND,    /* of a forward */
    _LEDGER_KIND_MAX,
} LedgerKind;

typedef struct LedgerRecord {
    _Atomic uint32_t valid;
    int32_t pid;
    uint64_t number;                /* of the instance */
    uint64_t born_usec, known_usec; /* CLOCK_BOOTTIME: it was made between them */
    uint64_t started_usec;          /* CLOCK_BOOTTIME: when it got its work */
    uint64_t started_realtime_usec; /* since 1970 */
    uint64_t service;               /* ledger_service() */
    uint32_t slot;
    uint8_t kind, reserved[3];
    Peer peer;
    char name[LEDGER_NAME_MAX]; /* of the service, as far as it fits: for people */
} LedgerRecord;

typedef struct Ledger Ledger;

/* What stands for the name of a service. Pure. */
uint64_t ledger_service(const char *name);

/* A new one. 0 or a negative errno. */
int ledger_new(Ledger **ret);
/* That of an earlier daemon, which goes on in place; @fd is taken over in any case. -ESTALE: of another boot
 * of the machine; -EBADMSG: it is none, or of another version. */
int ledger_open(int fd, Ledger **ret);
Ledger *ledger_free(Ledger *l); /* what stands in it stays; returns NULL */
int ledger_fd(const Ledger *l);

/* Puts @r (its `valid` does not matter) in a free place. Returns the place, from 1 on; 0: there is none. */
uint32_t ledger_add(Ledger *l, const LedgerRecord *r);
/* Empties *@place and sets it to 0, which is no place. */
void ledger_remove(Ledger *l, uint32_t *place);
/* The first valid record after *@place, and its place. Begins with 0. What it says is not believed: kinds are
 * in range, pids above 1, texts end; no more. */
bool ledger_next(const Ledger *l, uint32_t *place, LedgerRecord *ret);

/* See handover.h. The records stay where they are. */
void ledger_save(BlobWriter *w, const Ledger *l);
int ledger_restore(BlobReader r, Ledger **ret);

/* Of what /proc/PID/stat says: the state, and since when it runs, in ticks since boot. False: it says
 * something else. Pure. */
bool ledger_parse_stat(const char *text, char *ret_state, uint64_t *ret_ticks);
/* Whether a process that runs since @ticks, of which a second has @hz, is the one of @r. Pure. */
bool ledger_is_same(const LedgerRecord *r, uint64_t ticks, uint64_t hz);

/* SPDX-License-Identifier: MIT */
#pragma once
/* timeouts.idle of an on-demand process: it is looked at now and then, and told to end once it has had
 * nothing to do at every look for so long. What it has to do it says itself (ACTIVE=n); else the kernel's
 * tables of sockets say whether a connection of its listeners lives, and the listeners wake us, once between
 * two looks, when something comes in. Connections that come while it ends wait in the queue, for the next
 * one. */
#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/blob.h"

struct Slot;
typedef struct Idle Idle;

/* Begins, goes on or ends with it, as the slot's process, orders and config are. Cheap. */
void idle_update(struct Slot *slot);
Idle *idle_free(Idle *i); /* returns NULL; NULL is fine */

/* The upgrade in place: of @slot, whose process is there again, and whose listeners are. Without it the time
 * would begin anew. 0, -EBADMSG or -ENOMEM. */
void idle_save(BlobWriter *w, const Idle *i);
int idle_restore(BlobReader in, struct Slot *slot);

/* How long from one look to the next. Pure. */
uint64_t idle_step(uint64_t limit_usec);
/* A look at @now_usec has found it busy or not. @quiet_usec is since when it is known to have had nothing to
 * do, 0 when it had at the last look; it is brought up to date. Returns when to look next, or 0: it has been
 * quiet for @limit_usec. Pure. */
uint64_t idle_look(uint64_t *quiet_usec, bool busy, uint64_t limit_usec, uint64_t now_usec);

/* SPDX-License-Identifier: MIT */
#pragma once
/* timeouts.idle of an instance with a connection over TCP of its own: it is ended when no byte has moved over
 * it, either way, for so long. The kernel keeps the account (SockQuery); no descriptor is kept. Bytes have
 * moved when they came in, or when the peer has acknowledged them: what is sent to nobody does not count. */
#include "daemon/sock-query.h"

struct Instance;
typedef struct IdleConnection IdleConnection;

/* Begins to look after the connection @name of @i. NULL stands for a name that is over already. 0 or a
 * negative errno. */
int idle_connection_new(struct Instance *i, const SockName *name, IdleConnection **ret);
IdleConnection *idle_connection_free(IdleConnection *c); /* returns NULL; NULL is fine */

/* The upgrade in place. 0, -EBADMSG or another negative errno. */
void idle_connection_save(BlobWriter *w, const IdleConnection *c);
int idle_connection_restore(BlobReader in, struct Instance *i, IdleConnection **ret);

/* The part that does no I/O: what has been seen of it. */
typedef struct Movement {
    uint64_t received, acked;
    uint64_t moved_usec; /* when bytes moved last, monotonic */
    bool gone;           /* it was, at the last look */
} Movement;

/* Takes in what was seen at @now_usec. False when the kernel did not tell: then it counts as moving. That it
 * is gone counts as a movement, once: it had the time until then. */
bool movement_look(Movement *m, SockFate fate, const SockInfo *info, uint64_t now_usec);

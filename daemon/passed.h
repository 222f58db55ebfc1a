/* SPDX-License-Identifier: MIT */
#pragma once
/* Connections that were passed on to the workers of a pool and that count for limits.per_source until they
 * are over. Nobody says when that is, and no descriptor of them is kept: the kernel is asked, about those of
 * a source that is at its limit, and now and then about all. Bounded in memory and in time. */
#include <systemd/sd-event.h>

#include "daemon/base/blob.h"
#include "daemon/sock-query.h"
#include "daemon/sources.h"

/* So many of a service; of more the limit does not hold. */
#define PASSED_MAX 65536U

struct Runtime;
typedef struct Passed Passed;

/* NULL when memory runs out. */
Passed *passed_new(struct Runtime *rt);
/* All sources are let go. Returns NULL; NULL is fine. */
Passed *passed_free(Passed *p);
/* The connection @fd of @peer has been passed on; @source is held for it, and the hold is taken over until it
 * is over. 0; -ENOSPC when there are too many, or another negative errno when the kernel does not tell of it:
 * then nothing is taken over. */
int passed_add(Passed *p, int fd, const Peer *peer, Source *source);
/* Sources are told apart in another way: @find says which one is that of a peer, or NULL. */
typedef Source *(*PassedFind)(const Peer *peer, void *userdata);
void passed_rehome(Passed *p, PassedFind find, void *userdata);
/* Looks which of @source's are over, as far as it can be done at once, and lets go of it for each. */
void passed_look(Passed *p, const Source *source);

/* The upgrade in place. Into one that is new; the sources are there by then, and are held again. 0, -EBADMSG
 * or -ENOMEM. */
void passed_save(BlobWriter *w, const Passed *p);
int passed_restore(BlobReader r, Passed *p);

/* SPDX-License-Identifier: MIT */
#pragma once
/* Handoff connection: the daemon accepts, and passes each connection to the least busy worker of a pool, over
 * a SOCK_SEQPACKET pair: one descriptor (SCM_RIGHTS) and its variables as text a message. The daemon keeps a
 * copy of the worker's end, so that what a worker has not received is not lost with it. */
#include "daemon/launch.h"
#include "daemon/pool.h"

/* What a worker takes at once. */
typedef struct HandoffLoad {
    uint64_t outstanding; /* in its hands, or on the way */
    uint64_t capacity;
} HandoffLoad;

/* What is known of it. */
typedef struct HandoffFacts {
    int64_t active;      /* as it last said; -1: it never has */
    uint64_t sent_since; /* passed since it said so */
    uint64_t unread;     /* of them it has not received so many */
    int64_t capacity;    /* as it last said; -1: it never has */
} HandoffFacts;

/* Pure. */
HandoffLoad handoff_load(const HandoffFacts *f);

/* Makes the pair of @w. @ret_its_end is the worker's, still owned by @w. 0 or a negative errno. */
int handoff_open(Worker *w, int *ret_its_end);
/* Connections that it was passed and has not accounted for. */
uint64_t handoff_outstanding(const Instance *i);
/* The least busy worker that has room; NULL: none has. */
Instance *handoff_pick(const Pool *p);
/* Whether to refuse a connection now that there is no room, instead of leaving it in the queue. */
bool handoff_refuses(const Pool *p);
/* Passes it on, or keeps it for the next one. The caller's descriptor stays its own, and is then a copy. 0 or
 * a negative errno: then nobody has it. */
int handoff_pass(Pool *p, Instance *to, const Connection *c);
/* There was no room: asks the workers to say when there is. Whether there is by now. */
bool handoff_wait(Pool *p);
/* Worker @i has said what it has in hand. */
void handoff_on_report(Pool *p, Instance *i);
/* Workers that have not received what they were passed for a second hang: others get it. Returns when to look
 * again; USEC_INFINITY: no need. */
uint64_t handoff_look_for_stuck(Pool *p, uint64_t now_usec);
/* Takes from @w what it has not received, for others. */
void handoff_take_back(Pool *p, Worker *w);
/* Passes on what was taken back, as far as there is room. Whether none is left. */
bool handoff_pass_held(Pool *p);
void handoff_drop_held(Pool *p);
/* @w gets nothing more, and sees the end of its socket once it has received what is there. */
void handoff_close(Worker *w);
/* Whether @w has received all that it was passed. */
bool handoff_is_received(const Worker *w);
/* The upgrade in place: those that were taken back and that nobody has. 0, -EBADMSG or -ENOMEM. */
void handoff_save_held(BlobWriter *w, const Pool *p);
int handoff_restore_held(BlobReader in, Pool *p);

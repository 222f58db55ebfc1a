/* SPDX-License-Identifier: MIT */
#pragma once
/* How many bytes have passed over the connection of an instance, by the kernel's own account. The connection
 * is not touched, and no descriptor of it is kept: while it lives the kernel is asked for it (SockQuery), and
 * it tells when a connection ends (SockEnds), which may be before the process does, or a moment later. */
#include "daemon/base/hash-table.h"
#include "daemon/base/list.h"
#include "daemon/eventlog.h"
#include "daemon/sock-ends.h"

typedef struct Bytes {
    uint64_t in, out; /* of payload, as its process has received and sent it */
} Bytes;

/* What is kept for all connections together. */
typedef struct Traffic Traffic;
/* @settled is called, in a turn of the loop of its own, when nobody waits any more, and when it was asked for
 * by traffic_settle(). NULL when memory runs out. */
Traffic *traffic_new(sd_event *loop, SockQuery *query, EventLog *log, void (*settled)(void *userdata),
                     void *userdata);
void traffic_settle(Traffic *t);
Traffic *traffic_free(Traffic *t); /* after all flows; returns NULL; NULL is fine */
/* Whether any service wants to know. Where the kernel does not tell, that is told once. */
void traffic_set_wanted(Traffic *t, bool wanted);
/* Whether the end of some instance is still to be told. */
bool traffic_is_awaited(const Traffic *t);

/* The upgrade in place: what the kernel is asked to tell, and what it has told and nobody has read. Before
 * the connections are restored. 0, -EBADMSG or -ENOMEM. */
void traffic_save(BlobWriter *w, const Traffic *t);
int traffic_restore(BlobReader r, Traffic *t);

/* What is kept for one of them. */
typedef struct Flow Flow;
/* @bytes is NULL when it cannot be known. */
typedef void (*FlowDone)(const Bytes *bytes, void *userdata);

/* For the connection @name. NULL when nobody wants to know, or memory runs out. */
Flow *flow_new(Traffic *t, const SockName *name);
Flow *flow_free(Flow *f); /* without a word; returns NULL; NULL is fine */
/* Its process has ended. Calls @done, once: at once if it can, else when the kernel has told, after
 * TRAFFIC_WAIT_USEC at the latest. */
void flow_finish(Flow *f, FlowDone done, void *userdata);
/* Stops waiting: calls @done with what is known now. */
void flow_give_up(Flow *f);

/* The upgrade in place: one of them. One that waited is restored with @done and @userdata, and waits on; for
 * one that did not, both are NULL. 0, -EBADMSG or -ENOMEM. */
void flow_save(BlobWriter *w, const Flow *f);
int flow_restore(BlobReader in, Traffic *t, FlowDone done, void *userdata, Flow **ret);

/* So long it waits for the kernel to tell, and with so many others. */
#define TRAFFIC_WAIT_USEC 500000ULL
#define TRAFFIC_WAITING_MAX 4096

/* The parts that do no I/O. False when it has no figures. */
/* Of a connection that lives, also when its process has left it: what that has sent may be still on its way.
 */
bool traffic_of_living(const SockInfo *info, Bytes *ret);
/* Of one that has ended: @last as it was told; @rest_state as SockInfo's, of what is left of it. */
bool traffic_of_ended(const SockInfo *last, uint8_t rest_state, Bytes *ret);

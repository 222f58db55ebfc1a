/* SPDX-License-Identifier: MIT */
#pragma once
/* The door of a service: gathers the facts that admission.c decides by, knows why nobody is let in now and
 * looks again in time, and books who is let in. */
#include <systemd/sd-event.h>
#include <time.h>

#include "conf/access.h"
#include "daemon/admission.h"
#include "daemon/base/blob.h"
#include "daemon/sources.h"

struct Connection;
struct Instance;
struct Runtime;
struct Service;

typedef struct Gate {
    Bucket rate;                    /* limits.rate */
    Admission held;                 /* why nobody is let in now: VERDICT_WAIT; anything else: somebody is */
    bool throttling;                /* by rate or load */
    uint64_t throttled_usec;        /* when it last was, or ceased to be; 0: not lately */
    time_t opening, opening_looked; /* when hours begin, and when that was looked for */
    const struct Hours *opening_of; /* by that address alone */
    sd_event_source *timer;
} Gate;

void gate_done(struct Service *s);

/* Asks for the service alone, before anybody is taken from its queues: VERDICT_SERVE, take the next one;
 * VERDICT_WAIT, leave them there; VERDICT_REFUSE, take the next one and refuse him. Of a pool, whether a
 * worker has room is not asked here. */
Admission gate_ask(struct Service *s);
/* Asks for @c, which has been taken, its peer known; @before is what was said of the service. Never
 * VERDICT_WAIT. When he is to be served it is booked: the tokens are taken, and his source is held in
 * c->source until gate_release(). */
Admission gate_admit(struct Service *s, struct Connection *c, const Admission *before);
/* Whether @c, which has been taken and has to wait for room, is to be refused whatever room there will be:
 * VERDICT_SERVE if not. Books nothing. */
Admission gate_judge(struct Service *s, struct Connection *c);
/* What somebody of the source @prefix would be told now, but for the rules of access, which need not be the
 * same for all of it. Books nothing. */
Admission gate_foresee(struct Service *s, const Peer *prefix);
/* Holds the source of @i, which an earlier daemon has let in. */
void gate_take_back(struct Instance *i);
/* It is over: *source is let go, and NULL. NULL is fine. */
void gate_release(struct Runtime *rt, Source **source);

/* Whether the process of an on-demand service may be started now for somebody who waits (limits.rate and
 * limits.load); else the service is to be updated, which sees to it that it is asked again. */
bool gate_may_start(struct Service *s);
/* It has been started. */
void gate_count_start(struct Service *s);

/* Looks at the facts anew: whether it is held, and when to look again. A part of service_update(). */
void gate_settle(struct Service *s);
/* Whether nobody is let in now. */
bool gate_is_held(const struct Service *s);
/* Whether limits.rate or limits.load have held it just now: its state does not follow each token. */
bool gate_is_throttled(const struct Service *s);
/* "limits.rate reached": why nobody is let in; NULL: somebody is. */
const char *gate_why(const struct Service *s);

/* The limits have changed from @before: sources are counted as the new ones say. */
void gate_change(struct Service *s, const LimitsConfig *before);
/* A reload with access.apply_to_existing: ends the instances whose peer is no longer admitted. */
void gate_apply_to_existing(struct Service *s);

/* The source of @peer, masked as the service counts. */
Peer gate_prefix(const struct Service *s, const Peer *peer);
/* "deny 192.0.2.0/24", "nothing allows it": why @rule (access_allows()) keeps somebody out. Addresses are
 * shown as log.addresses has them. */
void gate_explain(const struct Service *s, const AccessRule *rule, Text *out);

/* The upgrade in place. */
void gate_save(BlobWriter *w, const Gate *g);
int gate_restore(BlobReader r, Gate *g); /* 0 or -EBADMSG */

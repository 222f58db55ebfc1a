/* SPDX-License-Identifier: MIT */
#pragma once
/* Serving per connection: takes connections from a listener's queue, lets admission decide, launches. */
#include "daemon/launch.h"
#include "daemon/listener.h"
#include "daemon/service.h"

/* Something waits on @l, of a per-connection service: takes up to a bounded number. */
void serve_listener(Listener *l);
/* Serves @c, which has been taken from a queue, whose peer and own end are known, and which nobody has
 * counted yet. VERDICT_SERVE and VERDICT_REFUSE: it is counted as accepted and what became of it, told, and
 * all that it has is gone: its descriptor, its groups, the source that was held for it. VERDICT_WAIT: there
 * is no room, and nothing has happened, @c is still the caller's. To be asked again when gate_is_held() no
 * longer says so, and a pool has a worker with room: service_update() is called whenever that may be. */
Verdict serve_connection(Service *s, Connection *c);
/* One of @s that was accepted (@peer, NULL: not known) is not served, and nobody refused it: counts it, and
 * says @why. */
void serve_count_gone(Service *s, const Peer *peer, const char *why);
#define GONE_LEFT "the client left before it was served"
/* Who waits in the queues of @s cannot be served: each is taken and let go. */
void serve_turn_away(Service *s);
/* @l is to be closed, and nobody can serve who waits there: each is taken and let go, and @why is said. */
void serve_nobody(Listener *l, const char *why);
/* @l is to be closed: serves what waits in its queue, as far as admission lets it. */
void serve_queue(Listener *l);

/* SPDX-License-Identifier: MIT */
#pragma once
/* Serving per connection: takes connections from a listener's queue, lets admission decide, launches. */
#include "daemon/listener.h"
#include "daemon/service.h"

/* Something waits on @l, of a per-connection service: takes up to a bounded number. */
void serve_listener(Listener *l);
/* Who waits in the queues of @s cannot be served: each is taken and let go. */
void serve_turn_away(Service *s);
/* @l is to be closed: serves what waits in its queue, as far as admission lets it. */
void serve_queue(Listener *l);

/* SPDX-License-Identifier: MIT */
#pragma once
/* Opening a listener where others of ours are in the way by their addresses: `*` beside a specific one, one
 * socket for both families beside two. All of them let that happen for a moment, so that the old ones serve
 * until the new one is there. What an earlier reload has taken away, and is still there for those who have it
 * or wait in it, comes back. */
#include "daemon/reload.h"

/* One that was leaving, and what it is to be. */
typedef struct Return {
    Listener *leaving, *to;
} Return;

/* The sockets of the internet kinds that are open, by kind and port, and what is leaving of the others; found
 * when the first may be in the way. Starts as {0}. */
typedef struct OpenBeside {
    Listener **items;
    size_t n;
    Listener **nodes;
    size_t n_nodes;
    Return *returns;
    size_t n_returns;
    bool collected;
} OpenBeside;

/* listener_open(), of @l, which is none of @set's. */
int open_beside(OpenBeside *b, const ServiceSet *set, Listener *l, uint16_t port);
/* What has come back stays; without this it goes on leaving, as if nothing had been. */
void open_beside_keep(OpenBeside *b);
/* Before the listeners that it has opened are freed. */
void open_beside_done(OpenBeside *b);

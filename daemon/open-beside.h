/* SPDX-License-Identifier: MIT */
#pragma once
/* Opening a listener where others of ours are in the way by their addresses: `*` beside a specific one, one
 * socket for both families beside two. All of them let that happen for a moment, so that the old ones serve
 * until the new one is there. */
#include "daemon/reload.h"

/* The sockets of the internet kinds that are open, by kind and port; found when the first is in the way.
 * Starts as {0}. */
typedef struct OpenBeside {
    Listener **items;
    size_t n;
    bool collected;
} OpenBeside;

/* listener_open(), of @l, which is none of @set's. */
int open_beside(OpenBeside *b, const ServiceSet *set, Listener *l, uint16_t port);
void open_beside_done(OpenBeside *b);

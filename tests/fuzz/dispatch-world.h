/* SPDX-License-Identifier: MIT */
#pragma once
/* A whole daemon for one input: its manager, its loop, a control socket with two clients, services that
 * listen, processes of theirs that are not there. It starts nothing, ends nobody and reads no config: who
 * links with it has dispatch_wraps of meson.build. */
#include "daemon/control.h"
#include "daemon/manager.h"
#include "daemon/runtime.h"

typedef enum WorldClient {
    CLIENT_MANAGES, /* root */
    CLIENT_LOOKS,   /* somebody else */
    _WORLD_CLIENTS,
} WorldClient;

typedef struct World {
    Manager *manager;
    int fds[_WORLD_CLIENTS]; /* the clients' ends */
    /* Since world_forget(): signals that were sent, and processes and loads that were asked for. */
    unsigned n_signals, n_started, n_helpers;
    int last_signal;
    /* Called whenever there is nothing else to do; false: that was all. */
    bool (*idle)(struct World *w, void *userdata);
    void *userdata;
} World;

/* Makes it, runs it until there is nothing more to do, and takes it away. */
void world_run(bool (*idle)(World *w, void *userdata), void *userdata);
/* Connects @who anew: when the daemon has next nothing to do, it has been taken in. */
void world_connect(World *w, WorldClient who);
void world_forget(World *w);
/* The processes that were sent a signal that ends them have ended. Whether there were some. */
bool world_end_processes(World *w);

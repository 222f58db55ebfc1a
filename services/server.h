/* SPDX-License-Identifier: MIT */
#pragma once
/* A server: one process that serves several sockets at once, listeners, connections and datagram sockets, in
 * a loop around poll(2) that no client can hold up. It ends when it has had nothing to do for long enough, so
 * that whoever gave it the sockets can watch them himself again, or on SIGTERM. */
#include "services/mp-service.h"
#include "services/options.h"
#include "services/serve.h"

typedef struct Server Server;

/* @protocol and @options must outlive it. NULL when memory ran out. */
Server *server_new(const Protocol *protocol, const Options *options);
Server *server_free(Server *s);
/* Takes one socket in and serves it from now on. -ENOTSUP: nothing that can be served; -ENOMEM and others. */
int server_add(Server *s, const MpSocket *socket);
/* Serves to the end. 0, or a negative errno when nothing can be served any more. */
int server_run(Server *s);

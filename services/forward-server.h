/* SPDX-License-Identifier: MIT */
#pragma once
/* The forwarder's process: one epoll(7) loop over all that it was given, listeners, connections, datagram
 * sockets and the socket on which connections are passed, until there is nothing more to do. */
#include "services/forward-options.h"
#include "services/mp-service.h"

typedef struct Forwarder Forwarder;

/* @options must outlive it. NULL when memory or descriptors ran out. */
Forwarder *forwarder_new(const ForwardOptions *options);
Forwarder *forwarder_free(Forwarder *f);
/* Takes what it was given: MP_CONNECTION_FD, LISTEN_FDS or fd 0. 0, or a negative errno after it was told on
 * standard error. */
int forwarder_take_given(Forwarder *f);
/* Forwards to the end. Returns the exit status. */
int forwarder_run(Forwarder *f);

/* SPDX-License-Identifier: MIT */
#pragma once
/* A relay: a datagram socket whose senders are forwarded, each by a session with a socket of its own to the
 * backend, so that answers find their way back. A session ends when it was silent for long enough. */
#include <stdint.h>

#include "services/forward-options.h"
#include "services/forward-trouble.h"

typedef struct Relay Relay;

typedef struct RelayCount {
    uint64_t active;   /* sessions */
    uint64_t requests; /* datagrams of clients that were passed on */
    uint64_t refused;  /* that were not: too many sessions, or the backend takes none */
    uint64_t bytes_in;
    uint64_t bytes_out;
} RelayCount;

/* Relays what comes to the socket @fd, which it does not own. @options, @trouble and @now_usec, the time of
 * the wake-up, must outlive it. NULL when memory ran out or epoll does not take the socket. */
Relay *relay_new(const ForwardOptions *options, Trouble *trouble, int epoll, int fd,
                 const uint64_t *now_usec);
Relay *relay_free(Relay *r);
/* Ends the sessions that are due. To be called after a wake-up. */
void relay_expire(Relay *r);
/* When relay_expire() has something to do. */
uint64_t relay_due(const Relay *r);
RelayCount relay_count(const Relay *r);
/* Takes nothing in any more; what the backend still answers is passed on. */
void relay_stop(Relay *r);
/* 0, or the errno for which the socket was given up. */
int relay_error(const Relay *r);

/* SPDX-License-Identifier: MIT */
#pragma once
/* The socket of a client: made, connected, with a bound on the time that takes. */
#include <stdbool.h>
#include <stdint.h>

#include "services/client-target.h"

/* A socket of the target's kind for @address, not connected, non-blocking. A UNIX datagram one has an address
 * of its own, to be answered to. Or a negative errno. */
int client_socket(const Target *t, const Addr *address);
/* Begins to connect. 1 connected, 0 under way (poll for POLLOUT, then client_connect_result()), or a negative
 * errno; -EAGAIN: a UNIX listener's queue is full, to be tried again. */
int client_connect_begin(int fd, const Addr *address);
/* 0, or the negative errno with which connecting ended. */
int client_connect_result(int fd);
/* Tries each of @addresses in turn, until @deadline_usec of the monotonic clock. Returns a socket,
 * non-blocking, and the address in *@ret_which; or the negative errno of the first. */
int client_connect(const Target *t, const TargetAddresses *addresses, uint64_t deadline_usec,
                   const Addr **ret_which);
/* What poll(2) takes for waiting until @deadline_usec: milliseconds, rounded up; -1 for USEC_INFINITY. */
int client_poll_timeout(uint64_t deadline_usec, uint64_t now_usec);

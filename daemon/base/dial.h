/* SPDX-License-Identifier: MIT */
#pragma once
/* Connecting to an address without waiting for it. */
#include "daemon/base/addr.h"

/* Opens a non-blocking socket of @type and begins to connect it to @to. 0: it is connected; -EINPROGRESS: it
 * is writable when it is known what came of it (both store the socket in @ret_fd); or another negative errno.
 */
int dial_begin(const Addr *to, int type, int *ret_fd);
/* What came of it: 0, or a negative errno. A connection that has come about with itself is -ECONNREFUSED, and
 * leaves nothing of itself behind. */
int dial_result(int fd, const Addr *to);
/* What @get, getsockname(2) or getpeername(2), says of it; empty where that fails. */
Addr socket_addr(int fd, int (*get)(int, struct sockaddr *, socklen_t *));

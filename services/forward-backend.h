/* SPDX-License-Identifier: MIT */
#pragma once
/* The backend: where connections and datagrams are forwarded to. A plain value. */
#include <stdbool.h>

#include "conf/endpoint.h"

typedef struct Backend {
    Endpoint endpoint;
    Addr addr;
    int type; /* SOCK_STREAM, SOCK_SEQPACKET or SOCK_DGRAM */
} Backend;

/* Parses an endpoint to connect to. 0, or -EINVAL with what is wrong and a hint, both static texts. */
int backend_parse(const char *s, Backend *ret, const char **ret_why, const char **ret_hint);

/* Opens a non-blocking socket and begins to connect it. 0: it is connected; -EINPROGRESS: epoll will tell
 * (both store the socket in @ret_fd); or another negative errno. */
int backend_open(const Backend *b, int *ret_fd);

/* connect(2) found nobody there: a backend that is just being started may come. */
bool errno_is_backend_absent(int e);
/* It is there, or would be, but there is no room at the moment: a full queue, descriptors, ports. */
bool errno_is_backend_busy(int e);

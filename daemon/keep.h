/* SPDX-License-Identifier: MIT */
#pragma once
/* Which listeners the service manager keeps for us, under which names: those that we have opened, from the
 * moment on when they are open until they are closed for good. */
#include "daemon/fd-store.h"
#include "daemon/service.h"

/* What the name of a kept listener says. */
typedef struct KeptName {
    uint64_t digest; /* of the service and the endpoint */
    bool node;       /* the node or queue that it leads to is ours to remove */
} KeptName;

/* The digest of listener @l of @s. Pure. */
uint64_t keep_digest(const Service *s, const Listener *l);
/* "mpinetd.listener.0123456789abcdef.node". Pure. Returns @buf. */
const char *keep_name_format(const KeptName *name, char buf[static FD_STORE_NAME_MAX]);
/* Whether @name is one of these. Pure. */
bool keep_name_parse(const char *name, KeptName *ret);

/* Whether the socket @fd, which came from the store, has what @config says it is to have had before bind(2).
 */
bool keep_fits(int fd, const ListenConfig *config);

/* After listeners have been opened, closed or have changed hands: tells the store what is new. */
void keep_update(FdStore *store, Service *const *services, size_t n);

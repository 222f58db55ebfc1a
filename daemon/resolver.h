/* SPDX-License-Identifier: MIT */
#pragma once
/* What services lack (their program, user, groups, folders, files of rules) looked up again while the daemon
 * runs: by a helper, since a look-up may take as long as it likes. Several services at a time; who asks
 * meanwhile is of the next one. When one ends without an answer or is too late, each of its services is
 * looked at by itself, one after the other and beside those that are looked at together, until that has gone
 * well: so one name that hangs does not stand for others, and nobody who comes later waits behind it. */
#include "daemon/config-child.h"
#include "daemon/service.h"

typedef struct Resolver Resolver;

/* Both are for nothing else, and borrowed: for those that are looked at together, and alone. NULL when memory
 * runs out. */
Resolver *resolver_new(ConfigLoads *together, ConfigLoads *alone);
Resolver *resolver_free(Resolver *r); /* nobody asks any more; returns NULL, NULL is fine */

/* Has @s looked at, in a look-up that begins later: service_take_found() or service_fail_look() is called, in
 * a turn of the loop. 0, or -ENOMEM: neither is. */
int resolver_ask(Resolver *r, Service *s);
/* Before another program takes over: what is under way ends, and waits again. */
void resolver_suspend(Resolver *r);
/* That one has not come: what waits goes on. */
void resolver_resume(Resolver *r);

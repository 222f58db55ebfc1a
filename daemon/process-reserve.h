/* SPDX-License-Identifier: MIT */
#pragma once
/* Of the processes that the daemon's user may have, the last ones are not for services: the helper that reads
 * the config at a reload gets one of them. Held only while a service's process is made, so that nothing is
 * left changed behind a daemon that is killed or replaced. */
#include <stdbool.h>
#include <sys/resource.h>

/* How many are kept. */
#define PROCESSES_KEPT 2

typedef struct ProcessReserve {
    struct rlimit before;
    bool held;
} ProcessReserve;

/* The soft limit that leaves them, of the limit @limit; 0: it is to stay as it is, for it is none or so small
 * that nothing would be left. Pure. */
rlim_t process_reserve_limit(const struct rlimit *limit);

/* Lowers the daemon's limit of processes until process_reserve_let_go(). Not as root, whom the kernel does
 * not hold to it. The child is to have `before` again. */
ProcessReserve process_reserve_hold(void);
void process_reserve_let_go(const ProcessReserve *r);

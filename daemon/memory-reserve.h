/* SPDX-License-Identifier: MIT */
#pragma once
/* Memory that is kept for the control socket, for reloads and for the end: when there is none left for one
 * more process of a service it is given up, and nobody is let in until it could be had again. Only address
 * space is taken, for it counts against limits (RLIMIT_AS, RLIMIT_DATA, vm.overcommit_memory 2) while it is
 * not touched; against the memory of a cgroup nothing can be kept. */
#include <stdbool.h>
#include <stddef.h>
#include <systemd/sd-event.h>

#include "daemon/eventlog.h"

#define MEMORY_KEPT ((size_t)1 << 20)

/* Starts as {0}, and is then nothing that could be given up. */
typedef struct MemoryReserve {
    void *kept;
    bool low; /* it has been given up: services start nothing */
    sd_event_source *timer;
    EventLog *log;
} MemoryReserve;

/* 0 or a negative errno. */
int memory_reserve_init(MemoryReserve *r, sd_event *loop, EventLog *log);
void memory_reserve_done(MemoryReserve *r);

/* Memory has run out: gives up what is kept, tells so, and tries to have it again until it does. */
void memory_reserve_use(MemoryReserve *r);
/* The same if there is not enough left for what a control client may want. */
void memory_reserve_look(MemoryReserve *r);

/* SPDX-License-Identifier: MIT */
#pragma once
/* The engine of a load: many connections at once in one thread around epoll(7), none of which can hold up
 * another. */
#include <stdbool.h>
#include <stdint.h>

#include "services/client-exchange.h"
#include "services/client-tally.h"
#include "services/client-target.h"

typedef struct EnginePlan {
    const Target *target;
    const TargetAddresses *addresses;
    Script script;
    uint64_t at_once;
    uint64_t connections;  /* in all; UINT64_MAX: as many as time allows */
    uint64_t time_usec;    /* none is begun after it; USEC_INFINITY: no bound */
    uint64_t timeout_usec; /* of each connection, without the time that it is held */
    uint64_t hold_usec;
    bool half_close; /* after the last reply our end is told, and the server's awaited */
    int progress;    /* a terminal to show progress on, or -EBADF */
} EnginePlan;

typedef struct Engine Engine;

/* @plan must outlive it. NULL: errno says why. SIGINT and SIGTERM are blocked from then on. */
Engine *engine_new(const EnginePlan *plan, Tally *tally);
Engine *engine_free(Engine *e);
/* Runs to the end, or to SIGINT or SIGTERM: returns that signal, 0, or a negative errno. */
int engine_run(Engine *e);
/* The address that answers. */
const Addr *engine_address(const Engine *e);

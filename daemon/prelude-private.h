/* SPDX-License-Identifier: MIT */
#pragma once
/* What prelude.c and prelude-save.c share: one noun in two files. */
#include "daemon/launch.h"
#include "daemon/prelude-data.h"
#include "daemon/prelude.h"

typedef struct Prelude {
    List link; /* among those that are read, or those that are held */
    Service *service;
    Connection connection;
    PreludeData data;
    uint64_t until_usec;
    sd_event_source *source; /* while more is to come */
} Prelude;

/* The place for those of @s. NULL when memory runs out. */
Preludes *preludes_make(Service *s);
/* Takes @c over, and counts it; on no list yet. NULL when memory runs out: then @c is as it was. */
Prelude *prelude_new(Service *s, Connection *c, PreludeKind kind);
/* Closes what it has; it was counted by then. */
void prelude_free(Prelude *p);
/* Waits for more of it, until its time is over. 0 or a negative errno; it is then on no list. */
int prelude_await(Prelude *p);

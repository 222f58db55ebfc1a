/* SPDX-License-Identifier: MIT */
#pragma once
/* What is told of a backend that gives trouble: on standard error, a line a second at most, and as STATUS=.
 */
#include <stdbool.h>
#include <stdint.h>

#include "services/forward-backend.h"

typedef struct Trouble {
    char *to;  /* the backend, fit to be shown */
    bool told; /* and not yet over */
    uint64_t quiet_until_usec;
    uint64_t left_out; /* since the last line */
} Trouble;

/* 0 or -ENOMEM. */
int trouble_init(Trouble *t, const Backend *backend);
void trouble_done(Trouble *t);
void trouble_tell(Trouble *t, const char *why, uint64_t now_usec);
/* The backend answers. */
void trouble_over(Trouble *t);

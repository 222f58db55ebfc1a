/* SPDX-License-Identifier: MIT */
#pragma once
/* What to do about a service: the verb or the key of the config that mends it. Pure: from replies to text. */
#include <jansson.h>

#include "ctl/style.h"

#define STATUS_HINTS_MAX 4

typedef struct StatusHints {
    Text lines[STATUS_HINTS_MAX];
    size_t n;
} StatusHints;

/* Fills @h for @description (a Describe reply): by its state, and by why connections were refused. */
void status_hints_find(StatusHints *h, const json_t *description);
void status_hints_done(StatusHints *h);
#define CLEANUP_HINTS CLEANUP(status_hints_done)

/* "exec: No such file or directory", the step named once. */
void last_error_what(const json_t *error, Text *out);
/* The same with its place: "exec: No such file or directory (/etc/mpinetd/x.yaml:4)"; nothing for null. */
void last_error_format(const json_t *error, Text *out);
/* What to do about a failed service: "correct it, then: mpctl reload". */
void last_error_advice(const json_t *service, Text *out);

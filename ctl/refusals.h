/* SPDX-License-Identifier: MIT */
#pragma once
/* Why connections are refused, in words that lead to the key of the config that says so. */
#include <jansson.h>

#include "ctl/style.h"

typedef struct Refusal {
    char letter;         /* behind REFUSED in the table */
    const char *meaning; /* a phrase */
    const char *keys;    /* of the config */
    const char *set;     /* what 'mpctl set NAME' takes to mend it at once; NULL: no limit */
} Refusal;

/* By RefuseReason. */
const Refusal *refusal(size_t reason);
/* The sum of a Refused object. */
uint64_t refusals_sum(const json_t *refused);
/* The most frequent reason in it, or -ENOENT when there is none. */
int refusals_most(const json_t *refused);

/* SPDX-License-Identifier: MIT */
#pragma once
/* Which services the names and globs of a call mean. Globs are matched step by step, so that whoever sends
 * costly ones holds nobody up. Pure but for memory. */
#include "daemon/reload.h"

/* In one call; and of what length. */
#define GLOBS_MAX 64
#define GLOB_LENGTH_MAX 256

typedef struct Selection {
    char *const *patterns; /* borrowed; NULL: all services */
    size_t next;           /* of the patterns */
    size_t next_item;      /* and of the services, for a glob */
    bool found;            /* by that glob, so far */
    bool *selected;        /* by the index of the service */
    size_t n;              /* services, when the marks were made */
    uint64_t generation;   /* then */
} Selection;

/* 0, or -E2BIG when there are too many globs, or too long ones. */
int selection_init(Selection *s, char *const *patterns);
void selection_done(Selection *s);
/* Makes up to @budget comparisons. When the services have changed since the last step, it begins anew. 1 when
 * all is selected, 0 when it is to be called again, -ENOENT when patterns[next] means no service, or -ENOMEM.
 */
int selection_step(Selection *s, const ServiceSet *set, uint64_t generation, size_t budget);
/* The names of those selected, in their order, to be freed; NULL when memory runs out. */
char **selection_names(const Selection *s, const ServiceSet *set);

/* SPDX-License-Identifier: MIT */
#pragma once
/* What differs between the services of two configs, found in steps before a reload is carried out, which then
 * need not look for it at one go. Pure but for memory. */
#include "conf/config.h"
#include "ctl/proto/api.h"

/* Changes as the control socket tells them, owning their strings. */
typedef struct Changes {
    ApiChange *items;
    size_t n, capacity;
} Changes;
void changes_done(Changes *c);
/* Makes room for @n more: 0 or -ENOMEM. */
int changes_reserve(Changes *c, size_t n);
/* Adds a copy of @change, any of whose strings may be NULL: 0 or -ENOMEM. */
int changes_add(Changes *c, const ApiChange *change);
/* Appends what differs between two configs of one service: 0 or -ENOMEM. */
int changes_of_service(const ServiceConfig *from, const ServiceConfig *to, Changes *ret);

/* A service that both configs have. */
typedef struct Compared {
    ServiceConfig *from, *to; /* a reference each: what is in force may be looked up again meanwhile */
    size_t first, n;          /* of the changes; none: they say the same */
} Compared;

/* Zeroed at first. Both configs are borrowed until it is done with. */
typedef struct Comparison {
    const Config *from, *to;
    size_t next_from, next_to;
    Compared *pairs; /* in the order of their names */
    size_t n;
    Changes changes;
} Comparison;

/* Compares some more, @n services at most. Returns 1 while there are more, 0 at the end, or -ENOMEM. */
int comparison_step(Comparison *c, const Config *from, const Config *to, size_t n);
void comparison_done(Comparison *c);
/* The pair that @from is the older one of; NULL: it was not compared. Whoever asks in the order of the names
 * hands in the same @at, 0 at first. */
const Compared *comparison_next(const Comparison *c, const ServiceConfig *from, size_t *at);
/* Hands the changes of @pair on to @ret, which has room for them. Once only. */
void comparison_take(Comparison *c, const Compared *pair, Changes *ret);

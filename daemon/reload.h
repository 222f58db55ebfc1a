/* SPDX-License-Identifier: MIT */
#pragma once
/* A reload: what changes between two configs (pure), and making it so, all or nothing. */
#include "daemon/comparison.h"
#include "daemon/service.h"

/* The services at run time, in the order of their names. */
typedef struct ServiceSet {
    Service **items;
    size_t n;
} ServiceSet;
/* Where it stands; @n of the set when there is none of this name. */
size_t service_set_index(const ServiceSet *set, const char *name);
Service *service_set_find(const ServiceSet *set, const char *name);

/* Appends what differs from @from to @to, in the order of the services' names. What Set has changed of those
 * that run in @set (may be NULL) counts as what they had. What @known (may be NULL) has found beforehand is
 * taken out of it. 0 or -ENOMEM. */
int changes_between(const Config *from, const Config *to, const ServiceSet *set, Comparison *known,
                    Changes *ret);
/* Appends what differs between two limits of @service. */
int changes_of_limits(const char *service, const LimitsConfig *from, const LimitsConfig *to, Changes *ret);

/* What runs, as a plan looks at it: borrowed from @set, to be freed as the plan's. NULL when memory runs out.
 */
typedef struct Running {
    PlanService *services;
    PlanListener *listeners;
    size_t n;
} Running;
int running_of(const ServiceSet *set, const Comparison *known, Running *ret);
void running_done(Running *r);

/* What a reload of @set with @to would do: 0 or -ENOMEM. Reads only. @known (may be NULL): what has been
 * compared beforehand. */
int reload_plan(const ServiceSet *set, const Config *to, const Comparison *known, PlanItems *ret);
/* Makes @set what @to says, as generation @generation, and tells in @items what that was. First sets options
 * of what is open, and opens every new listener; if one of these fails, undoes the others, says so in @diags
 * and returns -EINVAL with nothing changed. Then changes over. -ENOMEM also leaves all as it was. Services
 * that are gone stay in the set, marked removed, as long as they have instances, or connections that are
 * still to be served. */
int reload_apply(Runtime *rt, ServiceSet *set, Config *to, const Comparison *known, uint64_t generation,
                 DiagList *diags, PlanItems *items);
/* Takes services out of the set that are removed and have nothing left to do. */
void reload_sweep(Runtime *rt, ServiceSet *set);

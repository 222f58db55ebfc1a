/* SPDX-License-Identifier: MIT */
#pragma once
/* What a service needs of the system, looked up ahead: program, user, groups, directories. */
#include "conf/load.h"
#include "conf/lookups.h"

/* Something that is missing or not allowed, for @key. @hint may be NULL. */
typedef void (*ResolveFound)(const char *key, const ConfigPos *pos, DiagCode code, const char *hint,
                             const char *message, void *userdata);

/* Fills s->resolved, and the owners of its listeners; @found hears of each thing that is wrong. Returns 0, or
 * -ENOMEM. */
int resolve_service(ServiceConfig *s, const LoadContext *context, Lookups *lookups, ResolveFound found,
                    void *userdata);

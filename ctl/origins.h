/* SPDX-License-Identifier: MIT */
#pragma once
/* Where the values of a config came from, as GetConfig's reply tells it, to be looked up by key. */
#include <jansson.h>
#include <stdbool.h>

#include "daemon/base/text.h"

typedef struct Origins {
    json_t *by_key;   /* Origin objects of what holds */
    json_t *left_out; /* by service: arrays of those of `defaults` that were not applied to it */
    char *folder;     /* of the main file, "/etc/mpinetd/", left out of names */
} Origins;

/* @origins: an array of Origin, or NULL. @main_file may be NULL. Memory that runs out leaves origins out. */
void origins_init(Origins *o, const json_t *origins, const char *main_file);
void origins_done(Origins *o);
#define CLEANUP_ORIGINS CLEANUP(origins_done)

/* Appends where @key's value came from: "services.d/git.yaml:7", "defaults, mpinetd.yaml:9", "default", "set,
 * until the next reload"; nothing when that is not known. */
void origins_format(const Origins *o, const char *key, Text *out);
/* The keys of `defaults` that were not applied to @service: an array of Origin, or NULL. */
const json_t *origins_left_out(const Origins *o, const char *service);
/* The key of an Origin below its service, "restart.policy"; "" when it is none of a service. */
const char *origin_key(const json_t *origin);
/* Appends where an Origin is, as origins_format(). */
void origin_format(const Origins *o, const json_t *origin, Text *out);
/* Appends the service of an Origin; nothing when it is none of a service. */
void origin_service(const json_t *origin, Text *out);

/* SPDX-License-Identifier: MIT */
#pragma once
/* Endpoints that cannot be bound at once, over all services. Pure, but that directories of UNIX sockets are
 * resolved. */
#include "conf/config.h"

/* The two places of an overlap, in the order of the config. */
typedef void (*OverlapFound)(const ListenConfig *first, const ServiceConfig *first_service,
                             const ListenConfig *second, const ServiceConfig *second_service, void *userdata);

/* Calls @found once for each endpoint that overlaps with an earlier one. Services that are not enabled do not
 * count: they do not listen. Returns 0 or -ENOMEM. About n log n. */
int overlap_find(const Config *c, OverlapFound found, void *userdata);

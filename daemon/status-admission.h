/* SPDX-License-Identifier: MIT */
#pragma once
/* Snapshots of who is let in: what new connections wait for, when a service is open, and where connections
 * come from. Times since 1970. */
#include "ctl/proto/api.h"
#include "daemon/service.h"

/* Those that are refused most, and those that are accepted most. */
#define SOURCES_SHOWN (2 * (size_t)TOP_SOURCES)

typedef struct SourceList {
    ApiSource items[SOURCES_SHOWN];
    char texts[SOURCES_SHOWN][PEER_TEXT_MAX];
    size_t n;
} SourceList;

ApiWaiting snapshot_waiting(const Service *s);
ApiHours snapshot_hours(const Service *s);
/* Limits, hours, rules and bans of @ret. */
void snapshot_admission(Service *s, ApiDescription *ret);
/* The most refused first, then the most accepted; what @addresses shows alike is one. */
void snapshot_sources(Service *s, LogAddresses addresses, SourceList *ret);

/* SPDX-License-Identifier: MIT */
#pragma once
/* A daemon with seven services in all kinds of states, for tests of the codec and of mpctl. */
#include "ctl/proto/api.h"

#define SAMPLE_SERVICES 7
#define SAMPLE_INSTANCES 3
#define SAMPLE_EVENTS 9
#define SAMPLE_BANS 4

typedef struct Sample {
    ApiDaemon daemon;
    ApiService services[SAMPLE_SERVICES];
    ApiInstance instances[SAMPLE_INSTANCES];
    ApiEvent events[SAMPLE_EVENTS];
    ApiSource sources[3]; /* of git */
    ApiBan bans[SAMPLE_BANS];
} Sample;

/* Ages count from @now_usec. */
void sample_init(Sample *s, uint64_t now_usec);
/* NULL when there is none. */
const ApiService *sample_service(const Sample *s, const char *name);
ApiDescription sample_description(const Sample *s, const ApiService *of);
/* Two errors of a config. The caller frees them. */
void sample_diagnostics(DiagList *diags);
extern const ApiChange sample_changes[];
#define SAMPLE_PLAN 6
extern const ApiPlanItem sample_plan[];
#define SAMPLE_CHANGES 4

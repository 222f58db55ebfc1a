/* SPDX-License-Identifier: MIT */
#pragma once
/* A reply's frame: {"parameters":{…}[,"continues":true]} NUL. What is written between is its parameters. */
#include "ctl/proto/api.h"
#include "ctl/proto/json-writer.h"

JsonWriter reply_begin(Text *out);
void reply_end(JsonWriter *w, bool continues);
/* The end of a message whose list is still open. */
void reply_end_list(Text *out, bool continues);

/* Members of a description. */
void reply_add_limits(JsonWriter *w, const LimitsConfig *limits);
void reply_add_hours(JsonWriter *w, const ApiHours *hours);
void reply_add_sources(JsonWriter *w, const ApiSource *sources, size_t n);

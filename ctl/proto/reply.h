/* SPDX-License-Identifier: MIT */
#pragma once
/* A reply's frame: {"parameters":{…}[,"continues":true]} NUL. What is written between is its parameters. */
#include "ctl/proto/json-writer.h"

JsonWriter reply_begin(Text *out);
void reply_end(JsonWriter *w, bool continues);

/* SPDX-License-Identifier: MIT */
#pragma once
/* The JSON Schema (draft-07) of the config, for editors. It takes what the decoder takes, though not every
 * value that a text can be wrong in. Pure. */
#include "daemon/base/text.h"

/* Appends the schema, indented, ended by a newline. Returns 0 or -ENOMEM. */
int json_schema_format(Text *out);

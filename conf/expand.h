/* SPDX-License-Identifier: MIT */
#pragma once
/* ${VAR} in a value: pure but for the look-up it is given. */
#include <stddef.h>

#include "conf/yaml.h"
#include "daemon/base/text.h"

/* What one value may become. */
#define EXPAND_MAX ((size_t)64 << 10)

typedef struct ExpandError {
    size_t begin, end; /* the bytes of the value that it is about */
    char why[256];
    char hint[192];
} ExpandError;

/* Appends @s to @out with ${VAR}, ${VAR:-default} (also when VAR is empty) and ${VAR:?message} replaced by
 * what @lookup says, and $$ by $; what is put in is not looked at again. A default cannot hold another ${.
 * Returns 0; or, with @error filled, -EINVAL for what cannot be read or is not set, -E2BIG past EXPAND_MAX.
 */
int expand(const char *s, YamlLookup lookup, void *userdata, Text *out, ExpandError *error);

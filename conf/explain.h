/* SPDX-License-Identifier: MIT */
#pragma once
/* What `mpctl explain` says: a key's meaning, type, range, default and example, out of the key table. Pure.
 */
#include "daemon/base/text.h"

/* Explains @key: a path ("limits.instances", "listen.backlog", "control.mode"), a section ("limits"), or NULL
 * or "" for a list of all keys. Returns 0, or -ENOENT with @out saying so and what might have been meant.
 * @out is whole lines. */
int explain_format(const char *key, Text *out);

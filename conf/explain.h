/* SPDX-License-Identifier: MIT */
#pragma once
/* What `mpctl explain` says: a key's meaning, type, range, default and example, out of the key table. Pure.
 */
#include "daemon/base/text.h"

/* Explains @key: a path ("limits.instances", "listen.backlog", "control.mode"), a section ("limits"), or NULL
 * or "" for a list of all keys. Returns 0, or -ENOENT with @out saying so and what might have been meant.
 * @out is whole lines. */
int explain_format(const char *key, Text *out);

/* The keys that it would explain: calls @emit with each. Returns how many they are. */
struct Key;
size_t explain_find(const char *key_path, void (*emit)(const struct Key *key, void *userdata),
                    void *userdata);
/* Its type with words or range, as explain_format() has it: "rate", "integer, 1 to 1000000", "wait, refuse".
 */
void explain_type(const struct Key *key, Text *out);

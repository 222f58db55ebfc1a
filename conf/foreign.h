/* SPDX-License-Identifier: MIT */
#pragma once
/* Words of xinetd, systemd, compose and their like that people bring along, and what to write here instead.
 * Pure. */
#include "conf/yaml.h"
#include "daemon/base/text.h"

/* Whose word @name is ("xinetd's"), with what to write instead, made with @value (may be NULL), appended to
 * @hint; NULL if it is nobody's. Letters' case does not matter. */
const char *foreign_key(const char *name, const YamlNode *value, Text *hint);
/* What to write instead of @value for the key at @path ("model", "wait"), or NULL. */
const char *foreign_value(const char *path, const char *value);
/* The foreign words, to enumerate them: NULL past the end. */
const char *foreign_word(size_t i);

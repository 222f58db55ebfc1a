/* SPDX-License-Identifier: MIT */
#pragma once
/* Names of environment variables, as a config may have them. Pure. */
#include <stdbool.h>

/* Letters, digits and '_', not beginning with a digit. */
bool variable_is_name(const char *s);
/* Whether @s is such a name, or a glob (fnmatch(3)) that one may match: with *, ?, [A-Z] or [!A-Z] in it. */
bool variable_is_pattern(const char *s);

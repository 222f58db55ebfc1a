/* SPDX-License-Identifier: MIT */
#pragma once
/* Texts as YAML scalars that YAML 1.1 and 1.2 both read as these texts, and that ${…} in them is not expanded
 * when a config is loaded. Pure. */
#include <stdbool.h>

#include "daemon/base/text.h"

/* Appends @s as a scalar on one line: plain where that cannot be anything else, or in double quotes. */
void yaml_add_scalar(Text *out, const char *s);
/* Whether @s is better written as a literal block ("|", or "|-" when it does not end with a newline). */
bool yaml_is_block(const char *s);
/* Appends @n bytes with $ doubled where it would begin something. */
void yaml_add_doubled(Text *out, const char *s, size_t n);

/* SPDX-License-Identifier: MIT */
#pragma once
/* A config as YAML that loads again, in blocks, quoted so that YAML 1.1 and 1.2 read the same; and as lines
 * for scripts. Pure: a document in, text out. */
#include "ctl/origins.h"
#include "ctl/style.h"

/* @config: objects, arrays and plain values, as GetConfig gives them. What is null is not for the caller's
 * eyes: it stands in a comment. @origins (NULL: none) gives each line where it came from. */
void yaml_print(const json_t *config, const Origins *origins, const Style *style, Text *out);
/* "KEY<TAB>VALUE<TAB>ORIGIN" for each plain value; "-" for what is not known, or not shown. */
void yaml_print_plain(const json_t *config, const Origins *origins, Text *out);

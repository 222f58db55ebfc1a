/* SPDX-License-Identifier: MIT */
#pragma once
/* Of the long form of a service: who is let in, who is not, why, and until when. Pure: from replies to text.
 */
#include <jansson.h>

#include "ctl/style.h"

/* "14:02:11, 8m ago" */
void format_moment(const Style *s, Text *out, uint64_t time_usec);
/* "14:10:44, in 3.0 s"; of what is over, "now". */
void format_until(const Style *s, Text *out, uint64_t time_usec);

/* Why new connections wait: " (50 of 50 instances)", " (rate 50/s, until 14:10:44, in 3.0 s)". @limits may be
 * NULL. */
void waiting_format(const Style *s, const json_t *service, const json_t *limits, Text *out);
/* In a few words, for a table: "by rate"; nothing where the state says it. */
void waiting_brief(const json_t *service, Text *out);

/* "instances 50 (12 in use), rate 50/s burst 100, when full wait, refuse with close" */
void limits_format(const json_t *description, Text *out);
/* "12 rules; closed by access.hours until …; 3 bans (mpctl bans)"; nothing where everybody may come. */
void access_format(const Style *s, const json_t *description, Text *out);

/* The lines, without labels, of those who are refused most and of those who come most; how many. */
#define SOURCE_LINES_MAX 5
size_t sources_refused(const Style *s, const json_t *sources, Text lines[static SOURCE_LINES_MAX]);
size_t sources_seen(const Style *s, const json_t *sources, Text lines[static SOURCE_LINES_MAX]);

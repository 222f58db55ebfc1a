/* SPDX-License-Identifier: MIT */
#pragma once
/* An event of a reply as a line of text. */
#include <jansson.h>

#include "ctl/style.h"

/* "14:02:11 git[4242] 192.0.2.1:40112 ended: exit 0 after 4.1 s" and a newline. */
void event_line(const Style *s, const json_t *event, Text *out);
/* The same for one service, which is not named: its stderr as it is, and the events beside it in grey. */
void event_line_log(const Style *s, const json_t *event, Text *out);
/* Tab separated: time in UTC, level, event, service, pid, peer, what; "-" for what there is not. */
void event_line_plain(const json_t *event, Text *out);

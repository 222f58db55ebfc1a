/* SPDX-License-Identifier: MIT */
#pragma once
/* All about one service, for people. */
#include "ctl/ctl.h"

/* The long form of each of @services (a Status reply's), which are asked for by Describe. Returns the exit
 * status. */
int status_long(Ctl *c, const json_t *services);
/* "exec: No such file or directory (/etc/mpinetd/x.yaml:4)"; nothing for null. */
void last_error_format(const json_t *error, Text *out);
/* What to do about a failed service: "correct it, then: mpctl reload". */
void last_error_advice(const json_t *service, Text *out);

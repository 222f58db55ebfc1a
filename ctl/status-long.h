/* SPDX-License-Identifier: MIT */
#pragma once
/* All about one service, for people. */
#include "ctl/ctl.h"
#include "ctl/status-hints.h"

/* The long form of each of @services (a Status reply's), which are asked for by Describe. Returns the exit
 * status. */
int status_long(Ctl *c, const json_t *services);

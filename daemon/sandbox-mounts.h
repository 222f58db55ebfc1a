/* SPDX-License-Identifier: MIT */
#pragma once
/* Which mounts a sandbox takes, in which order: pure. */
#include "daemon/sandbox.h"

/* Appends the steps for @config to those of @p: none when it needs no mounts of its own. 0, -ENOMEM or -E2BIG
 * with *ret_which. */
int sandbox_draw_mounts(SandboxPlan *p, const ServiceConfig *config, unsigned *ret_which);

/* SPDX-License-Identifier: MIT */
#pragma once
/* mpctl check --security: how exposed the services of a config are, and what to write to mend it. */
#include "conf/config.h"
#include "ctl/ctl.h"

/* What --json prints: {"services", "daemon"}. */
extern const ApiField security_document[];

/* Shows services by their exposure, the greatest first, and the findings of those that @names
 * (NULL-terminated, globs) match; of the first where there are none. Returns the exit status. */
int security_show(Ctl *c, const Config *config, char *const *names);

/* SPDX-License-Identifier: MIT */
#pragma once
/* Limits that are changed one by one while the daemon runs (mpctl set), by the same key table, decoders and
 * messages as those of the config. Pure. */
#include "conf/config.h"
#include "conf/diag.h"

/* Sets @key ("limits.instances", or "instances") of @l to @value, written as in the config. Returns 0;
 * -EINVAL with an error without a place in @diags, and @l as it was; or -ENOMEM. */
int limits_config_set(LimitsConfig *l, const char *key, const char *value, DiagList *diags);
/* Whether @s can keep @l: a limit that would not hold is refused as in a config. Returns 0, or -EINVAL with
 * errors without a place in @diags. */
int limits_config_check(const ServiceConfig *s, const LimitsConfig *l, DiagList *diags);

/* SPDX-License-Identifier: MIT */
#pragma once
/* The limits of one control group, as its files have them. Nothing here waits until processes keep to them.
 */
#include "daemon/cgroup-text.h"
#include "daemon/errand.h"

/* Gives the group @dir, which has the limits @from, those of @to, as cgroup_settings() has it. Of controllers
 * that are not in @enabled there is nothing to be set. Who has more memory than he may is brought below the
 * limit by a process of ours, one of @errands from then on: the limit holds at once, to free what is above
 * may take its time. 0 or a negative errno; *ret_refused is then the file that was not written, a literal. */
int cgroup_limits_apply(int dir, const CgroupConfig *from, const CgroupConfig *to, bool alone,
                        unsigned enabled, Errands *errands, const char **ret_refused);
/* Gives the group @below, which is one of @dir, all the limits that @dir itself has, whoever gave it those,
 * and sees to it that groups below @dir have the controllers for it. 0 or a negative errno. */
int cgroup_limits_hand_down(int dir, int below, unsigned enabled);

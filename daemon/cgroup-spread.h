/* SPDX-License-Identifier: MIT */
#pragma once
/* New limits for processes that run already, each in a control group of its own: there may be thousands, and
 * who has more memory than he may from now on takes the daemon up to some 20 ms. So a turn of the loop does
 * as many as it has time for, whatever services they are of, and the rest is for the turns that follow. */
#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "conf/config.h"
#include "daemon/base/list.h"

struct Runtime;
struct ServiceCgroup;

typedef struct CgroupSpread {
    List groups; /* of services with instances that have not got their limits yet; who waits longest is first
                  */
    sd_event_source *timer;
    uint64_t turn, until_usec; /* so long that turn of the loop may go on; 0: none has */
} CgroupSpread;

void cgroup_spread_init(CgroupSpread *s);
void cgroup_spread_done(CgroupSpread *s);
/* Gives all instances of the service of @g the limits @to; they have @from. At least one gets them at once,
 * and those that the turn has no time for from `limits` of @g. 0, or a negative errno when one could not have
 * them; of those that come later the service is told (service_cgroup_fail()). */
int cgroup_spread(struct ServiceCgroup *g, const CgroupConfig *from, const CgroupConfig *to);
/* Who has not got them keeps what he has. */
void cgroup_spread_forget(struct ServiceCgroup *g);
/* All who wait get theirs now, whatever time it takes. */
void cgroup_spread_finish(struct Runtime *rt);
/* Whether nobody waits for his. When the last one has got them on_settled() is called. */
bool cgroup_spread_is_over(const struct Runtime *rt);

/* SPDX-License-Identifier: MIT */
#include "services/progress.h"

#include <errno.h>
#include <inttypes.h>

#include "daemon/base/clock.h"
#include "services/mp-service.h"

uint64_t progress_due(const Progress *p, const ProgressCount *now_count) {
    if (p->silent)
        return USEC_INFINITY;
    if (!p->any)
        return 0;
    bool same = p->sent.active == now_count->active && p->sent.requests == now_count->requests &&
                p->sent.refused == now_count->refused;
    return same ? USEC_INFINITY : p->tried_usec + PROGRESS_INTERVAL_USEC;
}

void progress_send(Progress *p, const ProgressCount *now_count, uint64_t now_usec) {
    if (progress_due(p, now_count) > now_usec)
        return;
    p->tried_usec = now_usec;
    int r = mp_reportf("ACTIVE=%" PRIu64 "\nREQUESTS=%" PRIu64 "\nX_DATAGRAMS_REFUSED=%" PRIu64 "\n",
                       now_count->active, now_count->requests, now_count->refused);
    if (r > 0)
        p->sent = *now_count;
    /* A full pipe is tried again; without one, or without a reader, it would be for nothing. */
    if (r == 0 || (r < 0 && r != -EAGAIN))
        p->silent = true;
    p->any = true;
}

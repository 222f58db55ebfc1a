/* SPDX-License-Identifier: MIT */
#include "services/progress.h"

#include <errno.h>
#include <inttypes.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/base/text.h"
#include "services/mp-service.h"

static bool count_equal(const ProgressCount *a, const ProgressCount *b) {
    bool same = a->active == b->active && a->requests == b->requests && a->queued == b->queued;
    for (size_t i = 0; i < PROGRESS_METRICS_MAX; i++)
        same = same && a->metrics[i].value == b->metrics[i].value;
    return same;
}

uint64_t progress_due(const Progress *p, const ProgressCount *now_count) {
    if (p->silent)
        return USEC_INFINITY;
    if (!p->any)
        return 0;
    return count_equal(&p->sent, now_count) ? USEC_INFINITY : p->tried_usec + PROGRESS_INTERVAL_USEC;
}

static int report(const ProgressCount *c) {
    if (mp_status_fd() < 0)
        return 0;
    CLEANUP_TEXT Text t = {0};
    text_addf(&t, "ACTIVE=%" PRIu64 "\nREQUESTS=%" PRIu64 "\n", c->active, c->requests);
    if (c->has_queue)
        text_addf(&t, "QUEUED=%" PRIu64 "\n", c->queued);
    for (size_t i = 0; i < PROGRESS_METRICS_MAX; i++)
        if (c->metrics[i].name)
            text_addf(&t, "X_%s=%" PRIu64 "\n", c->metrics[i].name, c->metrics[i].value);
    return text_ok(&t) ? mp_report(t.s) : -EAGAIN;
}

void progress_send(Progress *p, const ProgressCount *now_count, uint64_t now_usec) {
    if (progress_due(p, now_count) > now_usec)
        return;
    p->tried_usec = now_usec;
    int r = report(now_count);
    if (r > 0)
        p->sent = *now_count;
    /* A full pipe is tried again; without one, or without a reader, it would be for nothing. */
    if (r == 0 || (r < 0 && r != -EAGAIN))
        p->silent = true;
    p->any = true;
}

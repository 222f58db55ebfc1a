/* SPDX-License-Identifier: MIT */
#include "daemon/history.h"

#include <stdlib.h>

#include "daemon/eventlog.h"

const History *history_none(void) {
    static const History none;
    return &none;
}

History *history_new(void) {
    History *h = calloc(1, sizeof(*h));
    if (h)
        event_ring_init(&h->lines, LINES_KEPT_SERVICE, LINES_KEPT_SERVICE_BYTES);
    return h;
}

void history_done(History *h) {
    event_ring_done(&h->lines);
    free(h->latency);
    free(h->duration);
    free(h->refused_sources);
    free(h->last_error.message);
    free(h->last_error.file);
    *h = (History){0};
}

History *history_free(History *h) {
    if (h)
        history_done(h);
    free(h);
    return NULL;
}

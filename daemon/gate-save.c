/* SPDX-License-Identifier: MIT */
/* The door of a service over an upgrade in place. Why nobody is let in is found out anew by gate_settle(),
 * and when hours begin is looked for again. */
#include "daemon/base/blob-rows.h"
#include "daemon/base/clock.h"
#include "daemon/service.h"

enum {
    GATE_RATE = 1,
    GATE_THROTTLING,
    GATE_THROTTLED,
};

static const BlobRow rows[] = {
    BLOB_ROW(GATE_THROTTLING, Gate, throttling),
    BLOB_ROW(GATE_THROTTLED, Gate, throttled_usec),
};

void gate_save(BlobWriter *w, const Gate *g) {
    const uint64_t rate[] = {g->rate.missing, g->rate.since_nsec};
    blob_put_u64s(w, GATE_RATE, rate, ELEMENTS(rate));
    blob_put_rows(w, rows, ELEMENTS(rows), g);
}

void gate_restore(BlobReader r, Gate *g) {
    BlobField f;
    while (blob_next(&r, &f)) {
        uint64_t rate[2];
        if (blob_get_row(&f, rows, ELEMENTS(rows), g) || f.tag != GATE_RATE)
            continue;
        blob_u64s(&f, rate, ELEMENTS(rate));
        g->rate = (Bucket){.missing = rate[0], .since_nsec = rate[1]};
    }
}

Source *gate_hold_again(Service *s, const Peer *peer) {
    Sources *all = s->rt->sources;
    if (peer->kind == PEER_NONE)
        return NULL;
    Peer prefix = gate_prefix(s, peer);
    Source *source = sources_find(all, s->id, &prefix);
    if (!source)
        source = sources_visit(all, s->id, &prefix, clock_monotonic_usec());
    if (source)
        sources_hold(all, source);
    return source;
}

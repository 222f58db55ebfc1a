/* SPDX-License-Identifier: MIT */
/* The door of a service over an upgrade in place. Why nobody is let in is found out anew by gate_settle(),
 * and when hours begin is looked for again. */
#include "daemon/base/blob-rows.h"
#include "daemon/gate.h"

/* Never used again for something else. */
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
    size_t at = blob_open(w, GATE_RATE);
    bucket_save(w, &g->rate);
    blob_close(w, at);
    blob_put_rows(w, rows, ELEMENTS(rows), g);
}

int gate_restore(BlobReader r, Gate *g) {
    BlobField f;
    while (blob_next(&r, &f))
        if (!blob_get_row(&f, rows, ELEMENTS(rows), g) && f.tag == GATE_RATE)
            (void)bucket_restore(blob_enter(&f), &g->rate);
    return blob_is_spoilt(r.source) ? -EBADMSG : 0;
}

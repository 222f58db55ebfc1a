/* SPDX-License-Identifier: MIT */
/* A slot over an upgrade in place; its process comes back with the instances. Its idle times are told apart
 * from it, since they need that process. */
#include "daemon/slot.h"

#include "daemon/base/blob-rows.h"
#include "daemon/timer-save.h"

/* Never used again for something else. */
enum {
    SLOT_BACKOFF = 1,
    SLOT_DELAY, /* when it is over */
    SLOT_START_BY_ITSELF,
    SLOT_AGAIN,
    SLOT_START_FAILED,
    SLOT_STARVED,
    SLOT_BUSY,
    SLOT_TOLD,
    SLOT_TOLD_BLIND,
    SLOT_HELD,
};

static const BlobRow rows[] = {
    BLOB_ROW(SLOT_START_BY_ITSELF, Slot, start_by_itself),
    BLOB_ROW(SLOT_AGAIN, Slot, again),
    BLOB_ROW(SLOT_START_FAILED, Slot, start_failed),
    BLOB_ROW(SLOT_STARVED, Slot, starved),
    BLOB_ROW(SLOT_BUSY, Slot, busy),
    BLOB_ROW(SLOT_TOLD, Slot, told),
    BLOB_ROW(SLOT_TOLD_BLIND, Slot, told_blind),
    BLOB_ROW(SLOT_HELD, Slot, held),
};

void slot_save(BlobWriter *w, const Slot *slot) {
    size_t at = blob_open(w, SLOT_BACKOFF);
    backoff_save(w, &slot->backoff);
    blob_close(w, at);
    blob_put_rows(w, rows, ELEMENTS(rows), slot);
    if (slot->delayed)
        timer_put(w, SLOT_DELAY, slot->timer);
}

int slot_restore(BlobReader r, Slot *slot) {
    BlobField f;
    while (blob_next(&r, &f)) {
        if (blob_get_row(&f, rows, ELEMENTS(rows), slot))
            continue;
        if (f.tag == SLOT_BACKOFF)
            (void)backoff_restore(blob_enter(&f), &slot->backoff);
        else if (f.tag == SLOT_DELAY)
            slot_delay_until(slot, blob_u64(&f));
    }
    return blob_is_spoilt(r.source) ? -EBADMSG : 0;
}

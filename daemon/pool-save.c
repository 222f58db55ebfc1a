/* SPDX-License-Identifier: MIT */
/* What a pool remembers besides its workers. Its board is shared with them: it is the same memory. */
#include "daemon/base/blob-rows.h"
#include "daemon/handoff.h"
#include "daemon/pool-private.h"
#include "daemon/timer-save.h"

enum {
    POOL_N_STARTED = 1,
    POOL_N_DIED,
    POOL_PACE_BATCH,
    POOL_PACE_NEXT_USEC,
    POOL_BACKOFF,
    POOL_DELAY_USEC, /* until when it is delayed; only while it is */
    POOL_STARVED,
    POOL_START_FAILED,
    POOL_ROLL,
    POOL_FULL,
    POOL_FULL_USEC,
    POOL_DRAINED,
    POOL_DRAIN_STARTS,
    POOL_LOOK_USEC,
    POOL_BOARD,
    POOL_BLOCKED,
    POOL_HELD,
};

static const BlobRow rows[] = {
    BLOB_ROW(POOL_N_STARTED, Pool, n_started),
    BLOB_ROW(POOL_N_DIED, Pool, n_died),
    BLOB_ROW(POOL_PACE_BATCH, Pool, pace.batch),
    BLOB_ROW(POOL_PACE_NEXT_USEC, Pool, pace.next_usec),
    BLOB_ROW(POOL_STARVED, Pool, starved),
    BLOB_ROW(POOL_START_FAILED, Pool, start_failed),
    BLOB_ROW(POOL_ROLL, Pool, roll),
    BLOB_ROW(POOL_FULL, Pool, full),
    BLOB_ROW(POOL_FULL_USEC, Pool, full_usec),
    BLOB_ROW(POOL_DRAINED, Pool, drained),
    BLOB_ROW(POOL_DRAIN_STARTS, Pool, drain_starts),
    BLOB_ROW(POOL_BLOCKED, Pool, blocked),
};

void pool_save(BlobWriter *w, const Pool *p) {
    blob_put_rows(w, rows, ELEMENTS(rows), p);
    size_t at = blob_open(w, POOL_BACKOFF);
    backoff_save(w, &p->backoff);
    blob_close(w, at);
    timer_put(w, POOL_DELAY_USEC, p->delay_timer);
    timer_put(w, POOL_LOOK_USEC, p->look_timer);
    if (p->board) {
        at = blob_open(w, POOL_BOARD);
        scoreboard_save(w, p->board);
        blob_close(w, at);
    }
    at = blob_open(w, POOL_HELD);
    handoff_save_held(w, p);
    blob_close(w, at);
}

int pool_restore(BlobReader in, Pool *p) {
    BlobField f;
    int r = 0;
    while (r >= 0 && blob_next(&in, &f)) {
        if (f.tag == POOL_BACKOFF)
            r = backoff_restore(blob_enter(&f), &p->backoff);
        else if (f.tag == POOL_DELAY_USEC && !p->delay_timer)
            pool_delay_until(p, blob_u64(&f));
        else if (f.tag == POOL_LOOK_USEC)
            pool_look_at(p, blob_u64(&f));
        else if (f.tag == POOL_BOARD && !p->board)
            r = scoreboard_restore(blob_enter(&f), &p->board);
        else if (f.tag == POOL_HELD)
            r = handoff_restore_held(blob_enter(&f), p);
        else
            (void)blob_get_row(&f, rows, ELEMENTS(rows), p);
    }
    return blob_is_spoilt(in.source) ? -EBADMSG : r;
}

/* SPDX-License-Identifier: MIT */
/* Both ends of its socket are handed on: what lies in it unreceived stays there. */
#include "daemon/base/blob-rows.h"
#include "daemon/base/fd-kind.h"
#include "daemon/pool.h"

enum {
    WORKER_NUMBER = 1,
    WORKER_MAX_REQUESTS,
    WORKER_OLD,
    WORKER_OLD_BY_ORDER,
    WORKER_REPLACES,
    WORKER_FD,
    WORKER_ITS_FD,
    WORKER_SENT,
    WORKER_SENT_SINCE,
    WORKER_MESSAGE_SIZE,
    WORKER_RECEIVED,
    WORKER_UNREAD_USEC,
    WORKER_STUCK_UNTIL_USEC,
    WORKER_RETIRED,
    WORKER_RETIRED_USEC,
    WORKER_SLOT,
    WORKER_SCORES,
};

static const BlobRow rows[] = {
    BLOB_ROW(WORKER_NUMBER, Worker, number),
    BLOB_ROW(WORKER_MAX_REQUESTS, Worker, max_requests),
    BLOB_ROW(WORKER_OLD, Worker, old),
    BLOB_ROW(WORKER_OLD_BY_ORDER, Worker, old_by_order),
    BLOB_ROW(WORKER_REPLACES, Worker, replaces),
    BLOB_ROW(WORKER_SENT, Worker, sent),
    BLOB_ROW(WORKER_SENT_SINCE, Worker, sent_since),
    BLOB_ROW(WORKER_MESSAGE_SIZE, Worker, message_size),
    BLOB_ROW(WORKER_RECEIVED, Worker, received),
    BLOB_ROW(WORKER_UNREAD_USEC, Worker, unread_usec),
    BLOB_ROW(WORKER_STUCK_UNTIL_USEC, Worker, stuck_until_usec),
    BLOB_ROW(WORKER_RETIRED, Worker, retired),
    BLOB_ROW(WORKER_RETIRED_USEC, Worker, retired_usec),
    BLOB_ROW(WORKER_SLOT, Worker, slot),
    BLOB_ROW(WORKER_SCORES, Worker, scores),
};

void worker_save(BlobWriter *w, const Worker *worker) {
    blob_put_rows(w, rows, ELEMENTS(rows), worker);
    blob_put_fd(w, WORKER_FD, worker->fd);
    blob_put_fd(w, WORKER_ITS_FD, worker->its_fd);
}

/* One whose part of the board cannot be read any more says nothing that we would hear, unless it is asked
 * there: another takes its place. */
static void claim_slot(Pool *pool, Worker *w) {
    if (w->slot < 0 || (pool->board && scoreboard_claim(pool->board, w->slot)))
        return;
    w->slot = -1;
    w->old = true;
}

int worker_restore(BlobReader in, Pool *pool, Worker **ret) {
    BlobField f;
    Worker *w = calloc(1, sizeof(*w));
    if (!w)
        return -ENOMEM;
    *w = (Worker){.fd = -EBADF, .its_fd = -EBADF, .slot = -1};
    while (blob_next(&in, &f)) {
        if (f.tag == WORKER_FD && w->fd < 0)
            w->fd = blob_fd_of(&f, FD_UNIX_SEQPACKET);
        else if (f.tag == WORKER_ITS_FD && w->its_fd < 0)
            w->its_fd = blob_fd_of(&f, FD_UNIX_SEQPACKET);
        else
            (void)blob_get_row(&f, rows, ELEMENTS(rows), w);
    }
    if ((w->fd < 0) != (w->its_fd < 0))
        blob_spoil(in.source, "a worker has one end of its socket");
    if (blob_is_spoilt(in.source)) {
        worker_free(w);
        return -EBADMSG;
    }
    w->pool = pool;
    claim_slot(pool, w);
    *ret = w;
    return 0;
}

/* SPDX-License-Identifier: MIT */
#include "daemon/worker.h"

#include "daemon/base/cleanup.h"
#include "daemon/pool.h"

WorkerDoing worker_doing(const WorkerFacts *f) {
    const Report *r = f->report;
    if (f->leaving || (r && r->stopping))
        return WORKER_LEAVING;
    if (f->unready)
        return WORKER_STARTING;
    if (f->passed > 0)
        return WORKER_BUSY;
    if (r && r->active >= 0)
        return r->active == 0 ? WORKER_IDLE : WORKER_BUSY;
    return r && f->age_usec < WORKER_SILENT_USEC ? WORKER_STARTING : WORKER_SILENT;
}

Worker *worker_new(Pool *pool) {
    Worker *w = calloc(1, sizeof(*w));
    if (w)
        *w = (Worker){.pool = pool, .number = ++pool->n_started, .fd = -EBADF, .its_fd = -EBADF, .slot = -1};
    return w;
}

Worker *worker_free(Worker *w) {
    if (!w)
        return NULL;
    w->fd = fd_close(w->fd);
    w->its_fd = fd_close(w->its_fd);
    if (w->pool && w->pool->board)
        scoreboard_give(w->pool->board, w->slot);
    free(w);
    return NULL;
}

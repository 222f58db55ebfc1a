/* SPDX-License-Identifier: MIT */
#pragma once
/* A worker: what an instance of a pool has besides. */
#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/blob.h"
#include "daemon/report.h"
#include "daemon/scoreboard.h"

struct Pool;

typedef struct Worker {
    struct Pool *pool;     /* NULL once a reload has taken that away */
    uint64_t number;       /* in its pool, from 1 */
    uint64_t max_requests; /* then it is replaced; 0: never */
    bool old;              /* to be replaced: a restart, a reload, or it has done its share */
    bool old_by_order;     /* by a restart or a reload: it has timeouts.stop to end */
    bool replaces;         /* started for an old one, which is told to end once this is ready */
    /* Handoff connection; -EBADF else: our end, and a copy of its own, from which what it has not received
     * is taken back. */
    int fd, its_fd;
    uint64_t sent;       /* connections passed in all */
    uint64_t sent_since; /* and since it last said what it has in hand */
    size_t message_size; /* of the newest */
    uint64_t received,
        unread_usec;           /* so many it had received when something first lay unread; 0: nothing does */
    uint64_t stuck_until_usec; /* it did not take what it was passed, and gets nothing before */
    bool retired;              /* it gets no more, and is told to end when it has done what it has */
    uint64_t retired_usec;
    int64_t slot; /* of the scoreboard; -1: none */
    bool scores;  /* it has written there */
} Worker;

/* What a worker is doing, for the size of its pool. */
typedef enum WorkerDoing {
    WORKER_STARTING, /* will be idle */
    WORKER_IDLE,
    WORKER_BUSY,
    WORKER_SILENT, /* never says: taken for busy */
    WORKER_LEAVING,
} WorkerDoing;

/* So long a worker that has not said what it has in hand counts as starting. */
#define WORKER_SILENT_USEC 2000000ULL

/* What is known of it. */
typedef struct WorkerFacts {
    bool leaving;         /* told to end, or it says that it does */
    bool unready;         /* it is to say that it is ready, and has not */
    const Report *report; /* NULL: it cannot report */
    uint64_t passed;      /* connections that it was passed since its last report */
    uint64_t age_usec;
} WorkerFacts;

/* Pure. */
WorkerDoing worker_doing(const WorkerFacts *f);

/* A new one, which has nothing yet. NULL when memory runs out. */
Worker *worker_new(struct Pool *pool);
/* Closes what it has, and gives its slot back. Returns NULL. */
Worker *worker_free(Worker *w);

/* The upgrade in place: one of @pool, whose board is there already. 0, -EBADMSG or -ENOMEM. */
void worker_save(BlobWriter *w, const Worker *worker);
int worker_restore(BlobReader in, struct Pool *pool, Worker **ret);

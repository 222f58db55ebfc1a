/* SPDX-License-Identifier: MIT */
#pragma once
/* A state on its way to a second program, within one process: the second gets copies of the descriptors. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/blob.h"

typedef struct Handover {
    BlobWriter w;
    BlobSource source;
} Handover;

static inline uint64_t handover_number(const uint8_t *from, size_t n) {
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++)
        v |= (uint64_t)from[i] << (8 * i);
    return v;
}

/* Writes copies of the descriptors over those in @n bytes of fields; or 0, for @forget. */
static inline void handover_copy_fds(uint8_t *at, size_t n, bool forget) {
    enum {
        KIND_FD = 9,
        KIND_FIELDS = 10
    };
    for (const uint8_t *end = at + n; at < end; at += 8 + handover_number(at + 4, 4)) {
        uint64_t kind = handover_number(at + 2, 2);
        if (kind == KIND_FIELDS)
            handover_copy_fds(at + 8, handover_number(at + 4, 4), forget);
        if (kind != KIND_FD)
            continue;
        int copy = forget ? 0 : fcntl((int)handover_number(at + 8, 4), F_DUPFD_CLOEXEC, 100);
        for (size_t i = 0; i < 4; i++)
            at[8 + i] = (uint8_t)((unsigned)copy >> (8 * i));
    }
}

static inline void handover_begin(Handover *h) {
    *h = (Handover){0};
    blob_begin(&h->w, BLOB_STATE);
}

/* What has been saved is to be restored from @ret. False when it could not be written or read. */
static inline bool handover_turn(Handover *h, BlobReader *ret) {
    if (h->w.failed)
        return false;
    handover_copy_fds(h->w.data + 32, h->w.n - 32, false);
    return blob_end(&h->w) == 0 && blob_source_init(&h->source, h->w.data, h->w.n, BLOB_STATE, ret) == 0;
}

/* Whether the fields are the same as in @other, but for the numbers of descriptors. Neither is good for
 * anything else then. */
static inline bool handover_is_same(Handover *h, Handover *other) {
    BlobWriter *a = &h->w, *b = &other->w;
    if (a->failed || b->failed || a->n != b->n)
        return false;
    handover_copy_fds(a->data + 32, a->n - 32, true);
    handover_copy_fds(b->data + 32, b->n - 32, true);
    return memcmp(a->data + 32, b->data + 32, a->n - 32) == 0;
}

/* Also closes what nobody has taken. */
static inline void handover_end(Handover *h) {
    blob_source_done(&h->source);
    blob_writer_done(&h->w);
}

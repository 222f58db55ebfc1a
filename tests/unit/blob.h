/* SPDX-License-Identifier: MIT */
#pragma once
/* What is written to a blob is read back: for tests of whatever saves and restores itself. */
#include "daemon/base/blob.h"

typedef struct TestBlob {
    BlobWriter w;
    BlobSource source;
    BlobReader r; /* of its fields, once it is written */
} TestBlob;

static inline void test_blob_begin(TestBlob *b) {
    *b = (TestBlob){0};
    blob_begin(&b->w, BLOB_STATE);
}

static inline void test_blob_end(TestBlob *b) {
    assert_int_equal(blob_end(&b->w), 0);
    assert_int_equal(blob_source_init(&b->source, b->w.data, b->w.n, BLOB_STATE, &b->r), 0);
}

static inline void test_blob_done(TestBlob *b) {
    blob_source_done(&b->source);
    blob_writer_done(&b->w);
}

/* Puts by @save, gets by @restore, which may use b.w and b.r. */
#define TEST_BLOB(b, save, restore)                                                                          \
    do {                                                                                                     \
        TestBlob b;                                                                                          \
        test_blob_begin(&b);                                                                                 \
        save;                                                                                                \
        test_blob_end(&b);                                                                                   \
        assert_int_equal(restore, 0);                                                                        \
        assert_false(blob_is_spoilt(&b.source));                                                             \
        test_blob_done(&b);                                                                                  \
    } while (0)

/* SPDX-License-Identifier: MIT */
#pragma once
/* The plain members of a struct as fields of a blob, by a table of them: what is 0, false or NULL is left
 * out, unless it is an int64_t, whose 0 may not be what it begins as; what is not there stays as it is. */
#include "daemon/base/blob.h"

typedef enum BlobRowType {
    BLOB_ROW_U64,
    BLOB_ROW_UNSIGNED,
    BLOB_ROW_INT,
    BLOB_ROW_I64,
    BLOB_ROW_BOOL,
    BLOB_ROW_STRING, /* owned by the struct */
} BlobRowType;

typedef struct BlobRow {
    uint16_t tag;
    BlobRowType type;
    size_t at;
} BlobRow;

/* The row of @member of the struct @object, by its type. */
#define BLOB_ROW(number, object, member)                                                                       \
    {                                                                                                          \
        .tag = (number), .at = offsetof(object, member),                                                     \
        .type = _Generic(((object *)0)->member,                                                              \
                         unsigned long: BLOB_ROW_U64,                                                        \
                         unsigned long long: BLOB_ROW_U64,                                                   \
                         unsigned: BLOB_ROW_UNSIGNED,                                                        \
                         int: BLOB_ROW_INT,                                                                  \
                         long: BLOB_ROW_I64,                                                                 \
                         long long: BLOB_ROW_I64,                                                            \
                         _Bool: BLOB_ROW_BOOL,                                                               \
                         char *: BLOB_ROW_STRING) \
    }

void blob_put_rows(BlobWriter *w, const BlobRow *rows, size_t n, const void *object);
/* Takes @f to where its row says. Whether there is such a row; one of another kind spoils the blob. */
bool blob_get_row(const BlobField *f, const BlobRow *rows, size_t n, void *object);

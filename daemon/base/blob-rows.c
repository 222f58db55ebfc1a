/* SPDX-License-Identifier: MIT */
#include "daemon/base/blob-rows.h"

#include <limits.h>
#include <string.h>

_Static_assert(sizeof(unsigned long) == sizeof(uint64_t), "a size is a number of 64 bits");

static void put(BlobWriter *w, const BlobRow *row, const uint8_t *from) {
    uint64_t number = 0;
    unsigned small = 0;
    int is_signed = 0;
    int64_t wide = 0;
    char *text = NULL;
    switch (row->type) {
    case BLOB_ROW_U64:
        memcpy(&number, from, sizeof(number));
        break;
    case BLOB_ROW_UNSIGNED:
        memcpy(&small, from, sizeof(small));
        number = small;
        break;
    case BLOB_ROW_INT:
        memcpy(&is_signed, from, sizeof(is_signed));
        if (is_signed != 0)
            blob_put_i64(w, row->tag, is_signed);
        break;
    case BLOB_ROW_I64:
        memcpy(&wide, from, sizeof(wide));
        blob_put_i64(w, row->tag, wide);
        break;
    case BLOB_ROW_BOOL:
        blob_put_bool(w, row->tag, *(const bool *)from);
        break;
    case BLOB_ROW_STRING:
        memcpy((void *)&text, from, sizeof(text));
        blob_put_str(w, row->tag, text);
        break;
    }
    if (number != 0)
        blob_put_u64(w, row->tag, number);
}

void blob_put_rows(BlobWriter *w, const BlobRow *rows, size_t n, const void *object) {
    for (size_t i = 0; i < n; i++)
        put(w, &rows[i], (const uint8_t *)object + rows[i].at);
}

static void get(const BlobField *f, const BlobRow *row, uint8_t *to) {
    uint64_t number;
    unsigned small;
    int is_signed;
    int64_t wide;
    char *text;
    switch (row->type) {
    case BLOB_ROW_U64:
        number = blob_u64(f);
        memcpy(to, &number, sizeof(number));
        break;
    case BLOB_ROW_UNSIGNED:
        small = (unsigned)blob_u64_max(f, UINT_MAX);
        memcpy(to, &small, sizeof(small));
        break;
    case BLOB_ROW_INT:
        is_signed = (int)blob_i64_range(f, INT_MIN, INT_MAX);
        memcpy(to, &is_signed, sizeof(is_signed));
        break;
    case BLOB_ROW_I64:
        wide = blob_i64(f);
        memcpy(to, &wide, sizeof(wide));
        break;
    case BLOB_ROW_BOOL:
        *(bool *)to = blob_bool(f);
        break;
    case BLOB_ROW_STRING:
        memcpy((void *)&text, to, sizeof(text));
        blob_take_str(f, &text);
        memcpy(to, (const void *)&text, sizeof(text));
        break;
    }
}

bool blob_get_row(const BlobField *f, const BlobRow *rows, size_t n, void *object) {
    for (size_t i = 0; i < n; i++) {
        if (rows[i].tag != f->tag)
            continue;
        get(f, &rows[i], (uint8_t *)object + rows[i].at);
        return true;
    }
    return false;
}

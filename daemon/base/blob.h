/* SPDX-License-Identifier: MIT */
#pragma once
/* A blob: values on their way from one process of ours to another, of the same version or a neighbouring one.
 * Fields of a tag, a kind and a length; a field may hold fields. Who reads skips the tags that he does not
 * know, leaves what is missing at its default, and believes nothing: one field that is not what it should be
 * spoils the whole (blob_spoil()), with a reason, and from then on there are no more fields.
 *
 *   header  "MPINETD\n", u32 format, u32 purpose, u64 length of what follows, u64 checksum of that (of a
 * state) field   u16 tag, u16 kind, u32 length, then so many bytes; all of it little-endian, nothing aligned
 *
 * Descriptors go as numbers, in the blob of a state alone: each stands in it once, and is taken out of it
 * once. Pure but for closing what nobody has taken. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/base/cleanup.h"

/* Another format is not read at all; a new tag needs no new format. */
#define BLOB_FORMAT 1U
/* The longest that is read or written. */
#define BLOB_MAX ((size_t)1 << 30)
#define BLOB_DEPTH_MAX 16U

/* What it is for. */
typedef enum BlobPurpose {
    BLOB_CONFIG = 1,
    BLOB_STATE = 2,
    BLOB_VERDICT = 3,
    BLOB_REQUEST = 4,
} BlobPurpose;

typedef struct BlobWriter {
    uint8_t *data;
    size_t n, capacity;
    bool failed; /* memory ran out, or it is too long: sticky */
    int *fds;    /* those in it, in their order */
    size_t n_fds;
} BlobWriter;

/* Begins one, with its header. Starts as {0}. */
void blob_begin(BlobWriter *w, BlobPurpose purpose);
/* Completes the header. 0, -ENOMEM, -E2BIG. */
int blob_end(BlobWriter *w);
void blob_writer_done(BlobWriter *w); /* frees it; the descriptors are not its own */
#define CLEANUP_BLOB CLEANUP(blob_writer_done)

void blob_put_u64(BlobWriter *w, uint16_t tag, uint64_t v);
void blob_put_i64(BlobWriter *w, uint16_t tag, int64_t v);
void blob_put_bool(BlobWriter *w, uint16_t tag, bool v); /* false is left out */
void blob_put_double(BlobWriter *w, uint16_t tag, double v);
void blob_put_bytes(BlobWriter *w, uint16_t tag, const void *data, size_t n);
/* NULL is left out. */
void blob_put_str(BlobWriter *w, uint16_t tag, const char *s);
void blob_put_strv(BlobWriter *w, uint16_t tag, char *const *v);
void blob_put_u64s(BlobWriter *w, uint16_t tag, const uint64_t *v, size_t n);
/* A descriptor; a negative one is left out. It stays the caller's. */
void blob_put_fd(BlobWriter *w, uint16_t tag, int fd);
/* A field of fields: what is put until blob_close(), which gets what blob_open() returned. */
size_t blob_open(BlobWriter *w, uint16_t tag);
void blob_close(BlobWriter *w, size_t at);

/* Reading. The source holds what all readers of a blob share; the bytes stay the caller's. */
typedef struct BlobSource {
    const uint8_t *data;
    size_t n;
    char why[128]; /* why it is spoilt; "": it is not */
    int *fds;      /* that may be taken: -EBADF once they are; owned, and closed by blob_source_done() */
    size_t n_fds;
} BlobSource;

typedef struct BlobReader {
    BlobSource *source;
    const uint8_t *at, *end;
    unsigned depth;
} BlobReader;

typedef struct BlobField {
    BlobSource *source;
    uint16_t tag, kind;
    const uint8_t *data;
    size_t n;
    unsigned depth;
} BlobField;

/* Checks the header of the @n bytes at @data, and the checksum, and finds the descriptors. 0 with @ret, a
 * reader of its fields; -EBADMSG, and @s->why tells. */
int blob_source_init(BlobSource *s, const void *data, size_t n, BlobPurpose purpose, BlobReader *ret);
/* Closes the descriptors that nobody has taken. */
void blob_source_done(BlobSource *s);
bool blob_is_spoilt(const BlobSource *s);
/* The first reason stays. */
void blob_spoil(BlobSource *s, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The next field; false at the end, and once the blob is spoilt. */
bool blob_next(BlobReader *r, BlobField *ret);
/* The value of a field of that kind; else the blob is spoilt, and it is 0, false, NULL. */
uint64_t blob_u64(const BlobField *f);
/* At most @max, or the blob is spoilt and it is 0. */
uint64_t blob_u64_max(const BlobField *f, uint64_t max);
int64_t blob_i64(const BlobField *f);
/* From @min to @max, or the blob is spoilt and it is @min. */
int64_t blob_i64_range(const BlobField *f, int64_t min, int64_t max);
bool blob_bool(const BlobField *f);
double blob_double(const BlobField *f);                    /* finite */
const void *blob_bytes(const BlobField *f, size_t *ret_n); /* borrowed */
/* Exactly @n bytes to @to, or the blob is spoilt and @to is as it was. */
void blob_copy(const BlobField *f, void *to, size_t n);
/* The caller's to free. NULL when memory runs out, which spoils the blob. A string has no NUL in it. */
char *blob_str(const BlobField *f);
/* Puts it in place of *@to, which is freed. */
void blob_take_str(const BlobField *f, char **to);
char **blob_strv(const BlobField *f); /* the same with strv_free() */
void blob_take_strv(const BlobField *f, char ***to);
/* Up to @max numbers into @to; more are left out, and what is missing is 0. */
void blob_u64s(const BlobField *f, uint64_t *to, size_t max);
/* The caller's from now on, close-on-exec. -EBADF when the blob is spoilt: it is not open, or has been taken.
 */
int blob_fd(const BlobField *f);
/* The same of the field @tag among those of @r, of the last of several; where there is none, all are 0. 0, or
 * -EBADMSG when the blob is spoilt. */
int blob_find_u64s(BlobReader r, uint16_t tag, uint64_t *to, size_t max);
/* Its fields. */
BlobReader blob_enter(const BlobField *f);

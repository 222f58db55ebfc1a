/* SPDX-License-Identifier: MIT */
#include "daemon/base/blob.h"

#include <fcntl.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "daemon/base/siphash.h"
#include "daemon/base/text.h"

#define HEADER_BYTES ((size_t)32)
#define FIELD_BYTES ((size_t)8)
#define FDS_MAX ((size_t)1 << 21)

static const char magic[8] = {'M', 'P', 'I', 'N', 'E', 'T', 'D', '\n'};
/* Against accidents, not against forgery: who can write a blob is trusted. */
static const uint8_t checksum_key[SIPHASH_KEY_BYTES] = "mpinetd's blob.";

typedef enum Kind {
    KIND_U64 = 1,
    KIND_I64 = 2,
    KIND_BOOL = 3,
    KIND_DOUBLE = 4,
    KIND_BYTES = 5,
    KIND_STR = 6,
    KIND_STRV = 7,
    KIND_U64S = 8,
    KIND_FD = 9,
    KIND_FIELDS = 10,
} Kind;

static void store(uint8_t *to, uint64_t v, size_t n) {
    for (size_t i = 0; i < n; i++)
        to[i] = (uint8_t)(v >> (8 * i));
}

static uint64_t load(const uint8_t *from, size_t n) {
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++)
        v |= (uint64_t)from[i] << (8 * i);
    return v;
}

/* Writing */

static uint8_t *grow(BlobWriter *w, size_t n) {
    if (w->failed)
        return NULL;
    if (n > BLOB_MAX - w->n) {
        w->failed = true;
        return NULL;
    }
    if (w->n + n > w->capacity) {
        size_t capacity = w->capacity < 4096 ? 4096 : w->capacity;
        while (capacity < w->n + n)
            capacity *= 2;
        uint8_t *data = realloc(w->data, capacity);
        if (!data) {
            w->failed = true;
            return NULL;
        }
        w->data = data;
        w->capacity = capacity;
    }
    uint8_t *at = w->data + w->n;
    w->n += n;
    return at;
}

/* Room for a field's @n bytes, behind its head. */
static uint8_t *put(BlobWriter *w, uint16_t tag, Kind kind, size_t n) {
    uint8_t *at = grow(w, FIELD_BYTES + n);
    if (!at)
        return NULL;
    store(at, tag, 2);
    store(at + 2, (uint64_t)kind, 2);
    store(at + 4, n, 4);
    return at + FIELD_BYTES;
}

void blob_begin(BlobWriter *w, BlobPurpose purpose) {
    uint8_t *at = grow(w, HEADER_BYTES);
    if (!at)
        return;
    memset(at, 0, HEADER_BYTES);
    memcpy(at, magic, sizeof(magic));
    store(at + 8, BLOB_FORMAT, 4);
    store(at + 12, (uint64_t)purpose, 4);
}

int blob_end(BlobWriter *w) {
    if (w->failed)
        return w->n >= BLOB_MAX / 2 ? -E2BIG : -ENOMEM;
    size_t n = w->n - HEADER_BYTES;
    store(w->data + 16, n, 8);
    if (load(w->data + 12, 4) == BLOB_STATE)
        store(w->data + 24, siphash24(checksum_key, w->data + HEADER_BYTES, n), 8);
    return 0;
}

void blob_writer_done(BlobWriter *w) {
    free(w->data);
    free(w->fds);
    *w = (BlobWriter){0};
}

void blob_put_u64(BlobWriter *w, uint16_t tag, uint64_t v) {
    uint8_t *at = put(w, tag, KIND_U64, 8);
    if (at)
        store(at, v, 8);
}

void blob_put_i64(BlobWriter *w, uint16_t tag, int64_t v) {
    uint8_t *at = put(w, tag, KIND_I64, 8);
    if (at)
        store(at, (uint64_t)v, 8);
}

void blob_put_bool(BlobWriter *w, uint16_t tag, bool v) {
    if (v)
        (void)put(w, tag, KIND_BOOL, 0);
}

void blob_put_double(BlobWriter *w, uint16_t tag, double v) {
    uint64_t bits;
    memcpy(&bits, &v, sizeof(bits));
    uint8_t *at = put(w, tag, KIND_DOUBLE, 8);
    if (at)
        store(at, bits, 8);
}

void blob_put_bytes(BlobWriter *w, uint16_t tag, const void *data, size_t n) {
    uint8_t *at = put(w, tag, KIND_BYTES, n);
    if (at && n > 0)
        memcpy(at, data, n);
}

void blob_put_str(BlobWriter *w, uint16_t tag, const char *s) {
    size_t n = s ? strlen(s) : 0;
    uint8_t *at = s ? put(w, tag, KIND_STR, n) : NULL;
    /* The length stands before it: no NUL goes with it. */
    if (at && n > 0)
        (void)mempcpy(at, s, n);
}

void blob_put_strv(BlobWriter *w, uint16_t tag, char *const *v) {
    size_t n = 0;
    if (!v)
        return;
    for (char *const *s = v; *s; s++)
        n += strlen(*s) + 1;
    uint8_t *at = put(w, tag, KIND_STRV, n);
    for (char *const *s = v; at && *s; s++)
        at = (uint8_t *)mempcpy(at, *s, strlen(*s) + 1);
}

void blob_put_u64s(BlobWriter *w, uint16_t tag, const uint64_t *v, size_t n) {
    uint8_t *at = put(w, tag, KIND_U64S, 8 * n);
    for (size_t i = 0; at && i < n; i++)
        store(at + 8 * i, v[i], 8);
}

void blob_put_fd(BlobWriter *w, uint16_t tag, int fd) {
    if (fd < 0 || w->failed)
        return;
    /* Doubled whenever a power of two is full. */
    if ((w->n_fds & (w->n_fds - 1)) == 0) {
        int *fds = reallocarray(w->fds, w->n_fds ? w->n_fds * 2 : 1, sizeof(int));
        if (!fds) {
            w->failed = true;
            return;
        }
        w->fds = fds;
    }
    w->fds[w->n_fds++] = fd;
    uint8_t *at = put(w, tag, KIND_FD, 4);
    if (at)
        store(at, (uint64_t)fd, 4);
}

size_t blob_open(BlobWriter *w, uint16_t tag) {
    (void)put(w, tag, KIND_FIELDS, 0);
    return w->n;
}

void blob_close(BlobWriter *w, size_t at) {
    if (!w->failed)
        store(w->data + at - 4, w->n - at, 4);
}

/* Reading */

bool blob_is_spoilt(const BlobSource *s) {
    return s->why[0] != '\0';
}

void blob_spoil(BlobSource *s, const char *format, ...) {
    if (blob_is_spoilt(s))
        return;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(s->why, sizeof(s->why), format, args);
    va_end(args);
    if (s->why[0] == '\0')
        (void)snprintf(s->why, sizeof(s->why), "malformed");
}

bool blob_next(BlobReader *r, BlobField *ret) {
    *ret = (BlobField){.source = r->source, .depth = r->depth};
    if (r->at == r->end || blob_is_spoilt(r->source))
        return false;
    size_t left = (size_t)(r->end - r->at);
    size_t n = left < FIELD_BYTES ? 0 : (size_t)load(r->at + 4, 4);
    if (left < FIELD_BYTES || n > left - FIELD_BYTES) {
        blob_spoil(r->source, "a field is cut off");
        return false;
    }
    ret->tag = (uint16_t)load(r->at, 2);
    ret->kind = (uint16_t)load(r->at + 2, 2);
    ret->data = r->at + FIELD_BYTES;
    ret->n = n;
    r->at += FIELD_BYTES + n;
    return true;
}

/* Whether it is of this kind and, unless that is SIZE_MAX, of @n bytes. */
static bool is(const BlobField *f, Kind kind, size_t n) {
    if (blob_is_spoilt(f->source))
        return false;
    if (f->kind == (uint16_t)kind && (n == SIZE_MAX || f->n == n))
        return true;
    blob_spoil(f->source, "field %u is of another kind", f->tag);
    return false;
}

uint64_t blob_u64(const BlobField *f) {
    return is(f, KIND_U64, 8) ? load(f->data, 8) : 0;
}

uint64_t blob_u64_max(const BlobField *f, uint64_t max) {
    uint64_t v = blob_u64(f);
    if (v <= max)
        return v;
    blob_spoil(f->source, "field %u is out of range", f->tag);
    return 0;
}

int64_t blob_i64(const BlobField *f) {
    return is(f, KIND_I64, 8) ? (int64_t)load(f->data, 8) : 0;
}

int64_t blob_i64_range(const BlobField *f, int64_t min, int64_t max) {
    int64_t v = blob_i64(f);
    if (v >= min && v <= max)
        return v;
    blob_spoil(f->source, "field %u is out of range", f->tag);
    return min;
}

bool blob_bool(const BlobField *f) {
    return is(f, KIND_BOOL, 0);
}

double blob_double(const BlobField *f) {
    uint64_t bits = is(f, KIND_DOUBLE, 8) ? load(f->data, 8) : 0;
    double v = 0;
    memcpy(&v, &bits, sizeof(v));
    if (isfinite(v))
        return v;
    blob_spoil(f->source, "field %u is no number", f->tag);
    return 0;
}

const void *blob_bytes(const BlobField *f, size_t *ret_n) {
    bool good = is(f, KIND_BYTES, SIZE_MAX);
    *ret_n = good ? f->n : 0;
    return good ? f->data : NULL;
}

void blob_copy(const BlobField *f, void *to, size_t n) {
    if (is(f, KIND_BYTES, n) && n > 0)
        memcpy(to, f->data, n);
}

static char *take_string(const BlobField *f, const uint8_t *from, size_t n) {
    char *s = memchr(from, '\0', n) ? NULL : malloc(n + 1);
    if (!s) {
        blob_spoil(f->source, "field %u cannot be taken as a string", f->tag);
        return NULL;
    }
    memcpy(s, from, n);
    s[n] = '\0';
    return s;
}

char *blob_str(const BlobField *f) {
    return is(f, KIND_STR, SIZE_MAX) ? take_string(f, f->data, f->n) : NULL;
}

void blob_take_str(const BlobField *f, char **to) {
    free(*to);
    *to = blob_str(f);
}

char **blob_strv(const BlobField *f) {
    if (!is(f, KIND_STRV, SIZE_MAX))
        return NULL;
    size_t n = 0;
    for (size_t i = 0; i < f->n; i++)
        n += f->data[i] == '\0';
    if (f->n > 0 && f->data[f->n - 1] != '\0') {
        blob_spoil(f->source, "field %u is cut off", f->tag);
        return NULL;
    }
    char **v = (char **)calloc(n + 1, sizeof(char *));
    const char *at = (const char *)f->data;
    for (size_t i = 0; v && i < n; i++) {
        v[i] = strdup(at);
        if (!v[i]) {
            strv_free(v);
            v = NULL;
            break;
        }
        at += strlen(at) + 1;
    }
    if (!v)
        blob_spoil(f->source, "out of memory");
    return v;
}

void blob_take_strv(const BlobField *f, char ***to) {
    strv_free(*to);
    *to = blob_strv(f);
}

void blob_u64s(const BlobField *f, uint64_t *to, size_t max) {
    bool good = is(f, KIND_U64S, SIZE_MAX) && f->n % 8 == 0;
    if (!good)
        blob_spoil(f->source, "field %u is cut off", f->tag);
    for (size_t i = 0; i < max; i++)
        to[i] = good && i < f->n / 8 ? load(f->data + 8 * i, 8) : 0;
}

int blob_find_u64s(BlobReader r, uint16_t tag, uint64_t *to, size_t max) {
    BlobField f;
    memset(to, 0, max * sizeof(*to));
    while (blob_next(&r, &f))
        if (f.tag == tag)
            blob_u64s(&f, to, max);
    return blob_is_spoilt(r.source) ? -EBADMSG : 0;
}

BlobReader blob_enter(const BlobField *f) {
    bool good = is(f, KIND_FIELDS, SIZE_MAX);
    if (good && f->depth + 1 > BLOB_DEPTH_MAX) {
        blob_spoil(f->source, "it is nested too deeply");
        good = false;
    }
    return (BlobReader){.source = f->source,
                        .at = good ? f->data : NULL,
                        .end = good ? f->data + f->n : NULL,
                        .depth = f->depth + 1};
}

/* The descriptors, in a first pass over all fields, so that none is left open by a reader that stops
 * half-way. Only those that are open are ours to close. */
static void find_fds(BlobReader r) {
    BlobSource *s = r.source;
    BlobField f;
    while (blob_next(&r, &f)) {
        if (f.kind == KIND_FIELDS)
            find_fds(blob_enter(&f));
        if (f.kind != KIND_FD)
            continue;
        uint64_t fd = is(&f, KIND_FD, 4) ? load(f.data, 4) : UINT32_MAX;
        if (fd > INT32_MAX || fd <= STDERR_FILENO || s->n_fds == FDS_MAX) {
            blob_spoil(s, "field %u is no descriptor", f.tag);
            return;
        }
        if ((s->n_fds & (s->n_fds - 1)) == 0) {
            int *fds = reallocarray(s->fds, s->n_fds ? s->n_fds * 2 : 1, sizeof(int));
            if (!fds) {
                blob_spoil(s, "out of memory");
                return;
            }
            s->fds = fds;
        }
        s->fds[s->n_fds++] = (int)fd;
    }
}

static int compare_fds(const void *a, const void *b) {
    int x = *(const int *)a, y = *(const int *)b;
    return (x > y) - (x < y);
}

/* Sorted, each of them open and there once. */
static void check_fds(BlobSource *s) {
    if (s->n_fds > 0)
        qsort(s->fds, s->n_fds, sizeof(int), compare_fds);
    size_t kept = 0;
    for (size_t i = 0; i < s->n_fds; i++) {
        if (kept > 0 && s->fds[kept - 1] == s->fds[i]) {
            blob_spoil(s, "descriptor %d stands in it twice", s->fds[i]);
            continue;
        }
        if (fcntl(s->fds[i], F_SETFD, FD_CLOEXEC) < 0) {
            blob_spoil(s, "descriptor %d is not open", s->fds[i]);
            continue;
        }
        s->fds[kept++] = s->fds[i];
    }
    s->n_fds = kept;
}

int blob_fd(const BlobField *f) {
    int wanted = is(f, KIND_FD, 4) ? (int)load(f->data, 4) : -EBADF;
    size_t low = 0, high = f->source->n_fds;
    if (wanted < 0)
        return -EBADF;
    /* One that was taken is marked as ~fd, which keeps the order of the numbers to be told. */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int at = f->source->fds[middle];
        int number = at < 0 ? ~at : at;
        if (number == wanted && at >= 0) {
            f->source->fds[middle] = ~at;
            return wanted;
        }
        if (number == wanted)
            break;
        if (wanted < number)
            high = middle;
        else
            low = middle + 1;
    }
    blob_spoil(f->source, "descriptor %d is not there to be taken", wanted);
    return -EBADF;
}

int blob_source_init(BlobSource *s, const void *data, size_t n, BlobPurpose purpose, BlobReader *ret) {
    const uint8_t *head = data;
    *s = (BlobSource){.data = data, .n = n};
    *ret = (BlobReader){.source = s};
    if (n < HEADER_BYTES || memcmp(head, magic, sizeof(magic)) != 0)
        blob_spoil(s, "it has no header");
    else if (load(head + 8, 4) != BLOB_FORMAT)
        blob_spoil(s, "it is of format %llu, and this version reads %u",
                   (unsigned long long)load(head + 8, 4), BLOB_FORMAT);
    else if (load(head + 12, 4) != (uint64_t)purpose)
        blob_spoil(s, "it is for something else");
    else if (load(head + 16, 8) != n - HEADER_BYTES || n > BLOB_MAX)
        blob_spoil(s, "it is cut off");
    else if (purpose == BLOB_STATE &&
             load(head + 24, 8) != siphash24(checksum_key, head + HEADER_BYTES, n - HEADER_BYTES))
        blob_spoil(s, "its checksum is wrong");
    if (blob_is_spoilt(s))
        return -EBADMSG;
    ret->at = head + HEADER_BYTES;
    ret->end = head + n;
    if (purpose == BLOB_STATE) {
        find_fds(*ret);
        check_fds(s);
    }
    return blob_is_spoilt(s) ? -EBADMSG : 0;
}

void blob_source_done(BlobSource *s) {
    for (size_t i = 0; i < s->n_fds; i++)
        if (s->fds[i] >= 0)
            (void)close(s->fds[i]);
    free(s->fds);
    s->fds = NULL;
    s->n_fds = 0;
}

/* SPDX-License-Identifier: MIT */
#include "ctl/proto/frame.h"

#include <string.h>

/* The least room offered to a read(2), and the smallest buffer. */
#define FRAME_CHUNK 4096

void frame_init(Frame *f, size_t max) {
    *f = (Frame){.max = max};
}

void frame_done(Frame *f) {
    free(f->buf);
    *f = (Frame){.max = f->max};
}

int frame_space(Frame *f, char **ret, size_t *ret_n) {
    if (f->start > 0) {
        f->len -= f->start;
        f->scan -= f->start;
        memmove(f->buf, f->buf + f->start, f->len);
        f->start = 0;
    }
    if (f->cap - f->len < FRAME_CHUNK) {
        size_t cap;
        if (__builtin_mul_overflow(f->cap > FRAME_CHUNK ? f->cap : FRAME_CHUNK, 2, &cap))
            return -ENOMEM;
        char *buf = realloc(f->buf, cap);
        if (!buf)
            return -ENOMEM;
        f->buf = buf;
        f->cap = cap;
    }
    *ret = f->buf + f->len;
    *ret_n = f->cap - f->len;
    return 0;
}

void frame_advance(Frame *f, size_t n) {
    f->len += n;
}

int frame_next(Frame *f, const char **ret, size_t *ret_n) {
    if (f->len == f->start)
        return 0;
    const char *end = memchr(f->buf + f->scan, '\0', f->len - f->scan);
    size_t n = (end ? (size_t)(end - f->buf) : f->len) - f->start;
    if (n > f->max)
        return -EMSGSIZE;
    if (!end) {
        f->scan = f->len;
        return 0;
    }
    *ret = f->buf + f->start;
    *ret_n = n;
    f->start += n + 1;
    f->scan = f->start;
    return 1;
}

bool frame_has_next(const Frame *f) {
    size_t n = f->len - f->start;
    return n > 0 && (n > f->max || memchr(f->buf + f->scan, '\0', f->len - f->scan));
}

size_t frame_pending(const Frame *f) {
    return f->len - f->start;
}

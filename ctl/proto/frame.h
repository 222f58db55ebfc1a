/* SPDX-License-Identifier: MIT */
#pragma once
/* Varlink's framing without I/O: bytes in, messages out. A message ends with one NUL byte. */
#include <stdbool.h>
#include <stddef.h>

#include "daemon/base/text.h"

typedef struct Frame {
    char *buf;
    size_t len, cap;
    size_t start; /* the first byte of the message being read */
    size_t scan;  /* up to where no NUL was found */
    size_t max;   /* the longest message taken, without its NUL */
} Frame;

void frame_init(Frame *f, size_t max);
void frame_done(Frame *f);
/* Room to read into: *ret points at *ret_n free bytes (at least 1). 0 or -ENOMEM. After reading,
 * frame_advance(). */
int frame_space(Frame *f, char **ret, size_t *ret_n);
void frame_advance(Frame *f, size_t n);
/* The next whole message: 1 with *ret (without the NUL, valid until the next frame_space()), 0 when more
 * bytes are needed, -EMSGSIZE when the message being read is longer than the limit. */
int frame_next(Frame *f, const char **ret, size_t *ret_n);
/* Whether frame_next() has something to say without more bytes. */
bool frame_has_next(const Frame *f);
/* Bytes of a message that has begun and not ended. */
size_t frame_pending(const Frame *f);

/* SPDX-License-Identifier: MIT */
#pragma once
/* Lines out of a stream of bytes, each at most LINE_MAX_BYTES long. The buffer exists only while a line is
 * unfinished, so that a reader that is idle costs a few words. No I/O. */
#include <stdbool.h>
#include <stddef.h>

#define LINE_MAX_BYTES 4096

typedef struct Lines {
    char *partial; /* LINE_MAX_BYTES bytes, or NULL */
    size_t len;
    bool skipping; /* in a line that was too long: what is left of it goes */
} Lines;

/* Called for each line, without its newline and NUL-terminated behind @n bytes (it may hold NULs itself).
 * @truncated: the line was longer and what follows is dropped. */
typedef void (*LinesEmit)(const char *line, size_t n, bool truncated, void *userdata);

void lines_done(Lines *l);
/* Takes @n bytes of @data, which is written to (a NUL at each line's end): @data[n] must be writable. */
void lines_feed(Lines *l, char *data, size_t n, LinesEmit emit, void *userdata);
/* At the end of the stream: emits what stands without a newline. */
void lines_finish(Lines *l, LinesEmit emit, void *userdata);

/* SPDX-License-Identifier: MIT */
#include "daemon/base/lines.h"

#include <string.h>

#include "daemon/base/cleanup.h"

void lines_done(Lines *l) {
    free(l->partial);
    *l = (Lines){0};
}

static void emit_partial(Lines *l, bool truncated, LinesEmit emit, void *userdata) {
    /* Taken out first: the callback may be the one that ends the reader. */
    char *line CLEANUP_FREE = l->partial;
    size_t n = l->len;
    l->partial = NULL;
    l->len = 0;
    line[n] = '\0';
    emit(line, n, truncated, userdata);
}

/* Adds to the unfinished line; emits it cut once it is full. Without memory the piece is lost, not the
 * daemon. */
static void add_partial(Lines *l, const char *data, size_t n, LinesEmit emit, void *userdata) {
    if (n == 0 || l->skipping)
        return;
    if (!l->partial) {
        l->partial = malloc(LINE_MAX_BYTES + 1);
        if (!l->partial) {
            l->skipping = true;
            return;
        }
    }
    size_t room = LINE_MAX_BYTES - l->len;
    size_t take = n < room ? n : room;
    memcpy(l->partial + l->len, data, take);
    l->len += take;
    if (take < n) {
        l->skipping = true;
        emit_partial(l, true, emit, userdata);
    }
}

void lines_feed(Lines *l, char *data, size_t n, LinesEmit emit, void *userdata) {
    while (n > 0) {
        char *newline = memchr(data, '\n', n);
        if (!newline) {
            add_partial(l, data, n, emit, userdata);
            return;
        }
        size_t len = (size_t)(newline - data);
        if (l->skipping) {
            l->skipping = false;
        } else if (l->partial) {
            add_partial(l, data, len, emit, userdata);
            if (l->partial)
                emit_partial(l, false, emit, userdata);
            l->skipping = false;
        } else {
            bool truncated = len > LINE_MAX_BYTES;
            size_t shown = truncated ? LINE_MAX_BYTES : len;
            data[shown] = '\0';
            emit(data, shown, truncated, userdata);
        }
        data = newline + 1;
        n -= len + 1;
    }
}

void lines_finish(Lines *l, LinesEmit emit, void *userdata) {
    if (l->partial)
        emit_partial(l, false, emit, userdata);
    l->skipping = false;
}

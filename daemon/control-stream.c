/* SPDX-License-Identifier: MIT */
#include "daemon/control-stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

Stream *stream_new(StreamPart part, bool more) {
    Stream *s = calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    s->part = part;
    s->more = more;
    return s;
}

Stream *stream_free(Stream *s) {
    if (!s)
        return NULL;
    selection_done(&s->selection);
    strv_free(s->patterns);
    strv_free(s->names);
    free(s->subject);
    free(s->service);
    free(s);
    return NULL;
}

bool stream_begins_message(const Stream *s) {
    return s->more || !s->begun;
}

bool stream_ends_message(const Stream *s, bool last) {
    return s->more || last;
}

int stream_advance(Stream *s, const char *service) {
    char *copy = strdup(service);
    if (!copy)
        return -ENOMEM;
    free(s->service);
    s->service = copy;
    s->number = 0;
    s->pid = 0;
    return 0;
}

void stream_rewind(Stream *s) {
    free(s->service);
    s->service = NULL;
    s->number = 0;
    s->pid = 0;
    s->next_name = 0;
}

size_t stream_position(const Stream *s, const void *items, size_t n,
                       const char *(*name)(const void *items, size_t i)) {
    size_t low = 0, high = s->service ? n : 0;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(name(items, middle), s->service) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

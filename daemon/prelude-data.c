/* SPDX-License-Identifier: MIT */
#include "daemon/prelude-data.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/base/cleanup.h"

static PreludeResult bad(const char **ret_why, const char *why) {
    *ret_why = why;
    return PRELUDE_BAD;
}

/* A line that ends in LF alone is one, too: who types it into nc has no CR. */
static PreludeResult parse_name(const unsigned char *line, size_t n, char name[static PRELUDE_NAME_MAX],
                                size_t *ret_length, const char **ret_why) {
    for (size_t i = 0; i < n; i++) {
        bool cr = line[i] == '\r';
        if (cr && i + 1 == n)
            break;
        if (line[i] == '\n' || (cr && i + 1 < n && line[i + 1] == '\n')) {
            memcpy(name, line, i);
            name[i] = '\0';
            *ret_length = i + 1 + cr;
            return PRELUDE_DONE;
        }
        if (line[i] < ' ' || line[i] > '~')
            return bad(ret_why, "the name has a byte that does not belong there");
    }
    return n < PRELUDE_NAME_MAX ? PRELUDE_MORE : bad(ret_why, "the name is too long");
}

static PreludeResult parse(PreludeData *d, const unsigned char *bytes, size_t n, size_t *ret_length,
                           const char **ret_why) {
    if (d->kind == PRELUDE_NAME)
        return parse_name(bytes, n, d->name, ret_length, ret_why);
    switch (proxy_header_parse(bytes, n, &d->header, ret_length, ret_why)) {
    case PROXY_MORE:
        return PRELUDE_MORE;
    case PROXY_OK:
        return d->header.type == SOCK_DGRAM ? bad(ret_why, "it tells of datagrams") : PRELUDE_DONE;
    case PROXY_BAD:
        break;
    }
    return PRELUDE_BAD;
}

static size_t longest(const PreludeData *d) {
    return d->kind == PRELUDE_NAME ? PRELUDE_NAME_MAX : PROXY_HEADER_ACCEPT_MAX;
}

size_t prelude_data_room(const PreludeData *d) {
    return longest(d) - d->n;
}

PreludeResult prelude_data_add(PreludeData *d, const unsigned char *bytes, size_t n, size_t *ret_take,
                               const char **ret_why) {
    const unsigned char *all = bytes;
    size_t before = d->n, length = 0;
    if (before > 0) {
        unsigned char *more = realloc(d->bytes, before + n);
        if (!more)
            return bad(ret_why, "out of memory");
        d->bytes = more;
        memcpy(more + before, bytes, n);
        all = more;
    }
    PreludeResult r = parse(d, all, before + n, &length, ret_why);
    if (r == PRELUDE_BAD)
        return r;
    if (r == PRELUDE_DONE) {
        *ret_take = length - before;
        return r;
    }
    if (before == 0) {
        d->bytes = malloc(n);
        if (!d->bytes)
            return bad(ret_why, "out of memory");
        memcpy(d->bytes, bytes, n);
    }
    d->n = before + n;
    *ret_take = n;
    return r;
}

int prelude_data_set(PreludeData *d, const void *bytes, size_t n) {
    if (n >= longest(d))
        return -EBADMSG;
    if (n == 0)
        return 0;
    d->bytes = malloc(n);
    if (!d->bytes)
        return -ENOMEM;
    memcpy(d->bytes, bytes, n);
    d->n = n;
    return 0;
}

void prelude_data_done(PreludeData *d) {
    free(d->bytes);
    d->bytes = NULL;
    d->n = 0;
}

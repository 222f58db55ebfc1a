/* SPDX-License-Identifier: MIT */
#pragma once
/* What has been read of a prelude so far. Pure: whoever reads the socket looks at what lies in it, brings it
 * here, and takes from the socket what belongs to the prelude, and nothing of what follows. */
#include "daemon/base/proxy-header.h"

typedef enum PreludeKind {
    PRELUDE_HEADER, /* of the PROXY protocol */
    PRELUDE_NAME,   /* of a tcpmux service, up to CRLF (RFC 1078) */
} PreludeKind;

/* The longest name, its CRLF included. */
#define PRELUDE_NAME_MAX 256U
/* The longest prelude. */
#define PRELUDE_MAX PROXY_HEADER_ACCEPT_MAX

typedef struct PreludeData {
    PreludeKind kind;
    unsigned char *bytes; /* taken, and not enough yet; owned; NULL: none */
    size_t n;
    union {
        ProxyHeader header;
        char name[PRELUDE_NAME_MAX]; /* as it was sent, without CRLF; printable ASCII */
    };
} PreludeData;

typedef enum PreludeResult {
    PRELUDE_MORE,
    PRELUDE_DONE, /* `header` or `name` is filled in */
    PRELUDE_BAD,
} PreludeResult;

/* How many bytes are worth looking at: more cannot belong to it. */
size_t prelude_data_room(const PreludeData *d);
/* The next @n bytes, as far as they are there, at least one and at most prelude_data_room(). @ret_take of
 * them belong to the prelude, with PRELUDE_MORE all. PRELUDE_BAD says in @ret_why, a static text, what is
 * wrong, and takes nothing. */
PreludeResult prelude_data_add(PreludeData *d, const unsigned char *bytes, size_t n, size_t *ret_take,
                               const char **ret_why);
/* One that is new has got the @n @bytes already, which were not enough. 0, -EBADMSG when they would have been
 * too many, or -ENOMEM. */
int prelude_data_set(PreludeData *d, const void *bytes, size_t n);
/* Frees what it keeps. */
void prelude_data_done(PreludeData *d);

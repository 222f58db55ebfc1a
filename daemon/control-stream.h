/* SPDX-License-Identifier: MIT */
#pragma once
/* A reply that is made in parts, one a turn of the loop, so that a long one holds up nobody. Here stands
 * where it goes on: by names and numbers, never by a pointer, since services and instances come and go
 * between two turns. What a part is made of is its handler's. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/base/blob.h"
#include "daemon/base/text.h"
#include "daemon/control-select.h"

struct Calls;
struct Client;
typedef struct Stream Stream;

/* Appends the next part to @out, noting where to go on. Returns 1 when it was the last one, 0 when there is
 * more, or a negative errno: the client then loses its connection. */
typedef int (*StreamPart)(struct Calls *calls, struct Client *client, Stream *s, Text *out);

struct Stream {
    StreamPart part;
    bool more;       /* each part is a message of its own; else they all make one */
    bool begun;      /* something of it was sent */
    bool any;        /* an item of the list was sent */
    bool origin;     /* GetConfig */
    char **patterns; /* what the call names; they become: */
    Selection selection;
    char **names;  /* of the services meant; NULL: all */
    char *subject; /* Describe, Events: the service; NULL: all */
    int64_t last;  /* Events: how many */
    /* Where it goes on. */
    size_t next_name;     /* of names */
    size_t section;       /* a family of metrics */
    char *service;        /* behind this one, or in it behind `number`; NULL: at the beginning */
    uint64_t number;      /* of an instance; 0: at the first */
    pid_t pid;            /* of that instance */
    uint64_t last_number; /* instances that are started later are left out, so that it comes to an end */
};

/* NULL when memory runs out. */
Stream *stream_new(StreamPart part, bool more);
Stream *stream_free(Stream *s); /* returns NULL */

/* Whether the part being made begins a message, or, the @last one or not, ends it. */
bool stream_begins_message(const Stream *s);
bool stream_ends_message(const Stream *s, bool last);
/* Goes on behind @service, none of whose instances were sent. 0 or -ENOMEM. */
int stream_advance(Stream *s, const char *service);
/* From the beginning again. */
void stream_rewind(Stream *s);
/* The first of @items, which are in the order of their names, behind `service`; @n when there is none. */
size_t stream_position(const Stream *s, const void *items, size_t n,
                       const char *(*name)(const void *items, size_t i));

/* See handover.h. Which part is made next goes by a word, so that a client whose reply this version does not
 * make is the only one who loses anything: NULL, its connection is to be closed. */
bool stream_can_be_saved(const Stream *s);
void stream_save(BlobWriter *w, const Stream *s);
Stream *stream_restore(BlobReader r);

/* SPDX-License-Identifier: MIT */
#pragma once
/* Where lines of the log go: a stream (stderr), written once per turn of the loop, or a datagram socket (the
 * journal, syslog), a datagram each. Nothing here ever waits: what is not taken is counted, and told once
 * there is room again. */
#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/text.h"

typedef struct Sink {
    int fd; /* -EBADF: closed */
    bool owned;
    bool is_datagram;
    bool is_socket; /* to be written with MSG_DONTWAIT */
    bool may_block; /* shared and blocking: poll(2) first */
    bool torn;      /* the buffer begins in the middle of a line of which the first part is out */
    Text buffer;
    size_t begun; /* where the newest line begins in it */
    uint64_t lost;
    bool as_json; /* how the line that tells of lost ones is written */
} Sink;

void sink_open_stderr(Sink *s);
/* The datagram socket at @path. 0 or a negative errno. */
int sink_open_datagram(Sink *s, const char *path);
void sink_done(Sink *s);

/* Takes one datagram, or a line, its newline included. */
void sink_put(Sink *s, const char *data, size_t n);
/* Of a stream: where a line is to be added, its newline included; and that it has been. */
Text *sink_begin(Sink *s);
void sink_end(Sink *s);
void sink_flush(Sink *s);

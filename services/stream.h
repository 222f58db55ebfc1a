/* SPDX-License-Identifier: MIT */
#pragma once
/* A stream: one connection of a service, or a pair of pipes, as a small state machine. It keeps no more than
 * one buffer, so that a client who does not read is not read from, and it never blocks on a socket: one
 * process can serve many. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a protocol does with a stream. */
typedef struct StreamProtocol {
    /* What comes in goes out again; otherwise it is thrown away. */
    bool echo;
    /* Writes what the service says of its own, beginning at @offset of all it says, and returns how much;
     * says in
     * @ret_end whether that is all of it. NULL: it says nothing of its own. */
    size_t (*produce)(uint64_t offset, unsigned char *buf, size_t size, bool *ret_end);
} StreamProtocol;

typedef struct Stream Stream;

typedef enum StreamState {
    STREAM_OPEN,
    STREAM_DONE,   /* served to its end */
    STREAM_GONE,   /* the client left earlier; nothing is wrong with us */
    STREAM_FAILED, /* stream_error() says why */
} StreamState;

/* Bytes of the buffer. */
#define STREAM_BUFFER (64U << 10)

/* A stream that reads @in and writes @out, which may be the same; -EBADF descriptors must not be given. It
 * owns neither. NULL when memory ran out. */
Stream *stream_new(const StreamProtocol *protocol, int in, int out);
/* The same for one of very many: it works in @scratch, STREAM_BUFFER bytes that streams of one thread share,
 * and has memory of its own only while there are bytes that its client has not taken yet. */
Stream *stream_new_sharing(const StreamProtocol *protocol, int in, int out, unsigned char *scratch);
Stream *stream_free(Stream *s);

/* What to wait for before the next step, as poll(2)'s events: for the descriptor to read and the one to
 * write. */
short stream_wants_in(const Stream *s);
short stream_wants_out(const Stream *s);
int stream_in(const Stream *s);
int stream_out(const Stream *s);

/* Reads and writes once what can be, after poll(2) said something of one of the descriptors. */
StreamState stream_step(Stream *s);
/* Steps and polls until it is over. */
StreamState stream_run(Stream *s);
/* The same, or until @stop is readable: STREAM_GONE then. */
StreamState stream_run_until(Stream *s, int stop);
/* The errno of a failed stream. */
int stream_error(const Stream *s);

/* Whether something can be read of @fd, or accepted, without waiting. To be asked before each accept(2) but
 * the first after poll(2) or epoll_wait(2): that the listener does not wait is a flag shared with all who
 * have it, and who starts one more process with it may clear the flag for that one. */
bool stream_is_readable(int fd);

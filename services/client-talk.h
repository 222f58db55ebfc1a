/* SPDX-License-Identifier: MIT */
#pragma once
/* A talk: what comes in on one descriptor is sent over a connected socket, and what comes back is written to
 * another descriptor, both at once, until the server ends. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct TalkPlan {
    int in; /* -EBADF: nothing is sent, and the end of that is not told */
    int out;
    int socket;            /* connected */
    bool records;          /* each send(2) is a message of its own */
    bool datagram;         /* and the end of the peer cannot be seen */
    bool whole;            /* records: all of the input is one message; else each of its lines */
    bool half_close;       /* the end of input is passed on */
    uint64_t timeout_usec; /* a silence so long ends it; USEC_INFINITY: none does */
    uint64_t linger_usec;  /* datagrams: so long a silence after the end of input is the end */
} TalkPlan;

typedef enum TalkEnd {
    TALK_DONE,         /* the server ended, after our input had */
    TALK_SERVER_FIRST, /* the server ended, our input had not; error: 0, or ECONNRESET and the like */
    TALK_TIMEOUT,
    TALK_RECEIVE, /* receiving, reading the input or writing the output failed: error says why */
    TALK_READ,
    TALK_WRITE,
    TALK_SEND, /* a message cannot be sent: EMSGSIZE */
    TALK_SYSTEM,
    _TALK_END_MAX,
} TalkEnd;

typedef struct TalkResult {
    TalkEnd end;
    int error;
    uint64_t sent, received; /* bytes */
} TalkResult;

/* Room for one message, and for what is under way in each direction. */
#define TALK_BUFFER (256U << 10)

/* In one process, by a loop around poll(2). */
TalkResult talk_run(const TalkPlan *plan);
/* In two: a child sends, the caller receives. The socket is set to block. No process is left behind. */
TalkResult talk_run_split(const TalkPlan *plan);

/* How many of the @n bytes at @buf are the next message: a line with its newline; all, if @whole or nothing
 * more than a full buffer can come, but only once the input has @ended; 0: more must come first. Pure. */
size_t talk_next_record(const char *buf, size_t n, bool whole, bool ended);
/* Whether errno @e of a socket says that the other side is gone. */
bool talk_errno_is_gone(int e);
/* The bytes that write(2) on @out may be given at once without blocking after poll(2) said it is ready. */
size_t talk_write_size(int out);

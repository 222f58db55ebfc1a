/* SPDX-License-Identifier: MIT */
#include "services/stream.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct Stream {
    const StreamProtocol *protocol;
    int in;
    int out;
    bool in_is_socket;
    bool out_is_socket;
    bool in_ended;     /* nothing more comes in */
    bool produced_all; /* the protocol has said what it says */
    int error;
    uint64_t produced; /* bytes that it said so far */
    size_t start, end; /* what is in the buffer and not yet sent */
    unsigned char *buffer;
    unsigned char *scratch; /* shared with other streams, or NULL: then the buffer is `own` */
    unsigned char own[];
};

static bool is_socket(int fd) {
    int type;
    socklen_t len = sizeof(type);
    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0;
}

static Stream *new_stream(const StreamProtocol *protocol, int in, int out, unsigned char *scratch) {
    /* The buffer is not cleared: its pages come into being when they are used. */
    Stream *s = malloc(sizeof(*s) + (scratch ? 0 : STREAM_BUFFER));
    if (!s)
        return NULL;
    s->protocol = protocol;
    s->in = in;
    s->out = out;
    s->in_is_socket = is_socket(in);
    s->out_is_socket = out == in ? s->in_is_socket : is_socket(out);
    s->error = 0;
    s->in_ended = false;
    s->produced_all = false;
    s->produced = 0;
    s->start = s->end = 0;
    s->scratch = scratch;
    s->buffer = scratch ? scratch : s->own;
    return s;
}

Stream *stream_new(const StreamProtocol *protocol, int in, int out) {
    return new_stream(protocol, in, out, NULL);
}

Stream *stream_new_sharing(const StreamProtocol *protocol, int in, int out, unsigned char *scratch) {
    return new_stream(protocol, in, out, scratch);
}

static bool has_kept(const Stream *s) {
    return s->scratch && s->buffer != s->scratch;
}

static void forget_kept(Stream *s) {
    if (has_kept(s))
        free(s->buffer);
    s->buffer = s->scratch;
}

Stream *stream_free(Stream *s) {
    if (s && has_kept(s))
        free(s->buffer);
    free(s);
    return NULL;
}

int stream_in(const Stream *s) {
    return s->in;
}

int stream_out(const Stream *s) {
    return s->out;
}

int stream_error(const Stream *s) {
    return s->error;
}

static bool has_unsent(const Stream *s) {
    return s->start < s->end;
}

/* The protocol has still something of its own to say. */
static bool has_to_say(const Stream *s) {
    return s->protocol->produce && !s->produced_all;
}

short stream_wants_in(const Stream *s) {
    if (s->in_ended || (s->protocol->echo && has_unsent(s)))
        return 0;
    return POLLIN;
}

short stream_wants_out(const Stream *s) {
    return has_unsent(s) || has_to_say(s) ? POLLOUT : 0;
}

/* errno values by which a client's leaving shows: a pipe or socket that nobody reads (write(2)), a reset, and
 * a peer that TCP has given up, tcp(7). */
static bool errno_is_client_gone(int e) {
    return e == EPIPE || e == ECONNRESET || e == ECONNABORTED || e == ETIMEDOUT || e == EHOSTUNREACH ||
           e == ENETUNREACH || e == ENETDOWN || e == EHOSTDOWN;
}

static StreamState fail(Stream *s, int error) {
    s->error = error;
    return errno_is_client_gone(error) ? STREAM_GONE : STREAM_FAILED;
}

/* The flags of fds 0 and 1 may be shared with others (a terminal, a pipe of a shell), so they stay as they
 * are: sockets are asked not to block call by call, and what is no socket is alone in its process and may
 * block. */
static ssize_t receive(const Stream *s, void *buf, size_t n) {
    return s->in_is_socket ? recv(s->in, buf, n, MSG_DONTWAIT) : read(s->in, buf, n);
}

static ssize_t transmit(const Stream *s, const void *buf, size_t n) {
    return s->out_is_socket ? send(s->out, buf, n, MSG_DONTWAIT | MSG_NOSIGNAL) : write(s->out, buf, n);
}

/* Takes in what has come, into the buffer or to be forgotten. */
static StreamState take_in(Stream *s) {
    unsigned char scrap[STREAM_BUFFER / 4];
    bool echo = s->protocol->echo;
    ssize_t got = echo ? receive(s, s->buffer, STREAM_BUFFER) : receive(s, scrap, sizeof(scrap));
    if (got < 0)
        return errno == EAGAIN || errno == EINTR ? STREAM_OPEN : fail(s, errno);
    if (got == 0)
        s->in_ended = true;
    if (echo) {
        s->start = 0;
        s->end = (size_t)got;
    }
    return STREAM_OPEN;
}

static void say(Stream *s) {
    s->start = 0;
    s->end = s->protocol->produce(s->produced, s->buffer, STREAM_BUFFER, &s->produced_all);
    s->produced += s->end;
}

static StreamState give_out(Stream *s) {
    ssize_t sent = transmit(s, s->buffer + s->start, s->end - s->start);
    if (sent < 0)
        return errno == EAGAIN || errno == EINTR ? STREAM_OPEN : fail(s, errno);
    s->start += (size_t)sent;
    return STREAM_OPEN;
}

/* Throws away what a client said to a service that does not listen: closing a TCP socket with unread bytes
 * resets the connection (RFC 2525, 2.17), and the client could lose the answer. Bounded, as a client can
 * always send more. */
static void forget_rest(const Stream *s) {
    unsigned char scrap[STREAM_BUFFER / 4];
    for (int i = 0; s->in_is_socket && i < 16 && recv(s->in, scrap, sizeof(scrap), MSG_DONTWAIT) > 0; i++)
        continue;
}

static bool is_over(const Stream *s) {
    if (has_unsent(s))
        return false;
    return s->protocol->produce ? s->produced_all : s->in_ended;
}

bool stream_is_readable(int fd) {
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, 0) > 0;
}

/* The scratch belongs to the next stream as soon as a step is over: what is left in it moves out. */
static StreamState keep_unsent(Stream *s) {
    if (!s->scratch)
        return STREAM_OPEN;
    if (!has_unsent(s)) {
        forget_kept(s);
    } else if (!has_kept(s)) {
        size_t n = s->end - s->start;
        unsigned char *kept = malloc(n);
        if (!kept)
            return fail(s, ENOMEM);
        memcpy(kept, s->buffer + s->start, n);
        s->buffer = kept;
        s->start = 0;
        s->end = n;
    }
    return STREAM_OPEN;
}

StreamState stream_step(Stream *s) {
    StreamState state = STREAM_OPEN;
    /* What a service says of its own does not wait for a pipe or a terminal that says nothing. */
    if (stream_wants_in(s) && (!s->protocol->produce || s->in_is_socket || stream_is_readable(s->in)))
        state = take_in(s);
    if (state == STREAM_OPEN && !has_unsent(s) && has_to_say(s))
        say(s);
    if (state == STREAM_OPEN && has_unsent(s))
        state = give_out(s);
    if (state == STREAM_OPEN)
        state = keep_unsent(s);
    if (state == STREAM_OPEN && is_over(s)) {
        if (!s->in_ended)
            forget_rest(s);
        state = STREAM_DONE;
    }
    return state;
}

/* Waits without a bound: the daemon's timeouts end a connection that is only held. */
static int wait_ready(const Stream *s, int stop) {
    /* A descriptor that nothing is wanted of is left out: its hang-up would be told again and again. */
    short in = stream_wants_in(s), out = stream_wants_out(s);
    struct pollfd p[3] = {
        {.fd = in ? s->in : -1, .events = in},
        {.fd = out ? s->out : -1, .events = out},
        {.fd = stop, .events = POLLIN},
    };
    if (poll(p, 3, -1) < 0 && errno != EINTR)
        return -errno;
    return p[2].revents ? -ECANCELED : 0;
}

StreamState stream_run_until(Stream *s, int stop) {
    for (;;) {
        StreamState state = stream_step(s);
        if (state != STREAM_OPEN)
            return state;
        int r = wait_ready(s, stop);
        if (r == -ECANCELED)
            return STREAM_GONE;
        if (r < 0)
            return fail(s, -r);
    }
}

StreamState stream_run(Stream *s) {
    return stream_run_until(s, -1);
}

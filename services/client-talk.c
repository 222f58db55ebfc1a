/* SPDX-License-Identifier: MIT */
#include "services/client-talk.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"
#include "services/client-socket.h"

/* What is under way in one direction. */
typedef struct Lane {
    char *buf; /* TALK_BUFFER bytes */
    size_t start, end;
    bool ended; /* nothing more comes in */
} Lane;

typedef struct Talk {
    const TalkPlan *plan;
    Lane up;       /* input to socket */
    Lane down;     /* socket to output */
    bool told_end; /* the server knows that our input has ended, or need not */
    bool deaf;     /* the server takes nothing more */
    size_t write_size;
    bool out_is_socket;
    uint64_t moved_usec; /* when something moved last */
    TalkResult result;
} Talk;

bool talk_errno_is_gone(int e) {
    return e == EPIPE || e == ECONNRESET || e == ECONNABORTED || e == ENOTCONN;
}

size_t talk_write_size(int out) {
    /* pipe(7): a pipe that poll(2) calls writable has room for PIPE_BUF bytes at least. Files never block,
     * terminals take what they can. */
    struct stat st;
    return fstat(out, &st) == 0 && S_ISFIFO(st.st_mode) ? PIPE_BUF : TALK_BUFFER;
}

size_t talk_next_record(const char *buf, size_t n, bool whole, bool ended) {
    const char *newline = whole ? NULL : memchr(buf, '\n', n);
    if (newline)
        return (size_t)(newline - buf) + 1;
    return ended ? n : 0;
}

static bool is_socket(int fd) {
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
}

static bool has(const Lane *l) {
    return l->start < l->end;
}

static bool finish(Talk *t, TalkEnd end, int error) {
    t->result.end = end;
    t->result.error = error;
    return false;
}

/* Makes room behind what is there; what stays moves to the front. */
static size_t make_room(Lane *l) {
    if (l->start > 0) {
        memmove(l->buf, l->buf + l->start, l->end - l->start);
        l->end -= l->start;
        l->start = 0;
    }
    return TALK_BUFFER - l->end;
}

/* What may be sent now: for a stream all of it, for records the next one. */
static size_t sendable(const Talk *t) {
    size_t n = t->up.end - t->up.start;
    if (!t->plan->records)
        return n;
    bool ended = t->up.ended || n == TALK_BUFFER;
    return n == 0 ? 0 : talk_next_record(t->up.buf + t->up.start, n, t->plan->whole, ended);
}

/* All of the input is one message, and there is not one byte of it. */
static bool owes_empty_record(const Talk *t) {
    return t->plan->whole && t->plan->records && t->up.ended && t->result.sent == 0 && !has(&t->up) &&
           !t->told_end;
}

static bool wants_input(const Talk *t) {
    return !t->up.ended && !t->deaf && sendable(t) == 0;
}

static bool wants_send(const Talk *t) {
    return !t->deaf && (sendable(t) > 0 || owes_empty_record(t));
}

static bool read_input(Talk *t) {
    size_t room = make_room(&t->up);
    ssize_t n = read(t->plan->in, t->up.buf + t->up.end, room);
    if (n > 0) {
        t->up.end += (size_t)n;
        return true;
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    /* EIO: the terminal has gone. */
    if (n < 0 && errno != EIO)
        return finish(t, TALK_READ, errno);
    t->up.ended = true;
    return true;
}

static bool send_input(Talk *t, uint64_t now) {
    bool empty = owes_empty_record(t);
    size_t n = sendable(t);
    if (t->plan->records && n == TALK_BUFFER)
        return finish(t, TALK_SEND, EMSGSIZE);
    ssize_t sent = send(t->plan->socket, t->up.buf + t->up.start, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent >= 0) {
        t->up.start += (size_t)sent;
        t->result.sent += (size_t)sent;
        t->told_end |= empty;
        t->moved_usec = now;
    } else if (talk_errno_is_gone(errno)) {
        /* What the server said before it went is still to be read. */
        t->deaf = true;
    } else if (errno != EAGAIN && errno != EINTR && errno != ENOBUFS) {
        return finish(t, errno == EMSGSIZE ? TALK_SEND : TALK_RECEIVE, errno);
    }
    return true;
}

static void tell_end(Talk *t) {
    if (t->told_end || t->deaf || !t->up.ended || has(&t->up) || owes_empty_record(t))
        return;
    t->told_end = true;
    if (t->plan->half_close && !t->plan->datagram && t->plan->in >= 0)
        (void)shutdown(t->plan->socket, SHUT_WR);
}

static bool receive(Talk *t, uint64_t now) {
    ssize_t n =
        recv(t->plan->socket, t->down.buf, TALK_BUFFER, MSG_DONTWAIT | (t->plan->records ? MSG_TRUNC : 0));
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (n < 0 && !talk_errno_is_gone(errno))
        return finish(t, TALK_RECEIVE, errno);
    if (n > (ssize_t)TALK_BUFFER)
        return finish(t, TALK_RECEIVE, EMSGSIZE);
    t->down.start = 0;
    t->down.end = n > 0 ? (size_t)n : 0;
    t->result.received += t->down.end;
    t->moved_usec = now;
    /* A datagram may well be empty. */
    if (n > 0 || (n == 0 && t->plan->datagram))
        return true;
    t->down.ended = true;
    bool ours_first = n == 0 && t->up.ended && !has(&t->up) && !t->deaf;
    return finish(t, ours_first ? TALK_DONE : TALK_SERVER_FIRST, n < 0 ? errno : 0);
}

static bool write_output(Talk *t) {
    size_t n = t->down.end - t->down.start;
    const char *data = t->down.buf + t->down.start;
    /* The flags of standard output are shared with others: a socket is asked not to block call by call. */
    ssize_t written = t->out_is_socket ? send(t->plan->out, data, n, MSG_DONTWAIT)
                                       : write(t->plan->out, data, n < t->write_size ? n : t->write_size);
    if (written < 0)
        return errno == EAGAIN || errno == EINTR ? true : finish(t, TALK_WRITE, errno);
    t->down.start += (size_t)written;
    return true;
}

static uint64_t deadline(const Talk *t) {
    uint64_t silence = t->plan->timeout_usec;
    if (t->plan->datagram && t->up.ended && !has(&t->up) && t->plan->linger_usec < silence)
        silence = t->plan->linger_usec;
    return silence == USEC_INFINITY ? USEC_INFINITY : t->moved_usec + silence;
}

static bool on_silence(Talk *t) {
    bool over = t->plan->datagram && t->up.ended && !has(&t->up);
    return finish(t, over ? TALK_DONE : TALK_TIMEOUT, 0);
}

/* One wait and what follows from it; false at the end. */
static bool step(Talk *t) {
    bool receiving = !has(&t->down);
    short socket = (short)((receiving ? POLLIN : 0) | (wants_send(t) ? POLLOUT : 0));
    struct pollfd p[] = {
        {.fd = wants_input(t) ? t->plan->in : -1, .events = POLLIN},
        {.fd = socket ? t->plan->socket : -1, .events = socket},
        {.fd = has(&t->down) ? t->plan->out : -1, .events = POLLOUT},
    };
    int n = poll(p, ELEMENTS(p), client_poll_timeout(deadline(t), clock_monotonic_usec()));
    if (n < 0)
        return errno == EINTR ? true : finish(t, TALK_SYSTEM, errno);
    uint64_t now = clock_monotonic_usec();
    if (n == 0)
        return now < deadline(t) ? true : on_silence(t);
    if (p[0].revents && !read_input(t))
        return false;
    if (wants_send(t) && !send_input(t, now))
        return false;
    tell_end(t);
    if (p[2].revents && !write_output(t))
        return false;
    return p[1].revents && receiving ? receive(t, now) : true;
}

TalkResult talk_run(const TalkPlan *plan) {
    CLEANUP_FREE char *up = malloc(TALK_BUFFER);
    CLEANUP_FREE char *down = malloc(TALK_BUFFER);
    Talk t = {
        .plan = plan,
        .up = {.buf = up, .ended = plan->in < 0},
        .down = {.buf = down},
        .told_end = plan->in < 0,
        .write_size = talk_write_size(plan->out),
        .out_is_socket = is_socket(plan->out),
        .moved_usec = clock_monotonic_usec(),
    };
    if (!up || !down) {
        finish(&t, TALK_SYSTEM, ENOMEM);
        return t.result;
    }
    while (step(&t))
        continue;
    return t.result;
}

/* SPDX-License-Identifier: MIT */
/* The talk in two processes, as it has been taught since there are sockets: a child reads the input and sends
 * it, the parent receives and writes. Each blocks where it likes and neither holds up the other. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"
#include "services/client-socket.h"
#include "services/client-talk.h"
#include "services/mp-service.h"

/* What the child tells the parent over a pipe. */
typedef struct Note {
    int error; /* 0: the input has ended and all of it is sent */
    TalkEnd end;
    uint64_t sent;
} Note;

typedef struct Sender {
    const TalkPlan *plan;
    char *buf;
    size_t n;
    bool ended;
    Note note;
} Sender;

static bool stop(Sender *s, TalkEnd end, int error) {
    s->note.end = end;
    s->note.error = error;
    return false;
}

static bool send_one(Sender *s, const char *data, size_t n) {
    if (!s->plan->records) {
        int r = mp_write_all(s->plan->socket, data, n);
        if (r < 0)
            return stop(s, TALK_RECEIVE, -r);
    } else {
        ssize_t sent;
        do
            sent = send(s->plan->socket, data, n, MSG_NOSIGNAL);
        while (sent < 0 && errno == EINTR);
        if (sent < 0)
            return stop(s, errno == EMSGSIZE ? TALK_SEND : TALK_RECEIVE, errno);
    }
    s->note.sent += n;
    return true;
}

static bool send_records(Sender *s) {
    size_t at = 0, n;
    while (at < s->n && (n = talk_next_record(s->buf + at, s->n - at, s->plan->whole, s->ended)) > 0) {
        if (!send_one(s, s->buf + at, n))
            return false;
        at += n;
    }
    memmove(s->buf, s->buf + at, s->n - at);
    s->n -= at;
    if (s->n == TALK_BUFFER)
        return stop(s, TALK_SEND, EMSGSIZE);
    return !s->ended || !s->plan->whole || s->note.sent > 0 || send_one(s, "", 0);
}

static bool send_next(Sender *s) {
    ssize_t n = read(s->plan->in, s->buf + s->n, TALK_BUFFER - s->n);
    if (n < 0 && errno == EINTR)
        return true;
    if (n < 0 && errno != EIO)
        return stop(s, TALK_READ, errno);
    s->ended = n <= 0;
    s->n += n > 0 ? (size_t)n : 0;
    if (s->plan->records)
        return send_records(s) && !s->ended;
    size_t all = s->n;
    s->n = 0;
    return send_one(s, s->buf, all) && !s->ended;
}

static _Noreturn void run_sender(const TalkPlan *plan, int notes, pid_t parent) {
    /* Whatever ends the parent ends this one, which may be waiting for a terminal. */
    if (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0 || getppid() != parent)
        _exit(EXIT_FAILURE);
    Sender s = {.plan = plan, .buf = malloc(TALK_BUFFER)};
    if (!s.buf)
        stop(&s, TALK_SYSTEM, ENOMEM);
    while (s.buf && send_next(&s))
        continue;
    free(s.buf);
    /* Before the server can know: so the note is there when its end arrives. */
    (void)mp_write_all(notes, &s.note, sizeof(s.note));
    if (s.note.error == 0 && plan->half_close && !plan->datagram)
        (void)shutdown(plan->socket, SHUT_WR);
    _exit(EXIT_SUCCESS);
}

typedef struct Receiver {
    const TalkPlan *plan;
    char *buf;
    int notes;
    bool input_ended;
    uint64_t moved_usec;
    TalkResult result;
} Receiver;

static bool finish(Receiver *r, TalkEnd end, int error) {
    r->result.end = end;
    r->result.error = error;
    return false;
}

/* Takes what the sender says; true to go on. */
static bool take_note(Receiver *r, uint64_t now) {
    Note note;
    ssize_t n = read(r->notes, &note, sizeof(note));
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    r->notes = fd_close(r->notes);
    if (n != sizeof(note))
        return finish(r, TALK_SYSTEM, ECHILD);
    r->result.sent = note.sent;
    r->input_ended = note.error == 0;
    r->moved_usec = now;
    /* That the server has gone comes from the server, with its last words. */
    if (note.error == 0 || talk_errno_is_gone(note.error))
        return true;
    return finish(r, note.end, note.error);
}

static bool receive(Receiver *r, uint64_t now) {
    ssize_t n = recv(r->plan->socket, r->buf, TALK_BUFFER, MSG_DONTWAIT | (r->plan->records ? MSG_TRUNC : 0));
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    int error = n < 0 ? errno : 0;
    if (n < 0 && !talk_errno_is_gone(error))
        return finish(r, TALK_RECEIVE, error);
    if (n > (ssize_t)TALK_BUFFER)
        return finish(r, TALK_RECEIVE, EMSGSIZE);
    r->moved_usec = now;
    if (n > 0) {
        r->result.received += (size_t)n;
        int w = mp_write_all(r->plan->out, r->buf, (size_t)n);
        return w < 0 ? finish(r, TALK_WRITE, -w) : true;
    }
    if (n == 0 && r->plan->datagram)
        return true;
    if (r->notes >= 0 && !take_note(r, now))
        return false;
    return finish(r, n == 0 && r->input_ended ? TALK_DONE : TALK_SERVER_FIRST, error);
}

static bool step(Receiver *r) {
    uint64_t silence = r->plan->timeout_usec;
    bool over = r->plan->datagram && r->input_ended;
    if (over && r->plan->linger_usec < silence)
        silence = r->plan->linger_usec;
    uint64_t deadline = silence == USEC_INFINITY ? USEC_INFINITY : r->moved_usec + silence;
    struct pollfd p[] = {{.fd = r->plan->socket, .events = POLLIN}, {.fd = r->notes, .events = POLLIN}};
    int n = poll(p, ELEMENTS(p), client_poll_timeout(deadline, clock_monotonic_usec()));
    if (n < 0)
        return errno == EINTR ? true : finish(r, TALK_SYSTEM, errno);
    uint64_t now = clock_monotonic_usec();
    if (n == 0)
        return now < deadline ? true : finish(r, over ? TALK_DONE : TALK_TIMEOUT, 0);
    if (p[1].revents && !take_note(r, now))
        return false;
    return p[0].revents ? receive(r, now) : true;
}

static TalkResult run_receiver(Receiver *r) {
    if (!r->buf)
        finish(r, TALK_SYSTEM, ENOMEM);
    while (r->buf && step(r))
        continue;
    return r->result;
}

TalkResult talk_run_split(const TalkPlan *plan) {
    int flags = fcntl(plan->socket, F_GETFL), notes[2] = {-EBADF, -EBADF};
    pid_t parent = getpid(), child = -1;
    if (flags < 0 || fcntl(plan->socket, F_SETFL, flags & ~O_NONBLOCK) < 0 ||
        (plan->in >= 0 && (pipe2(notes, O_CLOEXEC | O_NONBLOCK) < 0 || (child = fork()) < 0))) {
        TalkResult failed = {.end = TALK_SYSTEM, .error = errno};
        (void)fd_close(notes[0]);
        (void)fd_close(notes[1]);
        return failed;
    }
    if (child == 0)
        run_sender(plan, notes[1], parent);
    (void)fd_close(notes[1]);
    CLEANUP_FREE char *buf = malloc(TALK_BUFFER);
    Receiver r = {.plan = plan,
                  .buf = buf,
                  .notes = notes[0],
                  .input_ended = plan->in < 0,
                  .moved_usec = clock_monotonic_usec()};
    TalkResult result = run_receiver(&r);
    (void)fd_close(r.notes);
    if (child > 0) {
        (void)kill(child, SIGTERM);
        while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
            continue;
    }
    return result;
}

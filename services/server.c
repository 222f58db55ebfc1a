/* SPDX-License-Identifier: MIT */
#include "services/server.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/base/errors.h"
#include "services/progress.h"

/* Connections that one listener may bring in for each wake-up, so that the others have their turn. */
#define ACCEPT_BATCH 16
/* How long accepting rests when descriptors or memory ran out. */
#define ACCEPT_PAUSE_USEC (200 * USEC_PER_MSEC)

struct Server {
    const Protocol *protocol;
    const Options *options;
    int signals;
    int *listeners; /* and the socket over which connections are passed */
    size_t n_listeners;
    int passing; /* which of them; -EBADF: none */
    bool passing_over;
    uint64_t taken;
    Datagram **datagrams;
    size_t n_datagrams;
    Stream **streams;
    size_t n_streams;
    struct pollfd *polled; /* signals, listeners, datagrams, streams, in that order */
    uint64_t ended_streams;
    uint64_t active_usec; /* when there was something to do, lately */
    uint64_t paused_until_usec;
    uint64_t stop_usec; /* when a stop that was asked for ends everything; USEC_INFINITY: none was */
    Progress progress;
};

Server *server_new(const Protocol *protocol, const Options *options) {
    Server *s = calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    s->protocol = protocol;
    s->options = options;
    s->signals = s->passing = -EBADF;
    s->stop_usec = USEC_INFINITY;
    s->streams = (Stream **)calloc(options->max_connections, sizeof(Stream *));
    return s->streams ? s : server_free(s);
}

static Stream *stream_close(Stream *stream) {
    (void)fd_close(stream_in(stream));
    return stream_free(stream);
}

Server *server_free(Server *s) {
    if (!s)
        return NULL;
    for (size_t i = 0; i < s->n_streams; i++)
        stream_close(s->streams[i]);
    for (size_t i = 0; i < s->n_datagrams; i++)
        datagram_free(s->datagrams[i]);
    free((void *)s->streams);
    free((void *)s->datagrams);
    free(s->listeners);
    free(s->polled);
    (void)fd_close(s->signals);
    free(s);
    return NULL;
}

static void complain(const Server *s, const char *what, int error) {
    (void)fprintf(stderr, "%s: %s: %s\n", s->protocol->name, what, strerror(error));
}

static int add_listener(Server *s, int fd) {
    /* Another process may share the listener and be faster: accept(2) must not wait. The flag is shared with
     * whoever gave us the socket; a listener that is polled needs it anyway. */
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return -errno;
    int *more = reallocarray(s->listeners, s->n_listeners + 1, sizeof(*more));
    if (!more)
        return -ENOMEM;
    s->listeners = more;
    s->listeners[s->n_listeners++] = fd;
    return 0;
}

static int add_datagram(Server *s, int fd) {
    Datagram **more = (Datagram **)reallocarray((void *)s->datagrams, s->n_datagrams + 1, sizeof(Datagram *));
    if (!more)
        return -ENOMEM;
    s->datagrams = more;
    Datagram *d = datagram_new(s->protocol->reply, fd);
    if (!d)
        return -ENOMEM;
    s->datagrams[s->n_datagrams++] = d;
    return 0;
}

static bool is_full(const Server *s) {
    return s->n_streams >= s->options->max_connections;
}

static int add_stream(Server *s, int fd) {
    if (is_full(s))
        return -EMFILE;
    Stream *stream = stream_new(&s->protocol->stream, fd, fd);
    if (!stream)
        return -ENOMEM;
    s->streams[s->n_streams++] = stream;
    return 0;
}

int server_add(Server *s, const MpSocket *socket) {
    switch (socket->kind) {
    case MP_SOCKET_LISTENER:
        return add_listener(s, socket->fd);
    case MP_SOCKET_PASSING:
        s->passing = socket->fd;
        return add_listener(s, socket->fd);
    case MP_SOCKET_DATAGRAM:
        return add_datagram(s, socket->fd);
    case MP_SOCKET_CONNECTION:
        return add_stream(s, socket->fd);
    case MP_SOCKET_OTHER:
        break;
    }
    return -ENOTSUP;
}

static bool is_stopping(const Server *s) {
    return s->stop_usec != USEC_INFINITY;
}

static bool is_idle(const Server *s) {
    return s->n_streams == 0;
}

static uint64_t idle_until(const Server *s) {
    if (!is_idle(s) || s->options->idle_sec == 0)
        return USEC_INFINITY;
    return s->active_usec + s->options->idle_sec * USEC_PER_SEC;
}

static bool is_over(const Server *s, uint64_t now) {
    if (is_stopping(s) && (is_idle(s) || now >= s->stop_usec))
        return true;
    bool nothing_to_come = s->n_listeners == 0 && s->n_datagrams == 0;
    return (nothing_to_come && is_idle(s)) || now >= idle_until(s);
}

static ProgressCount count(const Server *s) {
    ProgressCount c = {
        .active = s->n_streams, .requests = s->ended_streams, .metrics = {{.name = "DATAGRAMS_REFUSED"}}};
    for (size_t i = 0; i < s->n_datagrams; i++) {
        DatagramCount d = datagram_count(s->datagrams[i]);
        c.requests += d.served;
        c.metrics[0].value += d.refused;
    }
    return c;
}

/* Where there is shared memory for it, at every turn. */
static void tell_score(const Server *s) {
    ProgressCount c = count(s);
    MpScore score = {.active = c.active,
                     .requests = c.requests,
                     .taken = s->taken,
                     .capacity = s->options->max_connections};
    (void)mp_scoreboard_set(&score);
}

static bool is_accepting(const Server *s, uint64_t now) {
    return !is_stopping(s) && !is_full(s) && now >= s->paused_until_usec;
}

/* Milliseconds for poll(2) until something is to be done without an event, rounded up. */
static int poll_timeout(const Server *s, uint64_t now) {
    ProgressCount c = count(s);
    uint64_t until = idle_until(s);
    const uint64_t others[] = {
        s->stop_usec,
        progress_due(&s->progress, &c),
        s->paused_until_usec > now ? s->paused_until_usec : USEC_INFINITY,
    };
    for (size_t i = 0; i < ELEMENTS(others); i++)
        if (others[i] < until)
            until = others[i];
    if (until == USEC_INFINITY)
        return -1;
    uint64_t msec = until <= now ? 0 : (until - now + USEC_PER_MSEC - 1) / USEC_PER_MSEC;
    const uint64_t longest = 3600000; /* then looked at again */
    return (int)(msec < longest ? msec : longest);
}

static nfds_t fill_polled(Server *s, uint64_t now) {
    struct pollfd *p = s->polled;
    *p++ = (struct pollfd){.fd = s->signals, .events = POLLIN};
    for (size_t i = 0; i < s->n_listeners; i++)
        *p++ = (struct pollfd){.fd = is_accepting(s, now) ? s->listeners[i] : -1, .events = POLLIN};
    for (size_t i = 0; i < s->n_datagrams; i++)
        *p++ = (struct pollfd){.fd = is_stopping(s) ? -1 : datagram_fd(s->datagrams[i]), .events = POLLIN};
    for (size_t i = 0; i < s->n_streams; i++) {
        const Stream *stream = s->streams[i];
        *p++ = (struct pollfd){.fd = stream_in(stream),
                               .events = (short)(stream_wants_in(stream) | stream_wants_out(stream))};
    }
    return (nfds_t)(p - s->polled);
}

/* The first SIGTERM or SIGINT lets the connections end, the second does not. */
static void take_signals(Server *s, uint64_t now) {
    struct signalfd_siginfo info;
    while (read(s->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        bool again = is_stopping(s);
        s->stop_usec = again ? now : now + s->options->drain_sec * USEC_PER_SEC;
        if (!again)
            (void)mp_report("STOPPING=1\n");
    }
}

/* Steps what has something to do; the ended ones' places are taken by the last. */
static void step_streams(Server *s, const struct pollfd *polled, uint64_t now) {
    for (size_t i = s->n_streams; i-- > 0;) {
        if (!polled[i].revents)
            continue;
        Stream *stream = s->streams[i];
        StreamState state = stream_step(stream);
        if (state == STREAM_OPEN)
            continue;
        if (state == STREAM_FAILED)
            complain(s, "connection", stream_error(stream));
        stream_close(stream);
        s->streams[i] = s->streams[--s->n_streams];
        s->ended_streams++;
        s->active_usec = now;
    }
}

static void serve_datagrams(Server *s, const struct pollfd *polled, uint64_t now) {
    for (size_t i = s->n_datagrams; i-- > 0;) {
        if (!polled[i].revents)
            continue;
        int r = datagram_serve(s->datagrams[i]);
        if (r > 0)
            s->active_usec = now;
        if (r < 0) {
            complain(s, "datagram socket given up", -r);
            datagram_free(s->datagrams[i]);
            s->datagrams[i] = s->datagrams[--s->n_datagrams];
        }
    }
}

/* accept(2), or what was passed: a non-blocking descriptor, or -1 and errno. ENOTCONN: no more will come. */
static int take_connection(Server *s, int listener) {
    MpConnection c;
    if (listener != s->passing)
        return accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    int r = mp_receive_connection(listener, &c);
    s->taken += r > 0 || r == -EBADMSG;
    if (r <= 0) {
        errno = r == 0 ? ENOTCONN : r == -EBADMSG ? ECONNABORTED : -r;
        return -1;
    }
    int flags = fcntl(c.fd, F_GETFL);
    if (flags >= 0 && fcntl(c.fd, F_SETFL, flags | O_NONBLOCK) >= 0)
        return c.fd;
    (void)fd_close(c.fd);
    return -1;
}

/* Accepts one connection; 1 done, 0 no more for now, or a negative errno when the listener is of no use any
 * more. */
static int accept_one(Server *s, int listener, uint64_t now) {
    CLEANUP_CLOSE int fd = take_connection(s, listener);
    if (fd < 0 && errno_is_resource(errno)) {
        s->paused_until_usec = now + ACCEPT_PAUSE_USEC;
        return 0;
    }
    if (fd < 0)
        return errno == EAGAIN ? 0 : errno_is_accept_transient(errno) ? 1 : -errno;
    s->active_usec = now;
    int r = add_stream(s, fd);
    if (r < 0) {
        /* No memory even for this one: its client sees it end. */
        s->paused_until_usec = now + ACCEPT_PAUSE_USEC;
        return 0;
    }
    (void)TAKE_FD(fd);
    return 1;
}

/* Passed connections are received without waiting, whatever flag there is. */
static bool has_more(const Server *s, int listener, uint64_t now) {
    return is_accepting(s, now) && (listener == s->passing || stream_is_readable(listener));
}

static void accept_all(Server *s, const struct pollfd *polled, uint64_t now) {
    for (size_t i = s->n_listeners; i-- > 0;) {
        if (!polled[i].revents || !is_accepting(s, now))
            continue;
        int r = accept_one(s, s->listeners[i], now);
        for (int n = 1; r > 0 && n < ACCEPT_BATCH && has_more(s, s->listeners[i], now); n++)
            r = accept_one(s, s->listeners[i], now);
        if (r < 0) {
            if (s->listeners[i] == s->passing)
                s->passing_over = true; /* it is to end */
            else
                complain(s, "listener given up", -r);
            s->listeners[i] = s->listeners[--s->n_listeners];
        }
    }
}

static int serve_once(Server *s) {
    uint64_t now = clock_monotonic_usec();
    nfds_t n = fill_polled(s, now);
    if (poll(s->polled, n, poll_timeout(s, now)) < 0)
        return errno == EINTR || errno == ENOMEM ? 0 : -errno;
    now = clock_monotonic_usec();
    const struct pollfd *listeners = s->polled + 1, *datagrams = listeners + s->n_listeners,
                        *streams = datagrams + s->n_datagrams;
    if (s->polled[0].revents)
        take_signals(s, now);
    /* What ends makes room for what begins. */
    step_streams(s, streams, now);
    serve_datagrams(s, datagrams, now);
    accept_all(s, listeners, now);
    tell_score(s);
    ProgressCount c = count(s);
    progress_send(&s->progress, &c, now);
    return 0;
}

static int prepare(Server *s) {
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGTERM);
    sigaddset(&mask, SIGINT);
    if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
        return -errno;
    s->signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    if (s->signals < 0)
        return -errno;
    s->polled = calloc(1 + s->n_listeners + s->n_datagrams + s->options->max_connections, sizeof(*s->polled));
    return s->polled ? 0 : -ENOMEM;
}

int server_run(Server *s) {
    int r = prepare(s);
    if (r < 0)
        return r;
    size_t given = s->n_listeners + s->n_datagrams;
    s->active_usec = clock_monotonic_usec();
    (void)mp_reportf("READY=1\nSTATUS=serving %zu socket%s\n", given, given == 1 ? "" : "s");
    if (s->passing >= 0)
        (void)mp_reportf("CAPACITY=%llu\n", (unsigned long long)s->options->max_connections);
    tell_score(s);
    while (r == 0 && !is_over(s, clock_monotonic_usec()))
        r = serve_once(s);
    /* Everything that could be listened to was given up: whoever gave it should know. */
    if (r == 0 && given > 0 && s->n_listeners + s->n_datagrams == 0 && !s->passing_over)
        r = -ENOTCONN;
    ProgressCount c = count(s);
    progress_send(&s->progress, &c, USEC_INFINITY - 1);
    return r;
}

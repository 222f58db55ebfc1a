/* SPDX-License-Identifier: MIT */
#include "services/forward-server.h"

#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/base/errors.h"
#include "services/forward-link.h"
#include "services/forward-passed.h"
#include "services/forward-trouble.h"
#include "services/forward-udp.h"
#include "services/forward-watch.h"
#include "services/progress.h"

/* Connections that one source may bring in for each wake-up, so that the others have their turn. */
#define ACCEPT_BATCH 32
/* How long accepting rests when descriptors or memory ran out. */
#define ACCEPT_PAUSE_USEC (200 * USEC_PER_MSEC)
#define EVENTS 256

/* Where connections come from: a listener, or the socket on which they are passed. */
typedef struct Source {
    Forwarder *forwarder;
    Watch watch;
    int fd;
    bool passes; /* MP_CONNECTION_FD */
    bool watched;
    bool ended;
} Source;

typedef struct Told {
    uint64_t active, requests, refused, bytes_in, bytes_out;
} Told;

struct Forwarder {
    const ForwardOptions *options;
    int epoll;
    int signals;
    Watch watch_signals, watch_wait;
    Trouble trouble;
    Links *links;
    Source *sources;
    size_t n_sources;
    Relay **relays;
    size_t n_relays;
    uint64_t max_connections;
    bool single; /* it was given one connection, and no more will come */
    uint64_t now;
    uint64_t active_usec; /* when there was something to do, lately */
    uint64_t seen_requests;
    uint64_t paused_until_usec;
    uint64_t stop_usec; /* when a stop that was asked for ends everything; USEC_INFINITY: none was */
    bool silent;        /* nobody listens to reports */
    Told told;
    uint64_t told_usec;
    bool told_ready;
};

static void complain(const char *what, int error) {
    (void)fprintf(stderr, "mp-forward: %s: %s\n", what, strerror(error));
}

/* ------------------------------------------------------------------------------------------------ what it
 * knows */

static Told count(const Forwarder *f) {
    LinksCount l = links_count(f->links);
    Told t = {.active = l.active,
              .requests = l.ended,
              .refused = l.failed,
              .bytes_in = l.bytes_in,
              .bytes_out = l.bytes_out};
    for (size_t i = 0; i < f->n_relays; i++) {
        RelayCount r = relay_count(f->relays[i]);
        t.active += r.active;
        t.requests += r.requests;
        t.refused += r.refused;
        t.bytes_in += r.bytes_in;
        t.bytes_out += r.bytes_out;
    }
    return t;
}

static bool is_stopping(const Forwarder *f) {
    return f->stop_usec != USEC_INFINITY;
}

/* Whether connections or datagrams may still come. */
static bool is_open(const Forwarder *f) {
    for (size_t i = 0; i < f->n_sources; i++)
        if (!f->sources[i].ended)
            return true;
    for (size_t i = 0; i < f->n_relays; i++)
        if (relay_error(f->relays[i]) == 0)
            return true;
    return false;
}

static uint64_t idle_until(const Forwarder *f, const Told *now) {
    /* A connection that is being passed would be lost. */
    bool passes = f->n_sources > 0 && f->sources[0].passes;
    if (now->active > 0 || f->options->exit_idle_usec == USEC_INFINITY || f->single || passes)
        return USEC_INFINITY;
    return f->active_usec + f->options->exit_idle_usec;
}

static bool is_over(const Forwarder *f) {
    Told t = count(f);
    if (is_stopping(f) && (t.active == 0 || f->now >= f->stop_usec))
        return true;
    return (t.active == 0 && !is_open(f)) || f->now >= idle_until(f, &t);
}

/* ------------------------------------------------------------------------------------------------ reports */

static bool told_equal(const Told *a, const Told *b) {
    return a->active == b->active && a->requests == b->requests && a->refused == b->refused &&
           a->bytes_in == b->bytes_in && a->bytes_out == b->bytes_out;
}

static uint64_t report_due(const Forwarder *f, const Told *now) {
    if (f->silent || told_equal(&f->told, now))
        return USEC_INFINITY;
    /* Whoever says when the backend is ready may start it only now. */
    if (f->options->wait_file >= 0 && f->told.active == 0 && now->active > 0)
        return f->now;
    return f->told_usec + PROGRESS_INTERVAL_USEC;
}

static void report(Forwarder *f, const Told *now) {
    f->told_usec = f->now;
    int r = mp_reportf("ACTIVE=%" PRIu64 "\nREQUESTS=%" PRIu64 "\nX_bytes_in=%" PRIu64
                       "\nX_bytes_out=%" PRIu64 "\nX_refused=%" PRIu64 "\n",
                       now->active, now->requests, now->bytes_in, now->bytes_out, now->refused);
    if (r > 0)
        f->told = *now;
    /* A full pipe is tried again; without one, or without a reader, it would be for nothing. */
    if (r == 0 || (r < 0 && r != -EAGAIN))
        f->silent = true;
}

static void report_if_due(Forwarder *f) {
    Told now = count(f);
    if (!f->told_ready && links_count(f->links).opened > 0) {
        f->told_ready = true;
        (void)mp_report("READY=1\n");
    }
    if (now.active > 0 || now.requests != f->seen_requests)
        f->active_usec = f->now;
    f->seen_requests = now.requests;
    if (report_due(f, &now) <= f->now)
        report(f, &now);
}

/* ------------------------------------------------------------------------------------------------ coming in
 */

static bool is_accepting(const Forwarder *f) {
    return !is_stopping(f) && f->now >= f->paused_until_usec &&
           links_count(f->links).active < f->max_connections;
}

static void source_watch(Source *s, bool on) {
    Forwarder *f = s->forwarder;
    if (on == s->watched)
        return;
    /* Of several processes that share a listener one is enough to wake. */
    if (on && watch_add(f->epoll, &s->watch, s->fd, EPOLLIN | (s->passes ? 0 : EPOLLEXCLUSIVE)) < 0)
        return;
    if (!on)
        watch_remove(f->epoll, s->fd);
    s->watched = on;
}

static void watch_sources(Forwarder *f) {
    bool on = is_accepting(f);
    for (size_t i = 0; i < f->n_sources; i++)
        source_watch(&f->sources[i], on && !f->sources[i].ended);
}

/* The next connection of a source, as passed_receive(); the peer stays unknown where the socket itself says
 * it. */
static int source_next(const Source *s, int *ret_fd, LinkPeer *ret) {
    if (s->passes)
        return passed_receive(s->fd, ret_fd, ret);
    int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return -errno;
    *ret_fd = fd;
    return 1;
}

/* A socket that came from outside: made non-blocking, and TCP not to wait for more to send. */
static void prepare_connection(int fd) {
    const int on = 1;
    int flags = fcntl(fd, F_GETFL);
    if (flags >= 0)
        (void)fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

/* 1: it may have more; 0: not now. */
static int take_one(Source *s) {
    Forwarder *f = s->forwarder;
    LinkPeer peer = {0};
    int fd = -EBADF;
    int r = source_next(s, &fd, &peer);
    if (r == -EAGAIN)
        return 0;
    if (r < 0 && errno_is_resource(-r)) {
        f->paused_until_usec = f->now + ACCEPT_PAUSE_USEC;
        return 0;
    }
    if (r == -EBADMSG || (r < 0 && errno_is_accept_transient(-r)))
        return 1;
    if (r <= 0) {
        if (r < 0)
            complain("listener given up", -r);
        s->ended = true;
        return 0;
    }
    if (s->passes)
        prepare_connection(fd);
    r = links_add(f->links, fd, s->passes, &peer, f->now);
    /* No memory even for this one: its client sees it end. */
    if (r < 0)
        f->paused_until_usec = f->now + ACCEPT_PAUSE_USEC;
    return r < 0 ? 0 : 1;
}

static void on_source(void *owner, uint32_t events) {
    Source *s = owner;
    (void)events;
    for (int n = 0; n < ACCEPT_BATCH && is_accepting(s->forwarder) && take_one(s) > 0; n++)
        continue;
}

/* The first SIGTERM or SIGINT lets the connections end, the second does not. A process for one connection
 * ends. */
static void on_signal(void *owner, uint32_t events) {
    Forwarder *f = owner;
    struct signalfd_siginfo info;
    (void)events;
    while (read(f->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        bool at_once = is_stopping(f) || f->single;
        /* What was passed already is ours. */
        for (size_t i = 0; i < f->n_sources && !is_stopping(f); i++)
            while (f->sources[i].passes && take_one(&f->sources[i]) > 0)
                continue;
        f->stop_usec = at_once ? f->now : f->now + f->options->drain_usec;
        if (at_once)
            continue;
        (void)mp_report("STOPPING=1\n");
        for (size_t i = 0; i < f->n_relays; i++)
            relay_stop(f->relays[i]);
    }
}

/* '+': the backend is ready. '-': it is not, any more. '!': it will not be. The last one counts. */
static void on_wait_file(void *owner, uint32_t events) {
    Forwarder *f = owner;
    char said[64];
    (void)events;
    ssize_t n = read(f->options->wait_file, said, sizeof(said));
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        /* Nobody will say any more: try. */
        watch_remove(f->epoll, f->options->wait_file);
        links_hold(f->links, false);
        return;
    }
    char last = said[n - 1];
    if (last == '+' || last == '-')
        links_hold(f->links, last == '-');
    else if (last == '!')
        links_refuse_held(f->links);
}

/* ------------------------------------------------------------------------------------------------ what it
 * was given */

static int add_source(Forwarder *f, int fd, bool passes) {
    Source *more = reallocarray(f->sources, f->n_sources + 1, sizeof(*more));
    if (!more)
        return -ENOMEM;
    f->sources = more;
    more[f->n_sources++] = (Source){.forwarder = f, .fd = fd, .passes = passes};
    if (passes)
        return 0;
    /* Another process may share the listener and be faster: accept(2) must not wait. Its connections inherit
     * what is set here, tcp(7). */
    prepare_connection(fd);
    return 0;
}

static int add_relay(Forwarder *f, int fd) {
    Relay **more = (Relay **)reallocarray((void *)f->relays, f->n_relays + 1, sizeof(Relay *));
    if (!more)
        return -ENOMEM;
    f->relays = more;
    Relay *r = relay_new(f->options, &f->trouble, f->epoll, fd, &f->now);
    if (!r)
        return -ENOMEM;
    f->relays[f->n_relays++] = r;
    return 0;
}

/* The connection on standard input and output gets a descriptor of its own, so that closing it ends it. */
static int move_from_stdio(void) {
    int fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
    CLEANUP_CLOSE int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (fd < 0 || null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0) {
        int error = errno;
        (void)fd_close(fd);
        return -error;
    }
    return fd;
}

static int add_connection(Forwarder *f, int fd, bool alone) {
    LinkPeer peer = {0};
    if (alone)
        passed_from_environment(&peer);
    if (fd == STDIN_FILENO)
        fd = move_from_stdio();
    if (fd < 0)
        return fd;
    prepare_connection(fd);
    return links_add(f->links, fd, true, &peer, f->now);
}

static int add_given(Forwarder *f, const MpSocket *socket, bool alone) {
    bool datagrams = f->options->backend.type == SOCK_DGRAM;
    if (socket->kind == MP_SOCKET_OTHER)
        return -ENOTSOCK;
    if (datagrams != (socket->kind == MP_SOCKET_DATAGRAM))
        return -EPROTOTYPE;
    if (socket->kind == MP_SOCKET_LISTENER)
        return add_source(f, socket->fd, false);
    return datagrams ? add_relay(f, socket->fd) : add_connection(f, socket->fd, alone);
}

static int take_sockets(Forwarder *f) {
    MpSocket first = {0};
    int n = mp_sockets(&first, 1);
    if (n < 0) {
        complain(n == -EBADF ? "no socket is open where one should be" : "LISTEN_FDS", -n);
        return n;
    }
    CLEANUP_FREE MpSocket *sockets = calloc((size_t)n, sizeof(*sockets));
    n = sockets ? mp_sockets(sockets, (size_t)n) : -ENOMEM;
    if (n < 0) {
        complain("LISTEN_FDS", -n);
        return n;
    }
    f->single = n == 1 && first.kind == MP_SOCKET_CONNECTION;
    for (int i = 0; i < n; i++) {
        int r = add_given(f, &sockets[i], n == 1);
        if (r < 0) {
            (void)fprintf(stderr, "mp-forward: descriptor %d cannot be forwarded to %s: %s\n", sockets[i].fd,
                          f->trouble.to, strerror(-r));
            return r;
        }
    }
    return 0;
}

int forwarder_take_given(Forwarder *f) {
    f->now = f->active_usec = clock_monotonic_usec();
    links_set_now(f->links, f->now);
    if (f->options->wait_file >= 0) {
        links_hold(f->links, true);
        int r = watch_add(f->epoll, &f->watch_wait, f->options->wait_file, EPOLLIN);
        if (r < 0) {
            complain("--wait-file", -r);
            return r;
        }
    }
    int fd = passed_fd();
    if (fd == -ENOENT)
        return take_sockets(f);
    int r = fd < 0 ? fd : f->options->backend.type == SOCK_DGRAM ? -EPROTOTYPE : add_source(f, fd, true);
    if (r < 0)
        complain("MP_CONNECTION_FD", -r);
    return r;
}

/* ------------------------------------------------------------------------------------------------ the loop
 */

/* Two descriptors for each connection and four for the pipes between, where they are slow: as many as may be
 * had. Returns how many connections the descriptors will do for. */
static uint64_t raise_limit(uint64_t connections) {
    const rlim_t others = 64;
    struct rlimit limit;
    rlim_t want = connections * 6 + others;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return connections;
    if (limit.rlim_cur < want) {
        limit.rlim_cur = want < limit.rlim_max ? want : limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    /* Without a descriptor for its pipe a direction makes do with memory. */
    rlim_t room = limit.rlim_cur > others + 2 ? (limit.rlim_cur - others) / 2 : 1;
    return room < connections ? room : connections;
}

static int open_signals(Forwarder *f) {
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGTERM);
    sigaddset(&mask, SIGINT);
    /* A peer that leaves while it is written to is no reason to die; splice(2) knows no MSG_NOSIGNAL. */
    if (signal(SIGPIPE, SIG_IGN) == SIG_ERR || sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
        return -errno;
    f->signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    return f->signals < 0 ? -errno : watch_add(f->epoll, &f->watch_signals, f->signals, EPOLLIN);
}

Forwarder *forwarder_new(const ForwardOptions *options) {
    Forwarder *f = calloc(1, sizeof(*f));
    if (!f)
        return NULL;
    f->options = options;
    f->stop_usec = USEC_INFINITY;
    f->signals = -EBADF;
    f->watch_signals = (Watch){on_signal, f};
    f->watch_wait = (Watch){on_wait_file, f};
    f->max_connections = raise_limit(options->max_connections);
    f->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (f->epoll < 0 || trouble_init(&f->trouble, &options->backend) < 0 || open_signals(f) < 0)
        return forwarder_free(f);
    f->links = links_new(options, &f->trouble, f->epoll);
    return f->links ? f : forwarder_free(f);
}

Forwarder *forwarder_free(Forwarder *f) {
    if (!f)
        return NULL;
    links_free(f->links);
    for (size_t i = 0; i < f->n_relays; i++)
        relay_free(f->relays[i]);
    free((void *)f->relays);
    free(f->sources);
    trouble_done(&f->trouble);
    (void)fd_close(f->signals);
    (void)fd_close(f->epoll);
    free(f);
    return NULL;
}

/* Milliseconds for epoll_wait(2) until something is to be done without an event, rounded up. */
static int wait_msec(const Forwarder *f) {
    Told t = count(f);
    uint64_t until = idle_until(f, &t);
    const uint64_t others[] = {
        links_due(f->links),
        report_due(f, &t),
        f->stop_usec,
        f->paused_until_usec > f->now ? f->paused_until_usec : USEC_INFINITY,
    };
    for (size_t i = 0; i < ELEMENTS(others); i++)
        if (others[i] < until)
            until = others[i];
    for (size_t i = 0; i < f->n_relays; i++)
        if (relay_due(f->relays[i]) < until)
            until = relay_due(f->relays[i]);
    if (until == USEC_INFINITY)
        return -1;
    uint64_t msec = until <= f->now ? 0 : (until - f->now + USEC_PER_MSEC - 1) / USEC_PER_MSEC;
    const uint64_t longest = 3600000; /* then looked at again */
    return (int)(msec < longest ? msec : longest);
}

static int serve_once(Forwarder *f) {
    struct epoll_event events[EVENTS];
    watch_sources(f);
    int n = epoll_wait(f->epoll, events, EVENTS, wait_msec(f));
    if (n < 0 && errno != EINTR)
        return -errno;
    f->now = clock_monotonic_usec();
    links_set_now(f->links, f->now);
    for (int i = 0; i < n; i++) {
        Watch *w = events[i].data.ptr;
        w->on_event(w->owner, events[i].events);
    }
    links_serve(f->links, f->now);
    for (size_t i = 0; i < f->n_relays; i++)
        relay_expire(f->relays[i]);
    report_if_due(f);
    return 0;
}

int forwarder_run(Forwarder *f) {
    bool was_open = is_open(f);
    for (size_t i = 0; i < f->n_sources; i++)
        f->sources[i].watch = (Watch){on_source, &f->sources[i]};
    /* With one connection it is ready when it has reached the backend. */
    f->told_ready = !f->single;
    (void)mp_reportf("%sSTATUS=forwarding to %s\n", f->told_ready ? "READY=1\n" : "", f->trouble.to);
    int r = 0;
    while (r == 0 && !is_over(f))
        r = serve_once(f);
    if (r < 0)
        complain("forward", -r);
    Told t = count(f);
    if (!f->silent && !told_equal(&t, &f->told))
        report(f, &t);
    for (size_t i = 0; i < f->n_relays; i++)
        if (relay_error(f->relays[i])) {
            complain("datagram socket given up", relay_error(f->relays[i]));
            r = -relay_error(f->relays[i]);
        }
    bool passes = f->n_sources > 0 && f->sources[0].passes;
    /* Everything that could be listened to was given up: whoever gave it should know. */
    bool lost = was_open && !is_open(f) && !passes;
    return r < 0 || lost || (f->single && t.refused > 0) ? EXIT_FAILURE : EXIT_SUCCESS;
}

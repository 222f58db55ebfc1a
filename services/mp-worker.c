/* SPDX-License-Identifier: MIT */
/* The worker of a pool: connections, whichever way they come, and what the daemon is told meanwhile. */
#include "services/mp-service.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/score.h"

/* Under load there is always another connection: then one looks for signals every so often. */
#define CONNECTIONS_BETWEEN_SIGNALS 16

struct MpAcceptor {
    MpSocket *sockets;
    size_t n;
    size_t next;  /* the one that is asked first */
    size_t ended; /* so many will bring no more */
    int epoll, signals;
    int kept;      /* a copy of the only socket, while accept(2) itself waits */
    bool watching; /* the sockets are in epoll */
    bool stopping;
    unsigned since_signals;
    uint64_t active, requests, taken;
};

/* Where accept(2) itself waits, one system call a connection, a signal that comes just before it would be
 * slept over. So its handler puts something else in the socket's place, on which the call fails at once. */
static volatile sig_atomic_t door = -EBADF, wall = -EBADF, stop_asked;

static void on_stop_signal(int signal) {
    int saved = errno;
    (void)signal;
    stop_asked = 1;
    if (door >= 0)
        (void)dup3(wall, door, O_CLOEXEC);
    errno = saved;
}

/* The slot of shared memory, once it has been looked for. One for the process, whose connections it counts.
 */
static ScoreSlot *own_slot(void) {
    static bool looked;
    static ScoreSlot *slot;
    const char *fd_text = getenv("MP_SCOREBOARD_FD"), *slot_text = getenv("MP_SCOREBOARD_SLOT");
    if (looked)
        return slot;
    looked = true;
    if (!fd_text || !slot_text)
        return NULL;
    char *end = NULL;
    errno = 0;
    unsigned long fd = strtoul(fd_text, &end, 10);
    if (errno != 0 || *end || end == fd_text || fd > INT_MAX)
        return NULL;
    unsigned long index = strtoul(slot_text, &end, 10);
    if (errno != 0 || *end || end == slot_text || index > INT_MAX / SCORE_BYTES)
        return NULL;
    (void)fcntl((int)fd, F_SETFD, FD_CLOEXEC);
    size_t page = (size_t)sysconf(_SC_PAGESIZE), at = index * SCORE_BYTES, begin = at & ~(page - 1);
    char *memory = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, (int)fd, (off_t)begin);
    if (memory != MAP_FAILED)
        slot = (ScoreSlot *)(void *)(memory + (at - begin));
    return slot;
}

int mp_scoreboard_set(const MpScore *score) {
    static uint64_t capacity;
    ScoreSlot *slot = own_slot();
    struct timespec now;
    if (!slot)
        return 0;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    if (score->capacity > 0)
        capacity = score->capacity;
    Score s = {
        .active = score->active,
        .requests = score->requests,
        .queued = score->queued,
        .taken = score->taken,
        .capacity = capacity,
        .time_usec = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000,
    };
    score_write(slot, &s);
    if (score_is_wanted(slot))
        (void)mp_reportf("ACTIVE=%llu\nREQUESTS=%llu\n", (unsigned long long)s.active,
                         (unsigned long long)s.requests);
    return 1;
}

static int receive_connection(int passing, int flags, MpConnection *ret) {
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(8 * sizeof(int))];
    } control;
    // cppcheck-suppress ctuuninitvar ; it is filled in here
    struct iovec iov = {.iov_base = ret->variables, .iov_len = sizeof(ret->variables) - 1};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control.bytes,
                       .msg_controllen = sizeof(control.bytes)};
    ssize_t n = recvmsg(passing, &m, flags | MSG_CMSG_CLOEXEC);
    if (n < 0)
        return -errno;
    ret->variables[n] = '\0';
    int fds[8], n_fds = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        n_fds = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(fds, CMSG_DATA(c), (size_t)n_fds * sizeof(int));
    }
    if (n == 0 && n_fds == 0)
        return 0;
    for (int i = 1; i < n_fds; i++)
        (void)close(fds[i]);
    /* One whose descriptor was lost on the way, for want of room in our table. */
    if (n_fds == 0)
        return -EBADMSG;
    ret->fd = fds[0];
    return 1;
}

int mp_receive_connection(int passing, MpConnection *ret) {
    return receive_connection(passing, MSG_DONTWAIT, ret);
}

static void tell(const MpAcceptor *a) {
    MpScore score = {.active = a->active, .requests = a->requests, .taken = a->taken};
    if (mp_scoreboard_set(&score) == 0)
        (void)mp_reportf("ACTIVE=%llu\nREQUESTS=%llu\n", (unsigned long long)a->active,
                         (unsigned long long)a->requests);
}

/* 0 is for signals, others are of sockets. */
static int watch(const MpAcceptor *a, int fd, uint32_t events, uint64_t data) {
    struct epoll_event e = {.events = events, .data.u64 = data};
    return epoll_ctl(a->epoll, EPOLL_CTL_ADD, fd, &e) < 0 ? -errno : 0;
}

static void stop_signals(sigset_t *mask) {
    sigemptyset(mask);
    sigaddset(mask, SIGTERM);
    sigaddset(mask, SIGINT);
}

static int watch_signals(MpAcceptor *a) {
    sigset_t mask;
    stop_signals(&mask);
    int r = pthread_sigmask(SIG_BLOCK, &mask, NULL);
    if (r != 0)
        return -r;
    a->signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    return a->signals < 0 ? -errno : watch(a, a->signals, EPOLLIN, 0);
}

static bool is_acceptable(const MpSocket *s) {
    return s->kind == MP_SOCKET_LISTENER || s->kind == MP_SOCKET_PASSING;
}

static int watch_socket(const MpAcceptor *a, size_t i) {
    const MpSocket *s = &a->sockets[i];
    /* Others may share it and be faster. */
    int flags = fcntl(s->fd, F_GETFL);
    if (flags < 0 || (!(flags & O_NONBLOCK) && fcntl(s->fd, F_SETFL, flags | O_NONBLOCK) < 0))
        return -errno;
    /* One connection is not to wake them all. */
    return watch(a, s->fd, s->kind == MP_SOCKET_LISTENER ? EPOLLIN | EPOLLEXCLUSIVE : EPOLLIN, i + 1);
}

static int open_sockets(MpAcceptor *a) {
    MpSocket first;
    int n = mp_sockets(&first, 1);
    if (n < 0)
        return n;
    a->sockets = calloc((size_t)n + 1, sizeof(*a->sockets));
    if (!a->sockets)
        return -ENOMEM;
    a->n = (size_t)mp_sockets(a->sockets, (size_t)n);
    for (size_t i = 0; i < a->n; i++)
        if (!is_acceptable(&a->sockets[i]))
            return -ENOTSUP;
    return 0;
}

static int watch_sockets(MpAcceptor *a) {
    for (size_t i = 0; i < a->n && !a->watching; i++) {
        int r = watch_socket(a, i);
        if (r < 0)
            return r;
    }
    a->watching = true;
    return 0;
}

int mp_acceptor_new(unsigned flags, MpAcceptor **ret) {
    MpAcceptor *a = calloc(1, sizeof(*a));
    if (!a)
        return -ENOMEM;
    a->signals = a->kept = -EBADF;
    a->epoll = epoll_create1(EPOLL_CLOEXEC);
    int r = a->epoll < 0 ? -errno : open_sockets(a);
    if (r >= 0 && (flags & MP_ACCEPTOR_SIGNALS))
        r = watch_signals(a);
    if (r < 0) {
        (void)mp_acceptor_free(a);
        return r;
    }
    (void)mp_report("READY=1\nACTIVE=0\nREQUESTS=0\n");
    tell(a);
    *ret = a;
    return 0;
}

MpAcceptor *mp_acceptor_free(MpAcceptor *a) {
    if (!a)
        return NULL;
    if (a->kept >= 0)
        door = -EBADF;
    (void)fd_close(a->kept);
    (void)fd_close(a->epoll);
    (void)fd_close(a->signals);
    free(a->sockets);
    free(a);
    return NULL;
}

int mp_acceptor_fd(MpAcceptor *a) {
    int r = watch_sockets(a);
    return r < 0 ? r : a->epoll;
}

void mp_acceptor_set_capacity(MpAcceptor *a, uint64_t capacity) {
    MpScore score = {.active = a->active, .requests = a->requests, .taken = a->taken, .capacity = capacity};
    (void)mp_reportf("CAPACITY=%llu\n", (unsigned long long)capacity);
    (void)mp_scoreboard_set(&score);
}

static void begin_to_stop(MpAcceptor *a) {
    if (!a->stopping)
        (void)mp_report("STOPPING=1\n");
    a->stopping = true;
}

static void take_signals(MpAcceptor *a) {
    struct signalfd_siginfo info;
    a->since_signals = 0;
    while (a->signals >= 0 && read(a->signals, &info, sizeof(info)) == (ssize_t)sizeof(info))
        begin_to_stop(a);
}

/* 1 a connection, 0 this socket brings no more, or a negative errno: -EAGAIN none now. It waits if @flags are
 * 0 and the socket does. */
static int take_from(MpAcceptor *a, size_t i, int flags, MpConnection *ret) {
    const MpSocket *s = &a->sockets[i];
    if (s->kind == MP_SOCKET_PASSING) {
        int r = receive_connection(s->fd, flags, ret);
        a->taken += r > 0 || r == -EBADMSG;
        return r;
    }
    ret->variables[0] = '\0';
    ret->fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC);
    return ret->fd >= 0 ? 1 : -errno;
}

/* Errors of one connection, accept(2): the next one is no worse. */
static bool is_of_connection(int error) {
    return error == ECONNABORTED || error == EPROTO || error == EINTR || error == EBADMSG ||
           error == ENETDOWN || error == ENOPROTOOPT || error == EHOSTDOWN || error == ENONET ||
           error == EHOSTUNREACH || error == ENETUNREACH || error == EPERM;
}

/* Asks each once. */
static int take_any(MpAcceptor *a, MpConnection *ret) {
    for (size_t tries = 0; tries < a->n; tries++) {
        size_t i = (a->next + tries) % a->n;
        if (a->sockets[i].fd < 0)
            continue;
        int r = take_from(a, i, MSG_DONTWAIT, ret);
        if (r == 0) {
            (void)epoll_ctl(a->epoll, EPOLL_CTL_DEL, a->sockets[i].fd, NULL);
            a->sockets[i].fd = -EBADF;
            a->ended++;
            continue;
        }
        if (r > 0) {
            a->next = i;
            return 1;
        }
        if (r != -EAGAIN && !is_of_connection(-r))
            return r;
    }
    return a->ended == a->n ? 0 : -EAGAIN;
}

/* Whether to wait in accept(2): on one socket that waits, which nobody has asked to poll. */
static bool can_wait_in_accept(const MpAcceptor *a) {
    if (a->watching || a->n != 1)
        return false;
    int flags = fcntl(a->sockets[0].fd, F_GETFL);
    return flags >= 0 && !(flags & O_NONBLOCK);
}

static int begin_to_wait(MpAcceptor *a) {
    struct sigaction action = {.sa_handler = on_stop_signal, .sa_flags = SA_RESTART};
    sigset_t mask;
    a->kept = fcntl(a->sockets[0].fd, F_DUPFD_CLOEXEC, 0);
    if (a->kept < 0)
        return -errno;
    if (a->signals < 0)
        return 0;
    wall = a->epoll;
    door = a->sockets[0].fd;
    stop_signals(&mask);
    if (sigaction(SIGTERM, &action, NULL) < 0 || sigaction(SIGINT, &action, NULL) < 0)
        return -errno;
    int r = pthread_sigmask(SIG_UNBLOCK, &mask, NULL);
    return -r;
}

/* Back to what can be polled. */
static int cease_to_wait(MpAcceptor *a) {
    sigset_t mask;
    stop_signals(&mask);
    int r = a->signals < 0 ? 0 : pthread_sigmask(SIG_BLOCK, &mask, NULL);
    if (r != 0)
        return -r;
    door = -EBADF;
    if (dup3(a->kept, a->sockets[0].fd, O_CLOEXEC) < 0)
        return -errno;
    a->kept = fd_close(a->kept);
    return watch_sockets(a);
}

static int count_in(MpAcceptor *a) {
    a->active++;
    tell(a);
    return 1;
}

/* -EAGAIN: go on by polling. */
static int wait_in_accept(MpAcceptor *a, MpConnection *ret) {
    for (;;) {
        int r = take_from(a, 0, 0, ret);
        if (r > 0)
            return count_in(a);
        if (r == 0)
            return 0;
        if (stop_asked) {
            begin_to_stop(a);
            /* Listeners are others' as well: their flags stay as they are. */
            if (a->sockets[0].kind == MP_SOCKET_LISTENER)
                return 0;
        }
        /* Somebody who shares it has set it so. */
        if (stop_asked || r == -EAGAIN) {
            r = cease_to_wait(a);
            return r < 0 ? r : -EAGAIN;
        }
        if (!is_of_connection(-r))
            return r;
    }
}

int mp_accept_now(MpAcceptor *a, MpConnection *ret) {
    int r = a->kept >= 0 ? cease_to_wait(a) : watch_sockets(a);
    if (r < 0)
        return r;
    if (++a->since_signals >= CONNECTIONS_BETWEEN_SIGNALS)
        take_signals(a);
    /* What was passed to us nobody else has; listeners are others' as well. */
    bool passing = a->n > 0 && a->sockets[0].kind == MP_SOCKET_PASSING;
    if (a->stopping && !passing)
        return 0;
    r = take_any(a, ret);
    if (r == -EAGAIN && a->stopping)
        return 0;
    return r <= 0 ? r : count_in(a);
}

int mp_accept(MpAcceptor *a, MpConnection *ret) {
    int r = -EAGAIN;
    if (a->kept < 0 && can_wait_in_accept(a))
        r = begin_to_wait(a);
    if (a->kept >= 0)
        r = a->stopping ? 0 : wait_in_accept(a, ret);
    if (r != -EAGAIN)
        return r;
    for (;;) {
        r = mp_accept_now(a, ret);
        if (r != -EAGAIN)
            return r;
        struct epoll_event e;
        r = epoll_wait(a->epoll, &e, 1, -1);
        if (r < 0 && errno != EINTR)
            return -errno;
        if (r > 0 && e.data.u64 == 0)
            take_signals(a);
        else if (r > 0 && a->n > 0)
            a->next = (size_t)(e.data.u64 - 1) % a->n;
    }
}

void mp_done(MpAcceptor *a, MpConnection *c) {
    if (c->fd >= 0)
        (void)close(c->fd);
    c->fd = -EBADF;
    a->active -= a->active > 0;
    a->requests++;
    tell(a);
}

/* SPDX-License-Identifier: MIT */
#pragma once
/* libmp-service: what a service of mpinetd needs, for C programs. It takes the socket however it was handed
 * over (stdio, LISTEN_FDS), and reports over the status pipe (MP_STATUS_FD). Uses only libc; nothing is
 * printed. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum MpSocketKind {
    MP_SOCKET_CONNECTION, /* a connected stream or seqpacket socket */
    MP_SOCKET_LISTENER,   /* a listening one: accept(2) */
    MP_SOCKET_DATAGRAM,   /* a bound datagram socket */
    MP_SOCKET_PASSING,    /* that of MP_CONNECTION_FD: mp_receive_connection() */
    MP_SOCKET_OTHER,      /* a pipe, a terminal, a file: stdin of a shell */
} MpSocketKind;

typedef struct MpSocket {
    int fd; /* stdio: 0 (and 1, the same socket) */
    MpSocketKind kind;
    int type;         /* SOCK_STREAM, … or 0 */
    int family;       /* AF_INET, … or AF_UNSPEC */
    const char *name; /* its LISTEN_FDNAMES entry, or "" */
} MpSocket;

/* Finds the sockets that were handed over: that of MP_CONNECTION_FD, or those of LISTEN_FDS if LISTEN_PID is
 * this process (they are set close-on-exec), else fd 0. Fills up to @max; returns how many there are, or a
 * negative errno (-EBADF: fd 0, or one that LISTEN_FDS counts, is closed; -EINVAL: LISTEN_FDS makes no
 * sense). The names live as long as the process; too few names, or too many, do no harm. To be called from
 * one thread. */
int mp_sockets(MpSocket *ret, size_t max);

/* Reports KEY=VALUE lines, as sd_notify(3) has them: mp_report("READY=1\nSTATUS=warm"). A line is at most
 * 4096 bytes. Never blocks and never fails loudly: without a status pipe nothing happens, and SIGPIPE is not
 * raised. Returns 1 sent, 0 no status pipe, or a negative errno (-EAGAIN: the pipe is full, this report is
 * lost; -EMSGSIZE: a line is too long, nothing was sent). Several lines may be one call; a text from outside
 * must not bring newlines of its own. */
int mp_report(const char *lines);
int mp_reportf(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The descriptor of the status pipe, or -1. */
int mp_status_fd(void);

/* Workers of a pool. Whether the daemon accepts and passes connections (pool.handoff: connection) or a worker
 * accepts by itself (listener), the loop of a service is the same:
 *
 *     MpAcceptor *a;
 *     MpConnection c;
 *     if (mp_acceptor_new(MP_ACCEPTOR_SIGNALS, &a) < 0)
 *         return 1;
 *     while (mp_accept(a, &c) > 0) {
 *         serve(c.fd);
 *         mp_done(a, &c);
 *     }
 *     mp_acceptor_free(a);
 *
 * The daemon is told READY=1, ACTIVE= and REQUESTS= meanwhile, by shared memory where there is some
 * (MP_SCOREBOARD_FD), else over the status pipe. To be called from one thread at a time. */
typedef struct MpConnection {
    int fd; /* blocking, close-on-exec */
    char
        variables[1024]; /* "PROTO=TCP\nTCPREMOTEIP=192.0.2.7\n…" of a passed one, else ""; ends with a NUL */
} MpConnection;

typedef struct MpAcceptor MpAcceptor;

/* SIGTERM and SIGINT end it. They are blocked for this thread, and taken from a descriptor, or by a handler
 * of its own where mp_accept() waits for one socket alone. */
#define MP_ACCEPTOR_SIGNALS 1U

/* Takes the sockets that were handed over. 0 with @ret, or a negative errno (-ENOTSUP: one is neither a
 * listener nor MP_CONNECTION_FD). */
int mp_acceptor_new(unsigned flags, MpAcceptor **ret);
/* NULL is fine. Returns NULL. */
MpAcceptor *mp_acceptor_free(MpAcceptor *a);
/* How many connections it takes at once, where they are passed: 1 unless it says so. */
void mp_acceptor_set_capacity(MpAcceptor *a, uint64_t capacity);
/* Waits for the next connection: 1 with @ret; 0 when it is to end, and has all that was passed to it; or a
 * negative errno. */
int mp_accept(MpAcceptor *a, MpConnection *ret);
/* The same without waiting: -EAGAIN when there is none now. mp_acceptor_fd() is a descriptor to poll(2) for
 * POLLIN before. */
int mp_accept_now(MpAcceptor *a, MpConnection *ret);
int mp_acceptor_fd(MpAcceptor *a);
/* Closes the connection, unless its fd was set to -1, and counts it as done. */
void mp_done(MpAcceptor *a, MpConnection *c);

/* The next connection of the socket of MP_CONNECTION_FD, without waiting: 1 with @ret; 0: there will be no
 * more; -EAGAIN: none now; -EBADMSG: one was lost on the way; or another negative errno. */
int mp_receive_connection(int passing, MpConnection *ret);

/* What a worker of a pool says of itself in shared memory, as often as it likes: it costs no system call. */
typedef struct MpScore {
    uint64_t active;   /* in hand */
    uint64_t requests; /* done since the start */
    uint64_t queued;   /* waiting to be served */
    uint64_t taken;    /* connections received over MP_CONNECTION_FD since the start */
    uint64_t capacity; /* connections that it takes at once; 0: as said before */
} MpScore;
/* 1 done, 0 there is no such memory: report over the status pipe. From one thread at a time. */
int mp_scoreboard_set(const MpScore *score);

/* Writes all of it, however many write(2)s that takes; 0 or a negative errno (-EPIPE without a signal on
 * sockets). */
int mp_write_all(int fd, const void *buf, size_t n);

/* Whether a UDP service must not answer @peer: replying could start or keep alive a loop between two
 * services, or hit many hosts at once. @local is the address that the datagram was sent to: of a wildcard
 * socket the one that IP_PKTINFO or IPV6_RECVPKTINFO tells, with the own port; else that of getsockname(2).
 * Other families than IPv4 and IPv6 are never refused. mp-services(8), "DATAGRAM GUARDS", has the rules.
 * Pure. */
bool mp_datagram_refused(const struct sockaddr *peer, socklen_t peer_len, const struct sockaddr *local,
                         socklen_t local_len);

/* Whether @peer, which has not been refused, is on this machine for certain: it may be sent an answer that is
 * longer than its request. Anybody else may be a victim whose address was forged. Pure. */
bool mp_datagram_is_local(const struct sockaddr *peer, socklen_t peer_len);

#ifdef __cplusplus
}
#endif

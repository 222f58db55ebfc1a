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
    MP_SOCKET_OTHER,      /* a pipe, a terminal, a file: stdin of a shell */
} MpSocketKind;

typedef struct MpSocket {
    int fd; /* stdio: 0 (and 1, the same socket) */
    MpSocketKind kind;
    int type;         /* SOCK_STREAM, … or 0 */
    int family;       /* AF_INET, … or AF_UNSPEC */
    const char *name; /* its LISTEN_FDNAMES entry, or "" */
} MpSocket;

/* Finds the sockets that were handed over: those of LISTEN_FDS if LISTEN_PID is this process (they are set
 * close-on-exec), else fd 0. Fills up to @max; returns how many there are, or a negative errno (-EBADF: fd 0,
 * or one that LISTEN_FDS counts, is closed; -EINVAL: LISTEN_FDS makes no sense). The names live as long as
 * the process; too few names, or too many, do no harm. To be called from one thread. */
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

#ifdef __cplusplus
}
#endif

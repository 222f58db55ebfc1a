/* SPDX-License-Identifier: MIT */
#pragma once
/* Descriptors that somebody passes along with a message over a UNIX socket, and nobody has asked for. To
 * close one may take as long as its sender likes: a connection waits for its data to be taken (SO_LINGER), a
 * file of his own file system for an answer to the close(2). The kernel does that for whoever drops the last
 * copy, also when the message is read without room for them, or the socket closed in which it lies. So such a
 * message is only looked at, and left where it is: see discard.h. */
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/types.h>

typedef struct PassedLook {
    bool descriptors;             /* some have come along, or something else that is not known */
    bool truncated;               /* a datagram, or packet, that is longer */
    bool is_there;                /* of a socket with SO_PASSCRED: a message is, if only an empty one */
    struct sockaddr_storage from; /* of a datagram: who sent it, of so many bytes */
    socklen_t n_from;
    struct ucred sender; /* the same; pid 0: it is not known */
} PassedLook;

/* As recv(2) with MSG_PEEK, without waiting, of any socket. Of a UNIX socket nobody else may change the
 * options meanwhile. */
ssize_t passed_peek(int fd, void *buf, size_t n, PassedLook *ret);

/* Before somebody else gets @fd: its options are again as a new one has them. */
void passed_leave(int fd);

/* As recv(2), without waiting. EBADMSG: descriptors have come along with what is next, and it is still there.
 * Nobody else may read of it meanwhile. */
ssize_t passed_recv(int fd, void *buf, size_t n);

/* Of a UNIX socket that nobody else has any more: ends it both ways and throws away what lies in it. False
 * when there is something left, which may have descriptors. */
bool passed_empty(int fd);

/* Whether descriptors may lie in a socket that others may have, too. Changes nothing of it. */
bool passed_may_lie(int fd);

bool passed_may_come(int fd); /* whether it is a UNIX socket */

/* None can be sent to @fd, nor to what is accepted from it, where the kernel knows how to (Linux 6.16). */
void passed_forbid(int fd);

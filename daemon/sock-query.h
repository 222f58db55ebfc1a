/* SPDX-License-Identifier: MIT */
#pragma once
/* The kernel's tables of sockets, asked by netlink (sock_diag(7)) for one connection: whether it lives, and
 * how much has passed over it. No descriptor of the connection is needed, only its name, taken while there
 * was one. The kernel answers while it is asked: nothing waits, and nothing is left over. Works without any
 * privilege, but for sockets of the daemon's own network namespace only. */
#include <linux/inet_diag.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/base/blob.h"
#include "daemon/base/cleanup.h"

/* A connection over TCP, or of a UNIX socket, as the kernel finds it. A number is never given to another
 * socket as long as the machine runs. */
typedef struct SockName {
    uint8_t family;  /* AF_INET, also of the IPv4 connection of an IPv6 socket AF_INET6, or AF_UNIX */
    uint32_t inode;  /* AF_UNIX */
    uint64_t cookie; /* SO_COOKIE */
    struct inet_diag_sockid inet;
} SockName;

/* As a field of a blob. */
void sock_name_put(BlobWriter *w, uint16_t tag, const SockName *name);
SockName sock_name_take(const BlobField *field);

typedef enum SockFate {
    SOCK_UNKNOWN, /* the kernel does not say */
    SOCK_HELD,    /* it lives, and some process has it, or it is on its way to one */
    SOCK_CLOSING, /* nobody has it any more; the kernel still brings it to its end */
    SOCK_GONE,    /* also when the peer has reset it, whoever still has its descriptor */
} SockFate;

/* What the kernel tells of a connection. The figures are those of TCP; payload, where nothing else is said.
 */
typedef struct SockInfo {
    uint8_t state; /* TCP_ESTABLISHED and so on, of a connection that lives; TCP_CLOSE of one that is over */
    uint8_t rest_state; /* of one that is gone: in what state it waits out its time (TCP_FIN_WAIT2,
                         * TCP_TIME_WAIT); 0: not at all */
    bool has_figures;
    uint64_t acked;    /* by the peer; the end of the stream counts as one byte */
    uint64_t received; /* the same */
    uint64_t sent;     /* the first time */
    uint64_t not_sent; /* written by the process, and still to be sent; the end of the stream counts */
    uint32_t data_segments_in;
    uint32_t since_data_in_msec; /* since the newest data came */
    uint32_t since_ack_in_msec;  /* since the newest acknowledgement came */
} SockInfo;

typedef struct SockQuery SockQuery;

/* NULL when memory runs out. That the kernel refuses to be asked shows later. */
SockQuery *sock_query_new(void);
SockQuery *sock_query_free(SockQuery *q); /* returns NULL; NULL is fine */
DEFINE_CLEANUP(SockQuery *, sock_query_free);

/* Takes the name of the connection @fd, to ask about it later. 0; -ENOTCONN when it is over already;
 * -EAFNOSUPPORT for a family that there is no such table of; -EXDEV for another network's; or why else the
 * kernel does not tell of it: then it is not to be asked later, either. */
int sock_query_name(SockQuery *q, int fd, SockName *ret);
/* @name was taken by the program that ran in this process before (sock_name_take()): what could be asked then
 * can be asked now. */
void sock_query_know(SockQuery *q, const SockName *name);
/* Asks about it. @ret may be NULL; it is filled in of what is not unknown. A connection over TCP costs a few
 * microseconds; a UNIX one is looked for among all of the machine's. */
SockFate sock_query_ask(SockQuery *q, const SockName *name, SockInfo *ret);

/* The parts that do no I/O. */
#define SOCK_QUERY_REQUEST_MAX 128
/* Writes the question; its length, 0 for a name that nobody can be asked about. */
size_t sock_query_request(const SockName *name, uint32_t sequence, char buf[static SOCK_QUERY_REQUEST_MAX]);
/* Reads one datagram of @n bytes. False when it is no answer to the question @sequence about @name. */
bool sock_query_answer(const SockName *name, uint32_t sequence, const char *data, size_t n, SockFate *ret,
                       SockInfo *ret_info);
/* Reads an inet_diag_msg with its attributes, @n bytes. False when it is none, or cut off. */
bool sock_info_read(const char *body, size_t n, SockInfo *ret, struct inet_diag_sockid *ret_id,
                    uint32_t *ret_inode);
static inline uint64_t sock_id_cookie(const struct inet_diag_sockid *id) {
    return (uint64_t)id->idiag_cookie[1] << 32 | id->idiag_cookie[0];
}

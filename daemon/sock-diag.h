/* SPDX-License-Identifier: MIT */
#pragma once
/* Asking the kernel's socket tables, by netlink (sock_diag(7)), whether a connection lives that came in
 * through some listener. Answers are read a bounded piece at a turn of the loop, and no further than to the
 * first such connection. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "daemon/base/addr.h"

/* A listener of streams or sequenced packets. */
typedef struct SockDiagTarget {
    Addr addr;        /* where it listens */
    uint64_t network; /* SO_NETNS_COOKIE of its socket; 0: not known */
} SockDiagTarget;

typedef enum SockDiagAnswer {
    SOCK_DIAG_NONE,
    SOCK_DIAG_SOME,
    SOCK_DIAG_UNKNOWN, /* the kernel does not say */
} SockDiagAnswer;

typedef struct SockDiag SockDiag;

/* Called once, with the answer for all the targets together; may free the question. */
typedef void (*SockDiagDone)(SockDiagAnswer answer, void *userdata);

/* Asks about @n targets (which are copied). The answer comes later, never from within this call. 0 or a
 * negative errno. */
int sock_diag_ask(sd_event *loop, const SockDiagTarget *targets, size_t n, SockDiagDone done, void *userdata,
                  SockDiag **ret);
SockDiag *sock_diag_free(SockDiag *d); /* returns NULL; NULL is fine */

/* The address and network of the listening socket @fd. False when it is none that could be asked about. */
bool sock_diag_target(int fd, SockDiagTarget *ret);

/* The parts that do no I/O. */
#define SOCK_DIAG_REQUEST_MAX 128
/* What one piece of the reply says. */
typedef enum SockDiagPart {
    SOCK_DIAG_PART_MORE,
    SOCK_DIAG_PART_FOUND,
    SOCK_DIAG_PART_END,
    SOCK_DIAG_PART_FAILED,
} SockDiagPart;
/* Writes the request for the table that the connections of @listener are in; its length, 0 where there is
 * none. */
size_t sock_diag_request(const Addr *listener, char buf[static SOCK_DIAG_REQUEST_MAX]);
/* Looks through @n bytes of the reply for a connection of @listener that some process has. */
SockDiagPart sock_diag_scan(const Addr *listener, const char *data, size_t n);

/* SPDX-License-Identifier: MIT */
#pragma once
/* What a descriptor is: asked of those that were handed over, before they are taken for what they should be.
 */
#include <stdbool.h>

#include "daemon/base/blob.h"

typedef enum FdKind {
    FD_PIPE,
    FD_MEMORY,      /* memfd_create(2) */
    FD_SOCKET,      /* of any family and type */
    FD_UNIX_STREAM, /* a socket of this family and type; so the others */
    FD_UNIX_DATAGRAM,
    FD_UNIX_SEQPACKET,
    FD_NETLINK,
} FdKind;

bool fd_is(int fd, FdKind kind);
/* As blob_fd(), for one of that kind: else the blob is spoilt, and it is -EBADF. */
int blob_fd_of(const BlobField *f, FdKind kind);

/* SPDX-License-Identifier: MIT */
#include "daemon/base/fd-kind.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

/* 0: whatever it is. */
static const struct {
    const char *name;
    mode_t format;
    int family, type;
} kinds[] = {
    [FD_PIPE] = {"a pipe", S_IFIFO, 0, 0},
    [FD_MEMORY] = {"memory", S_IFREG, 0, 0},
    [FD_SOCKET] = {"a socket", S_IFSOCK, 0, 0},
    [FD_UNIX_STREAM] = {"a stream socket of UNIX", S_IFSOCK, AF_UNIX, SOCK_STREAM},
    [FD_UNIX_DATAGRAM] = {"a socket for reports", S_IFSOCK, AF_UNIX, SOCK_DGRAM},
    [FD_UNIX_SEQPACKET] = {"a socket for connections", S_IFSOCK, AF_UNIX, SOCK_SEQPACKET},
    [FD_NETLINK] = {"a socket of the kernel's", S_IFSOCK, AF_NETLINK, SOCK_RAW},
};

static bool has(int fd, int option, int value) {
    int is = 0;
    socklen_t n = sizeof(is);
    return value == 0 || (getsockopt(fd, SOL_SOCKET, option, &is, &n) == 0 && is == value);
}

bool fd_is(int fd, FdKind kind) {
    struct stat st;
    if (fstat(fd, &st) < 0 || (st.st_mode & S_IFMT) != kinds[kind].format)
        return false;
    /* Those of a disk have no seals. */
    if (kind == FD_MEMORY)
        return fcntl(fd, F_GET_SEALS) >= 0;
    return has(fd, SO_DOMAIN, kinds[kind].family) && has(fd, SO_TYPE, kinds[kind].type);
}

int blob_fd_of(const BlobField *f, FdKind kind) {
    CLEANUP_CLOSE int fd = blob_fd(f);
    if (fd < 0 || fd_is(fd, kind))
        return TAKE_FD(fd);
    blob_spoil(f->source, "descriptor %d is not %s", fd, kinds[kind].name);
    return -EBADF;
}

/* SPDX-License-Identifier: MIT */
#include "daemon/rescue.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "conf/endpoint.h"
#include "daemon/base/cleanup.h"

/* So far descriptors are looked for when nobody knows which there are. */
#define SCANNED 65536

/* The control socket is the one with a lock beside it (control-socket.c): it is made anew, under that lock.
 */
static bool is_control(const Addr *addr) {
    char lock[sizeof(addr->un.sun_path) + 8];
    struct stat st;
    if (addr->sa.sa_family != AF_UNIX || addr->un.sun_path[0] == '\0')
        return false;
    (void)snprintf(lock, sizeof(lock), "%.*s.lock", (int)sizeof(addr->un.sun_path), addr->un.sun_path);
    return lstat(lock, &st) == 0 && S_ISREG(st.st_mode);
}

/* Whether somebody connects there, or sends datagrams there. */
static bool is_listener(int fd) {
    Addr addr = {.len = sizeof(addr.storage)};
    struct sockaddr_storage peer;
    int type = 0, listening = 0;
    socklen_t n = sizeof(type), n_peer = sizeof(peer);
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) < 0 ||
        getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &n) < 0 ||
        getsockname(fd, &addr.sa, &addr.len) < 0)
        return false;
    if (listening)
        return !is_control(&addr);
    return type == SOCK_DGRAM && endpoint_kind_of_socket(addr.sa.sa_family, type) != _ENDPOINT_KIND_MAX &&
           addr.len > sizeof(sa_family_t) && getpeername(fd, (struct sockaddr *)&peer, &n_peer) < 0;
}

/* Everything else that we have is close-on-exec. Of the socket nothing is asked: it may be no listener any
 * more, and who asks may be refused. */
static bool is_copy(const Rescue *r, int fd) {
    int flags = fd >= r->first && fd < r->end ? fcntl(fd, F_GETFD) : -1;
    return flags >= 0 && !(flags & FD_CLOEXEC);
}

static void keep(Rescue *r, int fd, int from) {
    int copy = fcntl(fd, F_DUPFD, from); /* NOLINT(android-cloexec-dup): that is how it is found again */
    if (copy < 0)
        return;
    if (r->end == 0)
        r->first = copy;
    r->end = copy + 1;
}

void rescue_collect(Rescue *r, const int *fds, size_t n) {
    size_t looked_at = fds ? n : SCANNED;
    int found = 0;
    for (size_t i = 0; i < looked_at; i++)
        found += is_listener(fds ? fds[i] : SD_LISTEN_FDS_START + (int)i);
    /* Above where they will be put, each above the one before. */
    for (size_t i = 0; i < looked_at; i++) {
        int fd = fds ? fds[i] : SD_LISTEN_FDS_START + (int)i;
        if (is_listener(fd) && !is_copy(r, fd))
            keep(r, fd, r->end > 0 ? r->end : SD_LISTEN_FDS_START + found);
    }
}

void rescue_done(Rescue *r) {
    for (int fd = r->first; fd < r->end; fd++)
        if (is_copy(r, fd))
            (void)fd_close(fd);
    *r = (Rescue){0};
}

int rescue_execute(Rescue *r, const char *program, char *const *argv) {
    char n[16], pid[16];
    int put = 0;
    for (int fd = r->first; fd < r->end; fd++) {
        if (!is_copy(r, fd))
            continue;
        if (dup2(fd, SD_LISTEN_FDS_START + put++) < 0)
            return -errno;
        (void)fd_close(fd);
    }
    (void)snprintf(n, sizeof(n), "%d", put);
    (void)snprintf(pid, sizeof(pid), "%d", (int)getpid());
    (void)unsetenv("LISTEN_FDNAMES");
    if (put == 0 || (setenv("LISTEN_FDS", n, 1) == 0 && setenv("LISTEN_PID", pid, 1) == 0))
        (void)execv(program, argv);
    return -errno;
}

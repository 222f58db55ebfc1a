/* SPDX-License-Identifier: MIT */
/* The sockets that a service was given, and writing to them. The status pipe is in mp-report.c, the guard for
 * datagrams in mp-datagram.c. */
#include "services/mp-service.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* sd_listen_fds(3): the passed descriptors begin here. */
#define FIRST_LISTEN_FD 3

/* A name once asked for stays for the life of the process; the same name is kept once, however often it is
 * asked. */
typedef struct KeptName {
    struct KeptName *next;
    char text[];
} KeptName;

static const char *keep_name(const char *s, size_t n) {
    static KeptName *kept;
    for (const KeptName *k = kept; k; k = k->next)
        if (strlen(k->text) == n && memcmp(k->text, s, n) == 0)
            return k->text;
    KeptName *k = malloc(sizeof(*k) + n + 1);
    if (!k)
        return "";
    memcpy(k->text, s, n);
    k->text[n] = '\0';
    k->next = kept;
    kept = k;
    return k->text;
}

/* The entry of a list "a:b:c" at @index, or "" beyond its end: a wrong count of names is tolerated, as the
 * sockets themselves are all there. */
static const char *listed_name(const char *names, size_t index) {
    if (!names)
        return "";
    for (; index > 0; index--) {
        names = strchr(names, ':');
        if (!names)
            return "";
        names++;
    }
    return keep_name(names, strcspn(names, ":"));
}

static int parse_number(const char *s, long max, long *ret) {
    char *end = NULL;
    if (*s < '0' || *s > '9')
        return -EINVAL;
    errno = 0;
    long value = strtol(s, &end, 10);
    if (errno != 0 || *end != '\0' || value > max)
        return -EINVAL;
    *ret = value;
    return 0;
}

/* How many sockets LISTEN_FDS says are ours: 0 none, or -EINVAL, after sd_listen_fds(3). */
static int count_listen_fds(void) {
    const char *pid_text = getenv("LISTEN_PID");
    if (!pid_text)
        return 0;
    long pid;
    int r = parse_number(pid_text, INT_MAX, &pid);
    if (r < 0 || pid == 0)
        return -EINVAL;
    /* Left over in the environment from somebody further up. */
    if ((pid_t)pid != getpid())
        return 0;
    const char *count_text = getenv("LISTEN_FDS");
    if (!count_text)
        return 0;
    long count;
    r = parse_number(count_text, INT_MAX - FIRST_LISTEN_FD, &count);
    if (r < 0 || count == 0)
        return -EINVAL;
    return (int)count;
}

static int socket_option(int fd, int option) {
    int value = 0;
    socklen_t len = sizeof(value);
    return getsockopt(fd, SOL_SOCKET, option, &value, &len) < 0 ? -1 : value;
}

static MpSocket describe(int fd, const char *name) {
    MpSocket s = {.fd = fd, .kind = MP_SOCKET_OTHER, .family = AF_UNSPEC, .name = name};
    int type = socket_option(fd, SO_TYPE);
    if (type < 0)
        return s;
    s.type = type;
    s.family = socket_option(fd, SO_DOMAIN);
    if (type == SOCK_DGRAM)
        s.kind = MP_SOCKET_DATAGRAM;
    else if (socket_option(fd, SO_ACCEPTCONN) == 1)
        s.kind = MP_SOCKET_LISTENER;
    else
        s.kind = MP_SOCKET_CONNECTION;
    return s;
}

/* The socket over which connections are passed, or -1: a variable that is left over from somebody further up
 * names something else. */
static int passing_fd(void) {
    const char *text = getenv("MP_CONNECTION_FD");
    long fd;
    if (!text || parse_number(text, INT_MAX, &fd) < 0 || socket_option((int)fd, SO_TYPE) != SOCK_SEQPACKET ||
        socket_option((int)fd, SO_DOMAIN) != AF_UNIX || socket_option((int)fd, SO_ACCEPTCONN) != 0)
        return -1;
    return fcntl((int)fd, F_SETFD, FD_CLOEXEC) < 0 ? -1 : (int)fd;
}

int mp_sockets(MpSocket *ret, size_t max) {
    int passing = passing_fd();
    if (passing >= 0) {
        if (max > 0)
            ret[0] = (MpSocket){.fd = passing,
                                .kind = MP_SOCKET_PASSING,
                                .type = SOCK_SEQPACKET,
                                .family = AF_UNIX,
                                .name = ""};
        return 1;
    }
    int count = count_listen_fds();
    if (count < 0)
        return count;
    if (count == 0) {
        if (fcntl(STDIN_FILENO, F_GETFD) < 0)
            return -EBADF;
        if (max > 0)
            ret[0] = describe(STDIN_FILENO, "");
        return 1;
    }
    for (int fd = FIRST_LISTEN_FD; fd < FIRST_LISTEN_FD + count; fd++) {
        int flags = fcntl(fd, F_GETFD);
        if (flags < 0 || fcntl(fd, F_SETFD, flags | FD_CLOEXEC) < 0)
            return -errno;
    }
    const char *names = getenv("LISTEN_FDNAMES");
    for (size_t i = 0; i < max && i < (size_t)count; i++)
        ret[i] = describe(FIRST_LISTEN_FD + (int)i, listed_name(names, i));
    return count;
}

static ssize_t write_some(int fd, const void *buf, size_t n) {
    ssize_t written = send(fd, buf, n, MSG_NOSIGNAL);
    return written < 0 && errno == ENOTSOCK ? write(fd, buf, n) : written;
}

int mp_write_all(int fd, const void *buf, size_t n) {
    const char *at = buf;
    while (n > 0) {
        ssize_t written = write_some(fd, at, n);
        if (written >= 0) {
            at += written;
            n -= (size_t)written;
        } else if (errno == EAGAIN) {
            struct pollfd p = {.fd = fd, .events = POLLOUT};
            if (poll(&p, 1, -1) < 0 && errno != EINTR)
                return -errno;
        } else if (errno != EINTR) {
            return -errno;
        }
    }
    return 0;
}

/* SPDX-License-Identifier: MIT */
/* Reports over the status pipe. Each write(2) is whole lines of at most PIPE_BUF bytes, which pipe(7)
 * promises to be written at once or, with O_NONBLOCK, not at all: the reader never sees half a line. */
#include "services/mp-service.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* The longest line, its newline included. */
#define LINE_MAX_BYTES 4096
_Static_assert(LINE_MAX_BYTES <= PIPE_BUF, "a line must be written at once");

int mp_status_fd(void) {
    const char *s = getenv("MP_STATUS_FD");
    if (!s || *s < '0' || *s > '9')
        return -1;
    char *end = NULL;
    errno = 0;
    long fd = strtol(s, &end, 10);
    if (errno != 0 || *end != '\0' || fd > INT_MAX || fcntl((int)fd, F_GETFD) < 0)
        return -1;
    return (int)fd;
}

/* Writes without SIGPIPE, which write(2) sends to this very thread when nobody reads any more: blocked
 * meanwhile, and taken back unless one was waiting already. */
static ssize_t write_quietly(int fd, const char *buf, size_t n) {
    sigset_t pipe_signal, before, pending;
    sigemptyset(&pipe_signal);
    sigaddset(&pipe_signal, SIGPIPE);
    sigemptyset(&pending);
    (void)sigpending(&pending);
    int r = pthread_sigmask(SIG_BLOCK, &pipe_signal, &before);
    if (r != 0) {
        errno = r;
        return -1;
    }
    ssize_t written;
    do
        written = write(fd, buf, n);
    while (written < 0 && errno == EINTR);
    int saved = errno;
    if (written < 0 && saved == EPIPE && !sigismember(&pending, SIGPIPE)) {
        const struct timespec now = {0};
        while (sigtimedwait(&pipe_signal, NULL, &now) < 0 && errno == EINTR)
            continue;
    }
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = saved;
    return written;
}

static int set_nonblocking(int fd) {
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0)
        return -errno;
    if (!(flags & O_NONBLOCK) && fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return -errno;
    return 0;
}

/* Bytes of the whole lines at the beginning of @s that fit into one write. */
static size_t whole_lines(const char *s, size_t n) {
    if (n <= LINE_MAX_BYTES)
        return n;
    const char *last = memrchr(s, '\n', LINE_MAX_BYTES);
    return last ? (size_t)(last - s) + 1 : 0;
}

static bool lines_fit(const char *s) {
    for (size_t n; *s; s += n) {
        n = strcspn(s, "\n") + 1;
        if (n > LINE_MAX_BYTES)
            return false;
        if (!s[n - 1])
            break;
    }
    return true;
}

static int send_lines(int fd, const char *lines) {
    char chunk[LINE_MAX_BYTES];
    size_t left = strlen(lines);
    while (left > 0) {
        size_t n = left;
        /* A last line without its newline gets one below, for which there must be room. */
        if (lines[left - 1] != '\n' && left == LINE_MAX_BYTES)
            n = LINE_MAX_BYTES + 1;
        n = whole_lines(lines, n);
        if (n == 0)
            return -EMSGSIZE;
        memcpy(chunk, lines, n);
        size_t m = n;
        if (chunk[m - 1] != '\n')
            chunk[m++] = '\n';
        ssize_t written = write_quietly(fd, chunk, m);
        if (written < 0)
            return -errno;
        lines += n;
        left -= n;
    }
    return 1;
}

int mp_report(const char *lines) {
    int fd = mp_status_fd();
    if (fd < 0)
        return 0;
    if (!lines_fit(lines))
        return -EMSGSIZE;
    int r = set_nonblocking(fd);
    if (r < 0)
        return r;
    return send_lines(fd, lines);
}

int mp_reportf(const char *format, ...) {
    if (mp_status_fd() < 0)
        return 0;
    char *lines = NULL;
    va_list ap;
    va_start(ap, format);
    int n = vasprintf(&lines, format, ap);
    va_end(ap);
    if (n < 0)
        return -ENOMEM;
    int r = mp_report(lines);
    free(lines);
    return r;
}

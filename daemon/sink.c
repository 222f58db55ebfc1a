/* SPDX-License-Identifier: MIT */
#include "daemon/sink.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "daemon/base/addr.h"

/* Past this much unwritten text the lines of this turn are written before it ends. */
#define FLUSH_AT 32768

void sink_open_stderr(Sink *s) {
    struct stat st;
    *s = (Sink){.fd = STDERR_FILENO};
    if (fstat(STDERR_FILENO, &st) < 0)
        return;
    s->is_socket = S_ISSOCK(st.st_mode);
    /* A regular file is never waited for, and reopening it would need the right to. */
    if (s->is_socket || S_ISREG(st.st_mode))
        return;
    /* An open file description of our own, so that O_NONBLOCK is not set for whoever shares ours. */
    int fd = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    s->owned = fd >= 0;
    s->may_block = fd < 0;
    if (fd >= 0)
        s->fd = fd;
}

int sink_open_datagram(Sink *s, const char *path) {
    Addr addr;
    int r = addr_set_unix(path, &addr);
    if (r < 0)
        return r;
    CLEANUP_CLOSE int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, &addr.sa, addr.len) < 0)
        return -errno;
    *s = (Sink){.fd = TAKE_FD(fd), .owned = true, .is_datagram = true};
    return 0;
}

void sink_done(Sink *s) {
    if (s->owned)
        (void)fd_close(s->fd);
    s->fd = -EBADF;
    text_done(&s->buffer);
}

static ssize_t write_some(const Sink *s, const char *data, size_t n) {
    if (s->is_socket)
        return send(s->fd, data, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (s->may_block) {
        struct pollfd p = {.fd = s->fd, .events = POLLOUT};
        if (poll(&p, 1, 0) != 1 || !(p.revents & POLLOUT))
            return 0;
        /* Up to PIPE_BUF bytes go without waiting once poll(2) says so: pipe(7). */
        n = n < PIPE_BUF ? n : PIPE_BUF;
    }
    return write(s->fd, data, n);
}

static size_t write_all(const Sink *s, const char *data, size_t n) {
    size_t done = 0;
    while (done < n) {
        ssize_t k = write_some(s, data + done, n - done);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            break;
        done += (size_t)k;
    }
    return done;
}

static uint64_t count_lines(const char *data, size_t n) {
    uint64_t lines = 0;
    for (size_t i = 0; i < n; i++)
        lines += data[i] == '\n';
    return lines;
}

/* Writes @n bytes of whole lines (or the rest of one) from the front of the buffer. When not all is taken,
 * what belongs to a line that has been begun stays in the buffer, and whole lines are lost. @begun: they
 * start in the middle of one. */
static bool write_front(Sink *s, size_t n, bool begun) {
    size_t done = write_all(s, s->buffer.s, n);
    if (done == n) {
        memmove(s->buffer.s, s->buffer.s + n, s->buffer.len - n + 1);
        s->buffer.len -= n;
        return true;
    }
    if (done > 0)
        begun = s->buffer.s[done - 1] != '\n';
    const char *rest = s->buffer.s + done, *end = s->buffer.s + s->buffer.len;
    const char *newline = begun ? memchr(rest, '\n', (size_t)(end - rest)) : NULL;
    size_t kept = newline ? (size_t)(newline - rest) + 1 : 0;
    s->lost += count_lines(rest + kept, (size_t)(end - rest) - kept);
    memmove(s->buffer.s, rest, kept);
    s->buffer.len = kept;
    s->buffer.s[kept] = '\0';
    s->torn = kept > 0;
    return false;
}

/* Tells how many lines were lost, in a line of its own. */
static bool write_note(Sink *s) {
    char note[128];
    uint64_t told = s->lost;
    int n = s->as_json ? snprintf(note, sizeof(note), "{\"event\":\"log_lost\",\"lines\":%llu}\n",
                                  (unsigned long long)told)
                       : snprintf(note, sizeof(note), "mpinetd: %llu lines could not be written to the log\n",
                                  (unsigned long long)told);
    CLEANUP_TEXT Text lines = s->buffer;
    s->buffer = (Text){0};
    text_add_n(&s->buffer, note, n > 0 && (size_t)n < sizeof(note) ? (size_t)n : 0);
    bool whole = text_ok(&s->buffer) && s->buffer.len > 0 && write_front(s, s->buffer.len, false);
    if (whole || s->torn)
        s->lost -= told;
    if (!whole) {
        /* Without a note begun, it was counted as a line itself. */
        s->lost += count_lines(lines.s ? lines.s : "", lines.len) - (s->torn ? 0 : 1);
        return false;
    }
    text_add_n(&s->buffer, lines.s ? lines.s : "", lines.len);
    return true;
}

void sink_flush(Sink *s) {
    if (s->is_datagram || s->fd < 0)
        return;
    if (!text_ok(&s->buffer)) {
        /* Memory ran out: what could not be added is one line at least. */
        s->lost++;
        s->buffer.failed = false;
    }
    if (s->buffer.len == 0)
        return;
    if (s->torn) {
        const char *newline = memchr(s->buffer.s, '\n', s->buffer.len);
        s->torn = false;
        if (!write_front(s, newline ? (size_t)(newline - s->buffer.s) + 1 : s->buffer.len, true))
            return;
    }
    if (s->lost > 0 && !write_note(s))
        return;
    if (s->buffer.len > 0)
        (void)write_front(s, s->buffer.len, false);
    if (s->buffer.len == 0)
        text_reset(&s->buffer);
}

void sink_put(Sink *s, const char *data, size_t n) {
    if (s->fd < 0)
        return;
    if (s->is_datagram) {
        if (send(s->fd, data, n, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
            s->lost++;
        return;
    }
    text_add_n(sink_begin(s), data, n);
    sink_end(s);
}

Text *sink_begin(Sink *s) {
    s->begun = s->buffer.len;
    return &s->buffer;
}

void sink_end(Sink *s) {
    if (!text_ok(&s->buffer)) {
        /* What memory was too short for is lost, and nothing but that. */
        text_cut(&s->buffer, s->begun);
        s->lost++;
    }
    if (s->fd < 0)
        text_reset(&s->buffer);
    else if (s->buffer.len >= FLUSH_AT)
        sink_flush(s);
}

/* SPDX-License-Identifier: MIT */
#include "daemon/logger.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <syslog.h>

#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#include "daemon/base/clock.h"
#include "daemon/event.h"

static const char *const log_target_table[_LOG_TARGET_MAX] = {
    [LOG_TARGET_AUTO] = "auto",
    [LOG_TARGET_STDERR] = "stderr",
    [LOG_TARGET_JOURNAL] = "journal",
    [LOG_TARGET_SYSLOG] = "syslog",
};
DEFINE_STRTAB(log_target, LogTarget, log_target_table);

/* Past this much unwritten text the lines of this turn are written before it ends. */
#define FLUSH_AT 32768

struct Logger {
    LogTarget target;
    LogLevel level;
    LogFormat format;
    int fd;
    bool is_socket; /* send with MSG_DONTWAIT */
    bool may_block; /* the descriptor is shared and blocking: ask poll(2) first */
    Text buffer;
    uint64_t lost;       /* lines that could not be written */
    time_t stamp_second; /* the second that `stamp` stands for */
    char stamp[32];
};

/* Whether stderr is the journal's stream: systemd.exec(5), JOURNAL_STREAM is DEVICE:INODE. */
static bool stderr_is_journal(void) {
    const char *stream = getenv("JOURNAL_STREAM");
    uint64_t dev = 0, ino = 0;
    struct stat st;
    return stream && sscanf(stream, "%" SCNu64 ":%" SCNu64, &dev, &ino) == 2 &&
           fstat(STDERR_FILENO, &st) == 0 && st.st_dev == dev && st.st_ino == ino;
}

/* An open file description of our own, so that O_NONBLOCK is not set for whoever shares ours. */
static void open_stderr(Logger *l) {
    struct stat st;
    l->fd = STDERR_FILENO;
    if (fstat(STDERR_FILENO, &st) < 0)
        return;
    if (S_ISSOCK(st.st_mode)) {
        l->is_socket = true;
        return;
    }
    /* A regular file is never waited for, and reopening it would need the right to. */
    if (S_ISREG(st.st_mode))
        return;
    int fd = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd >= 0)
        l->fd = fd;
    else
        l->may_block = true;
}

int logger_new(LogTarget target, Logger **ret) {
    Logger *l = calloc(1, sizeof(*l));
    if (!l)
        return -ENOMEM;
    if (target == LOG_TARGET_AUTO)
        target = stderr_is_journal() ? LOG_TARGET_JOURNAL : LOG_TARGET_STDERR;
    *l = (Logger){.target = target, .level = LOG_LEVEL_INFO, .stamp_second = -1};
    open_stderr(l);
    if (target == LOG_TARGET_SYSLOG)
        openlog("mpinetd", LOG_PID | LOG_NDELAY, LOG_DAEMON);
    *ret = l;
    return 0;
}

Logger *logger_free(Logger *l) {
    if (!l)
        return NULL;
    logger_flush(l);
    if (l->fd > STDERR_FILENO)
        (void)close(l->fd);
    text_done(&l->buffer);
    free(l);
    return NULL;
}

void logger_set_level(Logger *l, LogLevel level) {
    l->level = level;
}

void logger_set_format(Logger *l, LogFormat format) {
    l->format = format;
}

bool logger_wants(const Logger *l, LogLevel level) {
    return level <= l->level;
}

static int level_priority(LogLevel level) {
    static const int priorities[_LOG_LEVEL_MAX] = {
        [LOG_LEVEL_ERROR] = LOG_ERR,
        [LOG_LEVEL_WARNING] = LOG_WARNING,
        [LOG_LEVEL_INFO] = LOG_INFO,
        [LOG_LEVEL_DEBUG] = LOG_DEBUG,
    };
    return priorities[level];
}

/* Local time to the millisecond; the date is worked out once a second. */
static void add_stamp(Logger *l, uint64_t time_usec) {
    time_t second = (time_t)(time_usec / USEC_PER_SEC);
    if (second != l->stamp_second) {
        struct tm tm = {0};
        (void)localtime_r(&second, &tm);
        (void)strftime(l->stamp, sizeof(l->stamp), "%Y-%m-%d %H:%M:%S", &tm);
        l->stamp_second = second;
    }
    text_add(&l->buffer, l->stamp);
    char milli[8];
    (void)snprintf(milli, sizeof(milli), ".%03u ", (unsigned)(time_usec / USEC_PER_MSEC % 1000));
    text_add(&l->buffer, milli);
}

#define JOURNAL_FIELDS_MAX 16

typedef struct JournalFields {
    struct iovec iov[JOURNAL_FIELDS_MAX];
    int n;
} JournalFields;

static void add_field(JournalFields *f, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add_field(JournalFields *f, const char *format, ...) {
    char *s = NULL;
    va_list ap;
    va_start(ap, format);
    int n = f->n < JOURNAL_FIELDS_MAX ? vasprintf(&s, format, ap) : -1;
    va_end(ap);
    if (n >= 0)
        f->iov[f->n++] = (struct iovec){.iov_base = s, .iov_len = (size_t)n};
}

static void send_journal(LogLevel level, const ApiEvent *e) {
    JournalFields f = {.n = 0};
    Text line CLEANUP_TEXT = {0};
    event_format(e, &line);
    add_field(&f, "MESSAGE=%s", line.s ? line.s : "");
    add_field(&f, "PRIORITY=%d", level_priority(level));
    add_field(&f, "SYSLOG_IDENTIFIER=mpinetd");
    add_field(&f, "MP_EVENT=%s", e->event);
    if (e->service)
        add_field(&f, "MP_SERVICE=%s", e->service);
    if (e->instance)
        add_field(&f, "MP_INSTANCE=%" PRIu64, e->instance);
    if (e->pid)
        add_field(&f, "MP_PID=%d", (int)e->pid);
    if (e->peer)
        add_field(&f, "MP_PEER=%s", e->peer);
    if (e->reason)
        add_field(&f, "MP_REASON=%s", e->reason);
    if (e->step)
        add_field(&f, "MP_STEP=%s", e->step);
    if (e->error)
        add_field(&f, "ERRNO=%d", e->error);
    if (e->exit_code >= 0)
        add_field(&f, "MP_EXIT_CODE=%d", e->exit_code);
    if (e->signal)
        add_field(&f, "MP_SIGNAL=%d", e->signal);
    if (e->duration_usec != USEC_INFINITY)
        add_field(&f, "MP_DURATION_USEC=%" PRIu64, e->duration_usec);
    (void)sd_journal_sendv(f.iov, f.n);
    for (int i = 0; i < f.n; i++)
        free(f.iov[i].iov_base);
}

static void send_syslog(LogLevel level, const ApiEvent *e) {
    Text line CLEANUP_TEXT = {0};
    event_format(e, &line);
    if (line.s)
        syslog(level_priority(level), "%s", line.s);
}

void logger_event(Logger *l, LogLevel level, const ApiEvent *e) {
    if (!logger_wants(l, level))
        return;
    if (l->target == LOG_TARGET_JOURNAL) {
        send_journal(level, e);
        return;
    }
    if (l->target == LOG_TARGET_SYSLOG) {
        send_syslog(level, e);
        return;
    }
    if (l->format == LOG_FORMAT_JSON) {
        api_event_to_json_line(&l->buffer, e);
    } else {
        add_stamp(l, e->time_usec);
        event_format(e, &l->buffer);
    }
    text_addc(&l->buffer, '\n');
    if (l->buffer.len >= FLUSH_AT)
        logger_flush(l);
}

static ssize_t write_some(Logger *l, const char *s, size_t n) {
    if (l->is_socket)
        return send(l->fd, s, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (l->may_block) {
        struct pollfd p = {.fd = l->fd, .events = POLLOUT};
        if (poll(&p, 1, 0) != 1 || !(p.revents & POLLOUT)) {
            errno = EAGAIN;
            return -1;
        }
        /* Up to PIPE_BUF bytes go without waiting once poll(2) says so: pipe(7). */
        n = n < PIPE_BUF ? n : PIPE_BUF;
    }
    return write(l->fd, s, n);
}

static uint64_t count_lines(const char *s, size_t n) {
    uint64_t lines = 0;
    for (size_t i = 0; i < n; i++)
        lines += s[i] == '\n';
    return lines;
}

static bool write_all(Logger *l, const char *s, size_t n) {
    while (n > 0) {
        ssize_t k = write_some(l, s, n);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0) {
            l->lost += count_lines(s, n);
            return false;
        }
        s += k;
        n -= (size_t)k;
    }
    return true;
}

void logger_flush(Logger *l) {
    if (l->buffer.len == 0 && text_ok(&l->buffer))
        return;
    if (l->lost > 0) {
        char note[96];
        uint64_t lost = l->lost;
        int n = snprintf(note, sizeof(note),
                         l->format == LOG_FORMAT_JSON ? "{\"event\":\"log_lost\",\"lines\":%" PRIu64 "}\n"
                                                      : "mpinetd: %" PRIu64
                                                        " lines could not be written to the log\n",
                         lost);
        if (n > 0 && write_all(l, note, (size_t)n))
            l->lost -= lost;
        else
            l->lost = lost;
    }
    if (l->buffer.len > 0)
        (void)write_all(l, l->buffer.s, l->buffer.len);
    text_reset(&l->buffer);
}

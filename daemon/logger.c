/* SPDX-License-Identifier: MIT */
#include "daemon/logger.h"

#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>

#include "daemon/base/clock.h"
#include "daemon/event.h"
#include "daemon/message-id.h"
#include "daemon/sink.h"

static const char *const log_target_table[_LOG_TARGET_MAX] = {
    [LOG_TARGET_AUTO] = "auto",
    [LOG_TARGET_STDERR] = "stderr",
    [LOG_TARGET_JOURNAL] = "journal",
    [LOG_TARGET_SYSLOG] = "syslog",
};
DEFINE_STRTAB(log_target, LogTarget, log_target_table);

#define JOURNAL_SOCKET "/run/systemd/journal/socket"
#define SYSLOG_SOCKET "/dev/log"

struct Logger {
    LogTarget target;
    LogLevel level;
    LogFormat format;
    Sink sink;
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

/* The journal and syslog are spoken to directly: the calls of their libraries wait while nobody reads.
 * Without them there is still stderr. */
static void open_sink(Logger *l) {
    int r = -ENOENT;
    if (l->target == LOG_TARGET_JOURNAL)
        r = sink_open_datagram(&l->sink, JOURNAL_SOCKET);
    else if (l->target == LOG_TARGET_SYSLOG)
        r = sink_open_datagram(&l->sink, SYSLOG_SOCKET);
    if (r < 0) {
        l->target = LOG_TARGET_STDERR;
        sink_open_stderr(&l->sink);
    }
}

int logger_new(LogTarget target, Logger **ret) {
    Logger *l = calloc(1, sizeof(*l));
    if (!l)
        return -ENOMEM;
    if (target == LOG_TARGET_AUTO)
        target = stderr_is_journal() ? LOG_TARGET_JOURNAL : LOG_TARGET_STDERR;
    *l = (Logger){.target = target, .level = LOG_LEVEL_INFO, .stamp_second = -1};
    open_sink(l);
    *ret = l;
    return 0;
}

Logger *logger_free(Logger *l) {
    if (!l)
        return NULL;
    logger_flush(l);
    sink_done(&l->sink);
    free(l);
    return NULL;
}

void logger_set_level(Logger *l, LogLevel level) {
    l->level = level;
}

void logger_set_format(Logger *l, LogFormat format) {
    l->format = format;
    l->sink.as_json = format == LOG_FORMAT_JSON;
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

/* Local time as the target has it, worked out once a second. */
static const char *stamp_of(Logger *l, uint64_t time_usec) {
    time_t second = (time_t)(time_usec / USEC_PER_SEC);
    if (second != l->stamp_second) {
        struct tm tm = {0};
        (void)localtime_r(&second, &tm);
        if (l->target == LOG_TARGET_SYSLOG)
            (void)strftime(l->stamp, sizeof(l->stamp), "%h %e %T", &tm);
        else
            (void)strftime(l->stamp, sizeof(l->stamp), "%Y-%m-%d %H:%M:%S", &tm);
        l->stamp_second = second;
    }
    return l->stamp;
}

/* To the millisecond. */
static void add_stamp(Logger *l, uint64_t time_usec, Text *out) {
    text_add(out, stamp_of(l, time_usec));
    text_addc(out, '.');
    text_add_u64_padded(out, time_usec / USEC_PER_MSEC % 1000, 3);
    text_addc(out, ' ');
}

/* A field of a text from outside: one line, whatever it holds. */
static void add_field(Text *out, const char *name, const char *value) {
    if (!value)
        return;
    text_add(out, name);
    text_addc(out, '=');
    text_add_escaped(out, value, strlen(value));
    text_addc(out, '\n');
}

static void add_number(Text *out, const char *name, uint64_t value) {
    text_add(out, name);
    text_addc(out, '=');
    text_add_u64(out, value);
    text_addc(out, '\n');
}

static void add_known(Text *out, const char *name, uint64_t value) {
    if (value != UINT64_MAX)
        add_number(out, name, value);
}

static void add_journal_facts(Text *out, const ApiFacts *f) {
    add_known(out, "MP_BYTES_IN", f->bytes_in);
    add_known(out, "MP_BYTES_OUT", f->bytes_out);
    add_known(out, "MP_CPU_USEC", f->cpu_usec);
    add_known(out, "MP_MEMORY", f->memory);
    add_field(out, "MP_USER", f->user);
}

/* The journal's native protocol (systemd's JOURNAL_NATIVE_PROTOCOL): one FIELD=value a line, in one datagram.
 */
static void format_journal(LogLevel level, const ApiEvent *e, Text *out) {
    add_number(out, "PRIORITY", (unsigned)level_priority(level));
    text_add(out, "SYSLOG_IDENTIFIER=mpinetd\nMESSAGE=");
    event_format(e, out);
    text_addc(out, '\n');
    add_field(out, "MESSAGE_ID", message_id(e));
    add_field(out, "MP_EVENT", e->event);
    add_field(out, "MP_SERVICE", e->service);
    add_field(out, "MP_PEER", e->peer);
    add_field(out, "MP_REASON", e->reason);
    add_field(out, "MP_STEP", e->step);
    if (e->instance)
        add_number(out, "MP_INSTANCE", e->instance);
    if (e->pid)
        add_number(out, "MP_PID", (uint64_t)e->pid);
    if (e->error)
        add_number(out, "ERRNO", (uint64_t)e->error);
    if (e->exit_code >= 0)
        add_number(out, "MP_EXIT_CODE", (unsigned)e->exit_code);
    if (e->signal)
        add_number(out, "MP_SIGNAL", (unsigned)e->signal);
    add_known(out, "MP_DURATION_USEC", e->duration_usec);
    if (e->facts)
        add_journal_facts(out, e->facts);
}

/* As syslog(3) writes it: RFC 3164, 4.1, without a host. */
static void format_syslog(Logger *l, LogLevel level, const ApiEvent *e, Text *out) {
    text_addc(out, '<');
    text_add_u64(out, (unsigned)(LOG_DAEMON | level_priority(level)));
    text_addc(out, '>');
    text_add(out, stamp_of(l, e->time_usec));
    text_add(out, " mpinetd[");
    text_add_u64(out, (uint64_t)getpid());
    text_add(out, "]: ");
    event_format(e, out);
}

static void format_line(Logger *l, const ApiEvent *e, Text *out) {
    if (l->format == LOG_FORMAT_JSON) {
        api_event_to_json_line(out, e);
    } else {
        add_stamp(l, e->time_usec, out);
        event_format(e, out);
    }
    text_addc(out, '\n');
}

static void format_event(Logger *l, LogLevel level, const ApiEvent *e, Text *out) {
    if (l->target == LOG_TARGET_JOURNAL)
        format_journal(level, e, out);
    else if (l->target == LOG_TARGET_SYSLOG)
        format_syslog(l, level, e, out);
    else
        format_line(l, e, out);
}

static void put_event(Logger *l, LogLevel level, const ApiEvent *e) {
    if (!l->sink.is_datagram) {
        format_line(l, e, sink_begin(&l->sink));
        sink_end(&l->sink);
        return;
    }
    CLEANUP_TEXT Text out = {0};
    format_event(l, level, e, &out);
    if (text_ok(&out) && out.s)
        sink_put(&l->sink, out.s, out.len);
    else
        l->sink.lost++;
}

/* A stream tells by itself what it has lost. */
static void tell_lost_datagrams(Logger *l, uint64_t time_usec) {
    char message[64];
    uint64_t lost = l->sink.lost;
    ApiEvent e = {.time_usec = time_usec,
                  .level = "warning",
                  .event = "log_lost",
                  .message = message,
                  .exit_code = -1,
                  .duration_usec = USEC_INFINITY};
    (void)snprintf(message, sizeof(message), "%llu lines could not be written to the log",
                   (unsigned long long)lost);
    put_event(l, LOG_LEVEL_WARNING, &e);
    l->sink.lost = l->sink.lost > lost ? lost : 0;
}

void logger_event(Logger *l, LogLevel level, const ApiEvent *e) {
    if (!logger_wants(l, level))
        return;
    if (l->sink.is_datagram && l->sink.lost > 0)
        tell_lost_datagrams(l, e->time_usec);
    put_event(l, level, e);
}

void logger_flush(Logger *l) {
    sink_flush(&l->sink);
}

enum {
    LOG_REST = 1,
    LOG_TORN,
    LOG_LOST,
};

void logger_save(BlobWriter *w, const Logger *l) {
    blob_put_bytes(w, LOG_REST, l->sink.buffer.s, l->sink.buffer.len);
    blob_put_bool(w, LOG_TORN, l->sink.torn);
    blob_put_u64(w, LOG_LOST, l->sink.lost);
}

/* Nothing is written before the next flush. */
void logger_restore(BlobReader r, Logger *l) {
    BlobField f;
    while (blob_next(&r, &f)) {
        size_t n = 0;
        if (f.tag == LOG_REST) {
            const char *rest = blob_bytes(&f, &n);
            if (!l->sink.is_datagram)
                text_add_n(&l->sink.buffer, rest ? rest : "", n);
        } else if (f.tag == LOG_TORN) {
            l->sink.torn = blob_bool(&f) && l->sink.buffer.len > 0;
        } else if (f.tag == LOG_LOST) {
            l->sink.lost += blob_u64(&f);
        }
    }
}

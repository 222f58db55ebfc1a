/* SPDX-License-Identifier: MIT */
#include "daemon/pipe-reader.h"

#include <fcntl.h>
#include <string.h>
#include <sys/uio.h>

#include "daemon/base/clock.h"
#include "daemon/base/fd-kind.h"
#include "daemon/descriptors.h"
#include "daemon/timer-save.h"

/* A turn of the loop takes at most this much from one pipe. */
#define READ_BYTES 8192
/* The last words of a process: a pipe holds 64 KiB. */
#define DRAIN_READS 16

struct PipeReader {
    int fd;
    bool nonblocking; /* set for it: not where a call can say so for itself */
    bool ended;
    bool dispatching; /* freed by a callback meanwhile: the dispatcher frees */
    bool dead;
    sd_event *loop;
    sd_event_source *source; /* NULL: it is late */
    List link;               /* among those that are */
    uint64_t due_usec;
    PipeLimit limit;
    uint64_t spent, spent_usec; /* of the limit, and when that was so */
    sd_event_source *pause;
    Lines lines;
    LinesEmit emit;
    PipeReaderEnd end;
    void *userdata;
};

static void destroy(PipeReader *r) {
    list_remove(&r->link);
    sd_event_source_disable_unref(r->source);
    sd_event_source_disable_unref(r->pause);
    r->fd = fd_close(r->fd);
    lines_done(&r->lines);
    free(r);
}

PipeReader *pipe_reader_free(PipeReader *r) {
    if (!r)
        return NULL;
    r->dead = true;
    if (!r->dispatching)
        destroy(r);
    return NULL;
}

static size_t count_lines(const char *data, size_t n) {
    size_t lines = 0;
    for (size_t i = 0; i < n; i++)
        lines += data[i] == '\n';
    return lines;
}

/* read(2) that does not wait. Who writes shares nothing with us but the pipe: O_NONBLOCK is ours alone, but a
 * call more. */
static ssize_t read_now(PipeReader *r, char *buf, size_t size) {
    struct iovec to = {.iov_base = buf, .iov_len = size};
    if (!r->nonblocking) {
        ssize_t n = preadv2(r->fd, &to, 1, -1, RWF_NOWAIT);
        /* readv(2): pipes take the flag since Linux 6.5. */
        if (n >= 0 || (errno != EOPNOTSUPP && errno != EINVAL && errno != ENOSYS))
            return n;
        if (fcntl(r->fd, F_SETFL, O_NONBLOCK) < 0)
            return -1;
        r->nonblocking = true;
    }
    return read(r->fd, buf, size);
}

/* One read: the number of bytes, 0 when nothing is there now, -1 at the end. */
static ssize_t read_once(PipeReader *r) {
    char buf[READ_BYTES + 1];
    ssize_t n = read_now(r, buf, READ_BYTES);
    if (n > 0) {
        r->spent += (size_t)n + count_lines(buf, (size_t)n) * r->limit.line_bytes;
        lines_feed(&r->lines, buf, (size_t)n, r->emit, r->userdata);
        return n;
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    lines_finish(&r->lines, r->emit, r->userdata);
    r->ended = true;
    return -1;
}

static void read_some(PipeReader *r, unsigned reads) {
    r->dispatching = true;
    for (unsigned i = 0; i < reads && !r->ended && !r->dead; i++)
        if (read_once(r) <= 0)
            break;
    if (r->ended && !r->dead) {
        list_remove(&r->link);
        r->source = sd_event_source_disable_unref(r->source);
        r->pause = sd_event_source_disable_unref(r->pause);
        r->end(r, r->userdata);
    }
    r->dispatching = false;
    if (r->dead)
        destroy(r);
}

static int on_pause_over(sd_event_source *s, uint64_t usec, void *userdata) {
    PipeReader *r = userdata;
    (void)s;
    (void)usec;
    r->pause = sd_event_source_disable_unref(r->pause);
    if (r->source)
        (void)sd_event_source_set_enabled(r->source, SD_EVENT_ON);
    return 0;
}

/* Whether it pauses; else it goes on. */
static bool pause_until(PipeReader *r, uint64_t usec) {
    if (sd_event_add_time(r->loop, &r->pause, CLOCK_MONOTONIC, usec, USEC_PER_MSEC, on_pause_over, r) < 0)
        return false;
    (void)sd_event_source_set_enabled(r->source, SD_EVENT_OFF);
    return true;
}

/* Whether more may be read now; else it pauses. */
static bool within_limit(PipeReader *r) {
    uint64_t now = 0, forgiven;
    (void)sd_event_now(r->loop, CLOCK_MONOTONIC, &now);
    uint64_t intervals = (now - r->spent_usec) / r->limit.interval_usec;
    if (intervals > 0) {
        if (__builtin_mul_overflow(intervals, r->limit.bytes, &forgiven) || forgiven > r->spent)
            forgiven = r->spent;
        r->spent -= forgiven;
        r->spent_usec = now;
    }
    if (r->spent < r->limit.bytes)
        return true;
    /* What one read took beyond it is waited for as well. */
    return !pause_until(r, r->spent_usec + r->spent / r->limit.bytes * r->limit.interval_usec);
}

static int on_readable(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
    PipeReader *r = userdata;
    (void)s;
    (void)fd;
    (void)revents;
    if (r->limit.bytes == 0 || within_limit(r))
        read_some(r, 1);
    return 0;
}

void pipe_reader_drain(PipeReader *r) {
    if (r && !r->ended)
        read_some(r, DRAIN_READS);
}

void pipe_reader_set_limit(PipeReader *r, PipeLimit limit) {
    r->limit = limit;
}

static int watch(PipeReader *r) {
    return sd_event_add_io(r->loop, &r->source, r->fd, EPOLLIN, on_readable, r);
}

int pipe_reader_new(sd_event *loop, LateReaders *late, int fd, LinesEmit emit, PipeReaderEnd end,
                    void *userdata, PipeReader **ret) {
    CLEANUP_CLOSE int owned = fd;
    PipeReader *r = malloc(sizeof(*r));
    if (!r)
        return -ENOMEM;
    *r = (PipeReader){.fd = fd, .loop = loop, .emit = emit, .end = end, .userdata = userdata};
    list_init(&r->link);
    if (late) {
        (void)sd_event_now(loop, CLOCK_MONOTONIC, &r->due_usec);
        r->due_usec += LATE_READER_USEC;
        list_append(&late->readers, &r->link);
    } else {
        int e = watch(r);
        if (e < 0) {
            free(r);
            return e;
        }
    }
    (void)TAKE_FD(owned);
    *ret = r;
    return 0;
}

void late_readers_init(LateReaders *l, const int *fd_ceiling) {
    list_init(&l->readers);
    l->fd_ceiling = fd_ceiling;
}

uint64_t late_readers_due(const LateReaders *l) {
    return list_is_empty(&l->readers) ? USEC_INFINITY
                                      : LIST_ENTRY(l->readers.next, PipeReader, link)->due_usec;
}

void late_readers_look(LateReaders *l, uint64_t now_usec) {
    while (late_readers_due(l) <= now_usec) {
        PipeReader *r = LIST_ENTRY(l->readers.next, PipeReader, link);
        list_remove(&r->link);
        r->fd = descriptors_lift(r->fd, *l->fd_ceiling);
        if (watch(r) >= 0)
            continue;
        /* Without memory for that it is read now and then. */
        r->due_usec = now_usec + LATE_READER_USEC;
        list_append(&l->readers, &r->link);
        read_some(r, 1);
    }
}

/* The upgrade in place */

enum {
    READER_FD = 1,
    READER_PARTIAL,  /* what has been read of a line */
    READER_SKIPPING, /* in a line that was too long */
    READER_SPENT,
    READER_SPENT_USEC,
    READER_PAUSE_USEC, /* until when it is not read; only while that is so */
};

void pipe_reader_save(BlobWriter *w, const PipeReader *r) {
    blob_put_fd(w, READER_FD, r->fd);
    if (r->lines.partial)
        blob_put_bytes(w, READER_PARTIAL, r->lines.partial, r->lines.len);
    blob_put_bool(w, READER_SKIPPING, r->lines.skipping);
    blob_put_u64(w, READER_SPENT, r->spent);
    blob_put_u64(w, READER_SPENT_USEC, r->spent_usec);
    timer_put(w, READER_PAUSE_USEC, r->pause);
}

/* More than a line of this version may have is cut. */
static void take_partial(Lines *l, const BlobField *f) {
    size_t n;
    const void *data = blob_bytes(f, &n);
    free(l->partial);
    l->partial = data ? malloc(LINE_MAX_BYTES + 1) : NULL;
    l->len = n < LINE_MAX_BYTES ? n : LINE_MAX_BYTES;
    if (l->partial)
        memcpy(l->partial, data, l->len);
    else
        l->len = 0;
}

static void take_field(const BlobField *f, int *fd, PipeReader *r, uint64_t *pause_usec) {
    switch (f->tag) {
    case READER_FD:
        *fd = fd_close(*fd);
        *fd = blob_fd_of(f, FD_PIPE);
        break;
    case READER_PARTIAL:
        take_partial(&r->lines, f);
        break;
    case READER_SKIPPING:
        r->lines.skipping = blob_bool(f);
        break;
    case READER_SPENT:
        r->spent = blob_u64(f);
        break;
    case READER_SPENT_USEC:
        r->spent_usec = blob_u64(f);
        break;
    case READER_PAUSE_USEC:
        *pause_usec = blob_u64(f);
        break;
    default:
        break;
    }
}

int pipe_reader_restore(BlobReader in, sd_event *loop, LinesEmit emit, PipeReaderEnd end, void *userdata,
                        PipeReader **ret) {
    CLEANUP_CLOSE int fd = -EBADF;
    PipeReader was = {0}, *r = NULL;
    uint64_t pause_usec = 0;
    BlobField f;
    while (blob_next(&in, &f))
        take_field(&f, &fd, &was, &pause_usec);
    if (fd < 0)
        blob_spoil(in.source, "a pipe is missing");
    int e = blob_is_spoilt(in.source) ? -EBADMSG
                                      : pipe_reader_new(loop, NULL, TAKE_FD(fd), emit, end, userdata, &r);
    if (e < 0 || !r) {
        lines_done(&was.lines);
        return e;
    }
    r->lines = was.lines;
    r->spent = was.spent;
    r->spent_usec = was.spent_usec;
    if (pause_usec > 0)
        (void)pause_until(r, pause_usec);
    *ret = r;
    return 0;
}

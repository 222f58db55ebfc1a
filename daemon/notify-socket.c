/* SPDX-License-Identifier: MIT */
#include "daemon/notify-socket.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "daemon/base/clock.h"
#include "daemon/base/fd-kind.h"
#include "daemon/base/lines.h"
#include "daemon/base/passed.h"
#include "daemon/report.h"

/* Of one that is longer the lines are taken that are whole by then. */
#define DATAGRAM_BYTES_MAX 8192
/* A turn of the loop takes at most so many. */
#define TURN_DATAGRAMS 16
/* When there was no process to be had. */
#define AGAIN_USEC (100 * USEC_PER_MSEC)
/* The last words of a process. */
#define DRAIN_DATAGRAMS 64

struct NotifySocket {
    int fd;
    sd_event_source *source;
    sd_event_source *again; /* looks again when there was no process to take away what was passed */
    Discard *discard;
    NotifyMay may;
    NotifyLine line;
    void *userdata;
    bool busy;   /* the next one is being taken away, and has been told */
    bool shared; /* restored, and perhaps only to see whether that can be done */
    char name[NOTIFY_NAME_MAX];
};

NotifySocket *notify_socket_free(NotifySocket *n) {
    if (!n)
        return NULL;
    n->source = sd_event_source_disable_unref(n->source);
    n->again = sd_event_source_disable_unref(n->again);
    discard_forget(n->discard, n);
    n->fd = n->shared ? fd_close(n->fd) : discard_socket(n->discard, n->fd);
    free(n);
    return NULL;
}

const char *notify_socket_name(const NotifySocket *n) {
    return n->name;
}

void notify_datagram_lines(const char *data, size_t n, bool cut, NotifyLine emit, void *userdata) {
    bool any = false;
    for (const char *end = data + n, *line = data, *next; line < end; line = next) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        size_t length = (size_t)((newline ? newline : end) - line);
        next = line + length + 1;
        if (length == 0)
            continue;
        any = true;
        if (length > LINE_MAX_BYTES || (cut && !newline))
            emit("", 0, userdata);
        else if (!report_is_foreign(line, length))
            emit(line, length, userdata);
    }
    if (!any)
        emit("", 0, userdata);
}

static void tell(const NotifySocket *n, const char *data, size_t length, const PassedLook *look) {
    bool taken = look->sender.pid > 0 && n->may(&look->sender, n->userdata);
    notify_datagram_lines(data, taken ? length : 0, look->truncated, n->line, n->userdata);
}

static int on_again(sd_event_source *s, uint64_t usec, void *userdata);

static void on_taken(void *userdata) {
    NotifySocket *n = userdata;
    n->busy = false;
    (void)sd_event_source_set_enabled(n->source, SD_EVENT_ON);
}

/* Descriptors that have come along are not for the daemon to close: base/passed.h. */
static void take_away(NotifySocket *n) {
    n->again = sd_event_source_disable_unref(n->again);
    n->busy = true;
    (void)sd_event_source_set_enabled(n->source, SD_EVENT_OFF);
    if (discard_next(n->discard, n->fd, on_taken, n) < 0 &&
        sd_event_add_time_relative(sd_event_source_get_event(n->source), &n->again, CLOCK_MONOTONIC,
                                   AGAIN_USEC, 1, on_again, n) < 0)
        on_taken(n);
}

static int on_again(sd_event_source *s, uint64_t usec, void *userdata) {
    (void)s;
    (void)usec;
    take_away(userdata);
    return 0;
}

/* False when nothing is there, or no more may be read for now. What a line leads to does not free it. */
static bool read_one(NotifySocket *n) {
    char data[DATAGRAM_BYTES_MAX];
    PassedLook look;
    ssize_t got = n->busy ? 0 : passed_peek(n->fd, data, sizeof(data), &look);
    if (n->busy || got < 0)
        return !n->busy && errno == EINTR;
    if (look.descriptors)
        take_away(n);
    else
        (void)recv(n->fd, NULL, 0, MSG_DONTWAIT);
    tell(n, data, (size_t)got, &look);
    return !look.descriptors;
}

static int on_readable(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
    (void)s;
    (void)fd;
    (void)revents;
    for (unsigned i = 0; i < TURN_DATAGRAMS && read_one(userdata); i++)
        continue;
    return 0;
}

void notify_socket_drain(NotifySocket *n) {
    for (unsigned i = 0; n && i < DRAIN_DATAGRAMS && read_one(n); i++)
        continue;
}

void notify_socket_last_words(NotifySocket *n) {
    char data[DATAGRAM_BYTES_MAX];
    PassedLook look;
    bool rest = false;
    int begin = 0;
    /* unix(7): each look goes on behind the one before, and nothing is taken, whatever has come along. */
    if (!n || setsockopt(n->fd, SOL_SOCKET, SO_PEEK_OFF, &begin, sizeof(begin)) < 0)
        return;
    n->source = sd_event_source_disable_unref(n->source);
    n->again = sd_event_source_disable_unref(n->again);
    discard_forget(n->discard, n);
    for (unsigned i = 0; i < DRAIN_DATAGRAMS; i++) {
        ssize_t got = passed_peek(n->fd, data, sizeof(data), &look);
        if (got < 0 && errno != EINTR)
            return;
        /* The rest of one that is too long comes by itself. */
        bool told = rest || (i == 0 && n->busy && look.descriptors);
        if (got >= 0 && !told)
            tell(n, data, (size_t)got, &look);
        rest = got >= 0 ? look.truncated : rest;
    }
}

static int watch(NotifySocket *n, sd_event *loop) {
    return sd_event_add_io(loop, &n->source, n->fd, EPOLLIN, on_readable, n);
}

/* A name that cannot be guessed before it is there: so nobody can take it first. */
static int name_it(NotifySocket *n, struct sockaddr_un *sun, socklen_t *ret) {
    uint64_t random[2];
    if (getrandom(random, sizeof(random), GRND_NONBLOCK) != (ssize_t)sizeof(random))
        return -EAGAIN;
    int length = snprintf(n->name, sizeof(n->name), "@mpinetd/notify/%016llx%016llx",
                          (unsigned long long)random[0], (unsigned long long)random[1]);
    memcpy(sun->sun_path + 1, n->name + 1, (size_t)length - 1);
    *ret = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)length);
    return 0;
}

int notify_socket_new(sd_event *loop, Discard *discard, NotifyMay may, NotifyLine line, void *userdata,
                      NotifySocket **ret) {
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    socklen_t length = 0;
    int on = 1;
    NotifySocket *n = calloc(1, sizeof(*n));
    if (!n)
        return -ENOMEM;
    *n = (NotifySocket){.discard = discard, .may = may, .line = line, .userdata = userdata};
    n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int r = n->fd < 0 ? -errno : name_it(n, &sun, &length);
    if (r >= 0 && (setsockopt(n->fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0 ||
                   bind(n->fd, (struct sockaddr *)&sun, length) < 0))
        r = -errno;
    if (r >= 0)
        r = watch(n, loop);
    if (r < 0) {
        notify_socket_free(n);
        return r;
    }
    *ret = n;
    return 0;
}

/* The upgrade in place */

enum {
    NOTIFY_FD = 1,
    NOTIFY_NAME,
};

void notify_socket_save(BlobWriter *w, const NotifySocket *n) {
    blob_put_fd(w, NOTIFY_FD, n->fd);
    blob_put_str(w, NOTIFY_NAME, n->name);
}

void notify_socket_own(NotifySocket *n) {
    if (n)
        n->shared = false;
}

int notify_socket_restore(BlobReader in, sd_event *loop, Discard *discard, NotifyMay may, NotifyLine line,
                          void *userdata, NotifySocket **ret) {
    CLEANUP_CLOSE int fd = -EBADF;
    char *name CLEANUP_FREE = NULL;
    BlobField f;
    while (blob_next(&in, &f)) {
        if (f.tag == NOTIFY_FD && fd < 0)
            fd = blob_fd_of(&f, FD_UNIX_DATAGRAM);
        else if (f.tag == NOTIFY_NAME)
            blob_take_str(&f, &name);
    }
    if (fd < 0 || !name || strlen(name) >= NOTIFY_NAME_MAX || blob_is_spoilt(in.source)) {
        blob_spoil(in.source, "a notify socket is missing");
        return -EBADMSG;
    }
    NotifySocket *n = calloc(1, sizeof(*n));
    if (!n)
        return -ENOMEM;
    *n = (NotifySocket){.fd = TAKE_FD(fd),
                        .discard = discard,
                        .may = may,
                        .line = line,
                        .userdata = userdata,
                        .shared = true};
    memcpy(n->name, name, strlen(name) + 1);
    int r = watch(n, loop);
    if (r < 0) {
        notify_socket_free(n);
        return r;
    }
    *ret = n;
    return 0;
}

/* SPDX-License-Identifier: MIT */
#include "daemon/notifier.h"

#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>

#include "daemon/base/addr.h"
#include "daemon/base/clock.h"
#include "daemon/base/text.h"
#include "daemon/runtime.h"

/* More than these are not remembered: whoever reads nothing for so long has other worries. */
#define UNSENT_MAX 32U
/* How long to leave a manager alone that does not read: from, and up to. */
#define PAUSE_MIN_USEC (5 * USEC_PER_MSEC)
#define PAUSE_MAX_USEC (500 * USEC_PER_MSEC)

/* So much time is asked for, and asked for again when half of it is over. */
#define EXTENSION_USEC (20 * USEC_PER_SEC)

struct Notifier {
    sd_event *loop;
    Addr address;
    int fd;
    char *unsent[UNSENT_MAX];
    size_t n_unsent;
    bool room_wanted;
    NotifierRoom room;
    void *userdata;
    sd_event_source *retry, *watchdog, *extension;
    uint64_t pause_usec;
    uint64_t watchdog_usec;
};

static int connect_to(Notifier *n) {
    n->fd = fd_close(n->fd);
    CLEANUP_CLOSE int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, &n->address.sa, n->address.len) < 0)
        return -errno;
    n->fd = TAKE_FD(fd);
    return 0;
}

int notifier_new(sd_event *loop, const char *address, Notifier **ret) {
    CLEANUP(notifier_freep) Notifier *n = calloc(1, sizeof(*n));
    if (!n)
        return -ENOMEM;
    n->fd = -EBADF;
    if (address[0] != '/' && address[0] != '@')
        return -EAFNOSUPPORT;
    int r = addr_set_unix(address, &n->address);
    if (r < 0)
        return r;
    n->loop = sd_event_ref(loop);
    n->pause_usec = PAUSE_MIN_USEC;
    /* One that is not there now may be later: it is tried again with each message. */
    (void)connect_to(n);
    *ret = TAKE_PTR(n);
    return 0;
}

Notifier *notifier_free(Notifier *n) {
    if (!n)
        return NULL;
    n->room = NULL;
    for (size_t i = 0; i < n->n_unsent; i++) {
        (void)notifier_send_fd(n, n->unsent[i], -EBADF);
        free(n->unsent[i]);
    }
    sd_event_source_disable_unref(n->retry);
    sd_event_source_disable_unref(n->watchdog);
    sd_event_source_disable_unref(n->extension);
    sd_event_unref(n->loop);
    (void)fd_close(n->fd);
    free(n);
    return NULL;
}

static bool is_want_of_room(int error) {
    return error == EAGAIN || error == ENOBUFS || error == ENOMEM || error == ETOOMANYREFS;
}

static int send_once(const Notifier *n, const char *text, int fd) {
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec io = {.iov_base = (char *)(uintptr_t)text, .iov_len = strlen(text)};
    struct msghdr message = {.msg_iov = &io, .msg_iovlen = 1};
    if (n->fd < 0)
        return -ENOTCONN;
    if (fd >= 0) {
        message.msg_control = control.room;
        message.msg_controllen = sizeof(control.room);
        struct cmsghdr *c = CMSG_FIRSTHDR(&message);
        *c = (struct cmsghdr){
            .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
        memcpy(CMSG_DATA(c), &fd, sizeof(fd));
    }
    return sendmsg(n->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static void flush(Notifier *n) {
    size_t sent = 0;
    while (sent < n->n_unsent && notifier_send_fd(n, n->unsent[sent], -EBADF) != -EAGAIN)
        free(n->unsent[sent++]);
    if (sent == 0)
        return;
    n->n_unsent -= sent;
    memmove((void *)n->unsent, (void *)(n->unsent + sent), n->n_unsent * sizeof(n->unsent[0]));
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata) {
    Notifier *n = userdata;
    (void)source;
    (void)usec;
    n->retry = sd_event_source_disable_unref(n->retry);
    flush(n);
    if (n->n_unsent > 0 || !n->room_wanted || !n->room)
        return 0;
    n->room_wanted = false;
    n->room(n->userdata);
    return 0;
}

static void try_later(Notifier *n) {
    if (n->retry)
        return;
    (void)sd_event_add_time_relative(n->loop, &n->retry, CLOCK_MONOTONIC, n->pause_usec, USEC_PER_MSEC,
                                     on_retry, n);
    n->pause_usec = n->pause_usec * 2 < PAUSE_MAX_USEC ? n->pause_usec * 2 : PAUSE_MAX_USEC;
}

int notifier_send_fd(Notifier *n, const char *text, int fd) {
    if (!n)
        return -ENOTCONN;
    int r = send_once(n, text, fd);
    /* A manager that has been started anew has a new socket in the same place. */
    if (r < 0 && !is_want_of_room(-r) && connect_to(n) >= 0)
        r = send_once(n, text, fd);
    if (r < 0 && is_want_of_room(-r)) {
        n->room_wanted = true;
        try_later(n);
        return -EAGAIN;
    }
    if (r >= 0)
        n->pause_usec = PAUSE_MIN_USEC;
    return r;
}

void notifier_on_room(Notifier *n, NotifierRoom room, void *userdata) {
    if (!n)
        return;
    n->room = room;
    n->userdata = userdata;
}

static bool is_only_status(const char *text) {
    return strncmp(text, "STATUS=", strlen("STATUS=")) == 0 && !strchr(text, '\n');
}

/* What is worth nothing once there is a newer one. */
static bool is_replaced(const char *old, const char *new) {
    return streq(old, new) || (is_only_status(old) && is_only_status(new));
}

void notifier_say(Notifier *n, const char *text) {
    if (!n || (n->n_unsent == 0 && notifier_send_fd(n, text, -EBADF) != -EAGAIN))
        return;
    char *copy = strdup(text);
    if (!copy)
        return;
    char **last = n->n_unsent > 0 ? &n->unsent[n->n_unsent - 1] : NULL;
    if (last && is_replaced(*last, text)) {
        free(*last);
        *last = copy;
        return;
    }
    if (n->n_unsent == UNSENT_MAX) {
        free(copy);
        return;
    }
    n->unsent[n->n_unsent++] = copy;
    try_later(n);
}

void notifier_sayf(Notifier *n, const char *format, ...) {
    char text[512];
    va_list ap;
    va_start(ap, format);
    (void)vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    notifier_say(n, text);
}

/* One that cannot be said is not said later: it would tell of a turn that is long over. */
static int on_watchdog(sd_event_source *source, uint64_t usec, void *userdata) {
    Notifier *n = userdata;
    (void)usec;
    (void)notifier_send_fd(n, "WATCHDOG=1", -EBADF);
    (void)sd_event_source_set_time_relative(source, n->watchdog_usec / 2);
    (void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
    return 0;
}

int notifier_watch(Notifier *n, uint64_t usec) {
    if (!n || n->watchdog)
        return 0;
    n->watchdog_usec = usec;
    int r = sd_event_add_time_relative(n->loop, &n->watchdog, CLOCK_MONOTONIC, 0, 0, on_watchdog, n);
    /* However much there is to do: it is not told later than it has turned. */
    if (r >= 0)
        (void)sd_event_source_set_priority(n->watchdog, PRIORITY_REAP);
    return r;
}

static int on_extension(sd_event_source *source, uint64_t usec, void *userdata) {
    Notifier *n = userdata;
    (void)usec;
    notifier_sayf(n, "EXTEND_TIMEOUT_USEC=%llu", (unsigned long long)EXTENSION_USEC);
    (void)sd_event_source_set_time_relative(source, EXTENSION_USEC / 2);
    (void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
    return 0;
}

int notifier_extend(Notifier *n) {
    if (!n || n->extension)
        return 0;
    return sd_event_add_time_relative(n->loop, &n->extension, CLOCK_MONOTONIC, 0, USEC_PER_SEC, on_extension,
                                      n);
}

/* SPDX-License-Identifier: MIT */
#include "daemon/bind-node.h"

#include <fcntl.h>
#include <mqueue.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

/* Nobody else is let in before owner and mode are as configured. */
#define MODE_AT_FIRST 0600

/* Both can be opened by as many as like to, and then take each other's data. The lock belongs to the open
 * file, and so to the processes that have it from us as well: one that has outlived its daemon keeps it. */
static int lock_node(int fd) {
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        return 0;
    return errno == EWOULDBLOCK ? -EADDRINUSE : 0;
}

/* Where /proc is not mounted. */
static int open_fifo_by_path(const char *path, const struct stat *st) {
    CLEANUP_CLOSE int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW);
    if (fd < 0)
        return -errno;
    return bind_is_open_on(fd, st->st_dev, st->st_ino) ? TAKE_FD(fd) : -ESTALE;
}

/* By way of O_PATH, so that a device that stands there is never opened. */
static int open_fifo(const char *path, struct stat *st) {
    char by_number[40];
    CLEANUP_CLOSE int node = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (node < 0 || fstat(node, st) < 0)
        return -errno;
    if (!S_ISFIFO(st->st_mode))
        return -EEXIST;
    (void)snprintf(by_number, sizeof(by_number), "/proc/self/fd/%d", node);
    /* Open for writing as well, it never reports that the last writer has gone: fifo(7). */
    int fd = open(by_number, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    return fd >= 0 ? fd : errno == ENOENT ? open_fifo_by_path(path, st) : -errno;
}

int bind_fifo(const ListenConfig *c, BoundSocket *ret, const char **ret_step) {
    const char *path = c->endpoint.path;
    struct stat st = {0};
    *ret_step = "fifo";
    bool made = mkfifo(path, MODE_AT_FIRST) == 0;
    if (!made && errno != EEXIST)
        return -errno;
    CLEANUP_CLOSE int fd = open_fifo(path, &st);
    int r = fd < 0 ? fd : lock_node(fd);
    if (r >= 0 && made)
        r = bind_adjust_node(path, st.st_dev, st.st_ino, c->user, c->group, c->mode);
    if (r < 0) {
        if (made)
            bind_remove_node(path, st.st_dev, st.st_ino);
        return r;
    }
    *ret = (BoundSocket){.fd = TAKE_FD(fd)};
    if (made) {
        ret->dev = st.st_dev;
        ret->ino = st.st_ino;
    }
    return 0;
}

static long kernel_default(const char *path, long fallback) {
    long value = 0;
    FILE *f = fopen(path, "re");
    if (!f)
        return fallback;
    char line[32];
    if (fgets(line, sizeof(line), f))
        value = strtol(line, NULL, 10);
    (void)fclose(f);
    return value > 0 ? value : fallback;
}

/* Both are to be given, or none: mq_open(3). */
static mqd_t make_mqueue(const ListenConfig *c) {
    const int flags = O_RDWR | O_CREAT | O_EXCL | O_NONBLOCK | O_CLOEXEC;
    if (c->max_messages <= 0 && c->message_size <= 0)
        return mq_open(c->endpoint.path, flags, MODE_AT_FIRST, NULL);
    struct mq_attr attributes = {
        .mq_maxmsg =
            c->max_messages > 0 ? c->max_messages : kernel_default("/proc/sys/fs/mqueue/msg_default", 10),
        .mq_msgsize = c->message_size > 0 ? c->message_size
                                          : kernel_default("/proc/sys/fs/mqueue/msgsize_default", 8192),
    };
    return mq_open(c->endpoint.path, flags, MODE_AT_FIRST, &attributes);
}

/* What mq_open(3) means by an error that says little. */
static const char *mqueue_step(int error) {
    if (error == EINVAL)
        return "above the limits in /proc/sys/fs/mqueue";
    return error == EMFILE ? "RLIMIT_MSGQUEUE" : "mqueue";
}

int bind_adjust_mqueue(const ListenConfig *c, int fd) {
    struct stat st;
    if ((c->user != (uid_t)-1 || c->group != (gid_t)-1) && fchown(fd, c->user, c->group) < 0)
        return -errno;
    if (fstat(fd, &st) < 0)
        return -errno;
    return (st.st_mode & 07777) != c->mode && fchmod(fd, c->mode) < 0 ? -errno : 0;
}

int bind_mqueue(const ListenConfig *c, BoundSocket *ret, const char **ret_step) {
    struct stat st;
    CLEANUP_CLOSE int fd = make_mqueue(c);
    bool made = fd >= 0;
    if (!made && errno == EEXIST)
        fd = mq_open(c->endpoint.path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        int r = -errno;
        *ret_step = mqueue_step(-r);
        return r;
    }
    *ret_step = "mqueue";
    if (fstat(fd, &st) < 0)
        return -errno;
    int r = lock_node(fd);
    if (r < 0)
        return r;
    BoundSocket bound = {.fd = -EBADF};
    if (made) {
        bound.dev = st.st_dev;
        bound.ino = st.st_ino;
        r = bind_adjust_mqueue(c, fd);
        if (r < 0) {
            (void)bind_remove_mqueue(c->endpoint.path, st.st_dev, st.st_ino);
            return r;
        }
    }
    bound.fd = TAKE_FD(fd);
    *ret = bound;
    return 0;
}

/* Its mode may let us read only, or write only. */
static int open_mqueue(const char *name) {
    int fd = mq_open(name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    return fd < 0 && errno == EACCES ? mq_open(name, O_WRONLY | O_NONBLOCK | O_CLOEXEC) : fd;
}

bool bind_remove_mqueue(const char *name, dev_t dev, ino_t ino) {
    struct mq_attr attributes;
    CLEANUP_CLOSE int fd = open_mqueue(name);
    if (fd < 0 || !bind_is_open_on(fd, dev, ino))
        return true;
    return mq_getattr(fd, &attributes) == 0 && attributes.mq_curmsgs == 0 && mq_unlink(name) == 0;
}

const char *bind_node_note(const ListenConfig *c, int fd, uid_t uid, char *buf, size_t size) {
    struct mq_attr has;
    struct stat st;
    if (c->endpoint.kind == ENDPOINT_MQUEUE && mq_getattr(fd, &has) == 0 &&
        ((c->max_messages > 0 && has.mq_maxmsg != c->max_messages) ||
         (c->message_size > 0 && has.mq_msgsize != c->message_size))) {
        (void)snprintf(buf, size, "the queue was there already and has max_messages %ld, message_size %ld",
                       has.mq_maxmsg, has.mq_msgsize);
        return buf;
    }
    if (fstat(fd, &st) == 0 && st.st_uid != 0 && st.st_uid != geteuid() && st.st_uid != c->user &&
        st.st_uid != uid) {
        (void)snprintf(buf, size, "it was there already and belongs to uid %u", st.st_uid);
        return buf;
    }
    return NULL;
}

bool bind_node_is(const Endpoint *e, int fd) {
    struct stat st;
    if (e->kind == ENDPOINT_FIFO)
        return lstat(e->path, &st) == 0 && S_ISFIFO(st.st_mode) && bind_is_open_on(fd, st.st_dev, st.st_ino);
    CLEANUP_CLOSE int queue = e->kind == ENDPOINT_MQUEUE ? open_mqueue(e->path) : -EBADF;
    return queue >= 0 && fstat(queue, &st) == 0 && bind_is_open_on(fd, st.st_dev, st.st_ino);
}

/* SPDX-License-Identifier: MIT */
#include "services/mq-queue.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <mqueue.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/msg.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"
#include "services/client-socket.h"

/* A queue of System V cannot be polled: with a bound on the time it is looked at ever again, at first soon.
 */
#define LOOK_FIRST_USEC USEC_PER_MSEC
#define LOOK_MAX_USEC (50 * USEC_PER_MSEC)

static const int posix_flags[] = {
    [QUEUE_LOOK] = O_RDONLY,
    [QUEUE_SEND] = O_WRONLY,
    [QUEUE_RECEIVE] = O_RDONLY,
    [QUEUE_WORK] = O_RDWR,
};
static const int sysv_flags[] = {
    [QUEUE_LOOK] = 0400,
    [QUEUE_SEND] = 0200,
    [QUEUE_RECEIVE] = 0400,
    [QUEUE_WORK] = 0400,
};

static int posix_describe(Queue *q) {
    struct mq_attr attributes;
    if (mq_getattr(q->fd, &attributes) < 0)
        return -errno;
    q->message_max = (size_t)attributes.mq_msgsize;
    return 0;
}

/* msgget(2): what one message may have, by the system's limit and by the queue's own. */
static int sysv_describe(Queue *q) {
    struct msqid_ds state;
    struct msginfo limits;
    if (msgctl(q->id, IPC_INFO, (struct msqid_ds *)(void *)&limits) < 0)
        return -errno;
    q->message_max = (size_t)limits.msgmax;
    /* Who may only send may not look: then the system's limit must do. */
    if (msgctl(q->id, IPC_STAT, &state) == 0 && state.msg_qbytes < q->message_max)
        q->message_max = state.msg_qbytes;
    return 0;
}

int queue_open(const QueueName *name, QueueUse use, Queue *ret) {
    Queue q = {.name = *name, .fd = -EBADF, .id = -1};
    int r;
    if (name->kind == QUEUE_SYSV) {
        q.id = msgget(name->key, sysv_flags[use]);
        if (q.id < 0)
            return -errno;
        r = sysv_describe(&q);
    } else {
        q.fd = mq_open(name->text, posix_flags[use] | O_NONBLOCK | O_CLOEXEC);
        if (q.fd < 0 && errno == EACCES && use == QUEUE_WORK)
            q.fd = mq_open(name->text, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        if (q.fd < 0)
            return -errno;
        r = posix_describe(&q);
    }
    if (r < 0) {
        queue_close(&q);
        return r;
    }
    *ret = q;
    return 0;
}

int queue_adopt(int fd, const char *fallback, Queue *ret) {
    Queue q = {.fd = fd, .id = -1};
    int r = posix_describe(&q);
    if (r < 0)
        return r;
    char link[64];
    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, q.name.text, sizeof(q.name.text) - 1);
    const char *why = NULL;
    QueueName name;
    q.name.text[n > 0 ? n : 0] = '\0';
    if (queue_name_parse(q.name.text, &name, &why) < 0)
        (void)snprintf(q.name.text, sizeof(q.name.text), "%s", fallback);
    *ret = q;
    return 0;
}

void queue_close(Queue *q) {
    q->fd = fd_close(q->fd);
}

static int posix_create(const QueueName *name, const QueueSize *size) {
    struct mq_attr attributes = {.mq_maxmsg = (long)size->max_messages,
                                 .mq_msgsize = (long)size->message_size};
    bool given = size->max_messages && size->message_size;
    /* The mode is what was asked for, whatever the umask. */
    mode_t mask = umask(0);
    CLEANUP_CLOSE int fd =
        mq_open(name->text, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, size->mode, given ? &attributes : NULL);
    int error = errno;
    (void)umask(mask);
    return fd < 0 ? -error : 0;
}

static int sysv_create(const QueueName *name, const QueueSize *size) {
    int id = msgget(name->key, IPC_CREAT | IPC_EXCL | (int)size->mode);
    if (id < 0)
        return -errno;
    struct msqid_ds state;
    if (size->max_messages == 0)
        return 0;
    int r = msgctl(id, IPC_STAT, &state);
    state.msg_qbytes = size->max_messages * size->message_size;
    if (r == 0 && msgctl(id, IPC_SET, &state) == 0)
        return 0;
    r = -errno;
    (void)msgctl(id, IPC_RMID, NULL);
    return r;
}

int queue_create(const QueueName *name, const QueueSize *size) {
    return name->kind == QUEUE_SYSV ? sysv_create(name, size) : posix_create(name, size);
}

int queue_remove(const QueueName *name) {
    if (name->kind == QUEUE_POSIX)
        return mq_unlink(name->text) < 0 ? -errno : 0;
    int id = msgget(name->key, 0);
    return id < 0 || msgctl(id, IPC_RMID, NULL) < 0 ? -errno : 0;
}

static int posix_state(const Queue *q, QueueState *ret) {
    struct mq_attr attributes;
    struct stat st;
    if (mq_getattr(q->fd, &attributes) < 0 || fstat(q->fd, &st) < 0)
        return -errno;
    *ret = (QueueState){.messages = (uint64_t)attributes.mq_curmsgs,
                        .max_messages = (uint64_t)attributes.mq_maxmsg,
                        .message_max = (uint64_t)attributes.mq_msgsize,
                        .mode = st.st_mode & 07777,
                        .uid = st.st_uid,
                        .gid = st.st_gid};
    return 0;
}

int queue_state(const Queue *q, QueueState *ret) {
    struct msqid_ds state;
    if (q->name.kind == QUEUE_POSIX)
        return posix_state(q, ret);
    if (msgctl(q->id, IPC_STAT, &state) < 0)
        return -errno;
    *ret = (QueueState){.messages = state.msg_qnum,
                        .message_max = q->message_max,
                        .bytes = state.__msg_cbytes,
                        .max_bytes = state.msg_qbytes,
                        .mode = state.msg_perm.mode & 0777,
                        .uid = state.msg_perm.uid,
                        .gid = state.msg_perm.gid};
    return 0;
}

/* A descriptor that was passed may block, and its flags are shared with whoever passed it: with a deadline
 * that is over, mq_receive(3) never waits. */
static const struct timespec at_once = {0};

static int errno_of_posix(void) {
    return errno == ETIMEDOUT ? -EAGAIN : -errno;
}

static int try_send(const Queue *q, const char *data, size_t n, long tag, bool block) {
    if (q->name.kind == QUEUE_POSIX)
        return mq_timedsend(q->fd, data, n, (unsigned)tag, &at_once) < 0 ? errno_of_posix() : 0;
    struct msgbuf *message = malloc(sizeof(*message) + n);
    if (!message)
        return -ENOMEM;
    message->mtype = tag;
    memcpy(message->mtext, data, n);
    int r = msgsnd(q->id, message, n, block ? 0 : IPC_NOWAIT) < 0 ? -errno : 0;
    free(message);
    return r;
}

static ssize_t try_receive(const Queue *q, char *buf, long type, long *ret_tag, bool block) {
    if (q->name.kind == QUEUE_POSIX) {
        unsigned priority = 0;
        ssize_t n = mq_timedreceive(q->fd, buf, q->message_max, &priority, &at_once);
        *ret_tag = (long)priority;
        return n < 0 ? errno_of_posix() : n;
    }
    struct msgbuf *message = malloc(sizeof(*message) + q->message_max);
    if (!message)
        return -ENOMEM;
    ssize_t n = msgrcv(q->id, message, q->message_max, type, block ? 0 : IPC_NOWAIT);
    if (n < 0) {
        n = errno == ENOMSG ? -EAGAIN : -errno;
    } else {
        memcpy(buf, message->mtext, (size_t)n);
        *ret_tag = message->mtype;
    }
    free(message);
    return n;
}

/* Waits for a change, or a while. */
static int wait_change(const Queue *q, short events, uint64_t deadline_usec, uint64_t *pause_usec) {
    uint64_t now = clock_monotonic_usec();
    if (now >= deadline_usec)
        return -EAGAIN;
    if (q->name.kind == QUEUE_POSIX) {
        struct pollfd p = {.fd = q->fd, .events = events};
        return poll(&p, 1, client_poll_timeout(deadline_usec, now)) < 0 && errno != EINTR ? -errno : 0;
    }
    uint64_t left = deadline_usec - now, usec = *pause_usec < left ? *pause_usec : left;
    const struct timespec rest = {.tv_sec = 0, .tv_nsec = (long)(usec * NSEC_PER_USEC)};
    (void)nanosleep(&rest, NULL);
    *pause_usec = 2 * *pause_usec < LOOK_MAX_USEC ? 2 * *pause_usec : LOOK_MAX_USEC;
    return 0;
}

int queue_send(const Queue *q, const char *data, size_t n, long tag, uint64_t deadline_usec) {
    if (n > q->message_max)
        return -EMSGSIZE;
    uint64_t pause_usec = LOOK_FIRST_USEC;
    for (;;) {
        int r = try_send(q, data, n, tag, deadline_usec == USEC_INFINITY);
        if (r == -EAGAIN)
            r = wait_change(q, POLLOUT, deadline_usec, &pause_usec);
        else if (r != -EINTR)
            return r;
        if (r < 0 && r != -EINTR)
            return r;
    }
}

ssize_t queue_receive(const Queue *q, char *buf, long type, long *ret_tag, uint64_t deadline_usec) {
    uint64_t pause_usec = LOOK_FIRST_USEC;
    for (;;) {
        ssize_t n = try_receive(q, buf, type, ret_tag, deadline_usec == USEC_INFINITY);
        if (n == -EAGAIN)
            n = wait_change(q, POLLIN, deadline_usec, &pause_usec);
        else if (n != -EINTR)
            return n;
        if (n < 0 && n != -EINTR)
            return n;
    }
}

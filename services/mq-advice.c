/* SPDX-License-Identifier: MIT */
#include "services/mq-advice.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "daemon/base/cleanup.h"

#define POSIX (1U << QUEUE_POSIX)
#define SYSV (1U << QUEUE_SYSV)
#define BOTH (POSIX | SYSV)

typedef struct AdviceRow {
    MqDeed deed;
    int error;
    unsigned kinds;
    const char *advice;
} AdviceRow;

/* mq_open(3), mq_send(3), mq_receive(3), mq_unlink(3), msgget(2), msgop(2), msgctl(2) */
static const AdviceRow rows[] = {
    {MQ_OPEN, ENOENT, BOTH, "make it with: mp-mqcat create %s"},
    {MQ_OPEN, EACCES, BOTH, "its mode keeps this user out; its owner sees it with: mp-mqcat status %s"},
    {MQ_OPEN, ENOSYS, BOTH, "this kernel has no such queues"},
    {MQ_OPEN, EMFILE, POSIX, "this process has too many open files (ulimit -n)"},
    {MQ_CREATE, EEXIST, BOTH, "look at it with: mp-mqcat status %s"},
    {MQ_CREATE, EINVAL, POSIX,
     "more than fs.mqueue.msg_max messages, or than fs.mqueue.msgsize_max bytes, needs root or a change by "
     "sysctl(8)"},
    {MQ_CREATE, EMFILE, POSIX,
     "the limit of this user's queues is reached (ulimit -q): fewer or shorter messages"},
    {MQ_CREATE, ENOSPC, POSIX,
     "there are fs.mqueue.queues_max queues: remove one, or raise that by sysctl(8)"},
    {MQ_CREATE, ENOSPC, SYSV, "there are kernel.msgmni queues: remove one, or raise that by sysctl(8)"},
    {MQ_CREATE, EPERM, SYSV, "more than kernel.msgmnb bytes need root or a change by sysctl(8)"},
    {MQ_CREATE, EACCES, POSIX, "the name is another user's, or not allowed here"},
    {MQ_CREATE, ENOSYS, BOTH, "this kernel has no such queues"},
    {MQ_REMOVE, ENOENT, BOTH, "nothing is to be removed"},
    {MQ_REMOVE, EACCES, BOTH, "only its owner and root can do that"},
    {MQ_REMOVE, EPERM, BOTH, "only its owner and root can do that"},
    {MQ_SEND, EAGAIN, BOTH, "take messages out, or wait for room with --wait or --timeout"},
    {MQ_SEND, EMSGSIZE, POSIX, "shorter messages, or a queue made with: mp-mqcat create --message-size"},
    {MQ_SEND, EMSGSIZE, SYSV, "shorter messages, or raise kernel.msgmax by sysctl(8)"},
    {MQ_SEND, EBADF, BOTH, "the descriptor that was passed is for receiving only"},
    {MQ_SEND, EACCES, SYSV, "its mode does not let this user send"},
    {MQ_SEND, EIDRM, SYSV, "it was removed meanwhile"},
    {MQ_RECEIVE, EAGAIN, BOTH, "wait for a message with --wait or --timeout"},
    {MQ_RECEIVE, EBADF, BOTH, "the descriptor that was passed is for sending only"},
    {MQ_RECEIVE, EACCES, SYSV, "its mode does not let this user receive"},
    {MQ_RECEIVE, E2BIG, SYSV, "it is longer than kernel.msgmax now allows: raise that by sysctl(8)"},
    {MQ_RECEIVE, EIDRM, SYSV, "it was removed meanwhile"},
    {MQ_STATUS, EACCES, SYSV, "its mode does not let this user look"},
};

const char *mq_advice(QueueKind kind, MqDeed deed, int error) {
    for (size_t i = 0; i < ELEMENTS(rows); i++)
        if (rows[i].deed == deed && rows[i].error == error && rows[i].kinds & (1U << kind))
            return rows[i].advice;
    return NULL;
}

const char *mq_describe(MqDeed deed, int error) {
    if (error == EAGAIN)
        return deed == MQ_SEND ? "the queue is full" : "the queue is empty";
    if (error == EMSGSIZE)
        return "the message is too long for the queue";
    if (error == ENOENT)
        return "there is no such queue";
    if (error == EEXIST)
        return "the queue exists already";
    if (error == ENOSPC || (error == EMFILE && deed == MQ_CREATE))
        return "no more queues can be made";
    return strerror(error);
}

/* SPDX-License-Identifier: MIT */
#pragma once
/* An open message queue, POSIX or System V, behind the same calls. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "services/mq-name.h"

typedef enum QueueUse {
    QUEUE_LOOK, /* at its state */
    QUEUE_SEND,
    QUEUE_RECEIVE,
    QUEUE_WORK, /* receive, and put back what could not be worked on, if its mode allows that */
} QueueUse;

typedef struct Queue {
    QueueName name;
    int fd;             /* POSIX: the descriptor, which can be polled; else -EBADF */
    int id;             /* System V */
    size_t message_max; /* bytes of a message */
} Queue;

typedef struct QueueState {
    uint64_t messages;
    uint64_t max_messages; /* 0: System V counts bytes only */
    uint64_t message_max;
    uint64_t bytes, max_bytes; /* System V; else 0 */
    mode_t mode;
    uid_t uid;
    gid_t gid;
} QueueState;

typedef struct QueueSize {
    uint64_t max_messages, message_size; /* 0: the system's default; of System V both or none */
    mode_t mode;
} QueueSize;

/* All return 0 or a negative errno unless said otherwise. */
int queue_open(const QueueName *name, QueueUse use, Queue *ret);
/* Takes a POSIX queue that was passed as descriptor @fd; -EBADF when it is no queue. Its name is asked of the
 * kernel, or @fallback. */
int queue_adopt(int fd, const char *fallback, Queue *ret);
void queue_close(Queue *q);
/* -EEXIST: it is there already. */
int queue_create(const QueueName *name, const QueueSize *size);
int queue_remove(const QueueName *name);
int queue_state(const Queue *q, QueueState *ret);

/* @tag: the priority (POSIX) or the type (System V). Waits until @deadline_usec of the monotonic clock, 0:
 * not at all. -EAGAIN: it was full. */
int queue_send(const Queue *q, const char *data, size_t n, long tag, uint64_t deadline_usec);
/* Takes one message out, into @buf of message_max bytes; of System V one of type @type, as msgrcv(2) has it.
 * Returns its length; -EAGAIN: there was none until @deadline_usec. */
ssize_t queue_receive(const Queue *q, char *buf, long type, long *ret_tag, uint64_t deadline_usec);

/* SPDX-License-Identifier: MIT */
#pragma once
/* The name of a message queue, as people write it. */
#include <stddef.h>
#include <sys/types.h>

typedef enum QueueKind {
    QUEUE_POSIX, /* mq_overview(7) */
    QUEUE_SYSV,  /* sysvipc(7) */
} QueueKind;

#define QUEUE_TEXT_MAX 280

typedef struct QueueName {
    QueueKind kind;
    char text[QUEUE_TEXT_MAX]; /* "/jobs", "sysv:0x2a": how messages and commands call it */
    key_t key;                 /* of System V */
} QueueName;

/* Parses "/name", "mqueue:/name" or "sysv:KEY". Returns 0, or -EINVAL with what is wrong in *@ret_why, a
 * static sentence. Pure. */
int queue_name_parse(const char *s, QueueName *ret, const char **ret_why);

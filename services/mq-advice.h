/* SPDX-License-Identifier: MIT */
#pragma once
/* What to do about an error of a message queue. Pure. */
#include "services/mq-name.h"

typedef enum MqDeed {
    MQ_OPEN,
    MQ_CREATE,
    MQ_REMOVE,
    MQ_SEND,
    MQ_RECEIVE,
    MQ_STATUS,
    _MQ_DEED_MAX,
} MqDeed;

/* What to do when @deed ended with errno @error, or NULL when there is nothing to say beyond strerror(3).
 * "%s" in it is for the queue's name, at most once. */
const char *mq_advice(QueueKind kind, MqDeed deed, int error);
/* What happened, where strerror(3) would mislead. */
const char *mq_describe(MqDeed deed, int error);

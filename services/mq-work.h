/* SPDX-License-Identifier: MIT */
#pragma once
/* Work: a command for each message of a queue, some at once, until the queue has been empty for a while. */
#include "services/mq-queue.h"

typedef struct WorkPlan {
    const Queue *queue;
    const Queue *failed; /* where goes what failed for good; NULL: nowhere */
    char **command;
    long type;          /* of System V: which messages */
    uint64_t idle_usec; /* USEC_INFINITY: stay */
    uint64_t jobs, retries;
    bool stdout_is_queue; /* the commands' output goes where the errors go */
} WorkPlan;

/* Returns the exit status: 0 all that was taken is done, or kept in the queue of failed ones; 1 not so, which
 * was told. TERM and INT end it when the running commands have ended. */
int work_run(const WorkPlan *plan);

/* The pause before the next try after @tries have failed: 1 s, doubled each time, 60 s at most. Pure. */
uint64_t work_retry_pause(uint64_t tries);
/* The environment of a command: @base without what is for this process alone, and with MP_QUEUE, MP_PRIORITY
 * or MP_TYPE, and MP_MESSAGE when that is short and without NULs. An array to be freed by strv_free(); NULL:
 * no memory. Pure. */
char **work_environment(char *const *base, const QueueName *name, const char *data, size_t n, long tag);
/* Bytes of a message that MP_MESSAGE can have. */
#define WORK_MESSAGE_MAX 8192U

/* SPDX-License-Identifier: MIT */
#pragma once
/* The command line of mp-mqcat: which verb takes which words and options. */
#include "services/cli-options.h"
#include "services/mq-name.h"

typedef enum MqVerb {
    MQ_VERB_SEND,
    MQ_VERB_RECEIVE,
    MQ_VERB_DRAIN,
    MQ_VERB_WORK,
    MQ_VERB_CREATE,
    MQ_VERB_REMOVE,
    MQ_VERB_STATUS,
    _MQ_VERB_MAX,
} MqVerb;

typedef struct MqOptions {
    MqVerb verb;
    bool has_name; /* else the queue is one that was passed */
    QueueName name;
    char **texts; /* into argv */
    size_t n_texts;
    char **command; /* into argv, ended by NULL */

    uint64_t count;
    bool wait, null, raw, tags, json;
    uint64_t timeout_usec;
    uint64_t priority;
    int64_t type; /* 0: any; sending: not said */
    uint64_t max_messages, message_size;
    mode_t mode;
    uint64_t idle_usec, jobs, retries;
    const char *failed; /* the name of a queue, or NULL */
    QueueName failed_name;
} MqOptions;

extern const CliProgram mq_program;

/* Fills @ret, which points into @cli and @argv. Returns true to go on; else the process should end with
 * cli->status. cli_done(@cli) in any case. */
bool mq_options_parse(int argc, char **argv, MqOptions *ret, Cli *cli);

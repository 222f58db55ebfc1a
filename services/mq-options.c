/* SPDX-License-Identifier: MIT */
#include "services/mq-options.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/base/strtab.h"
#include "daemon/base/text.h"

#define AT(field) offsetof(MqOptions, field)
#define YEAR_USEC (365ULL * 86400 * USEC_PER_SEC)
/* mq_overview(7): MQ_PRIO_MAX is 32768. */
#define PRIORITY_MAX 32767

enum {
    ROW_COUNT,
    ROW_WAIT,
    ROW_TIMEOUT,
    ROW_NULL,
    ROW_RAW,
    ROW_PRIORITY,
    ROW_TYPE,
    ROW_TAGS,
    ROW_MAX_MESSAGES,
    ROW_MESSAGE_SIZE,
    ROW_MODE,
    ROW_IDLE,
    ROW_JOBS,
    ROW_RETRIES,
    ROW_FAILED,
    ROW_JSON,
};

static const CliRow rows[] = {
    [ROW_COUNT] = {"count", 'n', CLI_NUMBER, "N", AT(count), 1, 1000000000000,
                   "receive, drain: so many messages at most\n(default: receive 1, drain all)"},
    [ROW_WAIT] = {"wait", 'w', CLI_FLAG, NULL, AT(wait), 0, 0,
                  "send, receive: wait for room or for a message"},
    [ROW_TIMEOUT] = {"timeout", 't', CLI_DURATION, "TIME", AT(timeout_usec), USEC_PER_MSEC, YEAR_USEC,
                     "send, receive: wait, but for each message no longer\nthan so: 10s, 500ms"},
    [ROW_NULL] = {"null", '0', CLI_FLAG, NULL, AT(null), 0, 0,
                  "messages end with a NUL byte, not with a newline"},
    [ROW_RAW] = {"raw", 'r', CLI_FLAG, NULL, AT(raw), 0, 0,
                 "send: all input is one message; receive, drain:\nnothing is added to a message"},
    [ROW_PRIORITY] = {"priority", 'p', CLI_NUMBER, "N", AT(priority), 0, PRIORITY_MAX,
                      "send: POSIX, 0 to 32767, the highest leaves the queue\nfirst (default: 0)"},
    [ROW_TYPE] = {"type", 'T', CLI_SIGNED, "N", AT(type), 0, LONG_MAX,
                  "System V; send: from 1 up (default: 1); receive,\ndrain, work: only this type; -N: the "
                  "lowest up to\nN (default: any)"},
    [ROW_TAGS] = {"tags", 0, CLI_FLAG, NULL, AT(tags), 0, 0,
                  "receive, drain: priority or type and a tab before\neach message"},
    [ROW_MAX_MESSAGES] = {"max-messages", 0, CLI_NUMBER, "N", AT(max_messages), 1, 65536,
                          "create: so many messages fit (default: the system's)"},
    [ROW_MESSAGE_SIZE] = {"message-size", 0, CLI_SIZE, "BYTES", AT(message_size), 1, 16ULL << 20,
                          "create: so long may each be (default: the system's)"},
    [ROW_MODE] = {"mode", 0, CLI_MODE, "MODE", AT(mode), 0, 0777, "create: permissions (default: 0600)"},
    [ROW_IDLE] = {"idle", 0, CLI_DURATION, "TIME", AT(idle_usec), 0, YEAR_USEC,
                  "work: end when the queue was empty for so long;\ninfinity: never (default: 5s)"},
    [ROW_JOBS] = {"jobs", 'j', CLI_NUMBER, "N", AT(jobs), 1, 1024,
                  "work: so many commands at once (default: 1)"},
    [ROW_RETRIES] =
        {"retries", 0, CLI_NUMBER, "N", AT(retries), 0, 1000,
         "work: run a command that failed up to N times more,\nafter 1 s, 2 s, 4 s … (default: 0)"},
    [ROW_FAILED] = {"failed", 0, CLI_TEXT, "QUEUE", AT(failed), 0, 0,
                    "work: put what has failed for good into this queue"},
    [ROW_JSON] = {"json", 0, CLI_FLAG, NULL, AT(json), 0, 0, "status: as JSON"},
};

const CliProgram mq_program = {
    .name = "mp-mqcat",
    .synopsis = "mp-mqcat send    [OPTION...] QUEUE [TEXT...]\n"
                "mp-mqcat receive [OPTION...] [QUEUE]\n"
                "mp-mqcat drain   [OPTION...] [QUEUE]\n"
                "mp-mqcat work    [OPTION...] [QUEUE] -- COMMAND [ARGUMENT...]\n"
                "mp-mqcat create  [OPTION...] QUEUE\n"
                "mp-mqcat remove  QUEUE\n"
                "mp-mqcat status  [--json] [QUEUE]\n",
    .about = "Puts messages into a message queue, takes them out, or runs a command for each.\n\n"
             "QUEUE: /NAME (POSIX; also mqueue:/NAME) or sysv:KEY (System V). Without one it\n"
             "is the POSIX queue that was passed by LISTEN_FDS or as standard input.",
    .rows = rows,
    .n_rows = ELEMENTS(rows),
};

#define BIT(row) (1U << (row))
#define TAKES (BIT(ROW_NULL) | BIT(ROW_RAW) | BIT(ROW_TYPE) | BIT(ROW_TAGS) | BIT(ROW_COUNT))

static const struct {
    const char *name;
    bool needs_name, texts, command;
    uint64_t options;
} verbs[] = {
    [MQ_VERB_SEND] = {"send", true, true, false,
                      BIT(ROW_WAIT) | BIT(ROW_TIMEOUT) | BIT(ROW_NULL) | BIT(ROW_RAW) | BIT(ROW_PRIORITY) |
                          BIT(ROW_TYPE)},
    [MQ_VERB_RECEIVE] = {"receive", false, false, false, TAKES | BIT(ROW_WAIT) | BIT(ROW_TIMEOUT)},
    [MQ_VERB_DRAIN] = {"drain", false, false, false, TAKES},
    [MQ_VERB_WORK] = {"work", false, false, true,
                      BIT(ROW_TYPE) | BIT(ROW_IDLE) | BIT(ROW_JOBS) | BIT(ROW_RETRIES) | BIT(ROW_FAILED)},
    [MQ_VERB_CREATE] = {"create", true, false, false,
                        BIT(ROW_MAX_MESSAGES) | BIT(ROW_MESSAGE_SIZE) | BIT(ROW_MODE)},
    [MQ_VERB_REMOVE] = {"remove", true, false, false, 0},
    [MQ_VERB_STATUS] = {"status", false, false, false, BIT(ROW_JSON)},
};
_Static_assert(ELEMENTS(verbs) == _MQ_VERB_MAX, "a row for each verb");

static bool refuse(Cli *cli, int status) {
    cli->status = status;
    return false;
}

static bool find_verb(Cli *cli, MqOptions *o) {
    if (cli->n_words == 0)
        return refuse(cli, cli_usage(&mq_program,
                                     "what shall be done? send, receive, drain, work, create, remove, "
                                     "status"));
    for (size_t i = 0; i < ELEMENTS(verbs); i++) {
        if (streq(verbs[i].name, cli->words[0])) {
            o->verb = (MqVerb)i;
            return true;
        }
    }
    return refuse(cli, cli_usage(&mq_program,
                                 "'%s' is not one of send, receive, drain, work, create, remove, status",
                                 cli->words[0]));
}

static bool take_name(Cli *cli, const char *text, QueueName *ret) {
    const char *why = NULL;
    if (queue_name_parse(text, ret, &why) < 0)
        return refuse(cli, cli_usage(&mq_program, "'%s': %s", text, why));
    return true;
}

/* Texts may stand behind "--" too, when one begins with '-': then only there. */
static bool take_words(Cli *cli, MqOptions *o) {
    const char *verb = verbs[o->verb].name;
    if (verbs[o->verb].needs_name && cli->n_words < 2)
        return refuse(cli, cli_usage(&mq_program, "%s: which queue?", verb));
    if (cli->n_words >= 2) {
        if (!take_name(cli, cli->words[1], &o->name))
            return false;
        o->has_name = true;
    }
    if (cli->n_words > 2 && !verbs[o->verb].texts)
        return refuse(cli, cli_usage(&mq_program, "%s: unexpected word '%s'%s", verb, cli->words[2],
                                     verbs[o->verb].command ? "; the command stands behind --" : ""));
    if (verbs[o->verb].command) {
        o->command = cli->rest;
        return cli->rest && *cli->rest ? true
                                       : refuse(cli, cli_usage(&mq_program,
                                                               "%s: which command? it stands "
                                                               "behind --",
                                                               verb));
    }
    bool more = cli->rest && *cli->rest;
    if (more && (!verbs[o->verb].texts || cli->n_words > 2))
        return refuse(cli, cli_usage(&mq_program, "%s: unexpected word '%s'", verb, *cli->rest));
    o->texts = more ? cli->rest : cli->words + (cli->n_words < 2 ? cli->n_words : 2);
    for (char **t = o->texts; t && *t; t++)
        o->n_texts++;
    return true;
}

/* Rules between options and the kind of queue; NULL: all is well. */
static const char *what_is_wrong(const MqOptions *o, uint64_t given) {
    bool sysv = o->has_name && o->name.kind == QUEUE_SYSV;
    if (o->null && o->raw)
        return "--null and --raw exclude each other";
    if (o->n_texts > 0 && (o->null || o->raw))
        return "--null and --raw are for messages that are read: each TEXT is one message";
    if (sysv && given & BIT(ROW_PRIORITY))
        return "messages of System V have no priority, but a --type";
    if (!sysv && given & BIT(ROW_TYPE))
        return "messages of POSIX queues have no type, but a --priority";
    if (sysv && o->verb == MQ_VERB_SEND && given & BIT(ROW_TYPE) && o->type < 1)
        return "--type: a message that is sent has a type from 1 up";
    if (o->verb == MQ_VERB_CREATE && (o->max_messages == 0) != (o->message_size == 0))
        return "--max-messages and --message-size are given together, or none of them";
    return NULL;
}

bool mq_options_parse(int argc, char **argv, MqOptions *o, Cli *cli) {
    *o = (MqOptions){.mode = 0600, .idle_usec = 5 * USEC_PER_SEC, .jobs = 1};
    if (!cli_parse(&mq_program, argc, argv, o, cli) || !find_verb(cli, o))
        return false;
    uint64_t foreign = cli->given & ~verbs[o->verb].options;
    if (foreign)
        return refuse(cli, cli_usage(&mq_program, "--%s is not for %s", rows[__builtin_ctzll(foreign)].name,
                                     verbs[o->verb].name));
    if (!take_words(cli, o) || (o->failed && !take_name(cli, o->failed, &o->failed_name)))
        return false;
    const char *why = what_is_wrong(o, cli->given);
    if (why)
        return refuse(cli, cli_usage(&mq_program, "%s", why));
    if (o->count == 0)
        o->count = o->verb == MQ_VERB_DRAIN ? UINT64_MAX : 1;
    if (o->verb == MQ_VERB_SEND && o->type == 0)
        o->type = 1;
    return true;
}

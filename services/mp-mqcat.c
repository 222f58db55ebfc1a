/* SPDX-License-Identifier: MIT */
/* mp-mqcat: messages into a queue and out of it, and work on them. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <mqueue.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/base/text.h"
#include "services/mp-service.h"
#include "services/mq-advice.h"
#include "services/mq-input.h"
#include "services/mq-options.h"
#include "services/mq-queue.h"
#include "services/mq-work.h"

/* The queue was empty or full, all that was wanted else is done. */
#define EXIT_AGAIN 3
#define PASSED_MAX 16

/* Tells what went wrong and what to do; returns the exit status. */
static int fail(const QueueName *name, MqDeed deed, int error) {
    (void)fprintf(stderr, "mp-mqcat: %s: %s", name->text, mq_describe(deed, error));
    const char *advice = mq_advice(name->kind, deed, error);
    if (advice) {
        const char *mark = strstr(advice, "%s");
        int n = mark ? (int)(mark - advice) : (int)strlen(advice);
        (void)fprintf(stderr, "; %.*s%s%s", n, advice, mark ? name->text : "", mark ? mark + 2 : "");
    }
    (void)fputc('\n', stderr);
    return error == EAGAIN && (deed == MQ_SEND || deed == MQ_RECEIVE) ? EXIT_AGAIN : EXIT_FAILURE;
}

static int fail_input(const char *what, int error) {
    (void)fprintf(stderr, "mp-mqcat: %s: %s\n", what, strerror(error));
    return EXIT_FAILURE;
}

/* The queue that was passed, by LISTEN_FDS or as standard input. */
static int adopt(Queue *ret) {
    MpSocket passed[PASSED_MAX];
    int n = mp_sockets(passed, PASSED_MAX);
    for (int i = 0; i < n && i < PASSED_MAX; i++) {
        const char *name = *passed[i].name ? passed[i].name : "queue";
        if (queue_adopt(passed[i].fd, name, ret) >= 0) {
            (void)fcntl(passed[i].fd, F_SETFD, FD_CLOEXEC);
            return EXIT_SUCCESS;
        }
    }
    return cli_usage(&mq_program, "which queue? None was passed by LISTEN_FDS or as standard input");
}

/* Returns EXIT_SUCCESS or the exit status. */
static int open_queue(const MqOptions *o, QueueUse use, Queue *ret) {
    if (!o->has_name)
        return adopt(ret);
    int r = queue_open(&o->name, use, ret);
    return r < 0 ? fail(&o->name, MQ_OPEN, -r) : EXIT_SUCCESS;
}

static uint64_t deadline_of(const MqOptions *o) {
    if (o->timeout_usec && o->timeout_usec != USEC_INFINITY)
        return clock_monotonic_usec() + o->timeout_usec;
    return o->wait || o->timeout_usec ? USEC_INFINITY : 0;
}

static int send_one(const MqOptions *o, const Queue *q, uint64_t number, const char *data, size_t n) {
    long tag = q->name.kind == QUEUE_SYSV ? (long)o->type : (long)o->priority;
    int r = queue_send(q, data, n, tag, deadline_of(o));
    if (r >= 0)
        return EXIT_SUCCESS;
    if (r == -EMSGSIZE)
        (void)fprintf(stderr, "mp-mqcat: message %" PRIu64 " has %zu bytes, and the queue takes %zu\n",
                      number, n, q->message_max);
    else if (number > 1)
        (void)fprintf(stderr, "mp-mqcat: message %" PRIu64 " was not sent, those before it were\n", number);
    return fail(&q->name, MQ_SEND, -r);
}

static InputForm form_of(const MqOptions *o) {
    return o->raw ? INPUT_RAW : o->null ? INPUT_NULL : INPUT_LINES;
}

static int send_input(const MqOptions *o, const Queue *q) {
    Input input;
    const char *data = "";
    size_t n = 0;
    uint64_t number = 0;
    int r = input_init(&input, STDIN_FILENO, form_of(o), q->message_max), status = EXIT_SUCCESS;
    while (r >= 0 && status == EXIT_SUCCESS && (r = input_next(&input, &data, &n)) > 0)
        status = send_one(o, q, ++number, data, n);
    /* Nothing at all, raw, is an empty message. */
    if (r == 0 && status == EXIT_SUCCESS && o->raw && number == 0)
        status = send_one(o, q, 1, "", 0);
    input_done(&input);
    if (r == -EMSGSIZE) {
        (void)fprintf(stderr,
                      "mp-mqcat: message %" PRIu64 " has more than the %zu bytes that the queue takes\n",
                      number + 1, q->message_max);
        return fail(&q->name, MQ_SEND, EMSGSIZE);
    }
    return r < 0 ? fail_input("standard input", -r) : status;
}

static int do_send(const MqOptions *o) {
    Queue q;
    int status = open_queue(o, QUEUE_SEND, &q);
    if (status != EXIT_SUCCESS)
        return status;
    if (o->n_texts == 0)
        status = send_input(o, &q);
    for (size_t i = 0; i < o->n_texts && status == EXIT_SUCCESS; i++)
        status = send_one(o, &q, i + 1, o->texts[i], strlen(o->texts[i]));
    queue_close(&q);
    return status;
}

/* Each message is written out before the next one is taken: no more than one can get lost. */
static int write_message(const MqOptions *o, const char *data, size_t n, long tag) {
    CLEANUP_TEXT Text t = {0};
    if (o->tags)
        text_addf(&t, "%ld\t", tag);
    text_add_n(&t, data, n);
    if (!o->raw)
        text_addc(&t, o->null ? '\0' : '\n');
    if (!text_ok(&t))
        return -ENOMEM;
    return mp_write_all(STDOUT_FILENO, t.s ? t.s : "", t.len);
}

static int take_messages(const MqOptions *o, const Queue *q, char *buf) {
    for (uint64_t i = 0; i < o->count; i++) {
        long tag = 0;
        ssize_t n = queue_receive(q, buf, (long)o->type, &tag, deadline_of(o));
        if (n == -EAGAIN && o->verb == MQ_VERB_DRAIN)
            return EXIT_SUCCESS;
        if (n < 0)
            return fail(&q->name, MQ_RECEIVE, (int)-n);
        int r = write_message(o, buf, (size_t)n, tag);
        if (r < 0) {
            (void)fprintf(stderr, "mp-mqcat: %s: a message of %zd bytes was taken and could not be written\n",
                          q->name.text, n);
            return fail_input("standard output", -r);
        }
    }
    return EXIT_SUCCESS;
}

static int do_receive(const MqOptions *o) {
    Queue q;
    int status = open_queue(o, QUEUE_RECEIVE, &q);
    if (status != EXIT_SUCCESS)
        return status;
    CLEANUP_FREE char *buf = malloc(q.message_max + 1);
    status = buf ? take_messages(o, &q, buf) : fail_input("start", ENOMEM);
    queue_close(&q);
    return status;
}

static bool is_queue(int fd) {
    struct mq_attr attributes;
    return mq_getattr(fd, &attributes) == 0;
}

static int do_work(const MqOptions *o) {
    Queue q, failed = {.fd = -EBADF};
    int status = open_queue(o, QUEUE_WORK, &q);
    if (status != EXIT_SUCCESS)
        return status;
    int r = o->failed ? queue_open(&o->failed_name, QUEUE_SEND, &failed) : 0;
    const WorkPlan plan = {.queue = &q,
                           .failed = o->failed ? &failed : NULL,
                           .command = o->command,
                           .type = (long)o->type,
                           .idle_usec = o->idle_usec,
                           .jobs = o->jobs,
                           .retries = o->retries,
                           .stdout_is_queue = is_queue(STDOUT_FILENO)};
    status = r < 0 ? fail(&o->failed_name, MQ_OPEN, -r) : work_run(&plan);
    queue_close(&failed);
    queue_close(&q);
    return status;
}

static int do_create(const MqOptions *o) {
    const QueueSize size = {
        .max_messages = o->max_messages, .message_size = o->message_size, .mode = o->mode};
    int r = queue_create(&o->name, &size);
    return r < 0 ? fail(&o->name, MQ_CREATE, -r) : EXIT_SUCCESS;
}

static int do_remove(const MqOptions *o) {
    int r = queue_remove(&o->name);
    return r < 0 ? fail(&o->name, MQ_REMOVE, -r) : EXIT_SUCCESS;
}

static void print_state(const Queue *q, const QueueState *s) {
    const struct passwd *user = getpwuid(s->uid);
    const struct group *group = getgrgid(s->gid);
    printf("%s: %" PRIu64 " message%s", q->name.text, s->messages, s->messages == 1 ? "" : "s");
    if (s->max_messages)
        printf(" of at most %" PRIu64 "\n", s->max_messages);
    else
        printf(", %" PRIu64 " of at most %" PRIu64 " bytes\n", s->bytes, s->max_bytes);
    printf("  each    at most %" PRIu64 " bytes\n", s->message_max);
    printf("  mode    %04o\n  owner   ", (unsigned)s->mode);
    if (user)
        printf("%s:", user->pw_name);
    else
        printf("%u:", s->uid);
    if (group)
        printf("%s\n", group->gr_name);
    else
        printf("%u\n", s->gid);
}

static void print_state_json(const Queue *q, const QueueState *s) {
    bool sysv = q->name.kind == QUEUE_SYSV;
    CLEANUP_TEXT Text name = {0};
    text_add_json(&name, q->name.text, strlen(q->name.text));
    printf("{\"queue\": %s, \"kind\": \"%s\", \"messages\": %" PRIu64, name.s ? name.s : "null",
           sysv ? "sysv" : "posix", s->messages);
    if (sysv)
        printf(", \"max_messages\": null, \"bytes\": %" PRIu64 ", \"max_bytes\": %" PRIu64, s->bytes,
               s->max_bytes);
    else
        printf(", \"max_messages\": %" PRIu64 ", \"bytes\": null, \"max_bytes\": null", s->max_messages);
    printf(", \"message_size\": %" PRIu64 ", \"mode\": \"%04o\", \"uid\": %u, \"gid\": %u}\n", s->message_max,
           (unsigned)s->mode, s->uid, s->gid);
}

static int do_status(const MqOptions *o) {
    Queue q = {.fd = -EBADF};
    QueueState state;
    int status = open_queue(o, QUEUE_LOOK, &q);
    if (status != EXIT_SUCCESS)
        return status;
    int r = queue_state(&q, &state);
    if (r < 0)
        status = fail(&q.name, MQ_STATUS, -r);
    else
        (o->json ? print_state_json : print_state)(&q, &state);
    queue_close(&q);
    if (fflush(stdout) != 0)
        return fail_input("standard output", errno);
    return status;
}

static int (*const verbs[])(const MqOptions *) = {
    [MQ_VERB_SEND] = do_send,     [MQ_VERB_RECEIVE] = do_receive, [MQ_VERB_DRAIN] = do_receive,
    [MQ_VERB_WORK] = do_work,     [MQ_VERB_CREATE] = do_create,   [MQ_VERB_REMOVE] = do_remove,
    [MQ_VERB_STATUS] = do_status,
};
_Static_assert(ELEMENTS(verbs) == _MQ_VERB_MAX, "a function for each verb");

int main(int argc, char **argv) {
    MqOptions options;
    Cli cli;
    bool go_on = mq_options_parse(argc, argv, &options, &cli);
    int status = go_on ? verbs[options.verb](&options) : cli.status;
    cli_done(&cli);
    return status;
}

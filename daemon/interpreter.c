/* SPDX-License-Identifier: MIT */
#include "daemon/interpreter.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "daemon/backoff.h"
#include "daemon/base/clock.h"
#include "daemon/base/list.h"
#include "daemon/base/passed.h"
#include "daemon/seclusion.h"

/* How long it may be at one message, which takes it a millisecond; how long a message may wait for one that
 * cannot be started; and how long until that is tried again. */
#define ANSWER_USEC (10 * USEC_PER_SEC)
#define PATIENCE_USEC (30 * USEC_PER_SEC)
/* How long it may live without its socket. */
#define END_USEC USEC_PER_SEC
#define DELAY_MIN_USEC (10 * USEC_PER_MSEC)
#define DELAY_MAX_USEC USEC_PER_SEC
#define TIMER_ACCURACY_USEC (100 * USEC_PER_MSEC)

/* Lines of the log about it. */
#define LINES_PER_SECOND 1
#define LINES_BURST 5

static const HelperLimits limits = {
    .memory = (rlim_t)64 << 20, .descriptors = 16, /* to come to its own start; then none */
};

/* A message that is to be read, or is just being read. */
typedef struct Reading {
    List link;
    const char *json;
    size_t n;
    uint64_t asked_usec; /* monotonic */
    InterpreterDone done;
    void *asker;
} Reading;

struct Interpreter {
    sd_event *loop;
    Helpers *helpers;
    EventLog *log;
    char *const *env;
    const char *of;
    uint64_t *restarts;
    Helper *helper; /* NULL: off */
    int fd;
    sd_event_source *source, *timer; /* what it says; that it says nothing, or is to be started again */
    bool greeted;                    /* it has told what it could give up */
    bool told_filter;
    const char *failed; /* why it is of no use any more, though it has not been seen to end */
    List waiting;       /* readings */
    Reading *current;   /* with it; its asker may be gone: then `done` is NULL */
    uint64_t id;        /* of that */
    unsigned level;     /* of its delays */
    Ratelimit lines;
};

static void send_next(Interpreter *i);
static void lose(Interpreter *i, const char *why);

static void free_reading(Reading *r) {
    list_remove(&r->link);
    free(r);
}

/* What is left of it is not looked at any more. */
static void stop(Interpreter *i) {
    i->helper = helper_free(i->helper);
    i->source = sd_event_source_disable_unref(i->source);
    i->fd = fd_close(i->fd);
    i->greeted = false;
    i->failed = NULL;
}

static void tell(Interpreter *i, const char *why, bool lost) {
    if (!ratelimit_pass(&i->lines, LINES_PER_SECOND, LINES_BURST, clock_monotonic_usec()))
        return;
    eventlog_say(i->log, LOG_LEVEL_WARNING, "control", "the process that reads the requests of %s %s%s",
                 i->of, why, lost ? ": one of them loses his connection" : "");
}

static void finish(Interpreter *i, RequestReply *reply) {
    Reading *r = TAKE_PTR(i->current);
    if (!r)
        return;
    InterpreterDone done = r->done;
    void *asker = r->asker;
    free_reading(r);
    if (done)
        done(reply, asker);
}

/* Whoever has waited for long enough is told so. The one who is told may ask again, or be gone. */
static void give_up_waiting(Interpreter *i) {
    uint64_t now = clock_monotonic_usec();
    while (!list_is_empty(&i->waiting) && !i->current) {
        Reading *r = LIST_ENTRY(i->waiting.next, Reading, link);
        if (now - r->asked_usec < PATIENCE_USEC)
            break;
        i->current = r;
        list_remove(&r->link);
        finish(i, NULL);
    }
}

static int on_time(sd_event_source *s, uint64_t usec, void *userdata) {
    Interpreter *i = userdata;
    (void)s;
    uint64_t now = clock_monotonic_usec();
    i->timer = sd_event_source_disable_unref(i->timer);
    if (i->failed) {
        lose(i, i->failed);
        return 0;
    }
    if (!i->current) {
        give_up_waiting(i);
        send_next(i);
        return 0;
    }
    /* Where the daemon itself was away it has not had its time either. */
    if (clock_timer_is_late(usec + TIMER_ACCURACY_USEC, now) &&
        sd_event_add_time(i->loop, &i->timer, CLOCK_MONOTONIC, now + ANSWER_USEC, TIMER_ACCURACY_USEC,
                          on_time, i) >= 0)
        return 0;
    lose(i, "has taken too long for one");
    return 0;
}

static void wake_in(Interpreter *i, uint64_t usec) {
    i->timer = sd_event_source_disable_unref(i->timer);
    /* Without one it is tried again with the next message. */
    (void)sd_event_add_time_relative(i->loop, &i->timer, CLOCK_MONOTONIC, usec, TIMER_ACCURACY_USEC, on_time,
                                     i);
}

/* That it has failed is told in a turn of its own; unless its end is there by then, which says why. */
static void fail_in(Interpreter *i, const char *why, uint64_t usec) {
    i->failed = why;
    wake_in(i, usec);
}

/* It costs the one whose message it was with; the others' are read by the next one. */
static void lose(Interpreter *i, const char *why) {
    stop(i);
    ++*i->restarts;
    tell(i, why, i->current && i->current->done);
    wake_in(i, backoff_retry_delay(&i->level, DELAY_MIN_USEC, DELAY_MAX_USEC));
    finish(i, NULL);
}

static void on_end(const HelperEnd *end, void *userdata) {
    Interpreter *i = userdata;
    char what[128];
    i->helper = NULL;
    lose(i, helper_end_text(end, what, sizeof(what)));
}

/* Its first word: what became of the filter of its system calls. */
static void greet(Interpreter *i, const uint8_t *data, size_t n) {
    int32_t filter = 0;
    if (n != sizeof(filter)) {
        lose(i, "has said what it cannot say");
        return;
    }
    memcpy(&filter, data, sizeof(filter));
    i->greeted = true;
    if (filter >= 0 || filter < -4095 || i->told_filter)
        return;
    i->told_filter = true;
    eventlog_say(i->log, LOG_LEVEL_WARNING, "control",
                 "the process that reads the requests of %s runs without a filter of its system calls: %s",
                 i->of, strerror(-filter));
}

static void take_answer(Interpreter *i, const uint8_t *data, size_t n) {
    RequestReply reply = {0};
    if (!i->current || request_blob_read(data, n, &reply) < 0 || reply.id != i->id) {
        request_reply_done(&reply);
        lose(i, "has said what it cannot say");
        return;
    }
    i->level = 0;
    i->timer = sd_event_source_disable_unref(i->timer);
    finish(i, &reply);
    request_reply_done(&reply);
    send_next(i);
}

static int on_answer(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
    Interpreter *i = userdata;
    (void)s;
    (void)revents;
    ssize_t n = recv(fd, NULL, 0, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n <= 0) {
        i->source = sd_event_source_disable_unref(i->source);
        fail_in(i, "has closed its socket", END_USEC);
        return 0;
    }
    if ((size_t)n > REQUEST_BLOB_MAX) {
        lose(i, "has said what it cannot say");
        return 0;
    }
    uint8_t *data CLEANUP_FREE = malloc((size_t)n);
    ssize_t got = data ? passed_recv(fd, data, (size_t)n) : -1;
    if (got != n)
        lose(i, "could not be listened to");
    else if (!i->greeted)
        greet(i, data, (size_t)n);
    else
        take_answer(i, data, (size_t)n);
    return 0;
}

/* Of the daemon's environment it gets what its program may need to start, and nothing that is secret. */
static char **make_environ(char *const *env) {
    static const char *const kept[] = {
        "LD_LIBRARY_PATH=", "ASAN_OPTIONS=", "UBSAN_OPTIONS=", SECLUSION_OFF_VARIABLE "="};
    CLEANUP_STRV char **result = (char **)calloc(2, sizeof(char *));
    for (char *const *v = env; result && v && *v; v++)
        for (size_t k = 0; k < ELEMENTS(kept); k++)
            if (starts_with(*v, kept[k]) && strv_push(&result, strdup(*v)) < 0)
                return NULL;
    return TAKE_PTR(result);
}

static int run(Interpreter *i, const int fds[2]) {
    static const int room = (int)(REQUEST_BLOB_MAX + 4096);
    char word[32];
    CLEANUP_STRV char **env = make_environ(i->env);
    (void)snprintf(word, sizeof(word), INTERPRETER_SOCKET_WORD "%d", fds[1]);
    char *const argv[] = {(char[]){"mpinetd"}, (char[]){INTERPRETER_WORD}, word, NULL};
    const HelperPlan plan = {
        .argv = argv, .environ = env, .fds = &fds[1], .n_fds = 1, .blind = true, .limits = limits};
    for (size_t k = 0; k < 2; k++)
        (void)setsockopt(fds[k], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
    int r = env ? sd_event_add_io(i->loop, &i->source, fds[0], EPOLLIN, on_answer, i) : -ENOMEM;
    return r < 0 ? r : helper_start(i->helpers, i->loop, &plan, on_end, i, &i->helper);
}

static int start(Interpreter *i) {
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
        return -errno;
    int r = run(i, fds);
    (void)fd_close(fds[1]);
    i->fd = fds[0];
    if (r < 0)
        stop(i);
    return r;
}

static bool is_up(Interpreter *i) {
    if (i->helper)
        return !i->failed;
    if (i->timer)
        return false;
    int r = start(i);
    if (r >= 0)
        return true;
    char why[128];
    (void)snprintf(why, sizeof(why), "cannot be started: %s", strerror(-r));
    tell(i, why, false);
    wake_in(i, backoff_retry_delay(&i->level, DELAY_MIN_USEC, DELAY_MAX_USEC));
    return false;
}

void interpreter_prepare(Interpreter *i) {
    (void)is_up(i);
}

static int send_message(const Interpreter *i, const Reading *r) {
    uint64_t id = i->id;
    struct iovec parts[] = {{.iov_base = &id, .iov_len = INTERPRETER_HEAD},
                            {.iov_base = (char *)(uintptr_t)r->json, .iov_len = r->n}};
    struct msghdr m = {.msg_iov = parts, .msg_iovlen = ELEMENTS(parts)};
    return sendmsg(i->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* The next one, if there is one and nothing else is under way. */
static void send_next(Interpreter *i) {
    if (i->current || list_is_empty(&i->waiting) || !is_up(i))
        return;
    Reading *first = LIST_ENTRY(i->waiting.next, Reading, link);
    i->id++;
    /* What it has not had is for the next one to read. */
    if (send_message(i, first) < 0) {
        fail_in(i, "takes no message", 0);
        return;
    }
    i->current = first;
    list_remove(&first->link);
    wake_in(i, ANSWER_USEC);
}

int interpreter_ask(Interpreter *i, const char *json, size_t n, InterpreterDone done, void *asker) {
    Reading *r = calloc(1, sizeof(*r));
    if (!r)
        return -ENOMEM;
    *r = (Reading){.json = json, .n = n, .asked_usec = clock_monotonic_usec(), .done = done, .asker = asker};
    list_init(&r->link);
    list_append(&i->waiting, &r->link);
    send_next(i);
    return 0;
}

void interpreter_forget(Interpreter *i, const void *asker) {
    if (i->current && i->current->asker == asker)
        i->current->done = NULL;
    LIST_FOREACH_SAFE (r, &i->waiting, Reading, link)
        if (r->asker == asker)
            free_reading(r);
}

Interpreter *interpreter_new(sd_event *loop, Helpers *helpers, EventLog *log, char *const *env,
                             const char *of, uint64_t *restarts) {
    Interpreter *i = calloc(1, sizeof(*i));
    if (!i)
        return NULL;
    *i = (Interpreter){.loop = loop,
                       .helpers = helpers,
                       .log = log,
                       .env = env,
                       .of = of,
                       .fd = -EBADF,
                       .restarts = restarts};
    list_init(&i->waiting);
    return i;
}

Interpreter *interpreter_free(Interpreter *i) {
    if (!i)
        return NULL;
    stop(i);
    sd_event_source_disable_unref(i->timer);
    if (i->current)
        free_reading(i->current);
    LIST_FOREACH_SAFE (r, &i->waiting, Reading, link)
        free_reading(r);
    free(i);
    return NULL;
}

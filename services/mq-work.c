/* SPDX-License-Identifier: MIT */
#include "services/mq-work.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/base/errors.h"
#include "daemon/base/text.h"
#include "services/client-socket.h"
#include "services/mp-service.h"

#define RETRY_MAX_USEC (60 * USEC_PER_SEC)
/* A queue of System V cannot be polled, and is looked at so often while there is nothing else to do. */
#define LOOK_USEC (20 * USEC_PER_MSEC)

typedef struct Job {
    char *data; /* the message, owned; NULL: this place is free */
    size_t n;
    long tag;
    pid_t pid; /* 0: not running, but waiting for its next try */
    uint64_t tries, again_usec;
} Job;

typedef struct Work {
    const WorkPlan *plan;
    Job *jobs;
    char *buf; /* of a message */
    uint64_t n_jobs, done, lost, failed;
    uint64_t busy_usec; /* when there was something to do, lately */
    int signals;
    bool stopping; /* nothing more is taken */
    bool broken;   /* for an error, which was told */
    bool empty;    /* at the last look */
} Work;

uint64_t work_retry_pause(uint64_t tries) {
    uint64_t pause = USEC_PER_SEC;
    for (uint64_t i = 1; i < tries && pause < RETRY_MAX_USEC; i++)
        pause *= 2;
    return pause < RETRY_MAX_USEC ? pause : RETRY_MAX_USEC;
}

/* What was said to this process about its own descriptors, and what it says itself. */
static bool is_own(const char *entry) {
    static const char *const names[] = {"LISTEN_PID=", "LISTEN_FDS=",  "LISTEN_FDNAMES=", "MP_STATUS_FD=",
                                        "MP_QUEUE=",   "MP_PRIORITY=", "MP_TYPE=",        "MP_MESSAGE="};
    for (size_t i = 0; i < ELEMENTS(names); i++)
        if (starts_with(entry, names[i]))
            return true;
    return false;
}

char **work_environment(char *const *base, const QueueName *name, const char *data, size_t n, long tag) {
    CLEANUP_STRV char **env = NULL;
    CLEANUP_TEXT Text t = {0};
    for (; *base; base++)
        if (!is_own(*base) && strv_push(&env, strdup(*base)) < 0)
            return NULL;
    text_addf(&t, "MP_QUEUE=%s", name->text);
    if (strv_push(&env, text_take(&t)) < 0)
        return NULL;
    text_addf(&t, "%s=%ld", name->kind == QUEUE_SYSV ? "MP_TYPE" : "MP_PRIORITY", tag);
    if (strv_push(&env, text_take(&t)) < 0)
        return NULL;
    if (n > WORK_MESSAGE_MAX || (n > 0 && memchr(data, '\0', n)))
        return TAKE_PTR(env);
    text_add(&t, "MP_MESSAGE=");
    text_add_n(&t, data, n);
    return strv_push(&env, text_take(&t)) < 0 ? NULL : TAKE_PTR(env);
}

static void complain(const Work *w, const char *what, int error) {
    (void)fprintf(stderr, "mp-mqcat: %s: %s%s%s\n", w->plan->queue->name.text, what, error ? ": " : "",
                  error ? strerror(error) : "");
}

static uint64_t running(const Work *w) {
    uint64_t n = 0;
    for (uint64_t i = 0; i < w->plan->jobs; i++)
        n += w->jobs[i].pid > 0;
    return n;
}

static void report(const Work *w) {
    QueueState state;
    (void)mp_reportf("ACTIVE=%" PRIu64 "\nREQUESTS=%" PRIu64 "\nX_FAILED=%" PRIu64 "\n", running(w), w->done,
                     w->failed);
    if (queue_state(w->plan->queue, &state) == 0)
        (void)mp_reportf("QUEUED=%" PRIu64 "\n", state.messages);
}

/* The message as a file of its own, which the command can read as it likes. */
static int make_input(const Job *job) {
    CLEANUP_CLOSE int fd = memfd_create("message", MFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    int r = mp_write_all(fd, job->data, job->n);
    if (r < 0)
        return r;
    return lseek(fd, 0, SEEK_SET) < 0 ? -errno : TAKE_FD(fd);
}

/* Returns 0 or an errno, the command's exec included. */
static int spawn(const Work *w, Job *job, int input, char **env) {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none;
    sigemptyset(&none);
    int r = posix_spawn_file_actions_init(&actions);
    if (r != 0)
        return r;
    r = posix_spawnattr_init(&attributes);
    if (r == 0) {
        /* The signals that are blocked here are not so for the command. */
        (void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
        (void)posix_spawnattr_setsigmask(&attributes, &none);
        r = posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
        if (r == 0 && w->plan->stdout_is_queue)
            r = posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
        if (r == 0)
            r = posix_spawnp(&job->pid, w->plan->command[0], &actions, &attributes, w->plan->command, env);
        (void)posix_spawnattr_destroy(&attributes);
    }
    (void)posix_spawn_file_actions_destroy(&actions);
    return r;
}

static void forget(Work *w, Job *job) {
    free(job->data);
    *job = (Job){0};
    w->n_jobs--;
}

/* It is not worked on any more: to @where, if it takes it. */
static bool put(const Work *w, const Job *job, const Queue *where) {
    long tag = where->name.kind == QUEUE_SYSV && job->tag < 1 ? 1 : job->tag;
    int r = queue_send(where, job->data, job->n, tag, 0);
    if (r < 0)
        complain(w,
                 where == w->plan->queue ? "a message could not be put back"
                                         : "a failed message could not be kept",
                 -r);
    return r >= 0;
}

static void give_up(Work *w, Job *job) {
    w->failed++;
    if (!w->plan->failed || !put(w, job, w->plan->failed)) {
        w->lost++;
        (void)fprintf(stderr, "mp-mqcat: %s: a message of %zu bytes is dropped\n", w->plan->queue->name.text,
                      job->n);
    }
    forget(w, job);
}

/* Nothing is wrong with the message: it goes back, and this process ends. */
static void give_back(Work *w, Job *job) {
    w->stopping = true;
    if (!put(w, job, w->plan->queue) && (!w->plan->failed || !put(w, job, w->plan->failed)))
        w->lost++;
    forget(w, job);
}

static void try_again_later(Work *w, Job *job, uint64_t now) {
    if (w->stopping) {
        give_back(w, job);
        return;
    }
    job->again_usec = now + work_retry_pause(job->tries);
}

static void start(Work *w, Job *job, uint64_t now) {
    CLEANUP_STRV char **env = work_environment(environ, &w->plan->queue->name, job->data, job->n, job->tag);
    CLEANUP_CLOSE int input = make_input(job);
    int error = input < 0 ? -input : !env ? ENOMEM : spawn(w, job, input, env);
    if (error == 0)
        return;
    job->pid = 0;
    complain(w, w->plan->command[0], error);
    if (errno_is_resource(error) || error == EAGAIN) {
        job->tries++;
        try_again_later(w, job, now);
        return;
    }
    w->broken = true;
    give_back(w, job);
}

static void on_failure(Work *w, Job *job, int status, uint64_t now) {
    const char *what = WIFSIGNALED(status) ? "ended by signal" : "ended with";
    int number = WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
    bool again = job->tries <= w->plan->retries && !w->stopping;
    (void)fprintf(stderr, "mp-mqcat: %s: %s %s %d", w->plan->queue->name.text, w->plan->command[0], what,
                  number);
    if (again)
        (void)fprintf(stderr, "; again in %llu s\n",
                      (unsigned long long)(work_retry_pause(job->tries) / USEC_PER_SEC));
    else
        (void)fputc('\n', stderr);
    if (again)
        try_again_later(w, job, now);
    else if (job->tries <= w->plan->retries)
        give_back(w, job);
    else
        give_up(w, job);
}

static void on_end(Work *w, pid_t pid, int status, uint64_t now) {
    for (uint64_t i = 0; i < w->plan->jobs; i++) {
        Job *job = &w->jobs[i];
        if (job->pid != pid)
            continue;
        job->pid = 0;
        job->tries++;
        w->busy_usec = now;
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
            w->done++;
            forget(w, job);
        } else {
            on_failure(w, job, status, now);
        }
        report(w);
        return;
    }
}

static void stop(Work *w) {
    /* The second time the commands are told as well. */
    for (uint64_t i = 0; w->stopping && i < w->plan->jobs; i++)
        if (w->jobs[i].pid > 0)
            (void)kill(w->jobs[i].pid, SIGTERM);
    if (!w->stopping)
        (void)mp_report("STOPPING=1\n");
    w->stopping = true;
}

static void on_signals(Work *w, uint64_t now) {
    struct signalfd_siginfo info;
    while (read(w->signals, &info, sizeof(info)) == sizeof(info))
        if (info.ssi_signo != SIGCHLD)
            stop(w);
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
        on_end(w, pid, status, now);
}

static Job *free_place(const Work *w) {
    for (uint64_t i = 0; i < w->plan->jobs; i++)
        if (!w->jobs[i].data)
            return &w->jobs[i];
    return NULL;
}

/* Takes as many messages as there are places. */
static void take(Work *w, uint64_t now) {
    Job *job;
    while (!w->stopping && (job = free_place(w))) {
        long tag = 0;
        ssize_t n = queue_receive(w->plan->queue, w->buf, w->plan->type, &tag, 0);
        w->empty = n == -EAGAIN;
        if (n == -EAGAIN)
            return;
        char *data = n < 0 ? NULL : malloc((size_t)n + 1);
        if (!data) {
            complain(w, "receiving failed", n < 0 ? (int)-n : ENOMEM);
            w->broken = w->stopping = true;
            return;
        }
        memcpy(data, w->buf, (size_t)n);
        *job = (Job){.data = data, .n = (size_t)n, .tag = tag};
        w->n_jobs++;
        w->busy_usec = now;
        start(w, job, now);
        report(w);
    }
}

/* Whose time has come; when stopping, nobody waits for it. Returns when the next one's comes. */
static uint64_t start_again(Work *w, uint64_t now) {
    uint64_t next = USEC_INFINITY;
    for (uint64_t i = 0; i < w->plan->jobs; i++) {
        Job *job = &w->jobs[i];
        if (!job->data || job->pid > 0)
            continue;
        if (w->stopping)
            give_back(w, job);
        else if (job->again_usec <= now)
            start(w, job, now);
        if (job->data && job->pid == 0 && job->again_usec < next)
            next = job->again_usec;
    }
    return next;
}

static void wait_change(const Work *w, uint64_t until_usec, uint64_t now) {
    bool taking = !w->stopping && free_place(w);
    bool polled = w->plan->queue->fd >= 0;
    if (taking && !polled && now + LOOK_USEC < until_usec)
        until_usec = now + LOOK_USEC;
    struct pollfd p[] = {{.fd = w->signals, .events = POLLIN},
                         {.fd = taking && polled ? w->plan->queue->fd : -1, .events = POLLIN}};
    (void)poll(p, ELEMENTS(p), client_poll_timeout(until_usec, now));
}

static void run(Work *w) {
    w->busy_usec = clock_monotonic_usec();
    for (;;) {
        uint64_t now = clock_monotonic_usec();
        on_signals(w, now);
        uint64_t until = start_again(w, now);
        take(w, now);
        if (w->stopping && w->n_jobs == 0)
            return;
        if (w->n_jobs == 0 && w->plan->idle_usec != USEC_INFINITY) {
            uint64_t end = w->busy_usec + w->plan->idle_usec;
            if (w->empty && now >= end)
                return;
            until = end < until ? end : until;
        }
        wait_change(w, until, now);
    }
}

/* A command that is not there would cost a message to find out. */
static bool command_exists(const char *name) {
    if (strchr(name, '/'))
        return access(name, X_OK) == 0;
    const char *path = getenv("PATH");
    for (const char *at = path ? path : "/bin:/usr/bin"; *at; at += strspn(at, ":")) {
        CLEANUP_TEXT Text file = {0};
        size_t n = strcspn(at, ":");
        text_add_n(&file, at, n);
        text_addf(&file, "/%s", name);
        if (text_ok(&file) && access(file.s, X_OK) == 0)
            return true;
        at += n;
    }
    return false;
}

int work_run(const WorkPlan *plan) {
    Work w = {.plan = plan};
    if (!command_exists(plan->command[0])) {
        complain(&w, plan->command[0], errno == EACCES ? EACCES : ENOENT);
        return EXIT_FAILURE;
    }
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    CLEANUP_CLOSE int signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    CLEANUP_FREE Job *jobs = calloc(plan->jobs, sizeof(*jobs));
    CLEANUP_FREE char *buf = malloc(plan->queue->message_max + 1);
    if (signals < 0 || !jobs || !buf) {
        complain(&w, "start", errno);
        return EXIT_FAILURE;
    }
    w.signals = signals;
    w.jobs = jobs;
    w.buf = buf;
    int status_fd = mp_status_fd();
    if (status_fd >= 0)
        (void)fcntl(status_fd, F_SETFD, FD_CLOEXEC);
    (void)mp_report("READY=1\n");
    report(&w);
    run(&w);
    return w.broken || w.lost ? EXIT_FAILURE : EXIT_SUCCESS;
}

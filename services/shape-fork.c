/* SPDX-License-Identifier: MIT */
/* A process for each connection: what one client does to its process, nobody else notices. The parent only
 * accepts and reaps. */
#include <signal.h>
#include <sys/wait.h>

#include "services/shape-children.h"
#include "services/shape-loop.h"

typedef struct Fork {
    const ShapeJob *job;
    Children children;
    uint64_t ended;
    uint64_t failed; /* of them, by a signal or with another status than 0 */
} Fork;

static void count(const void *self, ProgressCount *ret) {
    const Fork *s = self;
    ret->active = s->children.n;
    ret->requests = s->ended;
    ret->metrics[0] = (ProgressMetric){"failed_children", s->failed};
}

static bool has_room(void *self) {
    const Fork *s = self;
    return s->children.n < s->children.room;
}

/* The child: nothing of its parent but the connection, which is its standard input and output, as of an
 * inetd's process; 0 and 1 may have been the listener. */
_Noreturn static void serve(const ShapeJob *job, int fd) {
    sigset_t none;
    sigemptyset(&none);
    if (dup2(fd, STDIN_FILENO) < 0 || dup2(fd, STDOUT_FILENO) < 0 ||
        close_range(STDERR_FILENO + 1, ~0U, 0) < 0 || sigprocmask(SIG_SETMASK, &none, NULL) < 0) {
        shape_complain(job, "connection", errno);
        _exit(EXIT_FAILURE);
    }
    Stream *stream = stream_new(&job->protocol->stream, STDIN_FILENO, STDIN_FILENO);
    int error = !stream ? ENOMEM : stream_run(stream) == STREAM_FAILED ? stream_error(stream) : 0;
    if (error != 0)
        shape_complain(job, "connection", error);
    stream_free(stream);
    /* No exit(3): what the parent has to do at its end is not this one's. */
    _exit(error == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
}

static int take(void *self, Loop *loop, int fd) {
    Fork *s = self;
    (void)loop;
    size_t place;
    int r = children_fork(&s->children, &place);
    if (r > 0)
        serve(s->job, fd);
    /* The parent's copy: as long as it is open the client does not see the end. */
    (void)fd_close(fd);
    if (r < 0)
        shape_complain(s->job, "fork", -r);
    return r;
}

static void on_ended(void *self, size_t place, int status) {
    Fork *s = self;
    (void)place;
    s->ended++;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != EXIT_SUCCESS)
        s->failed++;
}

static void attend(void *self, const Loop *loop, uint64_t now_usec) {
    Fork *s = self;
    (void)loop;
    (void)now_usec;
    children_reap(&s->children, on_ended, s);
}

static void end(void *self) {
    Fork *s = self;
    children_end(&s->children, on_ended, s);
}

int shape_fork(const ShapeJob *job) {
    static const LoopOps ops = {
        .count = count, .has_room = has_room, .take = take, .attend = attend, .end = end};
    Fork s = {.job = job};
    int r = children_init(&s.children, job->options->max_connections);
    if (r == 0)
        r = loop_run(job, &ops, &s, NULL, true);
    children_done(&s.children);
    return r;
}

/* SPDX-License-Identifier: MIT */
#include "daemon/discard.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/base/passed.h"
#include "daemon/flight.h"

/* When there was no process to be had. */
#define AGAIN_USEC (100 * USEC_PER_MSEC)
/* That processes on their way to exec have left is looked for so often, before it is waited for. */
#define APART_USEC USEC_PER_MSEC
#define APART_LOOKS 50
/* A process that reads away what may be waited for. */
#define READING_USEC (200 * USEC_PER_MSEC)

struct Discard {
    sd_event *loop;
    Errands *errands;
    Spawner *spawner;
    sd_event_source *timer;
    unsigned looks;
    size_t n;
    int fds[DISCARD_MAX];
};

int discard_new(sd_event *loop, Errands *errands, Spawner *spawner, Discard **ret) {
    Discard *d = calloc(1, sizeof(*d));
    if (!d)
        return -ENOMEM;
    d->loop = loop;
    d->errands = errands;
    d->spawner = spawner;
    *ret = d;
    return 0;
}

static void close_all(Discard *d) {
    while (d->n > 0)
        (void)fd_close(d->fds[--d->n]);
}

/* It has a copy of all that the daemon has open until it is killed, which is as soon as the daemon has closed
 * its own. */
static _Noreturn void hold(pid_t parent) {
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    while (getppid() == parent)
        (void)pause();
    _exit(0);
}

bool discard_now(Discard *d) {
    if (!d || d->n == 0)
        return true;
    /* A process on its way to exec would be the last to close its copies, and be held up. */
    flights_part(d->spawner);
    d->looks = 0;
    pid_t parent = getpid(), pid = fork();
    if (pid < 0)
        return false;
    if (pid == 0)
        hold(parent);
    close_all(d);
    (void)kill(pid, SIGKILL);
    errands_note(d->errands, pid);
    return true;
}

static int on_time(sd_event_source *s, uint64_t usec, void *userdata);

static void look_later(Discard *d, uint64_t delay_usec) {
    if (!d->timer &&
        sd_event_add_time_relative(d->loop, &d->timer, CLOCK_MONOTONIC, delay_usec, 1, on_time, d) < 0)
        (void)discard_now(d);
}

static int on_time(sd_event_source *s, uint64_t usec, void *userdata) {
    Discard *d = userdata;
    (void)s;
    (void)usec;
    d->timer = sd_event_source_disable_unref(d->timer);
    if (!flights_are_apart(d->spawner) && d->looks++ < APART_LOOKS)
        look_later(d, APART_USEC);
    else if (!discard_now(d))
        look_later(d, AGAIN_USEC);
    return 0;
}

Discard *discard_free(Discard *d) {
    if (!d)
        return NULL;
    d->timer = sd_event_source_disable_unref(d->timer);
    if (!discard_now(d))
        close_all(d);
    free(d);
    return NULL;
}

static int put(Discard *d, int fd) {
    if (d->n == DISCARD_MAX && !discard_now(d))
        return fd_close(fd);
    d->fds[d->n++] = fd;
    look_later(d, 0);
    return -EBADF;
}

int discard_socket(Discard *d, int fd) {
    if (fd < 0 || !d || !passed_may_come(fd) || passed_empty(fd))
        return fd_close(fd);
    return put(d, fd);
}

/* Whether close(2) waits for the other end to take all: whoever had it may have asked for that (socket(7)).
 */
static bool lingers(int fd) {
    struct linger linger = {0};
    socklen_t size = sizeof(linger);
    return getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &size) == 0 && linger.l_onoff &&
           linger.l_linger > 0;
}

int discard_copy(Discard *d, int fd) {
    return fd >= 0 && d && (lingers(fd) || passed_may_lie(fd)) ? put(d, fd) : fd_close(fd);
}

/* The signal ends any wait, and then the process. What is closed after it has come does not wait. It has no
 * other descriptor: what the daemon closes meanwhile would not be closed. */
static _Noreturn void read_next(int fd, pid_t parent) {
    const struct itimerval soon = {.it_value.tv_usec = READING_USEC};
    PassedLook look;
    sigset_t set;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    (void)signal(SIGALRM, SIG_DFL);
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGALRM);
    (void)sigprocmask(SIG_UNBLOCK, &set, NULL);
    if (getppid() != parent || setitimer(ITIMER_REAL, &soon, NULL) < 0 || dup2(fd, STDIN_FILENO) < 0)
        _exit(0);
    errand_close_from(STDERR_FILENO + 1);
    if (passed_peek(STDIN_FILENO, NULL, 0, &look) >= 0 && look.descriptors)
        (void)recv(STDIN_FILENO, NULL, 0, MSG_DONTWAIT);
    _exit(0);
}

int discard_next(Discard *d, int fd, ErrandEnd done, void *userdata) {
    if (!d)
        return -ENOSYS;
    int r = errands_reserve(d->errands);
    if (r < 0)
        return r;
    pid_t parent = getpid(), pid = fork();
    if (pid < 0)
        return -errno;
    if (pid == 0)
        read_next(fd, parent);
    errands_await(d->errands, pid, done, userdata);
    return 0;
}

void discard_forget(Discard *d, const void *userdata) {
    if (d)
        errands_forget(d->errands, userdata);
}

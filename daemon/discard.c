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

/* When there was no process to be had. */
#define AGAIN_USEC (100 * USEC_PER_MSEC)
/* A process that reads away what may be waited for. */
#define READING_USEC (200 * USEC_PER_MSEC)

struct Discard {
    sd_event *loop;
    Errands *errands;
    sd_event_source *timer;
    size_t n;
    int fds[DISCARD_MAX];
};

int discard_new(sd_event *loop, Errands *errands, Discard **ret) {
    Discard *d = calloc(1, sizeof(*d));
    if (!d)
        return -ENOMEM;
    d->loop = loop;
    d->errands = errands;
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
    if (!discard_now(d))
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

int discard_socket(Discard *d, int fd) {
    if (fd < 0 || !d || !passed_may_come(fd) || passed_empty(fd))
        return fd_close(fd);
    if (d->n == DISCARD_MAX && !discard_now(d))
        return fd_close(fd);
    d->fds[d->n++] = fd;
    look_later(d, 0);
    return -EBADF;
}

/* The signal ends any wait, and then the process. What is closed after it has come does not wait. */
static _Noreturn void read_next(int fd, pid_t parent) {
    const struct itimerval soon = {.it_value.tv_usec = READING_USEC};
    PassedLook look;
    sigset_t set;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    (void)signal(SIGALRM, SIG_DFL);
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGALRM);
    (void)sigprocmask(SIG_UNBLOCK, &set, NULL);
    if (getppid() == parent && setitimer(ITIMER_REAL, &soon, NULL) == 0 &&
        passed_peek(fd, NULL, 0, &look) >= 0 && look.descriptors)
        (void)recv(fd, NULL, 0, MSG_DONTWAIT);
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

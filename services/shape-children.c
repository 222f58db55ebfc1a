/* SPDX-License-Identifier: MIT */
#include "services/shape-children.h"

#include <signal.h>
#include <stdbool.h>
#include <sys/wait.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"
#include "services/mp-service.h"

#define CHILDREN_END_USEC USEC_PER_SEC

int children_init(Children *c, size_t room) {
    *c = (Children){.room = room};
    c->places = calloc(room, sizeof(*c->places));
    return c->places ? 0 : -ENOMEM;
}

void children_done(Children *c) {
    free(c->places);
    *c = (Children){0};
}

static size_t find(const Children *c, pid_t pid) {
    size_t i = 0;
    while (i < c->room && c->places[i] != pid)
        i++;
    return i;
}

/* The number of a closed descriptor may soon be that of a connection: nothing may be reported there. */
static void forget_status_pipe(void) {
    int fd = mp_status_fd();
    if (fd >= 0)
        (void)close(fd);
    (void)unsetenv("MP_STATUS_FD");
}

int children_fork(Children *c, size_t *ret_place) {
    size_t place = find(c, 0);
    if (place == c->room)
        return -EAGAIN;
    pid_t pid = fork();
    if (pid < 0)
        return -errno;
    if (pid == 0) {
        forget_status_pipe();
        *ret_place = place;
        return 1;
    }
    c->places[place] = pid;
    c->n++;
    *ret_place = place;
    return 0;
}

void children_reap(Children *c, ChildEnded *ended, void *self) {
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
        size_t place = find(c, pid);
        if (place == c->room)
            continue;
        c->places[place] = 0;
        c->n--;
        ended(self, place, status);
    }
}

void children_signal(const Children *c, int sig) {
    for (size_t i = 0; i < c->room; i++)
        if (c->places[i] > 0)
            (void)kill(c->places[i], sig);
}

/* Reaps until all have ended, or @until_usec. */
static void reap_until(Children *c, uint64_t until_usec, ChildEnded *ended, void *self) {
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    for (;;) {
        children_reap(c, ended, self);
        uint64_t now = clock_monotonic_usec();
        if (c->n == 0 || now >= until_usec)
            return;
        uint64_t left = until_usec - now;
        const struct timespec t = {(time_t)(left / USEC_PER_SEC),
                                   (long)(left % USEC_PER_SEC * NSEC_PER_USEC)};
        (void)sigtimedwait(&child, NULL, &t);
    }
}

void children_end(Children *c, ChildEnded *ended, void *self) {
    if (c->n == 0)
        return;
    children_signal(c, SIGTERM);
    reap_until(c, clock_monotonic_usec() + CHILDREN_END_USEC, ended, self);
    if (c->n == 0)
        return;
    children_signal(c, SIGKILL);
    reap_until(c, clock_monotonic_usec() + CHILDREN_END_USEC, ended, self);
}

/* SPDX-License-Identifier: MIT */
#include "services/shape-door.h"

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/base/errors.h"

#define DOOR_PAUSE_USEC (200 * USEC_PER_MSEC)

int door_init(Door *d, const ShapeJob *job) {
    *d = (Door){.job = job, .n = job->n_listeners};
    d->listeners = calloc(job->n_listeners, sizeof(*d->listeners));
    if (!d->listeners)
        return -ENOMEM;
    for (size_t i = 0; i < d->n; i++)
        d->listeners[i] = job->listeners[i];
    return 0;
}

void door_done(Door *d) {
    free(d->listeners);
    d->listeners = NULL;
}

bool door_is_open(const Door *d, uint64_t now_usec) {
    return now_usec >= d->paused_until_usec;
}

uint64_t door_until(const Door *d, uint64_t now_usec) {
    return door_is_open(d, now_usec) ? USEC_INFINITY : d->paused_until_usec;
}

size_t door_fill(const Door *d, struct pollfd *p, bool open) {
    for (size_t i = 0; i < d->n; i++)
        p[i] = (struct pollfd){.fd = open ? d->listeners[i] : -1, .events = POLLIN};
    return d->n;
}

void door_pause(Door *d, uint64_t now_usec) {
    d->paused_until_usec = now_usec + DOOR_PAUSE_USEC;
}

int door_accept(Door *d, size_t index, uint64_t now_usec) {
    int fd = accept4(d->listeners[index], NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0)
        return fd;
    int error = errno;
    if (errno_is_resource(error))
        door_pause(d, now_usec);
    if (errno_is_resource(error) || errno_is_accept_transient(error))
        return -EAGAIN;
    shape_complain(d->job, "listener given up", error);
    d->listeners[index] = d->listeners[--d->n];
    return -error;
}

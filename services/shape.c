/* SPDX-License-Identifier: MIT */
#include "services/shape.h"

#include <fcntl.h>
#include <sys/resource.h>

/* Descriptors beside those of connections: listeners, the status pipe, what a loop needs. */
#define OTHER_DESCRIPTORS 64U

static const char *const models[SHAPE_MODEL_MAX] = {
    [SHAPE_POLL] = "poll",       [SHAPE_ITERATIVE] = "iterative", [SHAPE_FORK] = "fork",
    [SHAPE_PREFORK] = "prefork", [SHAPE_THREAD] = "thread",       [SHAPE_THREAD_POOL] = "thread-pool",
    [SHAPE_EPOLL] = "epoll",
};
DEFINE_STRTAB(shape_model, ShapeModel, models);

static const char *const when_full[SHAPE_WHEN_FULL_MAX] = {[SHAPE_WAIT] = "wait", [SHAPE_REFUSE] = "refuse"};
DEFINE_STRTAB(shape_when_full, ShapeWhenFull, when_full);

static int (*const shapes[SHAPE_MODEL_MAX])(const ShapeJob *job) = {
    [SHAPE_ITERATIVE] = shape_iterative, [SHAPE_FORK] = shape_fork,   [SHAPE_PREFORK] = shape_prefork,
    [SHAPE_THREAD] = shape_thread,       [SHAPE_EPOLL] = shape_epoll, [SHAPE_THREAD_POOL] = shape_thread_pool,
};

void shape_complain(const ShapeJob *job, const char *what, int error) {
    (void)fprintf(stderr, "%s: %s: %s\n", job->protocol->name, what, strerror(error));
}

/* Who polls a listener that others share must not wait in accept(2) when they were faster. The flag is shared
 * with whoever gave us the socket; a listener that is polled needs it anyway. */
static int set_nonblocking(int fd) {
    int flags = fcntl(fd, F_GETFL);
    return flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ? -errno : 0;
}

/* The soft limit is 1024 by custom, for the sake of select(2), which nobody calls here. */
static void allow_descriptors(size_t connections) {
    struct rlimit limit;
    rlim_t wanted = connections + OTHER_DESCRIPTORS;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= wanted)
        return;
    limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

int shape_serve(const Protocol *protocol, const Options *options, const MpSocket *sockets, size_t n) {
    CLEANUP_FREE int *listeners = calloc(n, sizeof(*listeners));
    if (!listeners)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        if (sockets[i].kind != MP_SOCKET_LISTENER) {
            (void)fprintf(stderr, "%s: descriptor %d is no listener, and --model %s serves nothing else\n",
                          protocol->name, sockets[i].fd, models[options->model]);
            return -ENOTSUP;
        }
        listeners[i] = sockets[i].fd;
        int r = set_nonblocking(listeners[i]);
        if (r < 0)
            return r;
    }
    allow_descriptors(options->max_connections);
    const ShapeJob job = {.protocol = protocol, .options = options, .listeners = listeners, .n_listeners = n};
    return shapes[options->model](&job);
}

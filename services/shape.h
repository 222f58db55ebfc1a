/* SPDX-License-Identifier: MIT */
#pragma once
/* The classic shapes of a server: six ways in which one protocol is served on the same listeners. They differ
 * in who waits for what; docs/shapes.md compares them. Each ends by SIGTERM, leaving its connections time to
 * end, or when it had nothing to do for long enough, and reports what it does. */
#include "daemon/base/strtab.h"
#include "services/mp-service.h"
#include "services/options.h"
#include "services/serve.h"

typedef enum ShapeModel {
    SHAPE_POLL, /* server.h: one loop around poll(2), for any sockets; no shape of these */
    SHAPE_ITERATIVE,
    SHAPE_FORK,
    SHAPE_PREFORK,
    SHAPE_THREAD,
    SHAPE_THREAD_POOL,
    SHAPE_EPOLL,
    SHAPE_MODEL_MAX,
} ShapeModel;
DECLARE_STRTAB(shape_model, ShapeModel);

typedef enum ShapeWhenFull {
    SHAPE_WAIT,
    SHAPE_REFUSE,
    SHAPE_WHEN_FULL_MAX
} ShapeWhenFull;
DECLARE_STRTAB(shape_when_full, ShapeWhenFull);

typedef struct ShapeJob {
    const Protocol *protocol;
    const Options *options;
    const int *listeners; /* non-blocking; the shape does not own them */
    size_t n_listeners;
} ShapeJob;

/* Serves @sockets, which all must be listeners, in the shape that the options ask for, to the end. Returns 0,
 * or a negative errno; what cannot be served is told on stderr, with -ENOTSUP. */
int shape_serve(const Protocol *protocol, const Options *options, const MpSocket *sockets, size_t n);

/* "mp-echo: WHAT: strerror(ERROR)" on stderr. */
void shape_complain(const ShapeJob *job, const char *what, int error);

/* One shape each, in the files shape-iterative.c and so on. */
int shape_iterative(const ShapeJob *job);
int shape_fork(const ShapeJob *job);
int shape_prefork(const ShapeJob *job);
int shape_thread(const ShapeJob *job);
int shape_thread_pool(const ShapeJob *job);
int shape_epoll(const ShapeJob *job);

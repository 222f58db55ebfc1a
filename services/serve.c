/* SPDX-License-Identifier: MIT */
#include "services/serve.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "daemon/base/cleanup.h"
#include "services/mp-service.h"
#include "services/options.h"
#include "services/server.h"
#include "services/shape.h"

DEFINE_CLEANUP(Server *, server_free);

static int fail(const Protocol *protocol, const char *what, int error) {
    (void)fprintf(stderr, "%s: %s: %s\n", protocol->name, what, strerror(error));
    return EXIT_FAILURE;
}

/* The process is for this connection alone, and may be waited for by nobody else. */
static int serve_connection(const Protocol *protocol, int in, int out) {
    Stream *stream = stream_new(&protocol->stream, in, out);
    if (!stream)
        return fail(protocol, "connection", ENOMEM);
    (void)mp_report("READY=1\nACTIVE=1\n");
    int status = EXIT_SUCCESS;
    if (stream_run(stream) == STREAM_FAILED)
        status = fail(protocol, "connection", stream_error(stream));
    (void)mp_report("ACTIVE=0\nREQUESTS=1\n");
    stream_free(stream);
    return status;
}

static int serve_sockets(const Protocol *protocol, const Options *options, const MpSocket *sockets,
                         size_t n) {
    if (options->model != SHAPE_POLL) {
        int r = shape_serve(protocol, options, sockets, n);
        /* What that is was told with the descriptor. */
        return r == -ENOTSUP ? EXIT_FAILURE : r < 0 ? fail(protocol, "serve", -r) : EXIT_SUCCESS;
    }
    CLEANUP(server_freep) Server *server = server_new(protocol, options);
    if (!server)
        return fail(protocol, "start", ENOMEM);
    for (size_t i = 0; i < n; i++) {
        int r = server_add(server, &sockets[i]);
        if (r < 0) {
            (void)fprintf(stderr, "%s: descriptor %d cannot be served: %s\n", protocol->name, sockets[i].fd,
                          strerror(-r));
            return EXIT_FAILURE;
        }
    }
    int r = server_run(server);
    return r < 0 ? fail(protocol, "serve", -r) : EXIT_SUCCESS;
}

static int serve_given(const Protocol *protocol, const Options *options) {
    MpSocket first = {0};
    int n = mp_sockets(&first, 1);
    if (n < 0)
        return fail(protocol, n == -EBADF ? "no socket is open where one should be" : "LISTEN_FDS", -n);
    bool listens = first.kind == MP_SOCKET_LISTENER || first.kind == MP_SOCKET_DATAGRAM ||
                   first.kind == MP_SOCKET_PASSING;
    if (n == 1 && !listens)
        return serve_connection(protocol, first.fd, first.fd == STDIN_FILENO ? STDOUT_FILENO : first.fd);
    if (n == 1)
        return serve_sockets(protocol, options, &first, 1);
    CLEANUP_FREE MpSocket *sockets = calloc((size_t)n, sizeof(*sockets));
    if (!sockets)
        return fail(protocol, "start", ENOMEM);
    n = mp_sockets(sockets, (size_t)n);
    return n < 0 ? fail(protocol, "LISTEN_FDS", -n) : serve_sockets(protocol, options, sockets, (size_t)n);
}

int serve_main(const Protocol *protocol, int argc, char **argv) {
    Options options;
    int status;
    if (!options_parse(protocol, argc, argv, &options, &status))
        return status;
    /* A client that leaves while it is written to is no reason to die: write(2) then says EPIPE. */
    if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
        return fail(protocol, "start", errno);
    return serve_given(protocol, &options);
}

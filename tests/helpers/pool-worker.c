/* SPDX-License-Identifier: MIT */
/* A worker of a pool by libmp-service, one connection after the other: answers a line with its pid and what
 * it was told of the connection. With an argument it takes so many at once from the daemon. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "services/mp-service.h"

static void serve(const MpConnection *c) {
    char line[64], answer[1200];
    ssize_t n = read(c->fd, line, sizeof(line));
    if (n <= 0)
        return;
    int m = snprintf(answer, sizeof(answer), "%d\n%s", (int)getpid(), c->variables);
    (void)mp_write_all(c->fd, answer, (size_t)m);
    if (strncmp(line, "hold", 4) == 0)
        while (read(c->fd, line, sizeof(line)) > 0)
            continue;
}

int main(int argc, char **argv) {
    MpAcceptor *a = NULL;
    MpConnection c;
    if (mp_acceptor_new(MP_ACCEPTOR_SIGNALS, &a) < 0)
        return EXIT_FAILURE;
    if (argc > 1)
        mp_acceptor_set_capacity(a, strtoul(argv[1], NULL, 10));
    int r;
    while ((r = mp_accept(a, &c)) > 0) {
        serve(&c);
        mp_done(a, &c);
    }
    mp_acceptor_free(a);
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

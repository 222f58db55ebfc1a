/* SPDX-License-Identifier: MIT */
/* A worker by libmp-service that writes a line and closes; its argument is how many connections may wait for
 * it. */
#include <stdlib.h>

#include "services/mp-service.h"

int main(int argc, char **argv) {
    MpAcceptor *a = NULL;
    MpConnection c;
    if (mp_acceptor_new(MP_ACCEPTOR_SIGNALS, &a) < 0)
        return EXIT_FAILURE;
    mp_acceptor_set_capacity(a, argc > 1 ? strtoul(argv[1], NULL, 10) : 1);
    while (mp_accept(a, &c) > 0) {
        (void)mp_write_all(c.fd, "hello\n", 6);
        mp_done(a, &c);
    }
    mp_acceptor_free(a);
    return EXIT_SUCCESS;
}

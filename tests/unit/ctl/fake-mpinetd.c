/* SPDX-License-Identifier: MIT */
/* fake-mpinetd SOCKET: the fake daemon as a program, for clients that nobody here wrote. */
#include <stdio.h>

#include "daemon/base/cleanup.h"
#include "tests/unit/ctl/fake-daemon.h"

int main(int argc, char **argv) {
    CLEANUP_CLOSE int fd = argc == 2 ? fake_listen(argv[1]) : -EINVAL;
    if (fd < 0) {
        (void)fprintf(stderr, "fake-mpinetd: cannot listen\n");
        return 1;
    }
    fake_serve(fd, FAKE_NORMAL);
    return 0;
}

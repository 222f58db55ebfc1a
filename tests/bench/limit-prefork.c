/* SPDX-License-Identifier: MIT */
/* limit-prefork PORT N: N processes that accept(2) on one listener, write a line and close, and nothing else:
 * the reference for pools whose workers accept. */
#include <sys/prctl.h>

#include "tests/bench/limit.h"

static int serve(int listener) {
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0 && errno != EINTR && errno != ECONNABORTED)
            return limit_fail("accept");
        if (fd < 0)
            continue;
        (void)!write(fd, "hello\n", 6);
        (void)close(fd);
    }
}

int main(int argc, char **argv) {
    if (argc != 3)
        return 2;
    int listener = limit_listen(argv[1]);
    if (listener < 0)
        return limit_fail("listen");
    for (unsigned long n = strtoul(argv[2], NULL, 10); n > 0; n--) {
        pid_t pid = fork();
        if (pid < 0)
            return limit_fail("fork");
        if (pid == 0) {
            (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
            return serve(listener);
        }
    }
    for (;;)
        (void)pause();
}

/* SPDX-License-Identifier: MIT */
/* limit-fork PORT PROGRAM: as limit-vfork, but with fork: what copying an empty parent costs. */
#include "tests/bench/limit.h"

static int child(int fd, char *program) {
    char *const argv[] = {program, NULL};
    char *const envp[] = {NULL};
    if (dup2(fd, 0) < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0)
        return 127;
    execve(program, argv, envp);
    return 127;
}

int main(int argc, char **argv) {
    if (argc != 3)
        return 2;
    int listener = limit_listen(argv[1]);
    if (listener < 0)
        return limit_fail("listen");
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0) {
            pid_t pid = fork();
            if (pid == 0)
                _exit(child(fd, argv[2]));
            (void)close(fd);
            if (pid < 0)
                return limit_fail("fork");
        } else if (errno != EINTR && errno != ECONNABORTED) {
            return limit_fail("accept");
        }
        limit_reap();
    }
}

/* SPDX-License-Identifier: MIT */
/* limit-vfork PORT PROGRAM: accept, vfork, three dup2, execve, and nothing else. The reference of the
 * benchmark. */
#include "tests/bench/limit.h"

int main(int argc, char **argv) {
    if (argc != 3)
        return 2;
    char *const child_argv[] = {argv[2], NULL};
    char *const child_envp[] = {NULL};
    int listener = limit_listen(argv[1]);
    if (listener < 0)
        return limit_fail("listen");
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0) {
            /* The very thing that is measured. */
            pid_t pid = vfork(); // NOLINT(clang-analyzer-security.insecureAPI.vfork)
            if (pid == 0) {
                /* dup2 is a bare system call, which leaves the parent's memory alone but for errno. */
                // NOLINTNEXTLINE(clang-analyzer-unix.Vfork)
                if (dup2(fd, 0) < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0)
                    _exit(127);
                execve(argv[2], child_argv, child_envp);
                _exit(127);
            }
            (void)close(fd);
            if (pid < 0)
                return limit_fail("vfork");
        } else if (errno != EINTR && errno != ECONNABORTED) {
            return limit_fail("accept");
        }
        limit_reap();
    }
}

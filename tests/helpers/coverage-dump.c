/* SPDX-License-Identifier: MIT */
/* In builds that measure coverage, linked into mpinetd: libgcov writes its counts at exit(3) and before
 * execve(2), and knows of neither _exit(2) nor execveat(2). */
#include <unistd.h>

void __gcov_dump(void);
void __gcov_reset(void);

void __wrap__exit(int status) __attribute__((noreturn));
void __real__exit(int status) __attribute__((noreturn));
void __wrap__exit(int status) {
    __gcov_dump();
    __real__exit(status);
}

int __wrap_execveat(int fd, const char *path, char *const argv[], char *const envp[], int flags);
int __real_execveat(int fd, const char *path, char *const argv[], char *const envp[], int flags);
int __wrap_execveat(int fd, const char *path, char *const argv[], char *const envp[], int flags) {
    __gcov_dump();
    int r = __real_execveat(fd, path, argv, envp, flags);
    __gcov_reset();
    return r;
}

/* SPDX-License-Identifier: MIT */
#include "daemon/base/proc-file.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "daemon/base/cleanup.h"

size_t proc_file_read(pid_t pid, const char *name, char *text, size_t size) {
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);
    if (n < 0)
        n = 0;
    text[n] = '\0';
    return (size_t)n;
}

/* SPDX-License-Identifier: MIT */
#include "conf/regular-file.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base/cleanup.h"

#define MIB ((size_t)1 << 20)

int regular_file_open(const char *path, size_t max, struct stat *st) {
    CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, st) < 0)
        return -errno;
    if (S_ISDIR(st->st_mode))
        return -EISDIR;
    if (!S_ISREG(st->st_mode))
        return -ENOTSUP;
    if (st->st_size > (off_t)max)
        return -EFBIG;
    return TAKE_FD(fd);
}

int regular_file_read(int fd, size_t max, char **ret, size_t *ret_n) {
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    /* One byte past what it had, to see its end; it may grow under our hands. */
    size_t size = (size_t)st.st_size + 1, n = 0;
    CLEANUP_FREE char *text = malloc(size + 1);
    if (!text)
        return -ENOMEM;
    while (n <= max) {
        if (n == size) {
            size = 2 * size > max ? max + 1 : 2 * size;
            char *bigger = realloc(text, size + 1);
            if (!bigger)
                return -ENOMEM;
            text = bigger;
        }
        ssize_t k = read(fd, text + n, size - n);
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return -errno;
        if (k == 0)
            break;
        n += (size_t)k;
    }
    if (n > max)
        return -EFBIG;
    text[n] = '\0';
    *ret = TAKE_PTR(text);
    *ret_n = n;
    return 0;
}

DiagCode regular_file_code(int error) {
    if (error == -EFBIG)
        return DIAG_LIMIT;
    return error == -ENOENT || error == -ENOTDIR ? DIAG_NOT_FOUND : DIAG_NOT_ALLOWED;
}

const char *regular_file_error(int error, size_t max, char buf[static 64]) {
    if (error == -EISDIR)
        return "a folder, not a file";
    if (error == -ENOTSUP)
        return "not a regular file";
    if (error != -EFBIG)
        return strerror(-error);
    bool whole = max % MIB == 0;
    (void)snprintf(buf, 64, "larger than %zu %s", whole ? max / MIB : max, whole ? "MiB" : "bytes");
    return buf;
}

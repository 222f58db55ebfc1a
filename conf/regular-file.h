/* SPDX-License-Identifier: MIT */
#pragma once
/* Regular files, read whole and bounded: a fifo without a writer, a device or a file that grows must not hold
 * anybody up. */
#include <stddef.h>
#include <sys/stat.h>

#include "conf/diag.h"

/* Opens @path, and fills @st. Returns the descriptor, close-on-exec; -EISDIR, -ENOTSUP for what is no regular
 * file, -EFBIG when it has more than @max bytes, or what open(2) failed with. */
int regular_file_open(const char *path, size_t max, struct stat *st);
/* Reads all of @fd. Returns 0 with @ret, owned by the caller and ended by a NUL that @ret_n does not count;
 * -EFBIG when there are more than @max bytes, -ENOMEM, or what read(2) failed with. */
int regular_file_read(int fd, size_t max, char **ret, size_t *ret_n);
/* The code of such a failure: not-found, not-allowed or limit. */
DiagCode regular_file_code(int error);
/* What it says: "a folder, not a file". @max as above. */
const char *regular_file_error(int error, size_t max, char buf[static 64]);

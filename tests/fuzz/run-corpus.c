/* SPDX-License-Identifier: MIT */
/* Runs a fuzz target over files, without libFuzzer: each file as a whole, each of its beginnings up to a
 * bound, and each of its lines. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/cleanup.h"

#define FILE_MAX ((size_t)64 << 10)
/* Beginnings tried of each file: all of a short one, an even choice of a long one. */
#define BEGINNINGS 200

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* In a buffer of just that size, so that reading past its end is seen. */
static int try_bytes(const uint8_t *data, size_t n) {
    CLEANUP_FREE uint8_t *copy = malloc(n + 1);
    if (!copy)
        return -ENOMEM;
    memcpy(copy + 1, data, n);
    (void)LLVMFuzzerTestOneInput(copy + 1, n);
    return 0;
}

static int try_file(const char *path) {
    CLEANUP_FCLOSE FILE *file = fopen(path, "re");
    CLEANUP_FREE uint8_t *data = malloc(FILE_MAX);
    if (!file || !data) {
        perror(path);
        return -EIO;
    }
    size_t n = fread(data, 1, FILE_MAX, file);
    int r = try_bytes(data, n);
    for (size_t i = 0; i < n && r == 0; i += n / BEGINNINGS + 1)
        r = try_bytes(data, i);
    for (size_t at = 0; at < n && r == 0;) {
        const uint8_t *end = memchr(data + at, '\n', n - at);
        size_t length = end ? (size_t)(end - data) - at : n - at;
        r = try_bytes(data + at, length);
        at += length + 1;
    }
    return r;
}

int main(int argc, char *argv[]) {
    for (int i = 1; i < argc; i++)
        if (try_file(argv[i]) < 0)
            return EXIT_FAILURE;
    return EXIT_SUCCESS;
}

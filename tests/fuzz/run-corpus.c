/* SPDX-License-Identifier: MIT */
/* Runs a fuzz target over files, without libFuzzer: each file as a whole, each of its beginnings up to a
 * bound, and each of its lines. Of a folder, which a fuzzer has filled, each file as a whole. */
#include <dirent.h>
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

static int read_file(const char *path, uint8_t *data, size_t *ret_n) {
    CLEANUP_FCLOSE FILE *file = fopen(path, "re");
    if (!file || !data) {
        perror(path);
        return -EIO;
    }
    *ret_n = fread(data, 1, FILE_MAX, file);
    return 0;
}

static int try_file(const char *path) {
    CLEANUP_FREE uint8_t *data = malloc(FILE_MAX);
    size_t n = 0;
    int r = read_file(path, data, &n);
    if (r == 0)
        r = try_bytes(data, n);
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

static int try_entry(const char *folder, const char *name) {
    CLEANUP_FREE uint8_t *data = malloc(FILE_MAX);
    char path[512];
    size_t n = 0;
    if (name[0] == '.')
        return 0;
    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    int r = read_file(path, data, &n);
    return r == 0 ? try_bytes(data, n) : r;
}

/* The names first: a target may want to have some descriptors for itself. */
static int try_folder(const char *path) {
    struct dirent **names = NULL;
    int r = 0, n = scandir(path, &names, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        if (r == 0)
            r = try_entry(path, names[i]->d_name);
        free(names[i]);
    }
    free((void *)names);
    return n < 0 ? -errno : r;
}

int main(int argc, char *argv[]) {
    for (int i = 1; i < argc; i++) {
        int r = try_folder(argv[i]);
        if (r == -ENOTDIR)
            r = try_file(argv[i]);
        if (r < 0)
            return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}

/* SPDX-License-Identifier: MIT */
#pragma once
/* What all targets share: a promise that does not hold is a crash, which libFuzzer keeps the input of. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void require_at(bool holds, const char *file, int line) {
    if (holds)
        return;
    (void)fprintf(stderr, "%s:%d: what is promised does not hold\n", file, line);
    abort();
}
#define require(holds) require_at((holds), __FILE__, __LINE__)

/* @n bytes in memory of just that size, aligned as the kernel's answers are; to be freed. */
static inline void *copy_of(const uint8_t *data, size_t n) {
    void *copy = malloc(n > 0 ? n : 1);
    require(copy != NULL);
    memcpy(copy, data, n);
    return copy;
}

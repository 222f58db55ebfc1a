/* SPDX-License-Identifier: MIT */
#pragma once
/* Numbers for property tests: the same ones in each run, so that what fails fails again. SplitMix64 (Steele,
 * Lea, Flood, 2014); the seed is the state. */
#include <stdint.h>

static inline uint64_t random_next(uint64_t *seed) {
    uint64_t x = (*seed += 0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
}

/* From 0 to @n - 1. */
static inline uint64_t random_below(uint64_t *seed, uint64_t n) {
    return random_next(seed) % n;
}

/* From 1 to @max, small ones as often as big ones. */
static inline uint64_t random_size(uint64_t *seed, uint64_t max) {
    unsigned bits = (unsigned)random_below(seed, 64);
    return 1 + random_next(seed) % max % (UINT64_C(1) << bits);
}

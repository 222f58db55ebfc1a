/* SPDX-License-Identifier: MIT */
#pragma once
/* Latencies in a table of fixed size, however many there are: exact below 128 µs, then in steps of 1/64 of a
 * power of two, so that a quantile is right to 0.8 %. */
#include <stddef.h>
#include <stdint.h>

#define LATENCY_EXACT 128U
#define LATENCY_STEPS 64U
/* LATENCY_EXACT is 2^7, and a value has 32 bits. */
#define LATENCY_EXACT_BITS 7U
#define LATENCY_BUCKETS (LATENCY_EXACT + (32U - LATENCY_EXACT_BITS) * LATENCY_STEPS)

typedef struct Latencies {
    uint64_t count;
    uint32_t max_usec;
    uint64_t buckets[LATENCY_BUCKETS];
} Latencies;

static inline size_t latency_bucket(uint32_t usec) {
    if (usec < LATENCY_EXACT)
        return usec;
    unsigned power = 31U - (unsigned)__builtin_clz(usec);
    /* The six bits that follow the highest one. */
    unsigned step = (usec >> (power - 6U)) - LATENCY_STEPS;
    return LATENCY_EXACT + (size_t)(power - LATENCY_EXACT_BITS) * LATENCY_STEPS + step;
}

/* The middle of a bucket. */
static inline uint32_t latency_of_bucket(size_t bucket) {
    if (bucket < LATENCY_EXACT)
        return (uint32_t)bucket;
    unsigned above = (unsigned)bucket - LATENCY_EXACT;
    unsigned shift = above / LATENCY_STEPS + 1;
    uint64_t low = (uint64_t)(LATENCY_STEPS + above % LATENCY_STEPS) << shift;
    return (uint32_t)(low + ((1ULL << shift) - 1) / 2);
}

static inline void latency_add(Latencies *l, uint64_t usec) {
    uint32_t value = usec < UINT32_MAX ? (uint32_t)usec : UINT32_MAX;
    l->count++;
    l->buckets[latency_bucket(value)]++;
    if (value > l->max_usec)
        l->max_usec = value;
}

/* What so many in a thousand are at most; 0 of none. */
static inline uint32_t latency_quantile(const Latencies *l, unsigned permille) {
    if (l->count == 0)
        return 0;
    uint64_t rank = (l->count - 1) * permille / 1000 + 1, seen = 0;
    for (size_t i = 0; i < LATENCY_BUCKETS; i++) {
        seen += l->buckets[i];
        if (seen >= rank)
            return latency_of_bucket(i) < l->max_usec ? latency_of_bucket(i) : l->max_usec;
    }
    return l->max_usec;
}

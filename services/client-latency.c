/* SPDX-License-Identifier: MIT */
#include "services/client-latency.h"

#define SUB 64U
#define SUB_BITS 6U
#define MILLION 1000000U

static unsigned shift_of(uint64_t usec) {
    unsigned top = 63U - (unsigned)__builtin_clzll(usec | 1);
    return top > SUB_BITS ? top - SUB_BITS : 0;
}

static uint64_t bucket_of(uint64_t usec) {
    unsigned shift = shift_of(usec);
    uint64_t bucket = (uint64_t)shift * SUB + (usec >> shift);
    return bucket < LATENCY_BUCKETS ? bucket : LATENCY_BUCKETS - 1;
}

/* The middle of what a bucket holds. */
static uint64_t value_of(uint64_t bucket) {
    if (bucket < 2ULL * SUB)
        return bucket;
    uint64_t shift = bucket / SUB - 1, low = (bucket - shift * SUB) << shift;
    return low + (((uint64_t)1 << shift) - 1) / 2;
}

void latency_add(Latency *l, uint64_t usec) {
    l->count++;
    l->sum_usec += usec;
    if (usec > l->max_usec)
        l->max_usec = usec;
    l->buckets[bucket_of(usec)]++;
}

uint64_t latency_quantile(const Latency *l, uint32_t share) {
    if (l->count == 0)
        return 0;
    if (share >= MILLION)
        return l->max_usec;
    /* The rank, rounded up, without overflow; the lowest is the first. */
    uint64_t rank = l->count / MILLION * share + (l->count % MILLION * share + MILLION - 1) / MILLION,
             seen = 0;
    for (uint64_t i = 0; i < LATENCY_BUCKETS; i++) {
        seen += l->buckets[i];
        if (seen >= rank && seen > 0)
            return value_of(i) < l->max_usec ? value_of(i) : l->max_usec;
    }
    return l->max_usec;
}

uint64_t latency_mean(const Latency *l) {
    return l->count ? l->sum_usec / l->count : 0;
}

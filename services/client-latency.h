/* SPDX-License-Identifier: MIT */
#pragma once
/* How long something took, over all that was measured, for a client that compares: 64 buckets in each power
 * of two, so that what it tells is at most 0.8 % off, ten times closer than the daemon's histogram need be.
 * Integers only. Pure. */
#include <stdint.h>

/* Exact below 128 us; from 2^40 us (twelve days) on all are in the last one. */
#define LATENCY_BUCKETS 2304U

typedef struct Latency {
    uint64_t count, sum_usec, max_usec;
    uint64_t buckets[LATENCY_BUCKETS];
} Latency;

void latency_add(Latency *l, uint64_t usec);
/* What @share of all, in millionths, took at most; 1000000: the longest, exactly. 0 when nothing was
 * measured. */
uint64_t latency_quantile(const Latency *l, uint32_t share);
/* 0 when nothing was measured. */
uint64_t latency_mean(const Latency *l);

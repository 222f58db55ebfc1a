/* SPDX-License-Identifier: MIT */
#pragma once
/* A slot of the scoreboard: what a worker of a pool says of itself in memory that it shares with the daemon,
 * a cache line for each. The worker writes under a sequence lock: whoever reads between sees an odd or a
 * changed sequence and reads again, so that what he gets is one state that there was. Nobody waits for
 * anybody: a reader that has no luck keeps what it knew. Its layout is between the daemon and libmp-service
 * of the same version. */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define SCORE_BYTES 64

typedef struct ScoreSlot {
    _Alignas(SCORE_BYTES) _Atomic uint32_t sequence; /* odd: being written; 0: never was */
    _Atomic uint32_t wanted; /* set by the daemon: it waits for room, tell it by the pipe */
    _Atomic uint64_t active, requests, queued, taken, capacity, time_usec;
} ScoreSlot;
_Static_assert(sizeof(ScoreSlot) == SCORE_BYTES, "a slot is a cache line");

typedef struct Score {
    uint64_t active;    /* in hand */
    uint64_t requests;  /* done */
    uint64_t queued;    /* waiting */
    uint64_t taken;     /* connections received from the daemon */
    uint64_t capacity;  /* that it takes at once; 0: not told */
    uint64_t time_usec; /* CLOCK_MONOTONIC of the writing */
} Score;

/* By one thread of the worker at a time. */
static inline void score_write(ScoreSlot *s, const Score *score) {
    uint32_t sequence = atomic_load_explicit(&s->sequence, memory_order_relaxed);
    atomic_store_explicit(&s->sequence, sequence + 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    atomic_store_explicit(&s->active, score->active, memory_order_relaxed);
    atomic_store_explicit(&s->requests, score->requests, memory_order_relaxed);
    atomic_store_explicit(&s->queued, score->queued, memory_order_relaxed);
    atomic_store_explicit(&s->taken, score->taken, memory_order_relaxed);
    atomic_store_explicit(&s->capacity, score->capacity, memory_order_relaxed);
    atomic_store_explicit(&s->time_usec, score->time_usec, memory_order_relaxed);
    /* 0 is for what never was written. */
    sequence = sequence + 2 == 0 ? 2 : sequence + 2;
    atomic_store_explicit(&s->sequence, sequence, memory_order_release);
}

/* Whether there was something to read, and it was read whole. */
static inline bool score_read(const ScoreSlot *s, Score *ret) {
    for (int tries = 0; tries < 8; tries++) {
        uint32_t before = atomic_load_explicit(&s->sequence, memory_order_acquire);
        if (before == 0)
            return false;
        Score score = {
            .active = atomic_load_explicit(&s->active, memory_order_relaxed),
            .requests = atomic_load_explicit(&s->requests, memory_order_relaxed),
            .queued = atomic_load_explicit(&s->queued, memory_order_relaxed),
            .taken = atomic_load_explicit(&s->taken, memory_order_relaxed),
            .capacity = atomic_load_explicit(&s->capacity, memory_order_relaxed),
            .time_usec = atomic_load_explicit(&s->time_usec, memory_order_relaxed),
        };
        atomic_thread_fence(memory_order_acquire);
        if ((before & 1) == 0 && atomic_load_explicit(&s->sequence, memory_order_relaxed) == before) {
            *ret = score;
            return true;
        }
    }
    return false;
}

/* The daemon asks to be told of the next change, and has to look once more afterwards; the worker asks after
 * each change whether it was asked, once. */
static inline void score_want(ScoreSlot *s) {
    atomic_store(&s->wanted, 1);
    atomic_thread_fence(memory_order_seq_cst);
}

static inline bool score_is_wanted(ScoreSlot *s) {
    atomic_thread_fence(memory_order_seq_cst);
    return atomic_load_explicit(&s->wanted, memory_order_relaxed) != 0 && atomic_exchange(&s->wanted, 0) != 0;
}

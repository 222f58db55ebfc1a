/* SPDX-License-Identifier: MIT */
#pragma once
/* The one place that reads a clock; everything else is told the time. Microseconds. */
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define USEC_PER_SEC 1000000ULL
#define USEC_PER_MSEC 1000ULL
#define NSEC_PER_USEC 1000ULL
#define NSEC_PER_SEC 1000000000ULL
#define USEC_INFINITY UINT64_MAX

static inline uint64_t clock_usec(clockid_t id) {
    struct timespec ts = {0};
    (void)clock_gettime(id, &ts);
    return (uint64_t)ts.tv_sec * USEC_PER_SEC + (uint64_t)ts.tv_nsec / NSEC_PER_USEC;
}
/* CLOCK_MONOTONIC: for every interval. */
static inline uint64_t clock_monotonic_usec(void) {
    return clock_usec(CLOCK_MONOTONIC);
}
/* The same in nanoseconds, for rates. */
static inline uint64_t clock_monotonic_nsec(void) {
    struct timespec ts = {0};
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}
/* CLOCK_REALTIME: for what people read. */
static inline uint64_t clock_realtime_usec(void) {
    return clock_usec(CLOCK_REALTIME);
}

/* Whether a timer that was due at @due_usec comes so late that the daemon itself was away (stopped, or frozen
 * with the machine): then what its children have said meanwhile is still to be read, or they were away as
 * well, and nobody is to be ended for having been silent. Pure. */
static inline bool clock_timer_is_late(uint64_t due_usec, uint64_t now_usec) {
    return now_usec > due_usec && now_usec - due_usec >= USEC_PER_SEC;
}

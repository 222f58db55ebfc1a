/* SPDX-License-Identifier: MIT */
#include "daemon/backoff.h"

#include "daemon/base/cleanup.h"

static uint64_t doubled(uint64_t delay, unsigned times, uint64_t max) {
    if (delay == 0)
        delay = 1;
    while (times-- > 0 && delay < max)
        if (__builtin_mul_overflow(delay, 2, &delay))
            return max;
    return delay < max ? delay : max;
}

uint64_t backoff_on_end(Backoff *b, const Rate *limit, uint64_t delay_usec, uint64_t max_delay_usec,
                        bool failed, uint64_t lived_usec, uint64_t now_usec) {
    if (!failed && lived_usec >= BACKOFF_QUICK_USEC) {
        *b = (Backoff){0};
        return 0;
    }
    uint64_t started = now_usec > lived_usec ? now_usec - lived_usec : 0;
    if (b->level > 0 && started > b->until_usec && started - b->until_usec > limit->per_usec)
        *b = (Backoff){0};
    /* A failure after a long and useful life starts the count anew. */
    if (b->charged == 0 || lived_usec > limit->per_usec ||
        (b->level == 0 && now_usec - b->window_start_usec > limit->per_usec))
        *b = (Backoff){.window_start_usec = now_usec};
    b->charged++;
    if (b->charged <= limit->count)
        return 0;
    uint64_t delay = doubled(delay_usec, b->level, max_delay_usec);
    if (b->level == 0 || delay < max_delay_usec)
        b->level++;
    b->until_usec = now_usec + delay;
    return delay;
}

uint64_t backoff_retry_delay(unsigned *level, uint64_t min_usec, uint64_t max_usec) {
    uint64_t delay = doubled(min_usec, *level, max_usec);
    if (delay < max_usec)
        (*level)++;
    return delay;
}

/* Never used again for something else. */
enum {
    BACKOFF_NUMBERS = 1
};

void backoff_save(BlobWriter *w, const Backoff *b) {
    const uint64_t numbers[] = {b->window_start_usec, b->charged, b->level, b->until_usec};
    blob_put_u64s(w, BACKOFF_NUMBERS, numbers, ELEMENTS(numbers));
}

int backoff_restore(BlobReader r, Backoff *b) {
    uint64_t numbers[4];
    int e = blob_find_u64s(r, BACKOFF_NUMBERS, numbers, ELEMENTS(numbers));
    *b = (Backoff){.window_start_usec = numbers[0],
                   .charged = numbers[1],
                   .level = (unsigned)numbers[2],
                   .until_usec = numbers[3]};
    return e;
}

/* SPDX-License-Identifier: MIT */
#include "daemon/rate-window.h"

#include <string.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"

#define SLOTS (RATE_WINDOW_SECONDS + 1)

void rate_window_add(RateWindow *w, uint64_t now_usec) {
    uint64_t second = now_usec / USEC_PER_SEC;
    if (second >= w->second + SLOTS) {
        memset(w->counts, 0, sizeof(w->counts));
        w->second = second;
    }
    while (w->second < second)
        w->counts[++w->second % SLOTS] = 0;
    w->counts[w->second % SLOTS]++;
}

uint64_t rate_window_milli(const RateWindow *w, uint64_t now_usec) {
    uint64_t second = now_usec / USEC_PER_SEC, into = now_usec % USEC_PER_SEC, events_usec = 0;
    if (second < w->second) {
        second = w->second;
        into = 0;
    }
    if (second - w->second >= SLOTS)
        return 0;
    /* As old as the window is long: of that second only what the newest one has not used up yet. */
    for (uint64_t age = second - w->second; age < SLOTS && age <= second; age++)
        events_usec += w->counts[(second - age) % SLOTS] *
                       (age == RATE_WINDOW_SECONDS ? USEC_PER_SEC - into : USEC_PER_SEC);
    return events_usec * 1000 / RATE_WINDOW_SECONDS / USEC_PER_SEC;
}

/* Never used again for something else. */
enum {
    RATE_WINDOW_NUMBERS = 1
};

/* The second, and what was counted in it and in those before, whatever their places. */
void rate_window_save(BlobWriter *w, const RateWindow *window) {
    uint64_t numbers[1 + SLOTS] = {window->second};
    for (uint64_t age = 0; age < SLOTS && age <= window->second; age++)
        numbers[1 + age] = window->counts[(window->second - age) % SLOTS];
    blob_put_u64s(w, RATE_WINDOW_NUMBERS, numbers, ELEMENTS(numbers));
}

int rate_window_restore(BlobReader r, RateWindow *window) {
    uint64_t numbers[1 + SLOTS];
    int e = blob_find_u64s(r, RATE_WINDOW_NUMBERS, numbers, ELEMENTS(numbers));
    *window = (RateWindow){.second = numbers[0]};
    for (uint64_t age = 0; age < SLOTS && age <= window->second; age++)
        window->counts[(window->second - age) % SLOTS] = (uint32_t)numbers[1 + age];
    return e;
}

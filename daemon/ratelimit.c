/* SPDX-License-Identifier: MIT */
#include "daemon/ratelimit.h"

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"

bool ratelimit_pass(Ratelimit *r, uint64_t per_second, uint64_t burst, uint64_t now_usec) {
    uint64_t cost = USEC_PER_SEC / per_second;
    uint64_t full = cost * burst;
    if (r->last_usec == 0) {
        r->tokens_usec = full;
    } else if (now_usec > r->last_usec) {
        uint64_t rest = now_usec - r->last_usec;
        r->tokens_usec = rest >= full - r->tokens_usec ? full : r->tokens_usec + rest;
    }
    r->last_usec = now_usec;
    if (r->tokens_usec < cost) {
        r->suppressed++;
        return false;
    }
    r->tokens_usec -= cost;
    return true;
}

uint64_t ratelimit_take_suppressed(Ratelimit *r, uint64_t now_usec) {
    if (r->suppressed == 0 || now_usec - r->said_usec < USEC_PER_SEC)
        return 0;
    uint64_t n = r->suppressed;
    r->suppressed = 0;
    r->said_usec = now_usec;
    return n;
}

/* Never used again for something else. */
enum {
    RATELIMIT_NUMBERS = 1
};

void ratelimit_save(BlobWriter *w, const Ratelimit *r) {
    const uint64_t numbers[] = {r->tokens_usec, r->last_usec, r->said_usec, r->suppressed};
    blob_put_u64s(w, RATELIMIT_NUMBERS, numbers, ELEMENTS(numbers));
}

int ratelimit_restore(BlobReader reader, Ratelimit *r) {
    uint64_t numbers[4];
    int e = blob_find_u64s(reader, RATELIMIT_NUMBERS, numbers, ELEMENTS(numbers));
    *r = (Ratelimit){.tokens_usec = numbers[0],
                     .last_usec = numbers[1],
                     .said_usec = numbers[2],
                     .suppressed = numbers[3]};
    return e;
}

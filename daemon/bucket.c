/* SPDX-License-Identifier: MIT */
#include "daemon/bucket.h"

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"

/* Products of a time and a count. */
__extension__ typedef unsigned __int128 Wide;

static bool is_limit(const Rate *rate) {
    return rate->count > 0 && rate->per_usec > 0;
}

/* A burst of 0 would never let anybody through. */
static uint64_t burst_of(const Rate *rate) {
    return rate->burst > 0 ? rate->burst : 1;
}

static Wide period_nsec(const Rate *rate) {
    return (Wide)rate->per_usec * NSEC_PER_USEC;
}

/* In how many nanoseconds @n tokens grow, rounded up: a token is never early. */
static uint64_t time_of(const Rate *rate, uint64_t n) {
    Wide nsec = (period_nsec(rate) * n + rate->count - 1) / rate->count;
    return nsec < UINT64_MAX ? (uint64_t)nsec : UINT64_MAX;
}

/* What it is at @now_nsec: with the tokens that have grown since. */
static Bucket refill(const Bucket *b, const Rate *rate, uint64_t now_nsec) {
    uint64_t burst = burst_of(rate);
    /* Of a bigger burst than the rate has now. */
    Bucket now = {.missing = b->missing < burst ? b->missing : burst, .since_nsec = b->since_nsec};
    /* The caller's clock may be that of his last look at it. */
    uint64_t elapsed = now_nsec > b->since_nsec ? now_nsec - b->since_nsec : 0;
    Wide grown = (Wide)elapsed * rate->count / period_nsec(rate);
    if (grown >= now.missing)
        return (Bucket){.since_nsec = now_nsec > b->since_nsec ? now_nsec : b->since_nsec};
    now.missing -= (uint64_t)grown;
    now.since_nsec += time_of(rate, (uint64_t)grown);
    return now;
}

uint64_t bucket_ready_at(const Bucket *b, const Rate *rate, uint64_t now_nsec) {
    if (!is_limit(rate))
        return now_nsec;
    Bucket now = refill(b, rate, now_nsec);
    if (now.missing < burst_of(rate))
        return now_nsec;
    uint64_t one = time_of(rate, 1);
    return now.since_nsec < UINT64_MAX - one ? now.since_nsec + one : UINT64_MAX;
}

bool bucket_take(Bucket *b, const Rate *rate, uint64_t now_nsec) {
    if (!is_limit(rate))
        return true;
    *b = refill(b, rate, now_nsec);
    if (b->missing >= burst_of(rate))
        return false;
    b->missing++;
    return true;
}

void bucket_give_back(Bucket *b, const Rate *rate) {
    if (is_limit(rate) && b->missing > 0)
        b->missing--;
}

/* Never used again for something else. */
enum {
    BUCKET_NUMBERS = 1
};

void bucket_save(BlobWriter *w, const Bucket *b) {
    const uint64_t numbers[] = {b->missing, b->since_nsec};
    blob_put_u64s(w, BUCKET_NUMBERS, numbers, ELEMENTS(numbers));
}

int bucket_restore(BlobReader r, Bucket *b) {
    uint64_t numbers[2];
    int e = blob_find_u64s(r, BUCKET_NUMBERS, numbers, ELEMENTS(numbers));
    *b = (Bucket){.missing = numbers[0], .since_nsec = numbers[1]};
    return e;
}

/* SPDX-License-Identifier: MIT */
#include "daemon/histogram.h"

#include <stdlib.h>
#include <string.h>

/* In whole microseconds: what is at most 12.5 is at most 12. */
#define DECADE(u)                                                                                            \
    (u), (u)*125 / 100, (u)*16 / 10, (u)*2, (u)*25 / 10, (u)*315 / 100, (u)*4, (u)*5, (u)*63 / 10, (u)*8

static const uint64_t bounds[] = {
    DECADE(10ULL),         DECADE(100ULL),         DECADE(1000ULL),     DECADE(10000ULL),
    DECADE(100000ULL),     DECADE(1000000ULL),     DECADE(10000000ULL), DECADE(100000000ULL),
    DECADE(1000000000ULL), DECADE(10000000000ULL), 100000000000ULL,
};
_Static_assert(ELEMENTS(bounds) == HISTOGRAM_BOUNDS, "ten decades");

/* Where 1, 2 and 5 stand in a decade. */
static const size_t coarse[] = {0, 3, 7};
#define PER_DECADE 10

/* The first bound that is not below @usec; HISTOGRAM_BOUNDS: none is. */
static size_t find_bucket(uint64_t usec) {
    size_t low = 0, high = HISTOGRAM_BOUNDS;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (bounds[middle] < usec)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void histogram_add(Histogram **h, uint64_t usec) {
    if (!*h)
        *h = calloc(1, sizeof(**h));
    if (!*h)
        return;
    (*h)->count++;
    (*h)->sum_usec += usec;
    (*h)->buckets[find_bucket(usec)]++;
}

/* The value whose distance to both ends is the same part of each, their harmonic mean: at most 12.3 % from
 * whatever is in the bucket. To interpolate would be wrong by twice that where all take equally long, which
 * is what services often do. */
static uint64_t representative(size_t bucket) {
    if (bucket == 0)
        return bounds[0] / 2;
    if (bucket == HISTOGRAM_BOUNDS)
        return bounds[HISTOGRAM_BOUNDS - 1];
    double low = (double)bounds[bucket - 1], high = (double)bounds[bucket];
    return (uint64_t)(2 * low * high / (low + high) + 0.5);
}

uint64_t histogram_quantile(const Histogram *h, unsigned permille) {
    if (!h || h->count == 0)
        return 0;
    /* The rank, rounded up, without overflow; the lowest is the first. */
    uint64_t rank = h->count / 1000 * permille + (h->count % 1000 * permille + 999) / 1000, seen = 0;
    for (size_t i = 0; i <= HISTOGRAM_BOUNDS; i++) {
        seen += h->buckets[i];
        if (seen >= rank && seen > 0)
            return representative(i);
    }
    return bounds[HISTOGRAM_BOUNDS - 1];
}

ApiQuantiles histogram_quantiles(const Histogram *h) {
    if (!h)
        return (ApiQuantiles){0};
    return (ApiQuantiles){
        .count = h->count,
        .p50_usec = histogram_quantile(h, 500),
        .p99_usec = histogram_quantile(h, 990),
    };
}

uint64_t histogram_at_most(const Histogram *h, uint64_t le_usec) {
    uint64_t n = 0;
    for (size_t i = 0; h && i < HISTOGRAM_BOUNDS && bounds[i] <= le_usec; i++)
        n += h->buckets[i];
    return n;
}

void histogram_buckets(const Histogram *h, ApiBucket ret[static HISTOGRAM_API_BUCKETS]) {
    size_t from = 0, n = 0;
    for (size_t i = 0; i <= HISTOGRAM_BOUNDS; i++) {
        size_t in_decade = i % PER_DECADE;
        bool last = i == HISTOGRAM_BOUNDS;
        if (!last && in_decade != coarse[0] && in_decade != coarse[1] && in_decade != coarse[2])
            continue;
        ret[n] = (ApiBucket){.le_usec = last ? UINT64_MAX : bounds[i]};
        for (; from <= i; from++)
            ret[n].count += h ? h->buckets[from] : 0;
        n++;
    }
}

/* Never used again for something else; other bounds would be another field. */
enum {
    HISTOGRAM_NUMBERS = 1 /* count, sum, buckets */
};
#define NUMBERS (2 + HISTOGRAM_BOUNDS + 1)

void histogram_save(BlobWriter *w, const Histogram *h) {
    if (!h)
        return;
    uint64_t numbers[NUMBERS] = {h->count, h->sum_usec};
    memcpy(&numbers[2], h->buckets, sizeof(h->buckets));
    blob_put_u64s(w, HISTOGRAM_NUMBERS, numbers, NUMBERS);
}

int histogram_restore(BlobReader r, Histogram **h) {
    uint64_t numbers[NUMBERS];
    int e = blob_find_u64s(r, HISTOGRAM_NUMBERS, numbers, NUMBERS);
    free(*h);
    *h = numbers[0] > 0 ? calloc(1, sizeof(**h)) : NULL;
    if (!*h)
        return e;
    (*h)->count = numbers[0];
    (*h)->sum_usec = numbers[1];
    memcpy((*h)->buckets, &numbers[2], sizeof((*h)->buckets));
    return e;
}

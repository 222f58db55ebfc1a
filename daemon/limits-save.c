/* SPDX-License-Identifier: MIT */
#include "daemon/limits-save.h"

#include <limits.h>

/* Never used again for something else. */
enum {
    LIMITS_INSTANCES = 1,
    LIMITS_PER_SOURCE,
    LIMITS_SOURCE_IPV4,
    LIMITS_SOURCE_IPV6,
    LIMITS_RATE,
    LIMITS_RATE_PER_SOURCE,
    LIMITS_LOAD,
    LIMITS_WHEN_FULL,   /* a word, as in the config */
    LIMITS_REFUSE_WITH, /* the same */
};

static void put_rate(BlobWriter *w, uint16_t tag, const Rate *rate) {
    const uint64_t numbers[] = {rate->count, rate->per_usec, rate->burst};
    blob_put_u64s(w, tag, numbers, ELEMENTS(numbers));
}

static Rate take_rate(const BlobField *f) {
    uint64_t numbers[3];
    blob_u64s(f, numbers, ELEMENTS(numbers));
    return (Rate){.count = numbers[0], .per_usec = numbers[1], .burst = numbers[2]};
}

/* 0 is a value as any other: all of them are put. */
void limits_save(BlobWriter *w, const LimitsConfig *l) {
    blob_put_u64(w, LIMITS_INSTANCES, l->instances);
    blob_put_u64(w, LIMITS_PER_SOURCE, l->per_source);
    blob_put_u64(w, LIMITS_SOURCE_IPV4, l->source_ipv4);
    blob_put_u64(w, LIMITS_SOURCE_IPV6, l->source_ipv6);
    put_rate(w, LIMITS_RATE, &l->rate);
    put_rate(w, LIMITS_RATE_PER_SOURCE, &l->rate_per_source);
    blob_put_double(w, LIMITS_LOAD, l->load);
    blob_put_str(w, LIMITS_WHEN_FULL, when_full_to_string(l->when_full));
    blob_put_str(w, LIMITS_REFUSE_WITH, refuse_with_to_string(l->refuse_with));
}

/* A word of another version leaves what the config says. */
static void take_word(const BlobField *f, LimitsConfig *l) {
    char *word CLEANUP_FREE = blob_str(f);
    int value = !word                        ? -EINVAL
                : f->tag == LIMITS_WHEN_FULL ? when_full_from_string(word)
                                             : refuse_with_from_string(word);
    if (value >= 0 && f->tag == LIMITS_WHEN_FULL)
        l->when_full = (WhenFull)value;
    else if (value >= 0)
        l->refuse_with = (RefuseWith)value;
}

int limits_restore(BlobReader r, LimitsConfig *l) {
    BlobField f;
    while (blob_next(&r, &f)) {
        switch (f.tag) {
        case LIMITS_INSTANCES:
            l->instances = (unsigned)blob_u64_max(&f, UINT_MAX);
            break;
        case LIMITS_PER_SOURCE:
            l->per_source = (unsigned)blob_u64_max(&f, UINT_MAX);
            break;
        case LIMITS_SOURCE_IPV4:
            l->source_ipv4 = (unsigned)blob_u64_max(&f, 32);
            break;
        case LIMITS_SOURCE_IPV6:
            l->source_ipv6 = (unsigned)blob_u64_max(&f, 128);
            break;
        case LIMITS_RATE:
            l->rate = take_rate(&f);
            break;
        case LIMITS_RATE_PER_SOURCE:
            l->rate_per_source = take_rate(&f);
            break;
        case LIMITS_LOAD:
            l->load = blob_double(&f);
            break;
        case LIMITS_WHEN_FULL:
        case LIMITS_REFUSE_WITH:
            take_word(&f, l);
            break;
        default:
            break;
        }
    }
    return blob_is_spoilt(r.source) ? -EBADMSG : 0;
}

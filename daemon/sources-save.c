/* SPDX-License-Identifier: MIT */
#include "daemon/base/clock.h"
#include "daemon/sources-private.h"

/* Never used again for something else. */
enum {
    SOURCES_COUNTS = 1, /* forgotten, not remembered */
    SOURCES_ITEM,       /* of it: */
    ITEM_PREFIX = 1,
    ITEM_NUMBERS, /* see Number; those at the end that are 0 may be left out */
    ITEM_HELD,    /* it had something running */
    HOLD_PREFIX = 1,
    HOLD_SERVICE,
};

/* A hundred thousand of them are written at once: a field of numbers costs less than fields. */
typedef enum Number {
    NUMBER_SERVICE,
    NUMBER_KNOWN,
    NUMBER_GONE,
    NUMBER_FIRST,
    NUMBER_LAST,
    NUMBER_ACCEPTED,
    NUMBER_REFUSED,
    NUMBER_MISSING,
    NUMBER_SINCE,
    NUMBER_STRIKES_PART,
    NUMBER_STRIKES, /* the newest part first; stays the last */
    _NUMBER_MAX = NUMBER_STRIKES + 1 + STRIKES_PARTS,
} Number;

static void save_one(BlobWriter *w, const Source *s) {
    uint64_t numbers[_NUMBER_MAX] = {
        [NUMBER_SERVICE] = s->service,
        [NUMBER_KNOWN] = s->known,
        [NUMBER_GONE] = s->gone,
        [NUMBER_FIRST] = s->first_usec,
        [NUMBER_LAST] = s->last_usec,
        [NUMBER_ACCEPTED] = s->accepted,
        [NUMBER_REFUSED] = s->refused,
        [NUMBER_MISSING] = s->rate.missing,
        [NUMBER_SINCE] = s->rate.since_nsec,
        [NUMBER_STRIKES_PART] = s->strikes.part,
    };
    size_t n = _NUMBER_MAX;
    for (size_t i = 0; i < ELEMENTS(s->strikes.counts); i++)
        numbers[NUMBER_STRIKES + i] = s->strikes.counts[i];
    while (n > 0 && numbers[n - 1] == 0)
        n--;
    size_t at = blob_open(w, SOURCES_ITEM);
    peer_put(w, ITEM_PREFIX, &s->prefix);
    blob_put_u64s(w, ITEM_NUMBERS, numbers, n);
    blob_put_bool(w, ITEM_HELD, s->active > 0);
    blob_close(w, at);
}

static void save_list(BlobWriter *w, const List *list) {
    LIST_FOREACH (s, list, const Source, link)
        save_one(w, s);
}

void sources_save(BlobWriter *w, const Sources *t) {
    const uint64_t counts[] = {t->evicted, t->failed};
    blob_put_u64s(w, SOURCES_COUNTS, counts, ELEMENTS(counts));
    for (size_t f = 0; f < _FAMILY_MAX; f++) {
        save_list(w, &t->segments[f][SEGMENT_KNOWN].list);
        save_list(w, &t->segments[f][SEGMENT_NEW].list);
    }
    save_list(w, &t->pinned);
}

static void restore_one(BlobReader r, Sources *t) {
    BlobField f;
    uint64_t numbers[_NUMBER_MAX] = {0};
    Source s = {.prefix.kind = PEER_NONE};
    bool held = false, complete = false;
    while (blob_next(&r, &f)) {
        if (f.tag == ITEM_PREFIX) {
            s.prefix = peer_take(&f);
            complete = true;
        } else if (f.tag == ITEM_NUMBERS) {
            blob_u64s(&f, numbers, _NUMBER_MAX);
        } else if (f.tag == ITEM_HELD) {
            held = blob_bool(&f);
        }
    }
    s.service = (uint32_t)numbers[NUMBER_SERVICE];
    s.known = numbers[NUMBER_KNOWN] != 0;
    s.gone = numbers[NUMBER_GONE] != 0;
    s.first_usec = numbers[NUMBER_FIRST];
    s.last_usec = numbers[NUMBER_LAST];
    s.accepted = numbers[NUMBER_ACCEPTED];
    s.refused = numbers[NUMBER_REFUSED];
    s.rate = (Bucket){.missing = numbers[NUMBER_MISSING], .since_nsec = numbers[NUMBER_SINCE]};
    s.strikes.part = numbers[NUMBER_STRIKES_PART];
    for (size_t i = 0; i < ELEMENTS(s.strikes.counts); i++)
        s.strikes.counts[i] = (uint32_t)numbers[NUMBER_STRIKES + i];
    if (complete && !blob_is_spoilt(r.source))
        sources_put_back(t, &s, held);
}

int sources_restore(BlobReader r, Sources *t) {
    BlobField f;
    uint64_t counts[2] = {0};
    while (blob_next(&r, &f)) {
        if (f.tag == SOURCES_COUNTS)
            blob_u64s(&f, counts, ELEMENTS(counts));
        else if (f.tag == SOURCES_ITEM)
            restore_one(blob_enter(&f), t);
    }
    /* With those that did not fit. */
    t->evicted += counts[0];
    t->failed += counts[1];
    return blob_is_spoilt(r.source) ? -EBADMSG : 0;
}

void source_put(BlobWriter *w, uint16_t tag, const Source *s) {
    if (!s)
        return;
    size_t at = blob_open(w, tag);
    peer_put(w, HOLD_PREFIX, &s->prefix);
    blob_put_u64(w, HOLD_SERVICE, s->service);
    blob_close(w, at);
}

Source *source_take(const BlobField *field, Sources *t) {
    BlobReader r = blob_enter(field);
    BlobField f;
    Peer prefix = {.kind = PEER_NONE};
    uint64_t service = 0;
    while (blob_next(&r, &f)) {
        if (f.tag == HOLD_PREFIX)
            prefix = peer_take(&f);
        else if (f.tag == HOLD_SERVICE)
            service = blob_u64_max(&f, UINT32_MAX);
    }
    if (blob_is_spoilt(r.source))
        return NULL;
    Source *s = sources_find(t, (uint32_t)service, &prefix);
    if (!s)
        s = sources_visit(t, (uint32_t)service, &prefix, clock_monotonic_usec());
    if (s)
        sources_hold(t, s);
    return s;
}

/* SPDX-License-Identifier: MIT */
#include "daemon/top-sources.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/base/text.h"

/* Its place; else a free one; else that of the one with the lowest count, of several the longest unseen. */
static TopSource *find_place(TopSources *t, const Prefix *source) {
    TopSource *least = NULL;
    for (size_t i = 0; i < t->n; i++) {
        TopSource *item = &t->items[i];
        if (prefix_equal(&item->source, source))
            return item;
        if (!least || item->count < least->count ||
            (item->count == least->count && item->time_usec < least->time_usec))
            least = item;
    }
    if (!least || t->n < TOP_SOURCES)
        least = &t->items[t->n++];
    uint64_t inherited = least->count;
    *least = (TopSource){.source = *source, .count = inherited, .inherited = inherited};
    return least;
}

void top_sources_add(TopSources **t, const Prefix *source, RefuseReason reason, uint64_t time_usec) {
    if (source->kind == PEER_NONE)
        return;
    if (!*t)
        *t = calloc(1, sizeof(**t));
    if (!*t)
        return;
    TopSource *item = find_place(*t, source);
    item->count++;
    item->reason = reason;
    item->time_usec = time_usec;
}

bool top_sources_have(const TopSources *t, const Prefix *source) {
    for (size_t i = 0; t && i < t->n; i++)
        if (prefix_equal(&t->items[i].source, source))
            return true;
    return false;
}

static int compare_refused(const void *a, const void *b) {
    const ApiSource *x = a, *y = b;
    if (x->refused != y->refused)
        return x->refused < y->refused ? 1 : -1;
    if (x->last_time_usec != y->last_time_usec)
        return x->last_time_usec < y->last_time_usec ? 1 : -1;
    return strcmp(x->source, y->source);
}

size_t top_sources_list(const TopSources *t, LogAddresses how, SourceTexts texts,
                        ApiSource ret[static TOP_SOURCES]) {
    size_t n = 0;
    for (size_t i = 0; t && i < t->n; i++) {
        const TopSource *item = &t->items[i];
        const char *text = peer_format_prefix(&item->source, how, texts[n]);
        if (!text)
            continue;
        size_t k = 0;
        while (k < n && !streq(ret[k].source, text))
            k++;
        if (k == n)
            ret[n++] = (ApiSource){.source = text};
        ret[k].refused += item->count - item->inherited;
        if (item->time_usec >= ret[k].last_time_usec) {
            ret[k].was_refused = true;
            ret[k].reason = item->reason;
            ret[k].last_time_usec = item->time_usec;
        }
    }
    if (n > 0)
        qsort(ret, n, sizeof(*ret), compare_refused);
    return n;
}

/* Never used again for something else. */
enum {
    TOP_ITEM = 1, /* of it: */
    ITEM_SOURCE = 1,
    ITEM_NUMBERS, /* count, inherited, time */
    ITEM_REASON,  /* its word */
};

void top_sources_save(BlobWriter *w, const TopSources *t) {
    for (size_t i = 0; t && i < t->n; i++) {
        const TopSource *item = &t->items[i];
        const uint64_t numbers[] = {item->count, item->inherited, item->time_usec};
        size_t at = blob_open(w, TOP_ITEM);
        prefix_put(w, ITEM_SOURCE, &item->source);
        blob_put_u64s(w, ITEM_NUMBERS, numbers, ELEMENTS(numbers));
        blob_put_str(w, ITEM_REASON, refuse_reason_to_string(item->reason));
        blob_close(w, at);
    }
}

/* Whether it can be kept: somebody, refused for a reason that is known here. */
static bool get_item(BlobReader r, TopSource *ret) {
    BlobField f;
    uint64_t numbers[3] = {0};
    int reason = -EINVAL;
    *ret = (TopSource){.source.kind = PEER_NONE};
    while (blob_next(&r, &f)) {
        if (f.tag == ITEM_SOURCE) {
            ret->source = prefix_take(&f);
        } else if (f.tag == ITEM_NUMBERS) {
            blob_u64s(&f, numbers, ELEMENTS(numbers));
        } else if (f.tag == ITEM_REASON) {
            char *word CLEANUP_FREE = blob_str(&f);
            reason = word ? refuse_reason_from_string(word) : -ENOMEM;
        }
    }
    ret->count = numbers[0];
    ret->inherited = numbers[1];
    ret->time_usec = numbers[2];
    ret->reason = reason < 0 ? REFUSE_ACCESS : (RefuseReason)reason;
    return reason >= 0 && ret->source.kind != PEER_NONE;
}

int top_sources_restore(BlobReader r, TopSources **t) {
    BlobField f;
    free(*t);
    *t = calloc(1, sizeof(**t));
    while (*t && (*t)->n < TOP_SOURCES && blob_next(&r, &f))
        if (f.tag == TOP_ITEM && get_item(blob_enter(&f), &(*t)->items[(*t)->n]))
            (*t)->n++;
    if (*t && (*t)->n == 0) {
        free(*t);
        *t = NULL;
    }
    return blob_is_spoilt(r.source) ? -EBADMSG : 0;
}

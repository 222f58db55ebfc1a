/* SPDX-License-Identifier: MIT */
/* A segmented LRU: sources that came once stand apart from those that came back, and only the former make
 * room for new ones. */
#include <stdlib.h>
#include <string.h>

#include "daemon/base/clock.h"
#include "daemon/sources-private.h"

/* Who comes again later than this after his first visit is known. A flood would have to last, and to come
 * back with the same addresses. */
#define KNOWN_AFTER_USEC USEC_PER_SEC

Sources *sources_new(size_t max, const uint8_t key[static 16]) {
    Sources *t = calloc(1, sizeof(*t));
    if (!t)
        return NULL;
    memcpy(t->key, key, sizeof(t->key));
    list_init(&t->pinned);
    size_t max_new = max < 4 ? 1 : max / 4;
    for (size_t f = 0; f < _FAMILY_MAX; f++) {
        for (size_t k = 0; k < _SEGMENT_MAX; k++)
            list_init(&t->segments[f][k].list);
        t->segments[f][SEGMENT_NEW].max = max_new;
        t->segments[f][SEGMENT_KNOWN].max = max > max_new ? max - max_new : 0;
    }
    return t;
}

static Segment *segment_of(Sources *t, const Source *s) {
    return &t->segments[s->prefix.kind == PEER_INET6 ? FAMILY_INET6 : FAMILY_OTHER]
                       [s->known ? SEGMENT_KNOWN : SEGMENT_NEW];
}

/* Takes it off the list that it is on. */
static void take_off(Sources *t, Source *s) {
    if (s->active > 0)
        t->n_pinned--;
    else
        segment_of(t, s)->n--;
    list_remove(&s->link);
}

static void put_last(Segment *segment, Source *s) {
    list_append(&segment->list, &s->link);
    segment->n++;
}

/* Of one that is not empty. */
static Source *oldest_of(const Segment *segment) {
    return LIST_ENTRY(segment->list.next, Source, link);
}

/* Forgets it, and leaves the memory to the caller. */
static Source *take_out(Sources *t, Source *s) {
    take_off(t, s);
    hash_table_remove(&t->table, &s->node);
    return s;
}

static void free_list(List *list) {
    LIST_FOREACH_SAFE (s, list, Source, link)
        free(s);
}

Sources *sources_free(Sources *t) {
    if (!t)
        return NULL;
    for (size_t f = 0; f < _FAMILY_MAX; f++)
        for (size_t k = 0; k < _SEGMENT_MAX; k++)
            free_list(&t->segments[f][k].list);
    free_list(&t->pinned);
    hash_table_done(&t->table);
    free(t);
    return NULL;
}

static Source *find(const Sources *t, uint32_t hash, uint32_t service, const Peer *prefix) {
    for (HashNode *node = hash_table_first(&t->table, hash); node; node = hash_table_next(node)) {
        Source *s = HASH_ENTRY(node, Source, node);
        if (s->service == service && peer_equal(&s->prefix, prefix))
            return s;
    }
    return NULL;
}

Source *sources_find(const Sources *t, uint32_t service, const Peer *prefix) {
    return find(t, (uint32_t)peer_hash(prefix, service, t->key), service, prefix);
}

/* Forgets the one that was unseen for longest, of a segment that is not empty; its memory is the caller's. */
static Source *evict(Sources *t, const Segment *segment) {
    t->evicted++;
    return take_out(t, oldest_of(segment));
}

/* As the one that was seen last. When there are too many known ones, the one that was unseen for longest is
 * new again: nobody is forgotten because somebody else has become known. */
static void put_in_segment(Sources *t, Source *s) {
    put_last(segment_of(t, s), s);
    Segment *known = segment_of(t, s);
    if (!s->known || known->n <= known->max)
        return;
    Source *oldest = oldest_of(known);
    take_off(t, oldest);
    oldest->known = false;
    put_last(segment_of(t, oldest), oldest);
}

/* After one has come to its segments: they may hold one too many. */
static void trim(Sources *t, const Source *like) {
    Segment *fresh = &t->segments[like->prefix.kind == PEER_INET6 ? FAMILY_INET6 : FAMILY_OTHER][SEGMENT_NEW];
    if (fresh->n > fresh->max)
        free(evict(t, fresh));
}

static void visit_again(Sources *t, Source *s, uint64_t now_usec) {
    bool known = s->known ||
                 (s->accepted > 0 && now_usec > s->first_usec && now_usec - s->first_usec > KNOWN_AFTER_USEC);
    s->last_usec = now_usec;
    if (s->active > 0) {
        s->known = known;
        return;
    }
    take_off(t, s);
    s->known = known;
    put_in_segment(t, s);
}

static Source *add(Sources *t, uint32_t hash, uint32_t service, const Peer *prefix, uint64_t now_usec) {
    const Source like = {.node.hash = hash,
                         .service = service,
                         .prefix = *prefix,
                         .first_usec = now_usec,
                         .last_usec = now_usec};
    Segment *fresh = segment_of(t, &like);
    /* One at a time, so that no connection pays for many: who had something running before an upgrade, and
     * has nothing any more. */
    trim(t, &like);
    Source *s = fresh->n < fresh->max ? malloc(sizeof(*s)) : NULL;
    if (!s && fresh->n > 0)
        s = evict(t, fresh);
    if (!s) {
        t->failed++;
        return NULL;
    }
    *s = like;
    list_init(&s->link);
    if (hash_table_add(&t->table, &s->node) < 0) {
        t->failed++;
        free(s);
        return NULL;
    }
    put_last(fresh, s);
    return s;
}

void sources_put_back(Sources *t, const Source *like, bool held) {
    uint32_t hash = (uint32_t)peer_hash(&like->prefix, like->service, t->key);
    Source *s = find(t, hash, like->service, &like->prefix) ? NULL : malloc(sizeof(*s));
    if (!s)
        return;
    *s = *like;
    s->node.hash = hash;
    s->active = 0;
    list_init(&s->link);
    if (hash_table_add(&t->table, &s->node) < 0) {
        free(s);
        return;
    }
    if (held) {
        put_last(segment_of(t, s), s);
        return;
    }
    put_in_segment(t, s);
    trim(t, s);
}

Source *sources_visit(Sources *t, uint32_t service, const Peer *prefix, uint64_t now_usec) {
    uint32_t hash = (uint32_t)peer_hash(prefix, service, t->key);
    Source *s = find(t, hash, service, prefix);
    if (!s)
        return add(t, hash, service, prefix, now_usec);
    visit_again(t, s, now_usec);
    return s;
}

void sources_hold(Sources *t, Source *s) {
    if (s->active == 0) {
        take_off(t, s);
        list_append(&t->pinned, &s->link);
        t->n_pinned++;
    }
    s->active++;
}

void sources_release(Sources *t, Source *s) {
    if (s->active > 1) {
        s->active--;
        return;
    }
    take_off(t, s);
    s->active = 0;
    if (s->gone) {
        hash_table_remove(&t->table, &s->node);
        free(s);
        return;
    }
    put_in_segment(t, s);
    trim(t, s);
}

void sources_forget(Sources *t, const Gone *services) {
    for (size_t f = 0; f < _FAMILY_MAX; f++)
        for (size_t k = 0; k < _SEGMENT_MAX; k++)
            LIST_FOREACH_SAFE (s, &t->segments[f][k].list, Source, link)
                if (gone_has(services, s->service))
                    free(take_out(t, s));
    LIST_FOREACH (s, &t->pinned, Source, link)
        if (gone_has(services, s->service))
            s->gone = true;
}

SourcesStats sources_stats(const Sources *t) {
    return (SourcesStats){
        .known = t->table.n, .pinned = t->n_pinned, .evicted = t->evicted, .failed = t->failed};
}

/* Those that came last of equal ones first. */
static bool is_above(const Source *a, const Source *b) {
    return a->accepted != b->accepted ? a->accepted > b->accepted : a->last_usec > b->last_usec;
}

/* Of those that were seen last, so many of each list: to look at all would take 20 ms when it is full. */
#define TOP_LOOKS 1024

static size_t add_top(const List *list, uint32_t service, const Source **ret, size_t n, size_t max) {
    size_t looks = 0;
    for (List *link = list->prev; link != list && looks < TOP_LOOKS; link = link->prev, looks++) {
        const Source *s = LIST_ENTRY(link, Source, link);
        if (s->service != service || (n == max && !is_above(s, ret[n - 1])))
            continue;
        size_t at = n < max ? n++ : n - 1;
        for (; at > 0 && is_above(s, ret[at - 1]); at--)
            ret[at] = ret[at - 1];
        ret[at] = s;
    }
    return n;
}

size_t sources_top(const Sources *t, uint32_t service, const Source **ret, size_t n) {
    if (n == 0)
        return 0;
    size_t found = add_top(&t->pinned, service, ret, 0, n);
    for (size_t f = 0; f < _FAMILY_MAX; f++)
        for (size_t k = 0; k < _SEGMENT_MAX; k++)
            found = add_top(&t->segments[f][k].list, service, ret, found, n);
    return found;
}

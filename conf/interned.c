/* SPDX-License-Identifier: MIT */
#include "conf/interned.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/text.h"

#define CHUNK_MIN ((size_t)2048 - 64)
#define CHUNK_MAX ((size_t)64 << 10)
#define PLACES_MIN ((size_t)64)
#define ALIGN_MAX ((size_t)8)

typedef struct Chunk {
    struct Chunk *next;
    size_t size, used;
    _Alignas(ALIGN_MAX) char data[];
} Chunk;

typedef struct Place {
    const void *data; /* NULL: free */
    size_t n;
    uint64_t hash;
} Place;

struct Interned {
    unsigned refs;
    unsigned whole; /* so many there were, without the one who made it, when it was finished */
    bool finished;
    Chunk *chunks; /* the newest first */
    Place *places; /* open addressing; a power of two, never more than three quarters full */
    size_t n_places, n;
};

Interned *interned_new(void) {
    Interned *in = calloc(1, sizeof(*in));
    if (in)
        in->refs = 1;
    return in;
}

Interned *interned_ref(Interned *in) {
    in->refs++;
    return in;
}

Interned *interned_unref(Interned *in) {
    if (!in || --in->refs > 0)
        return NULL;
    while (in->chunks) {
        Chunk *next = in->chunks->next;
        free(in->chunks);
        in->chunks = next;
    }
    free(in->places);
    free(in);
    return NULL;
}

void interned_finish(Interned *in) {
    free(in->places);
    in->places = NULL;
    in->n_places = in->n = 0;
    in->finished = true;
    in->whole = in->refs - 1;
}

bool interned_is_sparse(const Interned *in) {
    return in->finished && in->refs < (in->whole + 1) / 2;
}

bool interned_has(const Interned *in, const void *p) {
    uintptr_t at = (uintptr_t)p;
    for (const Chunk *c = in ? in->chunks : NULL; c; c = c->next)
        if (at >= (uintptr_t)c->data && at < (uintptr_t)c->data + c->used)
            return true;
    return false;
}

/* FNV-1a: what is hashed comes from the administrator. */
static uint64_t hash_of(const void *data, size_t n) {
    const unsigned char *p = data;
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ p[i]) * UINT64_C(0x100000001b3);
    return hash ^ hash >> 32;
}

static Place *find_place(Place *places, size_t n_places, uint64_t hash, const void *data, size_t n) {
    size_t at = (size_t)hash & (n_places - 1);
    while (places[at].data &&
           (places[at].hash != hash || places[at].n != n || !data || memcmp(places[at].data, data, n) != 0))
        at = (at + 1) & (n_places - 1);
    return &places[at];
}

static bool make_room(Interned *in) {
    if (4 * (in->n + 1) <= 3 * in->n_places)
        return true;
    size_t n_places = in->n_places ? 2 * in->n_places : PLACES_MIN;
    Place *places = calloc(n_places, sizeof(*places));
    if (!places)
        return false;
    for (size_t i = 0; i < in->n_places; i++)
        if (in->places[i].data)
            *find_place(places, n_places, in->places[i].hash, NULL, 0) = in->places[i];
    free(in->places);
    in->places = places;
    in->n_places = n_places;
    return true;
}

static size_t alignment_of(size_t n) {
    size_t align = ALIGN_MAX;
    while (n % align != 0)
        align /= 2;
    return align;
}

/* Room for @n bytes. */
static void *take(Interned *in, size_t n) {
    Chunk *c = in->chunks;
    size_t align = alignment_of(n), at = c ? (c->used + align - 1) & ~(align - 1) : 0;
    if (!c || at > c->size || n > c->size - at) {
        size_t size = c ? 2 * c->size + sizeof(Chunk) : CHUNK_MIN;
        size = size > CHUNK_MAX ? CHUNK_MAX : size;
        size = size < n ? n : size;
        c = malloc(sizeof(Chunk) + size);
        if (!c)
            return NULL;
        *c = (Chunk){.next = in->chunks, .size = size};
        in->chunks = c;
        at = 0;
    }
    c->used = at + n;
    return c->data + at;
}

const void *interned_bytes(Interned *in, const void *data, size_t n) {
    if (in->finished || n == 0 || !make_room(in))
        return NULL;
    uint64_t hash = hash_of(data, n);
    Place *place = find_place(in->places, in->n_places, hash, data, n);
    if (place->data)
        return place->data;
    void *copy = take(in, n);
    if (!copy)
        return NULL;
    memcpy(copy, data, n);
    *place = (Place){.data = copy, .n = n, .hash = hash};
    in->n++;
    return copy;
}

const char *interned_string(Interned *in, const char *s) {
    return interned_bytes(in, s, strlen(s) + 1);
}

char **interned_strv(Interned *in, char *const *v) {
    size_t n = strv_length(v);
    CLEANUP_FREE const char **words = (const char **)calloc(n + 1, sizeof(char *));
    if (!words)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        words[i] = interned_string(in, v[i]);
        if (!words[i])
            return NULL;
    }
    return (char **)(uintptr_t)interned_bytes(in, (const void *)words, (n + 1) * sizeof(char *));
}

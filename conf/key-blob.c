/* SPDX-License-Identifier: MIT */
#include "conf/key-blob.h"

#include <stdlib.h>
#include <string.h>

#include "conf/field.h"
#include "conf/part.h"
#include "daemon/base/clock.h"

#define PATH_BYTES_MAX ((size_t)4095)
/* Of a rate; the same as in value-units.c and then some: what counts is that nothing overflows. */
#define RATE_COUNT_MAX ((uint64_t)1 << 40)
#define RATE_PERIOD_MAX ((uint64_t)1 << 56)

/* How a field is kept. */
typedef enum Shape {
    SHAPE_NONE,
    SHAPE_INTEGER, /* of 1, 4 or 8 bytes */
    SHAPE_WORD,
    SHAPE_RATE,
    SHAPE_NUMBER,
    SHAPE_STRING,
    SHAPE_LIST,
    SHAPE_RLIMIT,
    SHAPE_CPUS,
} Shape;

static Shape shape_of(const Key *key) {
    static const Shape shapes[_KEY_TYPE_MAX] = {
        [KEY_SECTION] = SHAPE_INTEGER,     [KEY_BOOL] = SHAPE_INTEGER,       [KEY_WORD] = SHAPE_WORD,
        [KEY_INTEGER] = SHAPE_INTEGER,     [KEY_NUMBER] = SHAPE_NUMBER,      [KEY_DURATION] = SHAPE_INTEGER,
        [KEY_SIZE] = SHAPE_INTEGER,        [KEY_RATE] = SHAPE_RATE,          [KEY_MODE] = SHAPE_INTEGER,
        [KEY_TEXT] = SHAPE_STRING,         [KEY_PATH] = SHAPE_STRING,        [KEY_FDNAME] = SHAPE_STRING,
        [KEY_USER] = SHAPE_STRING,         [KEY_GROUP] = SHAPE_STRING,       [KEY_ENDPOINT] = SHAPE_STRING,
        [KEY_LIST] = SHAPE_LIST,           [KEY_COMMAND] = SHAPE_LIST,       [KEY_ENVIRONMENT] = SHAPE_LIST,
        [KEY_RLIMIT_COUNT] = SHAPE_RLIMIT, [KEY_RLIMIT_SIZE] = SHAPE_RLIMIT, [KEY_RLIMIT_TIME] = SHAPE_RLIMIT,
        [KEY_IO_PRIORITY] = SHAPE_INTEGER, [KEY_CPUS] = SHAPE_CPUS,          [KEY_PATHS] = SHAPE_LIST,
        [KEY_PROCESSORS] = SHAPE_INTEGER,
    };
    return key->size > 0 ? shapes[key->type] : SHAPE_NONE;
}

/* Its name; a scope of its own each, since the same path stands in two of them. */
static const char *name_of(const Key *key, char buf[static 80]) {
    static const char scopes[] = {
        [KEY_SCOPE_FILE] = 'f', [KEY_SCOPE_SERVICE] = 's', [KEY_SCOPE_LISTEN] = 'l'};
    (void)snprintf(buf, 80, "%c:%s", scopes[key->scope], key->path);
    return buf;
}

void key_map_put(BlobWriter *w, uint16_t tag) {
    char name[80];
    CLEANUP_STRV char **names = NULL;
    for (size_t i = 0; i < schema_n_keys(); i++) {
        if (strv_push(&names, strdup(name_of(schema_key(i), name))) == 0)
            continue;
        w->failed = true;
        return;
    }
    blob_put_strv(w, tag, names);
}

static const Key *find_key(const char *name, size_t near) {
    char buf[80];
    if (near < schema_n_keys() && streq(name_of(schema_key(near), buf), name))
        return schema_key(near);
    for (size_t i = 0; i < schema_n_keys(); i++)
        if (streq(name_of(schema_key(i), buf), name))
            return schema_key(i);
    return NULL;
}

void key_map_get(const BlobField *f, KeyMap *ret) {
    CLEANUP_STRV char **names = blob_strv(f);
    key_map_done(ret);
    size_t n = strv_length(names);
    if (n > UINT16_MAX - 1U) {
        blob_spoil(f->source, "it has too many keys");
        return;
    }
    ret->keys = (const Key **)calloc(n + 1, sizeof(Key *));
    if (!ret->keys) {
        blob_spoil(f->source, "out of memory");
        return;
    }
    for (size_t i = 0; i < n; i++)
        ret->keys[i] = find_key(names[i], i);
    ret->n = n;
}

void key_map_done(KeyMap *m) {
    free((void *)m->keys);
    *m = (KeyMap){0};
}

const Key *key_map_find(const KeyMap *m, size_t i, BlobSource *source) {
    const Key *key = i < m->n ? m->keys[i] : NULL;
    if (!key)
        blob_spoil(source, "key %zu is not known to this version", i);
    return key;
}

static int64_t load_integer(const Key *key, const void *field) {
    int64_t wide;
    int narrow;
    if (key->size == sizeof(bool))
        return *(const bool *)field;
    if (key->size == sizeof(int)) {
        memcpy(&narrow, field, sizeof(narrow));
        return narrow;
    }
    memcpy(&wide, field, sizeof(wide));
    return wide;
}

static void store_integer(const Key *key, void *field, int64_t v) {
    if (key->size == sizeof(bool)) {
        *(bool *)field = v != 0;
    } else if (key->size == sizeof(int)) {
        int narrow = (int)v;
        memcpy(field, &narrow, sizeof(narrow));
    } else {
        memcpy(field, &v, sizeof(v));
    }
}

static bool *has_of(const Key *key, void *home) {
    return key->has > 0 ? (bool *)(void *)((char *)home + key->has) : NULL;
}

static const RlimitConfig *find_rlimit(const Key *key, const ResourceConfig *resources) {
    for (size_t i = 0; i < resources->n_rlimits; i++)
        if (resources->rlimits[i].resource == key->resource)
            return &resources->rlimits[i];
    return NULL;
}

static void put_word(BlobWriter *w, uint16_t tag, const Key *key, const void *field) {
    char word[32];
    int64_t i = load_integer(key, field);
    blob_put_str(w, tag, i >= 0 ? schema_word(key, (size_t)i, word) : NULL);
}

static void put_key(BlobWriter *w, uint16_t tag, const Key *key, const void *base) {
    const void *home = field_home(key, base), *field = (const char *)home + key->offset;
    const bool *has = has_of(key, (void *)(uintptr_t)home);
    const RlimitConfig *limit;
    const Rate *rate;
    double number;
    if ((has && !*has) || (key->part && !part_is_there(base, key->part)))
        return;
    switch (shape_of(key)) {
    case SHAPE_NONE:
        break;
    case SHAPE_INTEGER:
        blob_put_i64(w, tag, load_integer(key, field));
        break;
    case SHAPE_WORD:
        put_word(w, tag, key, field);
        break;
    case SHAPE_RATE:
        rate = field;
        blob_put_u64s(w, tag, (const uint64_t[]){rate->count, rate->per_usec, rate->burst}, 3);
        break;
    case SHAPE_NUMBER:
        memcpy(&number, field, sizeof(number));
        blob_put_double(w, tag, number);
        break;
    case SHAPE_STRING:
        blob_put_str(w, tag, *(char *const *)field);
        break;
    case SHAPE_LIST:
        blob_put_strv(w, tag, *(char **const *)field);
        break;
    case SHAPE_RLIMIT:
        limit = find_rlimit(key, home);
        if (limit)
            blob_put_u64(w, tag, limit->value);
        break;
    case SHAPE_CPUS:
        blob_put_u64s(w, tag, field, key->size / 8);
        break;
    }
}

void keys_put(BlobWriter *w, uint16_t tag, KeyScope scope, const void *base) {
    size_t at = blob_open(w, tag);
    for (size_t i = 0; i < schema_n_keys(); i++)
        if (schema_key(i)->scope == scope)
            put_key(w, (uint16_t)(i + 1), schema_key(i), base);
    blob_close(w, at);
}

/* Whether a key may have this number: one that could be written, or what stands for none. */
static bool integer_is_good(const Key *key, int64_t v) {
    int64_t unit = key->type == KEY_DURATION && key->size == sizeof(int) ? (int64_t)USEC_PER_SEC : 1;
    bool unbounded = key->min == 0 && key->max == 0;
    if (key->size == sizeof(bool))
        return v == 0 || v == 1;
    if (key->scope == KEY_SCOPE_LISTEN && v == -1 && key->type != KEY_MODE) /* as the kernel has it */
        return true;
    if (key->type == KEY_BOOL)
        return v == 0 || v == 1;
    if ((key->flags & KEY_OR_NONE) && v == (key->type == KEY_DURATION ? -1 : key->none))
        return true;
    if (key->type == KEY_IO_PRIORITY || (unbounded && key->size == sizeof(int)))
        return v >= 0 && v <= INT32_MAX;
    return unbounded ? v >= 0 : v >= key->min / unit && v <= key->max / unit;
}

static void get_integer(const BlobField *f, const Key *key, void *field) {
    int64_t v = blob_i64(f);
    if (integer_is_good(key, v))
        store_integer(key, field, v);
    else
        blob_spoil(f->source, "%s is out of range", key->path);
}

static void get_word(const BlobField *f, const Key *key, void *field) {
    CLEANUP_FREE char *word = blob_str(f);
    int i = word ? schema_word_find(key, word) : -EINVAL;
    if (i >= 0)
        store_integer(key, field, i);
    else
        blob_spoil(f->source, "%s has an unknown value", key->path);
}

static void get_rate(const BlobField *f, const Key *key, void *field) {
    uint64_t v[3];
    blob_u64s(f, v, ELEMENTS(v));
    const Rate rate = {.count = v[0], .per_usec = v[1], .burst = v[2]};
    bool none = v[0] == 0 && v[1] == 0 && v[2] == 0;
    bool good = v[0] > 0 && v[0] < RATE_COUNT_MAX && v[1] > 0 && v[1] < RATE_PERIOD_MAX && v[2] > 0 &&
                v[2] < RATE_COUNT_MAX;
    if (none || good)
        *(Rate *)field = rate;
    else
        blob_spoil(f->source, "%s is out of range", key->path);
}

static void get_number(const BlobField *f, const Key *key, void *field) {
    double v = blob_double(f);
    if (v < 0 || v > (double)key->max)
        blob_spoil(f->source, "%s is out of range", key->path);
    else
        memcpy(field, &v, sizeof(v));
}

static void get_string(const BlobField *f, const Key *key, void *field) {
    size_t max = key->max > 0 ? (size_t)key->max : key->type == KEY_PATH ? PATH_BYTES_MAX : SIZE_MAX;
    if (f->n > max)
        blob_spoil(f->source, "%s is too long", key->path);
    else
        blob_take_str(f, (char **)field);
}

static void get_rlimit(const BlobField *f, const Key *key, ResourceConfig *to) {
    uint64_t v = blob_u64(f);
    int64_t unit = key->type == KEY_RLIMIT_TIME ? (int64_t)USEC_PER_SEC : 1;
    bool good = v == RLIM_INFINITY || (v >= (uint64_t)(key->min / unit) && v <= (uint64_t)(key->max / unit));
    if (!good || to->n_rlimits == RLIMITS_MAX || find_rlimit(key, to))
        blob_spoil(f->source, "%s is out of range", key->path);
    else
        to->rlimits[to->n_rlimits++] = (RlimitConfig){.resource = key->resource, .value = v};
}

static void get_key(const BlobField *f, const Key *key, void *base) {
    void *home = field_make_home(key, base);
    if (!home) {
        blob_spoil(f->source, "out of memory");
        return;
    }
    void *field = (char *)home + key->offset;
    bool *has = has_of(key, home);
    switch (shape_of(key)) {
    case SHAPE_NONE:
        blob_spoil(f->source, "%s has no value", key->path);
        break;
    case SHAPE_INTEGER:
        get_integer(f, key, field);
        break;
    case SHAPE_WORD:
        get_word(f, key, field);
        break;
    case SHAPE_RATE:
        get_rate(f, key, field);
        break;
    case SHAPE_NUMBER:
        get_number(f, key, field);
        break;
    case SHAPE_STRING:
        get_string(f, key, field);
        break;
    case SHAPE_LIST:
        blob_take_strv(f, (char ***)field);
        break;
    case SHAPE_RLIMIT:
        get_rlimit(f, key, home);
        break;
    case SHAPE_CPUS:
        blob_u64s(f, field, key->size / 8);
        break;
    }
    if (has)
        *has = true;
}

void keys_get(const BlobField *f, const KeyMap *map, KeyScope scope, void *base) {
    CLEANUP_FREE bool *seen = calloc(schema_n_keys(), sizeof(bool));
    BlobReader r = blob_enter(f);
    BlobField g;
    if (!seen) {
        blob_spoil(f->source, "out of memory");
        return;
    }
    while (blob_next(&r, &g)) {
        const Key *key = g.tag > 0 ? key_map_find(map, g.tag - 1U, f->source) : NULL;
        if (!key || key->scope != scope || seen[schema_index(key)]) {
            blob_spoil(f->source, "a key is not where it should be");
            return;
        }
        seen[schema_index(key)] = true;
        get_key(&g, key, base);
    }
    for (size_t i = 0; i < schema_n_keys() && !blob_is_spoilt(f->source); i++)
        if (schema_key(i)->scope == scope && !seen[i] && field_set_standard(schema_key(i), base) < 0)
            blob_spoil(f->source, "out of memory");
}

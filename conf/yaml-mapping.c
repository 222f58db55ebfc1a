/* SPDX-License-Identifier: MIT */
/* From the keys and values of a mapping to its pairs: duplicates are told, merge keys (`<<`) resolved. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/yaml-parser.h"
#include "daemon/base/cleanup.h"
#include "daemon/base/text.h"

/* A pair on its way into the mapping. */
typedef struct Entry {
    YamlPair pair;
    size_t order;
    const struct Entry *first; /* the entry before it that has the same key */
    bool left_out;
} Entry;

typedef struct Entries {
    Entry *items;
    size_t n;
} Entries;

static void entries_done(Entries *e) {
    free(e->items);
}

static YamlItem *item_of(YamlNode *node) {
    return (YamlItem *)node; /* its first member */
}

static void add_entry(Entries *e, YamlPair pair) {
    e->items[e->n] = (Entry){.pair = pair, .order = e->n};
    e->n++;
}

static bool is_merge(const Entry *e) {
    return !e->pair.merged && item_of(e->pair.key)->merge_key;
}

static size_t count_merged(const YamlNode *value) {
    if (value->kind == YAML_MAPPING)
        return value->n;
    size_t n = 0;
    for (size_t i = 0; value->kind == YAML_SEQUENCE && i < value->n; i++)
        if (value->items[i]->kind == YAML_MAPPING)
            n += value->items[i]->n;
    return n;
}

static void merge_mapping(Entries *e, const YamlNode *from) {
    for (size_t i = 0; i < from->n; i++)
        add_entry(e, (YamlPair){.key = from->pairs[i].key, .value = from->pairs[i].value, .merged = true});
}

static void complain_merge(YamlParser *p, const YamlNode *value) {
    if (!value->faulty)
        yaml_error_at(p, &value->pos, DIAG_WRONG_TYPE, "such as <<: *common or <<: [*one, *two]",
                      "'<<' takes a mapping, or a list of mappings");
}

/* Adds what the value of a `<<` brings; the order of @e decides who wins. */
static void merge_value(YamlParser *p, Entries *e, const YamlNode *value) {
    if (value->kind == YAML_MAPPING) {
        merge_mapping(e, value);
        return;
    }
    if (value->kind != YAML_SEQUENCE) {
        complain_merge(p, value);
        return;
    }
    for (size_t i = 0; i < value->n; i++) {
        if (value->items[i]->kind == YAML_MAPPING)
            merge_mapping(e, value->items[i]);
        else
            complain_merge(p, value->items[i]);
    }
}

static int compare_entries(const void *a, const void *b) {
    const Entry *x = *(const Entry *const *)a, *y = *(const Entry *const *)b;
    int r = strcmp(x->pair.key->text, y->pair.key->text);
    if (r != 0)
        return r;
    return x->order < y->order ? -1 : x->order > y->order;
}

/* Of entries with one key the first stays: a key of the mapping itself before a merged one. */
static int mark_repeated(const Entries *e) {
    CLEANUP_FREE Entry **sorted = (Entry **)calloc(e->n + 1, sizeof(Entry *));
    if (!sorted)
        return -ENOMEM;
    for (size_t i = 0; i < e->n; i++)
        sorted[i] = &e->items[i];
    qsort((void *)sorted, e->n, sizeof(Entry *), compare_entries);
    for (size_t i = 1; i < e->n; i++) {
        const Entry *first = sorted[i - 1]->first ? sorted[i - 1]->first : sorted[i - 1];
        if (!streq(first->pair.key->text, sorted[i]->pair.key->text))
            continue;
        sorted[i]->first = first;
        sorted[i]->left_out = true;
    }
    return 0;
}

static void complain_repeated(YamlParser *p, const Entry *e) {
    char hint[64];
    const DiagPos *first = &e->first->pair.key->pos, *second = &e->pair.key->pos;
    if (first->line == second->line)
        (void)snprintf(hint, sizeof(hint), "first at column %u", first->column);
    else
        (void)snprintf(hint, sizeof(hint), "first at line %u", first->line);
    CLEANUP_TEXT Text key = {0};
    text_add_escaped(&key, e->pair.key->text, strlen(e->pair.key->text));
    yaml_error_at(p, second, DIAG_DUPLICATE_KEY, hint, "'%.100s' is given twice", key.s ? key.s : "");
}

/* Whether the key can be one; what is wrong with a scalar was told when it came. */
static bool check_key(YamlParser *p, const YamlNode *key) {
    if (key->faulty)
        return false;
    if (key->kind == YAML_SCALAR)
        return true;
    if (key->kind == YAML_NULL)
        yaml_error_at(p, &key->pos, DIAG_YAML, "write KEY: VALUE", "the key is missing");
    else
        yaml_error_at(p, &key->pos, DIAG_YAML, "quote a value that begins with { or [",
                      "a %s cannot be a key", key->kind == YAML_MAPPING ? "mapping" : "list");
    return false;
}

/* The mapping's own pairs; @ret_merge is the value of its `<<`, or NULL. */
static int take_own(YamlParser *p, const YamlFrame *frame, Entries *e, const YamlNode **ret_merge) {
    size_t n = frame->n / 2, more = 0;
    *ret_merge = NULL;
    for (size_t i = 0; i < n && !*ret_merge; i++)
        if (frame->nodes[2 * i]->merge_key)
            *ret_merge = &frame->nodes[2 * i + 1]->node;
    if (*ret_merge)
        more = count_merged(*ret_merge);
    e->items = calloc(n + more + 1, sizeof(*e->items));
    if (!e->items)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        YamlNode *key = &frame->nodes[2 * i]->node;
        if (check_key(p, key))
            add_entry(e, (YamlPair){.key = key, .value = &frame->nodes[2 * i + 1]->node});
    }
    return 0;
}

int yaml_mapping_finish(YamlParser *p, YamlFrame *frame) {
    CLEANUP(entries_done) Entries e = {0};
    const YamlNode *merge = NULL;
    int r = take_own(p, frame, &e, &merge);
    if (r < 0)
        return r;
    if (merge)
        merge_value(p, &e, merge);
    r = mark_repeated(&e);
    if (r < 0)
        return r;
    YamlPair *pairs = yaml_alloc(p->file, e.n * sizeof(*pairs));
    if (!pairs)
        return -ENOMEM;
    size_t n = 0;
    for (size_t i = 0; i < e.n; i++) {
        if (e.items[i].left_out && !e.items[i].pair.merged)
            complain_repeated(p, &e.items[i]);
        if (!e.items[i].left_out && !is_merge(&e.items[i]))
            pairs[n++] = e.items[i].pair;
    }
    frame->item->node.pairs = pairs;
    frame->item->node.n = n;
    return 0;
}

/* SPDX-License-Identifier: MIT */
#include "daemon/comparison.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void free_change(ApiChange *c) {
    free((char *)c->service);
    free((char *)c->key);
    free((char *)c->from);
    free((char *)c->to);
}

void changes_done(Changes *c) {
    for (size_t i = 0; i < c->n; i++)
        free_change(&c->items[i]);
    free(c->items);
    *c = (Changes){0};
}

int changes_reserve(Changes *c, size_t n) {
    size_t capacity = c->capacity ? c->capacity : 16;
    if (c->n + n <= c->capacity)
        return 0;
    while (capacity < c->n + n)
        capacity *= 2;
    ApiChange *items = reallocarray(c->items, capacity, sizeof(ApiChange));
    if (!items)
        return -ENOMEM;
    c->items = items;
    c->capacity = capacity;
    return 0;
}

/* NULL stays NULL. Whether there was the memory. */
static bool copy(const char **s) {
    const char *original = *s;
    *s = original ? strdup(original) : NULL;
    return *s || !original;
}

int changes_add(Changes *c, const ApiChange *change) {
    ApiChange added = *change;
    bool ok = copy(&added.service);
    ok = copy(&added.key) && ok;
    ok = copy(&added.from) && ok;
    ok = copy(&added.to) && ok;
    if (!ok || changes_reserve(c, 1) < 0) {
        free_change(&added);
        return -ENOMEM;
    }
    c->items[c->n++] = added;
    return 0;
}

typedef struct Collector {
    Changes *to;
    const char *service;
    bool failed;
} Collector;

static void collect(const char *key, const char *from, const char *to, void *userdata) {
    Collector *c = userdata;
    const ApiChange change = {.service = c->service, .action = "change", .key = key, .from = from, .to = to};
    c->failed = changes_add(c->to, &change) < 0 || c->failed;
}

int changes_of_service(const ServiceConfig *from, const ServiceConfig *to, Changes *ret) {
    Collector c = {.to = ret, .service = to->name};
    (void)service_config_diff(from, to, collect, &c);
    return c.failed ? -ENOMEM : 0;
}

static int begin(Comparison *c, const Config *from, const Config *to) {
    comparison_done(c);
    c->pairs = calloc(from->n_services + 1, sizeof(Compared));
    if (!c->pairs)
        return -ENOMEM;
    c->from = from;
    c->to = to;
    return 0;
}

static int compare_pair(Comparison *c, ServiceConfig *a, ServiceConfig *b) {
    size_t first = c->changes.n;
    int r = changes_of_service(a, b, &c->changes);
    if (r >= 0)
        c->pairs[c->n++] = (Compared){.from = service_config_ref(a),
                                      .to = service_config_ref(b),
                                      .first = first,
                                      .n = c->changes.n - first};
    return r;
}

int comparison_step(Comparison *c, const Config *from, const Config *to, size_t n) {
    int r = c->from == from && c->to == to ? 0 : begin(c, from, to);
    for (; r >= 0 && n > 0 && c->next_from < from->n_services && c->next_to < to->n_services; n--) {
        ServiceConfig *a = from->services[c->next_from], *b = to->services[c->next_to];
        int order = a == b ? 0 : strcmp(a->name, b->name);
        c->next_from += order <= 0;
        c->next_to += order >= 0;
        if (a != b && order == 0)
            r = compare_pair(c, a, b);
    }
    return r < 0 ? r : c->next_from < from->n_services && c->next_to < to->n_services;
}

void comparison_done(Comparison *c) {
    changes_done(&c->changes);
    for (size_t i = 0; i < c->n; i++) {
        service_config_unref(c->pairs[i].from);
        service_config_unref(c->pairs[i].to);
    }
    free(c->pairs);
    *c = (Comparison){0};
}

const Compared *comparison_next(const Comparison *c, const ServiceConfig *from, size_t *at) {
    while (*at < c->n && c->pairs[*at].from != from && strcmp(c->pairs[*at].from->name, from->name) < 0)
        (*at)++;
    return *at < c->n && c->pairs[*at].from == from ? &c->pairs[*at] : NULL;
}

void comparison_take(Comparison *c, const Compared *pair, Changes *ret) {
    for (size_t i = 0; i < pair->n; i++) {
        ApiChange *change = &c->changes.items[pair->first + i];
        ret->items[ret->n++] = *change;
        *change = (ApiChange){0};
    }
}

/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "daemon/base/text.h"
#include "daemon/reload.h"

typedef struct Collector {
    Changes *to;
    const char *service, *action;
    bool failed;
} Collector;

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

static void collect(const char *key, const char *from, const char *to, void *userdata) {
    Collector *c = userdata;
    Changes *all = c->to;
    if (all->n == all->capacity) {
        size_t capacity = all->capacity ? all->capacity * 2 : 16;
        ApiChange *items = realloc(all->items, capacity * sizeof(ApiChange));
        if (!items) {
            c->failed = true;
            return;
        }
        all->items = items;
        all->capacity = capacity;
    }
    ApiChange change = {
        .service = c->service ? strdup(c->service) : NULL,
        .action = c->action,
        .key = key ? strdup(key) : NULL,
        .from = from ? strdup(from) : NULL,
        .to = to ? strdup(to) : NULL,
    };
    if ((c->service && !change.service) || (key && !change.key) || (from && !change.from) ||
        (to && !change.to)) {
        free_change(&change);
        c->failed = true;
        return;
    }
    all->items[all->n++] = change;
}

/* "tcp:79, unix:/run/x": what a service listens on, for the lines of added and removed ones. */
static char *listens(const ServiceConfig *s) {
    Text t = {0};
    for (size_t i = 0; i < s->n_listen; i++) {
        if (i > 0)
            text_add(&t, ", ");
        text_add(&t, s->listen[i].endpoint.text);
    }
    return text_take(&t);
}

static void collect_whole(Collector *c, const ServiceConfig *s, bool added) {
    char *endpoints CLEANUP_FREE = listens(s);
    c->service = s->name;
    c->action = added ? "add" : "remove";
    if (!endpoints)
        c->failed = true;
    else
        collect("listen", added ? NULL : endpoints, added ? endpoints : NULL, c);
}

/* As it is now, with the limits that Set has changed. */
static ServiceConfig as_it_runs(const ServiceConfig *config, const ServiceSet *set) {
    const Service *s = set ? service_set_find(set, config->name) : NULL;
    ServiceConfig c = *config;
    if (s && s->config == config)
        c.limits = s->limits;
    return c;
}

int changes_of_limits(const char *service, const LimitsConfig *from, const LimitsConfig *to, Changes *ret) {
    Collector c = {.to = ret, .service = service, .action = "change"};
    (void)limits_config_diff(from, to, collect, &c);
    return c.failed ? -ENOMEM : 0;
}

int changes_between(const Config *from, const Config *to, const ServiceSet *set, Changes *ret) {
    Collector c = {.to = ret, .action = "change"};
    (void)config_diff_globals(from, to, collect, &c);
    size_t a = 0, b = 0;
    while (a < from->n_services || b < to->n_services) {
        int order = a == from->n_services ? 1
                    : b == to->n_services ? -1
                                          : strcmp(from->services[a]->name, to->services[b]->name);
        if (order < 0) {
            collect_whole(&c, from->services[a++], false);
        } else if (order > 0) {
            collect_whole(&c, to->services[b++], true);
        } else {
            c.service = to->services[b]->name;
            c.action = "change";
            ServiceConfig old = as_it_runs(from->services[a++], set);
            (void)service_config_diff(&old, to->services[b++], collect, &c);
        }
    }
    return c.failed ? -ENOMEM : 0;
}

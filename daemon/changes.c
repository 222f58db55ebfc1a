/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "daemon/base/text.h"
#include "daemon/reload.h"

typedef struct Collector {
    Changes *to;
    const char *service, *action;
    bool failed;
} Collector;

static void collect(const char *key, const char *from, const char *to, void *userdata) {
    Collector *c = userdata;
    const ApiChange change = {.service = c->service, .action = c->action, .key = key, .from = from, .to = to};
    c->failed = changes_add(c->to, &change) < 0 || c->failed;
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

/* The service that runs as @config; both are in the order of their names, so that one look for all is enough.
 */
static const Service *find_next(const ServiceSet *set, const ServiceConfig *config, size_t *at) {
    while (set && *at < set->n && set->items[*at]->config != config &&
           strcmp(set->items[*at]->name, config->name) < 0)
        (*at)++;
    return set && *at < set->n && set->items[*at]->config == config ? set->items[*at] : NULL;
}

static bool has_limits_set(const Service *s) {
    return s && !limits_config_equal(s->limits, &s->config->terms->limits);
}

/* As it is now, with the limits that Set has changed. */
static void collect_changed(Collector *c, const ServiceConfig *from, const ServiceConfig *to,
                            const Service *s) {
    ServiceTerms terms = *from->terms;
    ServiceConfig old = *from;
    if (s)
        terms.limits = *s->limits;
    old.terms = &terms;
    if (changes_of_service(&old, to, c->to) < 0)
        c->failed = true;
}

/* @at: see comparison_next(). */
static void collect_pair(Collector *c, Comparison *known, size_t *at, const ServiceConfig *from,
                         const ServiceConfig *to, const Service *s) {
    bool set = has_limits_set(s);
    if (from == to && !set)
        return;
    const Compared *pair = known && !set ? comparison_next(known, from, at) : NULL;
    if (!pair || pair->to != to)
        collect_changed(c, from, to, s);
    else if (changes_reserve(c->to, pair->n) < 0)
        c->failed = true;
    else
        comparison_take(known, pair, c->to);
}

int changes_of_limits(const char *service, const LimitsConfig *from, const LimitsConfig *to, Changes *ret) {
    Collector c = {.to = ret, .service = service, .action = "change"};
    (void)limits_config_diff(from, to, collect, &c);
    return c.failed ? -ENOMEM : 0;
}

int changes_between(const Config *from, const Config *to, const ServiceSet *set, Comparison *known,
                    Changes *ret) {
    Collector c = {.to = ret, .action = "change"};
    (void)config_diff_globals(from, to, collect, &c);
    size_t a = 0, b = 0, at = 0, at_known = 0;
    while (a < from->n_services || b < to->n_services) {
        int order = a == from->n_services ? 1
                    : b == to->n_services ? -1
                    : from->services[a] == to->services[b]
                        ? 0
                        : strcmp(from->services[a]->name, to->services[b]->name);
        if (order < 0) {
            collect_whole(&c, from->services[a++], false);
        } else if (order > 0) {
            collect_whole(&c, to->services[b++], true);
        } else {
            const Service *s = find_next(set, from->services[a], &at);
            collect_pair(&c, known, &at_known, from->services[a++], to->services[b++], s);
        }
    }
    return c.failed ? -ENOMEM : 0;
}

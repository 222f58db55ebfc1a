/* SPDX-License-Identifier: MIT */
/* The plan of a reload in words. */
#include <stdlib.h>
#include <string.h>

#include "daemon/base/text.h"
#include "daemon/plan.h"

typedef struct Writer {
    PlanItems *to;
    const char *service;
    bool failed;
} Writer;

static void free_item(ApiPlanItem *i) {
    free((char *)i->service);
    free((char *)i->endpoint);
    free((char *)i->detail);
}

void plan_items_done(PlanItems *items) {
    for (size_t i = 0; i < items->n; i++)
        free_item(&items->items[i]);
    free(items->items);
    *items = (PlanItems){0};
}

static bool make_room(PlanItems *all) {
    if (all->n < all->capacity)
        return true;
    size_t capacity = all->capacity ? all->capacity * 2 : 16;
    ApiPlanItem *items = realloc(all->items, capacity * sizeof(ApiPlanItem));
    if (!items)
        return false;
    all->items = items;
    all->capacity = capacity;
    return true;
}

/* @detail may be NULL. */
static void add(Writer *w, const char *object, const char *endpoint, const char *action, const char *detail) {
    ApiPlanItem item = {.service = strdup(w->service),
                        .object = object,
                        .endpoint = endpoint ? strdup(endpoint) : NULL,
                        .action = action,
                        .detail = detail && *detail ? strdup(detail) : NULL};
    if (!item.service || (endpoint && !item.endpoint) || (detail && *detail && !item.detail) ||
        !make_room(w->to)) {
        free_item(&item);
        w->failed = true;
        return;
    }
    w->to->items[w->to->n++] = item;
}

static void add_options(Text *out, uint32_t options) {
    for (size_t i = 0; plan_option_name(i); i++)
        if (options & 1U << i) {
            text_add(out, out->len > 0 ? ", " : "");
            text_add(out, plan_option_name(i));
        }
}

static void add_socket(Writer *w, const PlanService *running, const PlanSocket *s) {
    static const char *const actions[] = {
        [SOCKET_CHANGED] = "change",
        [SOCKET_MOVED] = "move",
        [SOCKET_OPENED] = "open",
    };
    Text detail CLEANUP_TEXT = {0};
    if (s->fate == SOCKET_CLOSED || s->fate == SOCKET_KEPT)
        return;
    if (s->fate == SOCKET_MOVED)
        text_addf(&detail, "from %s", running[s->service].name);
    add_options(&detail, s->options);
    if (!text_ok(&detail))
        w->failed = true;
    else
        add(w, "listener", s->config->endpoint.text, actions[s->fate], detail.s);
}

/* The two families of one endpoint are told as one where the same becomes of them. */
static bool is_told(const PlanSocket *before, const PlanSocket *s) {
    return before->config == s->config && before->fate == s->fate && before->service == s->service &&
           before->options == s->options;
}

static void add_closed(Writer *w, const PlanService *s, const Plan *p, const PlanEntry *e) {
    const ListenConfig *told = NULL;
    for (size_t i = 0; i < e->n_listeners; i++) {
        const PlanListener *l = &s->listeners[i];
        if (!p->left[e->first_listener + i] || !l->has_socket || l->config == told)
            continue;
        told = l->config;
        add(w, "listener", l->config->endpoint.text, "close", "what waits there is served first");
    }
}

static void add_count(Writer *w, const char *object, const char *action, uint64_t n, const char *what) {
    Text detail CLEANUP_TEXT = {0};
    text_addf(&detail, "%llu %s", (unsigned long long)n, what);
    if (!text_ok(&detail))
        w->failed = true;
    else
        add(w, object, NULL, action, detail.s);
}

static void add_processes(Writer *w, const PlanService *s, const PlanEntry *e) {
    const char *object = s->config->model == MODEL_POOL ? "workers" : "processes";
    if (s->connections > 0)
        add_count(w, "processes", "keep", s->connections, "with a connection go on as they are");
    if (s->holders == 0)
        return;
    if (e->holders == HOLDERS_END)
        add_count(w, object, "end", s->holders, "told to end");
    else if (e->holders == HOLDERS_ROLL)
        add_count(w, object, "roll", s->holders, "replaced one after the other");
    else
        add_count(w, object, "keep", s->holders, "as they are");
}

static void add_entry(Writer *w, const PlanService *running, const Plan *p, const PlanEntry *e) {
    static const char *const actions[] = {
        [FATE_CHANGED] = "change",
        [FATE_ADDED] = "add",
        [FATE_REMOVED] = "remove",
    };
    add(w, "service", NULL, actions[e->fate], NULL);
    for (size_t i = 0; i < e->n_sockets; i++) {
        const PlanSocket *s = &p->sockets[e->first_socket + i];
        if (i == 0 || !is_told(s - 1, s))
            add_socket(w, running, s);
    }
    if (e->from == PLAN_NONE)
        return;
    add_closed(w, &running[e->from], p, e);
    add_processes(w, &running[e->from], e);
}

int plan_items_make(const Plan *p, const PlanService *running, const Config *to, PlanItems *ret) {
    Writer w = {.to = ret};
    for (size_t i = 0; i < p->n_entries && !w.failed; i++) {
        const PlanEntry *e = &p->entries[i];
        if (e->fate == FATE_SAME || e->fate == FATE_ENDING)
            continue;
        w.service = e->to == PLAN_NONE ? running[e->from].name : to->services[e->to]->name;
        add_entry(&w, running, p, e);
    }
    return w.failed ? -ENOMEM : 0;
}

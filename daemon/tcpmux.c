/* SPDX-License-Identifier: MIT */
#include "daemon/tcpmux.h"

#include <stdlib.h>
#include <strings.h>

#include "daemon/service.h"

/* The name as clients write it; NULL: it has none, or is not there. */
static const char *name_of(const Service *s) {
    const char *name = s->config->tcpmux;
    if (!name || s->removed || !s->config->enabled)
        return NULL;
    return name[0] == '+' ? name + 1 : name;
}

static bool is_door(const Service *s) {
    return s->config->model == MODEL_TCPMUX;
}

static int compare(const void *a, const void *b) {
    return strcasecmp(((const TcpmuxName *)a)->name, ((const TcpmuxName *)b)->name);
}

void tcpmux_done(Tcpmux *t) {
    free(t->names);
    free((void *)t->doors);
    *t = (Tcpmux){0};
}

void tcpmux_collect(Runtime *rt, Service *const *services, size_t n) {
    Tcpmux *t = &rt->tcpmux;
    tcpmux_done(t);
    size_t n_names = 0, n_doors = 0;
    for (size_t i = 0; i < n; i++) {
        n_names += name_of(services[i]) != NULL;
        n_doors += is_door(services[i]);
    }
    if (n_names == 0 && n_doors == 0)
        return;
    t->names = calloc(n_names + 1, sizeof(TcpmuxName));
    t->doors = (Service **)calloc(n_doors + 1, sizeof(Service *));
    if (!t->names || !t->doors) {
        tcpmux_done(t);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        const char *name = name_of(services[i]);
        if (name)
            t->names[t->n_names++] = (TcpmuxName){.name = name, .service = services[i]};
        if (is_door(services[i]))
            t->doors[t->n_doors++] = services[i];
    }
    qsort(t->names, t->n_names, sizeof(TcpmuxName), compare);
}

void tcpmux_renew(Service *s) {
    const Tcpmux *t = &s->rt->tcpmux;
    for (size_t i = 0; s->config->tcpmux && i < t->n_names; i++)
        if (t->names[i].service == s)
            t->names[i].name = name_of(s);
}

Service *tcpmux_find(const Tcpmux *t, const char *name) {
    TcpmuxName key = {.name = name};
    const TcpmuxName *found =
        t->n_names > 0 ? bsearch(&key, t->names, t->n_names, sizeof(TcpmuxName), compare) : NULL;
    return found ? found->service : NULL;
}

bool tcpmux_is_help(const char *name) {
    return strcasecmp(name, "help") == 0;
}

void tcpmux_list(const Tcpmux *t, Text *out) {
    for (size_t i = 0; i < t->n_names; i++)
        if (tcpmux_is_available(t->names[i].service, NULL))
            text_addf(out, "%s\r\n", t->names[i].name);
}

bool tcpmux_is_available(const Service *s, const char **ret_why) {
    bool available =
        service_state_polls(s->state) || s->state == SERVICE_FULL || s->state == SERVICE_THROTTLED;
    if (!available && ret_why)
        *ret_why = service_state_to_string(s->state);
    return available;
}

/* Somebody who is there already may still name a service. */
static bool is_open(const Service *door) {
    if (preludes_count(door) > 0)
        return true;
    for (size_t i = 0; i < door->n_listeners; i++)
        if (listener_is_open(door->listeners[i]))
            return true;
    return false;
}

bool tcpmux_reaches(const Service *s) {
    const Tcpmux *t = &s->rt->tcpmux;
    if (!name_of(s))
        return false;
    for (size_t i = 0; i < t->n_doors; i++)
        if (is_open(t->doors[i]))
            return true;
    return false;
}

void tcpmux_update(const Service *door) {
    const Tcpmux *t = &door->rt->tcpmux;
    if (door->config->model != MODEL_TCPMUX)
        return;
    for (size_t i = 0; i < t->n_names; i++)
        if (t->names[i].service->n_listeners == 0)
            service_update(t->names[i].service, door->name);
}

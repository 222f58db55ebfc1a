/* SPDX-License-Identifier: MIT */
/* The calls about the config: GetConfig and CheckConfig. */
#include <string.h>

#include "daemon/control-private.h"

/* Services in one part, with more. */
#define SERVICES_IN_PART 32

static const char *service_name(const void *items, size_t i) {
    return ((ServiceConfig *const *)items)[i]->name;
}

/* The limits of @c as they are now, which Set may have changed. */
static const LimitsConfig *limits_now(const Calls *calls, const ServiceConfig *c) {
    const Service *s = service_set_find(manager_services(calls->manager), c->name);
    return s && s->config == c ? &s->limits : &c->limits;
}

int calls_config_part(Calls *calls, Client *client, Stream *s, Text *out) {
    const Config *config = manager_config(calls->manager);
    size_t first = stream_position(s, (const void *)config->services, config->n_services, service_name);
    size_t left = config->n_services - first,
           n = s->more && left > SERVICES_IN_PART ? SERVICES_IN_PART : left;
    const LimitsConfig **limits CLEANUP_FREE =
        (const LimitsConfig **)calloc(n + 1, sizeof(const LimitsConfig *));
    if (!limits)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++)
        limits[i] = limits_now(calls, config->services[first + i]);
    ApiConfig c = {
        .generation = manager_generation(calls->manager),
        .config = config,
        .services = n > 0 ? (const ServiceConfig *const *)&config->services[first] : NULL,
        .limits = limits,
        .n_services = n,
        .globals = !s->begun,
        .secrets = client_may_change(client, config),
        .origin = s->origin,
    };
    bool last = n == left;
    s->begun = true;
    api_encode_config(out, &c, !last);
    if (!last && stream_advance(s, config->services[first + n - 1]->name) < 0)
        return -ENOMEM;
    return last;
}

void call_get_config(Calls *calls, Client *client, ApiRequest *r) {
    (void)calls;
    calls_stream_of(client, calls_config_part, r);
}

int calls_check_part(Calls *calls, Client *client, Stream *s, Text *out) {
    (void)s;
    DiagList diags CLEANUP_DIAGS = {0};
    Changes changes CLEANUP(changes_done) = {0};
    int e = manager_check(calls->manager, &diags, &changes);
    ApiReload reply = {
        .ok = e >= 0,
        .generation = manager_generation(calls->manager),
        .diagnostics = &diags,
        .hide_excerpts = !client_may_change(client, manager_config(calls->manager)),
        .changes = changes.items,
        .n_changes = changes.n,
    };
    api_encode_reload(out, &reply);
    return 1;
}

void call_check_config(Calls *calls, Client *client, ApiRequest *r) {
    (void)calls;
    calls_stream_of(client, calls_check_part, r);
}

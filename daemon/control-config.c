/* SPDX-License-Identifier: MIT */
/* The calls about the config: GetConfig, CheckConfig and Reload. */
#include <string.h>

#include "daemon/control-private.h"

/* Services in one part. */
#define SERVICES_IN_PART 32

static const char *service_name(const void *items, size_t i) {
    return ((ServiceConfig *const *)items)[i]->name;
}

/* The limits of @c as they are now, which Set may have changed. */
static const LimitsConfig *limits_now(const Calls *calls, const ServiceConfig *c) {
    const Service *s = service_set_find(manager_services(calls->manager), c->name);
    return s && s->config == c ? s->limits : &c->terms->limits;
}

/* One message has a list of services, then, in a second pass, one of their origins: Stream's `number` is the
 * pass, and survives an upgrade. Returns whether the next pass follows. */
static bool encode_pass(Stream *s, Text *out, ApiConfig *c, bool last) {
    bool second = s->number > 0;
    c->globals = true;
    if (!s->begun)
        api_encode_config_begin(out, c);
    s->begun = true;
    if (second)
        api_encode_config_origins(out, c, &s->any);
    else
        api_encode_config_services(out, c, &s->any);
    if (!last)
        return false;
    if (!second)
        api_encode_config_turn(out, c, &s->any);
    if (second || !s->origin) {
        api_encode_config_end(out, false);
        return false;
    }
    stream_rewind(s);
    s->number = 1;
    return true;
}

static int advance(Stream *s, const char *service) {
    uint64_t pass = s->number;
    int r = stream_advance(s, service);
    s->number = pass;
    return r;
}

int calls_config_part(Calls *calls, Client *client, Stream *s, Text *out) {
    const Config *config = manager_config(calls->manager);
    size_t first = stream_position(s, (const void *)config->services, config->n_services, service_name);
    size_t left = config->n_services - first, n = left > SERVICES_IN_PART ? SERVICES_IN_PART : left;
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
    if (s->more) {
        api_encode_config(out, &c, !last);
        s->begun = true;
    } else if (encode_pass(s, out, &c, last)) {
        return 0;
    }
    if (!last && advance(s, config->services[first + n - 1]->name) < 0)
        return -ENOMEM;
    return last;
}

void call_get_config(Calls *calls, Client *client, ApiRequest *r) {
    (void)calls;
    calls_stream_of(client, calls_config_part, r);
}

/* What was asked for is awaited; if it could not be (@r), the call is answered. */
static void await(Client *client, ClientWait wait, int r, uint64_t number) {
    if (r == -ESHUTDOWN) {
        api_encode_error(client_out(client), API_INVALID_STATE, NULL, "the daemon is stopping", 0);
    } else if (r < 0) {
        calls_answer_failure(client, r, NULL);
    } else {
        client->wait = wait;
        client->load = number;
    }
}

void call_check_config(Calls *calls, Client *client, ApiRequest *r) {
    uint64_t number = 0;
    (void)r;
    int e = manager_check(calls->manager, &number);
    await(client, WAIT_CHECK, e, number);
}

void call_reload(Calls *calls, Client *client, ApiRequest *r) {
    uint64_t number = 0;
    (void)r;
    int e = manager_reload(calls->manager, &number);
    await(client, WAIT_RELOAD, e, number);
}

void calls_encode_load(Text *out, const LoadReport *report, bool applied, bool hide_excerpts) {
    int e = report->error;
    if (e == -ESHUTDOWN) {
        api_encode_error(out, API_INVALID_STATE, NULL, "the daemon is stopping", 0);
        return;
    }
    if (e == -ECANCELED) {
        api_encode_error(out, API_INVALID_STATE, NULL, "an upgrade came in between: ask again", 0);
        return;
    }
    if (e < 0 && e != -EINVAL) {
        api_encode_error(out, API_FAILED, "load", report->why ? report->why : strerror(-e), -e);
        return;
    }
    ApiReload reply = {
        .ok = e >= 0,
        .generation = report->generation,
        .diagnostics = report->diags,
        .hide_excerpts = hide_excerpts,
        .changes = report->changes->items,
        .n_changes = report->changes->n,
        .plan = report->plan->items,
        .n_plan = report->plan->n,
    };
    if (e < 0 && applied)
        api_encode_invalid_config(out, &reply);
    else
        api_encode_reload(out, &reply);
}

/* SPDX-License-Identifier: MIT */
/* The calls that change something: Start, Stop, Reload, Shutdown; and those who wait for the result. */
#include <string.h>

#include "daemon/control-private.h"

void call_reload(Calls *calls, Client *client, ApiRequest *r) {
    (void)r;
    DiagList diags CLEANUP_DIAGS = {0};
    Changes changes CLEANUP(changes_done) = {0};
    int e = manager_reload(calls->manager, &diags, &changes);
    ApiReload reply = {
        .ok = e >= 0,
        .generation = manager_generation(calls->manager),
        .diagnostics = &diags,
        .changes = changes.items,
        .n_changes = changes.n,
    };
    if (e == -ESHUTDOWN)
        api_encode_error(client_out(client), API_INVALID_STATE, NULL, "the daemon is stopping", 0);
    else if (e < 0)
        api_encode_invalid_config(client_out(client), &reply);
    else
        api_encode_reload(client_out(client), &reply);
}

void call_shutdown(Calls *calls, Client *client, ApiRequest *r) {
    (void)r;
    client->wait = WAIT_SHUTDOWN;
    manager_stop(calls->manager, manager_config(calls->manager)->shutdown_children);
}

/* Start and Stop: gives the order to all, then waits for the result. */
static void order(Calls *calls, Client *client, ApiRequest *r, void (*give)(Service *s), ClientWait wait) {
    Service **services CLEANUP_FREE = NULL;
    const char *missing = NULL;
    size_t n = 0;
    int e = calls_select(calls, r->services, &services, &n, &missing);
    for (size_t i = 0; e >= 0 && i < n; i++) {
        char *name = strdup(services[i]->name);
        if (strv_push(&client->services, name) < 0)
            e = -ENOMEM;
    }
    if (e < 0) {
        strv_free(client->services);
        client->services = NULL;
        calls_answer_failure(client, e, missing);
        return;
    }
    for (size_t i = 0; i < n; i++)
        give(services[i]);
    client->wait = wait;
    client->more = r->more;
    calls_check_wait(calls, client);
}

void call_start(Calls *calls, Client *client, ApiRequest *r) {
    order(calls, client, r, service_order_start, WAIT_STARTED);
}

void call_stop(Calls *calls, Client *client, ApiRequest *r) {
    order(calls, client, r, service_order_stop, WAIT_STOPPED);
}

/* The first of the services that is not where it is waited for to be; NULL when all are. */
static const Service *still_missing(const Calls *calls, const Client *client) {
    const ServiceSet *set = manager_services(calls->manager);
    for (char **name = client->services; name && *name; name++) {
        const Service *s = service_set_find(set, *name);
        if (!s)
            continue; /* a reload has taken it away */
        /* Somebody else may have started it again meanwhile: then the stop is over. */
        bool there = client->wait == WAIT_STOPPED ? s->n_instances == 0 || s->order != ORDER_STOP
                                                  : service_state_is_running(s->state);
        if (!there)
            return s;
    }
    return NULL;
}

static void answer_failed_start(Client *client, const Service *s) {
    if (s->state == SERVICE_DISABLED)
        api_encode_error(client_out(client), API_INVALID_STATE, s->name,
                         "it has 'enabled: false' in its config", 0);
    else
        api_encode_error(client_out(client), API_FAILED, s->last_error.step,
                         s->last_error.message ? s->last_error.message : "it could not be started",
                         s->last_error.error);
}

void calls_check_wait(Calls *calls, Client *client) {
    const Service *missing = still_missing(calls, client);
    if (missing && client->wait == WAIT_STOPPED) {
        if (client->more) {
            char progress[160];
            (void)snprintf(progress, sizeof(progress), "%s: %llu still running", missing->name,
                           (unsigned long long)missing->n_instances);
            api_encode_done(client_out(client), (const char *const *)client->services, progress, true);
            client_flush(client);
        }
        return;
    }
    if (missing)
        answer_failed_start(client, missing);
    else
        api_encode_done(client_out(client), (const char *const *)client->services, NULL, false);
    strv_free(client->services);
    client->services = NULL;
    client->wait = WAIT_NOTHING;
    client_go_on(client);
}

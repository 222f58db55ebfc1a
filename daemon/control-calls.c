/* SPDX-License-Identifier: MIT */
#include "daemon/control-calls.h"

#include <fnmatch.h>
#include <string.h>

#include "build-config.h"
#include "daemon/control-private.h"

LogAddresses calls_addresses(const Calls *calls, const Client *client) {
    const Config *config = manager_config(calls->manager);
    return client_may_change(client, config) ? LOG_ADDRESSES_FULL : config->log_addresses;
}

static bool matches_any(char *const *patterns, const char *name) {
    for (char *const *p = patterns; p && *p; p++)
        if (fnmatch(*p, name, 0) == 0)
            return true;
    return false;
}

int calls_select(const Calls *calls, char *const *patterns, Service ***ret, size_t *ret_n,
                 const char **ret_missing) {
    const ServiceSet *set = manager_services(calls->manager);
    Service **selected CLEANUP_FREE = (Service **)calloc(set->n + 1, sizeof(Service *));
    size_t n = 0;
    if (!selected)
        return -ENOMEM;
    for (char *const *p = patterns; p && *p; p++) {
        bool found = service_set_find(set, *p) != NULL;
        for (size_t i = 0; i < set->n && !found; i++)
            found = fnmatch(*p, set->items[i]->name, 0) == 0;
        if (!found) {
            *ret_missing = *p;
            return -ENOENT;
        }
    }
    for (size_t i = 0; i < set->n; i++)
        if (!patterns || matches_any(patterns, set->items[i]->name))
            selected[n++] = set->items[i];
    *ret = TAKE_PTR(selected);
    *ret_n = n;
    return 0;
}

void calls_answer_failure(Client *client, int r, const char *missing) {
    if (r == -ENOENT)
        api_encode_error(client_out(client), API_NO_SUCH_SERVICE, missing, NULL, 0);
    else
        api_encode_error(client_out(client), API_FAILED, NULL, strerror(-r), -r);
}

static void call_get_info(Calls *calls, Client *client, ApiRequest *r) {
    (void)calls;
    (void)r;
    api_encode_info(client_out(client), MP_VERSION);
}

static void call_get_interface(Calls *calls, Client *client, ApiRequest *r) {
    (void)calls;
    if (api_encode_interface_description(client_out(client), r->interface) < 0)
        api_encode_error(client_out(client), API_INTERFACE_NOT_FOUND, r->interface, NULL, 0);
}

static void call_ping(Calls *calls, Client *client, ApiRequest *r) {
    (void)calls;
    (void)r;
    api_encode_ping(client_out(client), MP_VERSION, getpid());
}

static void call_check_config(Calls *calls, Client *client, ApiRequest *r) {
    (void)r;
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
    api_encode_reload(client_out(client), &reply);
}

typedef void (*Call)(Calls *calls, Client *client, ApiRequest *r);

/* A row for each method. */
static const Call table[_METHOD_MAX] = {
    [METHOD_GET_INFO] = call_get_info,
    [METHOD_GET_INTERFACE_DESCRIPTION] = call_get_interface,
    [METHOD_PING] = call_ping,
    [METHOD_STATUS] = call_status,
    [METHOD_DESCRIBE] = call_describe,
    [METHOD_INSTANCES] = call_instances,
    [METHOD_EVENTS] = call_events,
    [METHOD_METRICS] = NULL,
    [METHOD_CHECK_CONFIG] = call_check_config,
    [METHOD_GET_CONFIG] = NULL,
    [METHOD_START] = call_start,
    [METHOD_STOP] = call_stop,
    [METHOD_RESTART] = NULL,
    [METHOD_PAUSE] = NULL,
    [METHOD_RESUME] = NULL,
    [METHOD_DRAIN] = NULL,
    [METHOD_SIGNAL] = NULL,
    [METHOD_SET] = NULL,
    [METHOD_RELOAD] = call_reload,
    [METHOD_SHUTDOWN] = call_shutdown,
};

static bool allowed(const Calls *calls, const Client *client, Method m) {
    if (method_access(m) == METHOD_READS)
        return true;
    bool may = client_may_change(client, manager_config(calls->manager));
    eventlog_say(calls->log, may ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING, "control", "%s by uid %u%s",
                 method_name(m), client->uid, may ? "" : ": not allowed");
    return may;
}

/* Nothing is owed to the client any more. */
static void forget_call(Client *client) {
    client->wait = WAIT_NOTHING;
    client->following = client->listing = false;
    strv_free(client->services);
    free(client->follow);
    free(client->list_only);
    client->services = NULL;
    client->follow = client->list_only = NULL;
}

int calls_handle(Calls *calls, Client *client, const char *json, size_t n) {
    ApiRequest request CLEANUP(api_request_done) = {0};
    int r = api_decode(json, n, &request, client_out(client));
    if (r != 0)
        return r < 0 ? r : 0;
    size_t before = client_out(client)->len;
    if (!allowed(calls, client, request.method))
        api_encode_error(client_out(client), API_NOT_ALLOWED, method_name(request.method), NULL, 0);
    else if (!table[request.method])
        api_encode_error(client_out(client), API_METHOD_NOT_FOUND, method_name(request.method), NULL, 0);
    else
        table[request.method](calls, client, &request);
    /* A call with oneway gets no answer, not even of a failure. Nothing of it is on its way yet. */
    if (request.oneway) {
        client_out(client)->len = before;
        forget_call(client);
    }
    return 0;
}

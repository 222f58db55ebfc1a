/* SPDX-License-Identifier: MIT */
#include "daemon/control-calls.h"

#include <string.h>

#include "build-config.h"
#include "daemon/base/clock.h"
#include "daemon/control-private.h"

LogAddresses calls_addresses(const Calls *calls, const Client *client) {
    const Config *config = manager_config(calls->manager);
    return client_may_change(client, config) ? LOG_ADDRESSES_FULL : config->log_addresses;
}

int calls_select(const Calls *calls, char *const *patterns, Service ***ret, size_t *ret_n,
                 const char **ret_missing) {
    const ServiceSet *set = manager_services(calls->manager);
    Selection selection CLEANUP(selection_done) = {0};
    Service **services CLEANUP_FREE = (Service **)calloc(set->n + 1, sizeof(Service *));
    size_t n = 0;
    int r = services ? selection_init(&selection, patterns) : -ENOMEM;
    if (r >= 0)
        r = selection_step(&selection, set, manager_generation(calls->manager), SIZE_MAX);
    if (r < 0) {
        *ret_missing = r == -ENOENT ? patterns[selection.next] : NULL;
        return r;
    }
    for (size_t i = 0; i < set->n; i++)
        if (selection.selected[i])
            services[n++] = set->items[i];
    *ret = TAKE_PTR(services);
    *ret_n = n;
    return 0;
}

int calls_select_names(const Calls *calls, char *const *patterns, char ***ret, const char **ret_missing) {
    const ServiceSet *set = manager_services(calls->manager);
    Selection selection CLEANUP(selection_done) = {0};
    int r = selection_init(&selection, patterns);
    if (r >= 0)
        r = selection_step(&selection, set, manager_generation(calls->manager), SIZE_MAX);
    if (r < 0) {
        *ret_missing = r == -ENOENT ? patterns[selection.next] : NULL;
        return r;
    }
    *ret = selection_names(&selection, set);
    return *ret ? 0 : -ENOMEM;
}

void calls_answer_failure(Client *client, int r, const char *missing) {
    if (r == -ENOENT)
        api_encode_error(client_out(client), API_NO_SUCH_SERVICE, missing, NULL, 0);
    else if (r == -E2BIG)
        api_encode_error(client_out(client), API_INVALID_PARAMETER, "services", NULL, 0);
    else
        api_encode_error(client_out(client), API_FAILED, NULL, strerror(-r), -r);
}

void calls_stream(Client *client, Stream *s) {
    if (s)
        client->stream = s;
    else
        calls_answer_failure(client, -ENOMEM, NULL);
}

void calls_stream_of(Client *client, StreamPart part, ApiRequest *r) {
    Stream *s = stream_new(part, r->more);
    if (s) {
        s->subject = TAKE_PTR(r->service);
        s->last = r->last;
        s->origin = r->origin;
    }
    calls_stream(client, s);
}

void calls_stream_part(Calls *calls, Client *client) {
    Stream *s = client->stream;
    int r = s->part(calls, client, s, client_out(client));
    if (r != 0)
        client->stream = stream_free(s);
    if (r < 0)
        client->failed = true;
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
    [METHOD_METRICS] = call_metrics,
    [METHOD_CHECK_CONFIG] = call_check_config,
    [METHOD_GET_CONFIG] = call_get_config,
    [METHOD_BANS] = call_bans,
    [METHOD_START] = call_start,
    [METHOD_STOP] = call_stop,
    [METHOD_RESTART] = call_restart,
    [METHOD_PAUSE] = call_pause,
    [METHOD_RESUME] = call_resume,
    [METHOD_DRAIN] = call_drain,
    [METHOD_SIGNAL] = call_signal,
    [METHOD_SET] = call_set,
    [METHOD_UNBAN] = call_unban,
    [METHOD_RELOAD] = call_reload,
    [METHOD_UPGRADE] = call_upgrade,
    [METHOD_SHUTDOWN] = call_shutdown,
};

/* Whoever may only look must not fill the log by trying. */
#define DENIED_PER_SECOND 10
#define DENIED_BURST 100

/* Each call that would change something is one line of the log, whatever comes of it; of those who may not
 * they are limited. */
static bool allowed(Calls *calls, const Client *client, const ApiRequest *r) {
    Text what CLEANUP_TEXT = {0};
    if (method_access(r->method) == METHOD_READS)
        return true;
    bool may = client_may_change(client, manager_config(calls->manager));
    if (!may && !ratelimit_pass(&calls->denied, DENIED_PER_SECOND, DENIED_BURST, clock_monotonic_usec())) {
        manager_tell_suppressed_later(calls->manager);
        return false;
    }
    calls_say(r, calls->log->addresses, &what);
    eventlog_say(calls->log, may ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING, "control", "%s by uid %u%s",
                 what.s ? what.s : method_name(r->method), client->uid, may ? "" : ": not allowed");
    return may;
}

bool calls_tell_suppressed(Calls *calls, uint64_t now_usec) {
    uint64_t n = ratelimit_take_suppressed(&calls->denied, now_usec);
    if (n > 0)
        eventlog_say(calls->log, LOG_LEVEL_WARNING, "control",
                     "%llu more lines of 'control' left out: calls that were not allowed",
                     (unsigned long long)n);
    return calls->denied.suppressed > 0;
}

int calls_handle(Calls *calls, Client *client, const char *json, size_t n) {
    ApiRequest request CLEANUP(api_request_done) = {0};
    int r = api_decode(json, n, &request, client_out(client));
    if (r == 0)
        calls_make(calls, client, &request);
    return r < 0 ? r : 0;
}

void calls_make(Calls *calls, Client *client, ApiRequest *request) {
    size_t before = client_out(client)->len;
    if (!allowed(calls, client, request))
        api_encode_error(client_out(client), API_NOT_ALLOWED, method_name(request->method), NULL, 0);
    else if (!table[request->method])
        api_encode_error(client_out(client), API_METHOD_NOT_FOUND, method_name(request->method), NULL, 0);
    else
        table[request->method](calls, client, request);
    /* A call with oneway gets no answer, not even of a failure. Nothing of it is on its way yet. */
    if (request->oneway) {
        client_out(client)->len = before;
        client_forget_call(client);
    }
}

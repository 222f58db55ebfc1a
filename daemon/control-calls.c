/* SPDX-License-Identifier: MIT */
#include "daemon/control-calls.h"

#include <fnmatch.h>
#include <string.h>

#include "build-config.h"
#include "daemon/status.h"

/* Instances in one part of a list, and events that a call without `last` gets. */
#define LIST_PART 100
#define EVENTS_DEFAULT 100

static LogAddresses addresses_for(const Calls *calls, const Client *client) {
    const Config *config = manager_config(calls->manager);
    return client_may_change(client, config) ? LOG_ADDRESSES_FULL : config->log_addresses;
}

static bool matches_any(char *const *patterns, const char *name) {
    for (char *const *p = patterns; p && *p; p++)
        if (fnmatch(*p, name, 0) == 0)
            return true;
    return false;
}

/* The services that @patterns (names or globs; NULL: all) mean, in @ret (to be freed). When one of them means
 * none, -ENOENT with it in *ret_missing. */
static int select_services(const Calls *calls, char *const *patterns, Service ***ret, size_t *ret_n,
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

static void answer_failure(Client *client, int r, const char *missing) {
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

static void call_status(Calls *calls, Client *client, ApiRequest *r) {
    Service **services CLEANUP_FREE = NULL;
    const char *missing = NULL;
    size_t n = 0;
    Snapshot snapshot = {0};
    ApiDaemon daemon = {0};
    int e = select_services(calls, r->services, &services, &n, &missing);
    if (e >= 0)
        e = snapshot_services(services, n, &snapshot);
    if (e < 0) {
        answer_failure(client, e, missing);
        return;
    }
    manager_describe(calls->manager, &daemon);
    api_encode_status(client_out(client), &daemon, snapshot.services, snapshot.n_services);
    snapshot_done(&snapshot);
}

static bool event_is_of(const ApiEvent *e, const char *service) {
    return !service || streq_null(e->service, service);
}

/* The peer as the client may see it: an event was written with what log.addresses said then. */
static void answer_events(const EventRing *ring, Client *client, const char *service, int64_t last,
                          bool continues) {
    size_t wanted = last < 0 ? EVENTS_DEFAULT : (size_t)last, n = 0, first = ring->n;
    if (wanted > ring->n)
        wanted = ring->n;
    ApiEvent *events CLEANUP_FREE = calloc(wanted + 1, sizeof(ApiEvent));
    if (!events)
        return;
    while (first > 0 && n < wanted) {
        const Event *e = event_ring_get(ring, --first);
        n += event_is_of(&e->e, service);
    }
    n = 0;
    for (size_t i = first; i < ring->n && n < wanted; i++) {
        const Event *e = event_ring_get(ring, i);
        if (event_is_of(&e->e, service))
            events[n++] = e->e;
    }
    api_encode_events(client_out(client), events, n, 0, continues);
}

static void call_events(Calls *calls, Client *client, ApiRequest *r) {
    const EventRing *ring = manager_events(calls->manager);
    if (r->service) {
        const Service *s = service_set_find(manager_services(calls->manager), r->service);
        if (!s) {
            answer_failure(client, -ENOENT, r->service);
            return;
        }
        ring = &s->ring;
    }
    answer_events(ring, client, r->service, r->last, r->more);
    if (r->more) {
        client->following = true;
        client->follow = TAKE_PTR(r->service);
    }
}

void calls_send_event(Calls *calls, Client *client, const ApiEvent *e) {
    (void)calls;
    if (!event_is_of(e, client->follow))
        return;
    api_encode_events(client_out(client), e, 1, 0, true);
    client_flush(client);
}

/* The peers' texts of one part, and the instances that point to them. */
typedef struct Part {
    ApiInstance items[LIST_PART];
    char peers[LIST_PART][PEER_TEXT_MAX];
    size_t n;
} Part;

/* Collects from where @client's list stands; true when the list is at its end. */
static bool collect_part(Calls *calls, Client *client, Part *part) {
    const ServiceSet *set = manager_services(calls->manager);
    LogAddresses addresses = addresses_for(calls, client);
    part->n = 0;
    for (size_t k = 0; k < set->n; k++) {
        Service *s = set->items[k];
        int order = client->list_service ? strcmp(s->name, client->list_service) : 1;
        if (order < 0 || (client->list_only && !streq(s->name, client->list_only)))
            continue;
        LIST_FOREACH (i, &s->instances, Instance, link) {
            if (order == 0 && i->number <= client->list_after)
                continue;
            if (part->n == LIST_PART)
                return false;
            snapshot_instance(i, addresses, part->peers[part->n], &part->items[part->n]);
            part->n++;
            client->list_after = i->number;
            if (!client->list_service || !streq(client->list_service, s->name)) {
                free(client->list_service);
                client->list_service = strdup(s->name);
            }
        }
    }
    return true;
}

void calls_list_more(Calls *calls, Client *client) {
    Part *part CLEANUP_FREE = malloc(sizeof(*part));
    if (!part) {
        client->failed = true;
        return;
    }
    bool end = collect_part(calls, client, part);
    api_encode_instances(client_out(client), part->items, part->n, !end);
    if (end) {
        client->listing = false;
        free(client->list_only);
        free(client->list_service);
        client->list_only = client->list_service = NULL;
        client->list_after = 0;
    }
}

/* All at once, for a client that did not ask for parts. */
static void answer_all_instances(Calls *calls, Client *client, Service *const *services, size_t n_services) {
    size_t n = 0;
    for (size_t k = 0; k < n_services; k++)
        n += services[k]->n_instances;
    ApiInstance *items CLEANUP_FREE = calloc(n + 1, sizeof(ApiInstance));
    char(*peers)[PEER_TEXT_MAX] CLEANUP_FREE = calloc(n + 1, PEER_TEXT_MAX);
    LogAddresses addresses = addresses_for(calls, client);
    if (!items || !peers) {
        answer_failure(client, -ENOMEM, NULL);
        return;
    }
    n = 0;
    for (size_t k = 0; k < n_services; k++) {
        LIST_FOREACH (i, &services[k]->instances, Instance, link) {
            snapshot_instance(i, addresses, peers[n], &items[n]);
            n++;
        }
    }
    api_encode_instances(client_out(client), items, n, false);
}

static void call_instances(Calls *calls, Client *client, ApiRequest *r) {
    const ServiceSet *set = manager_services(calls->manager);
    Service *one = r->service ? service_set_find(set, r->service) : NULL;
    if (r->service && !one) {
        answer_failure(client, -ENOENT, r->service);
    } else if (r->more) {
        client->listing = true;
        client->list_only = TAKE_PTR(r->service);
        calls_list_more(calls, client);
    } else if (one) {
        answer_all_instances(calls, client, &one, 1);
    } else {
        answer_all_instances(calls, client, set->items, set->n);
    }
}

static void describe_config(const Service *s, ApiDescription *d) {
    const ServiceConfig *c = s->config;
    d->description = c->description;
    d->user = c->user;
    d->group = c->group;
    d->pass = handoff_to_string(c->pass);
    d->stderr_target = stderr_target_to_string(c->stderr_target);
    d->exec = (const char *const *)c->exec;
    d->file = c->pos.file;
    d->line = c->pos.line;
    d->instances_limit = s->limits.instances;
    d->when_full = when_full_to_string(s->limits.when_full);
    d->timeout_lifetime_usec = c->timeout_lifetime_usec;
    d->timeout_stop_usec = c->timeout_stop_usec;
}

static void call_describe(Calls *calls, Client *client, ApiRequest *r) {
    Service *s = service_set_find(manager_services(calls->manager), r->service);
    if (!s) {
        answer_failure(client, -ENOENT, r->service);
        return;
    }
    Snapshot snapshot = {0};
    size_t n = s->n_instances, i = 0, n_events = s->ring.n;
    ApiInstance *instances CLEANUP_FREE = calloc(n + 1, sizeof(ApiInstance));
    char(*peers)[PEER_TEXT_MAX] CLEANUP_FREE = calloc(n + 1, PEER_TEXT_MAX);
    ApiEvent *events CLEANUP_FREE = calloc(n_events + 1, sizeof(ApiEvent));
    if (!instances || !peers || !events || snapshot_services(&s, 1, &snapshot) < 0) {
        answer_failure(client, -ENOMEM, NULL);
        return;
    }
    LogAddresses addresses = addresses_for(calls, client);
    LIST_FOREACH (instance, &s->instances, Instance, link) {
        snapshot_instance(instance, addresses, peers[i], &instances[i]);
        i++;
    }
    for (size_t k = 0; k < n_events; k++)
        events[k] = event_ring_get(&s->ring, k)->e;
    ApiDescription d = {
        .service = snapshot.services,
        .instances = instances,
        .n_instances = n,
        .events = events,
        .n_events = n_events,
    };
    describe_config(s, &d);
    api_encode_description(client_out(client), &d);
    snapshot_done(&snapshot);
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

static void call_reload(Calls *calls, Client *client, ApiRequest *r) {
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

static void call_shutdown(Calls *calls, Client *client, ApiRequest *r) {
    (void)r;
    client->wait = WAIT_SHUTDOWN;
    manager_stop(calls->manager, manager_config(calls->manager)->shutdown_children);
}

/* Start and Stop: gives the order to all, then waits for the result. */
static void order(Calls *calls, Client *client, ApiRequest *r, void (*give)(Service *s), ClientWait wait) {
    Service **services CLEANUP_FREE = NULL;
    const char *missing = NULL;
    size_t n = 0;
    int e = select_services(calls, r->services, &services, &n, &missing);
    for (size_t i = 0; e >= 0 && i < n; i++) {
        char *name = strdup(services[i]->name);
        if (strv_push(&client->services, name) < 0)
            e = -ENOMEM;
    }
    if (e < 0) {
        strv_free(client->services);
        client->services = NULL;
        answer_failure(client, e, missing);
        return;
    }
    for (size_t i = 0; i < n; i++)
        give(services[i]);
    client->wait = wait;
    client->more = r->more;
    calls_check_wait(calls, client);
}

static void call_start(Calls *calls, Client *client, ApiRequest *r) {
    order(calls, client, r, service_order_start, WAIT_STARTED);
}

static void call_stop(Calls *calls, Client *client, ApiRequest *r) {
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

typedef void (*Call)(Calls *calls, Client *client, ApiRequest *r);

static const Call table[_METHOD_MAX] = {
    [METHOD_GET_INFO] = call_get_info, [METHOD_GET_INTERFACE_DESCRIPTION] = call_get_interface,
    [METHOD_PING] = call_ping,         [METHOD_STATUS] = call_status,
    [METHOD_DESCRIBE] = call_describe, [METHOD_INSTANCES] = call_instances,
    [METHOD_EVENTS] = call_events,     [METHOD_CHECK_CONFIG] = call_check_config,
    [METHOD_START] = call_start,       [METHOD_STOP] = call_stop,
    [METHOD_RELOAD] = call_reload,     [METHOD_SHUTDOWN] = call_shutdown,
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
    else
        table[request.method](calls, client, &request);
    /* A call with oneway gets no answer, not even of a failure. Nothing of it is on its way yet. */
    if (request.oneway) {
        client_out(client)->len = before;
        forget_call(client);
    }
    return 0;
}

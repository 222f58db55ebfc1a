/* SPDX-License-Identifier: MIT */
/* The calls that look: Status, Describe, Instances. */
#include <string.h>

#include "daemon/control-private.h"
#include "daemon/status.h"

/* Instances in one part of a list. */
#define LIST_PART 100

void call_status(Calls *calls, Client *client, ApiRequest *r) {
    Service **services CLEANUP_FREE = NULL;
    const char *missing = NULL;
    size_t n = 0;
    Snapshot snapshot = {0};
    ApiDaemon daemon = {0};
    int e = calls_select(calls, r->services, &services, &n, &missing);
    if (e >= 0)
        e = snapshot_services(services, n, &snapshot);
    if (e < 0) {
        calls_answer_failure(client, e, missing);
        return;
    }
    manager_describe(calls->manager, &daemon);
    api_encode_status(client_out(client), &daemon, snapshot.services, snapshot.n_services);
    snapshot_done(&snapshot);
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
    LogAddresses addresses = calls_addresses(calls, client);
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
    LogAddresses addresses = calls_addresses(calls, client);
    if (!items || !peers) {
        calls_answer_failure(client, -ENOMEM, NULL);
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

void call_instances(Calls *calls, Client *client, ApiRequest *r) {
    const ServiceSet *set = manager_services(calls->manager);
    Service *one = r->service ? service_set_find(set, r->service) : NULL;
    if (r->service && !one) {
        calls_answer_failure(client, -ENOENT, r->service);
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

void call_describe(Calls *calls, Client *client, ApiRequest *r) {
    Service *s = service_set_find(manager_services(calls->manager), r->service);
    if (!s) {
        calls_answer_failure(client, -ENOENT, r->service);
        return;
    }
    Snapshot snapshot = {0};
    size_t n = s->n_instances, i = 0, n_events = s->ring.n;
    ApiInstance *instances CLEANUP_FREE = calloc(n + 1, sizeof(ApiInstance));
    char(*peers)[PEER_TEXT_MAX] CLEANUP_FREE = calloc(n + 1, PEER_TEXT_MAX);
    ApiEvent *events CLEANUP_FREE = calloc(n_events + 1, sizeof(ApiEvent));
    if (!instances || !peers || !events || snapshot_services(&s, 1, &snapshot) < 0) {
        calls_answer_failure(client, -ENOMEM, NULL);
        return;
    }
    LogAddresses addresses = calls_addresses(calls, client);
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
    Measures measures;
    snapshot_measures(s, addresses, &measures, &d);
    api_encode_description(client_out(client), &d);
    snapshot_done(&snapshot);
}

/* SPDX-License-Identifier: MIT */
/* The calls that look: Status, Instances, Describe. */
#include <string.h>

#include "daemon/control-private.h"
#include "daemon/service-cgroup.h"
#include "daemon/status-admission.h"
#include "daemon/status.h"

/* In one part of a reply: reading what the kernel knows of a process takes some 30 us, a service 10 to 20. */
#define INSTANCES_IN_PART 50
#define SERVICES_IN_PART 64
/* Comparisons with a glob: some ten microseconds at the worst. */
#define COMPARISONS_IN_PART 500
/* Services without instances that one part passes by. */
#define SERVICES_PASSED 1000

/* What the long form of a service has of the newest. */
#define DESCRIBED_INSTANCES 20
#define DESCRIBED_LINES 10

static const char *service_name(const void *items, size_t i) {
    return ((Service *const *)items)[i]->name;
}

Service *calls_next_service(const Calls *calls, Stream *s, int *ret_error) {
    const ServiceSet *set = manager_services(calls->manager);
    Service *found = NULL;
    if (s->names) {
        while (!found && s->names[s->next_name])
            found = service_set_find(set, s->names[s->next_name++]);
    } else {
        size_t i = stream_position(s, (const void *)set->items, set->n, service_name);
        found = i < set->n ? set->items[i] : NULL;
    }
    if (found && stream_advance(s, found->name) < 0) {
        *ret_error = -ENOMEM;
        return NULL;
    }
    return found;
}

int calls_next_services(const Calls *calls, Stream *s, Service **ret, size_t max, size_t *ret_n) {
    size_t n = 0;
    int error = 0;
    while (n < max && (ret[n] = calls_next_service(calls, s, &error)))
        n++;
    *ret_n = n;
    return error < 0 ? error : n < max;
}

/* Finds out what the call names. 1 when that is known, 0 when it goes on, or a negative errno. */
static int select_part(const Calls *calls, Stream *s) {
    const ServiceSet *set = manager_services(calls->manager);
    int r = selection_step(&s->selection, set, manager_generation(calls->manager), COMPARISONS_IN_PART);
    if (r > 0) {
        s->names = selection_names(&s->selection, set);
        strv_free(s->patterns);
        s->patterns = NULL;
        selection_done(&s->selection);
    }
    return r > 0 && !s->names ? -ENOMEM : r;
}

int calls_status_part(Calls *calls, Client *client, Stream *s, Text *out) {
    Service *services[SERVICES_IN_PART];
    Snapshot snapshot = {0};
    size_t n = 0;
    if (s->patterns) {
        int r = select_part(calls, s);
        if (r == -ENOENT)
            calls_answer_failure(client, r, s->patterns[s->selection.next]);
        return r == -ENOENT ? 1 : r < 0 ? r : 0;
    }
    bool first = !s->any;
    int last = calls_next_services(calls, s, services, ELEMENTS(services), &n);
    if (last < 0 || snapshot_services(services, n, &snapshot) < 0)
        return -ENOMEM;
    if (!s->begun) {
        ApiDaemon daemon = {0};
        manager_describe(calls->manager, &daemon);
        api_encode_status_begin(out, &daemon);
    }
    s->begun = true;
    api_encode_status_part(out, snapshot.services, n, first);
    s->any = s->any || n > 0;
    if (last)
        api_encode_status_end(out);
    snapshot_done(&snapshot);
    return last;
}

void call_status(Calls *calls, Client *client, ApiRequest *r) {
    Stream *s = stream_new(calls_status_part, false);
    (void)calls;
    if (s) {
        s->patterns = TAKE_PTR(r->services);
        if (selection_init(&s->selection, s->patterns) < 0) {
            calls_answer_failure(client, -E2BIG, NULL);
            stream_free(s);
            return;
        }
    }
    calls_stream(client, s);
}

/* The instances of one part, and the texts that they point to. */
typedef struct InstancesPart {
    ApiInstance items[INSTANCES_IN_PART];
    char peers[INSTANCES_IN_PART][PEER_TEXT_MAX];
    size_t n;
} InstancesPart;

/* The first instance of @service that has not been sent; NULL: all have. The last one that was is mostly
 * still there, and leads on to the next. */
static Instance *first_unsent(const Service *service, const Stream *s) {
    const Instance *sent = s->pid > 0 ? instance_table_find(&service->rt->instances, s->pid) : NULL;
    const List *at = &service->instances;
    if (sent && sent->number == s->number && sent->service == service)
        at = &sent->link;
    for (at = at->next; at != &service->instances; at = at->next) {
        Instance *i = LIST_ENTRY(at, Instance, link);
        if (i->number > s->number)
            return i->number <= s->last_number ? i : NULL;
    }
    return NULL;
}

/* Takes of one service what there is room for; false when there is more. */
static bool collect_instances(const Service *service, LogAddresses addresses, Stream *s,
                              InstancesPart *part) {
    for (const Instance *i = first_unsent(service, s); i; i = first_unsent(service, s)) {
        if (part->n == INSTANCES_IN_PART)
            return false;
        snapshot_instance(i, addresses, part->peers[part->n], &part->items[part->n]);
        part->n++;
        s->number = i->number;
        s->pid = i->pid;
    }
    return true;
}

/* 1 at the end of the list, 0 when there is more, or -ENOMEM. */
static int collect_part(Calls *calls, LogAddresses addresses, Stream *s, InstancesPart *part) {
    const ServiceSet *set = manager_services(calls->manager);
    const Service *service = s->service ? service_set_find(set, s->service) : NULL;
    int error = 0;
    for (unsigned passed = 0; passed < SERVICES_PASSED; passed++) {
        if (!service)
            service = calls_next_service(calls, s, &error);
        if (!service)
            return error < 0 ? error : 1;
        if (!collect_instances(service, addresses, s, part))
            return 0;
        service = NULL;
    }
    return 0;
}

int calls_instances_part(Calls *calls, Client *client, Stream *s, Text *out) {
    InstancesPart *part CLEANUP_FREE = malloc(sizeof(*part));
    if (!part)
        return -ENOMEM;
    part->n = 0;
    int last = collect_part(calls, calls_addresses(calls, client), s, part);
    if (last < 0)
        return last;
    if (stream_begins_message(s))
        api_encode_instances_begin(out);
    s->begun = true;
    api_encode_instances_part(out, part->items, part->n, s->more || !s->any);
    s->any = s->any || part->n > 0;
    if (stream_ends_message(s, last))
        api_encode_instances_end(out, !last);
    return last;
}

void call_instances(Calls *calls, Client *client, ApiRequest *r) {
    const Service *service =
        r->service ? service_set_find(manager_services(calls->manager), r->service) : NULL;
    if (r->service && !service) {
        calls_answer_failure(client, -ENOENT, r->service);
        return;
    }
    Stream *s = stream_new(calls_instances_part, r->more);
    if (s && service && strv_push(&s->names, strdup(service->name)) < 0)
        s = stream_free(s);
    if (s)
        s->last_number = manager_newest_instance(calls->manager);
    calls_stream(client, s);
}

/* What a description points to. */
typedef struct Described {
    Snapshot snapshot;
    Measures measures;
    SourceList sources;
    ApiInstance instances[DESCRIBED_INSTANCES];
    char peers[DESCRIBED_INSTANCES][PEER_TEXT_MAX];
    ApiEvent events[EVENTS_KEPT_SERVICE + DESCRIBED_LINES];
} Described;

static void describe_config(const Service *s, ApiDescription *d) {
    const ServiceConfig *c = s->config;
    d->description = c->description;
    d->user = c->user;
    d->group = c->group;
    d->pass = handoff_to_string(c->pass);
    d->stderr_target = stderr_target_to_string(c->stderr_target);
    d->to = c->to;
    d->exec = (const char *const *)c->exec;
    d->file = c->pos.file;
    d->line = c->pos.line;
    d->timeout_lifetime_usec = c->terms->timeout_lifetime_usec;
    d->timeout_stop_usec = c->terms->timeout_stop_usec;
}

/* The newest ones, in the order in which they were started. */
static void describe_instances(const Service *s, LogAddresses addresses, Described *to, ApiDescription *d) {
    const List *at = &s->instances;
    while (d->n_instances < DESCRIBED_INSTANCES && at->prev != &s->instances) {
        at = at->prev;
        d->n_instances++;
    }
    for (size_t i = 0; i < d->n_instances; i++, at = at->next)
        snapshot_instance(LIST_ENTRY(at, Instance, link), addresses, to->peers[i], &to->instances[i]);
    d->instances = to->instances;
}

int calls_description_part(Calls *calls, Client *client, Stream *stream, Text *out) {
    Service *s = service_set_find(manager_services(calls->manager), stream->subject);
    if (!s) {
        calls_answer_failure(client, -ENOENT, stream->subject);
        return 1;
    }
    Described *to CLEANUP_FREE = calloc(1, sizeof(*to));
    if (!to || snapshot_services(&s, 1, &to->snapshot) < 0)
        return -ENOMEM;
    LogAddresses addresses = calls_addresses(calls, client);
    ApiDescription d = {.service = to->snapshot.services, .events = to->events};
    Changes set CLEANUP(changes_done) = {0};
    (void)changes_of_limits(s->name, &s->config->terms->limits, s->limits, &set);
    d.set = set.items;
    d.n_set = set.n;
    describe_config(s, &d);
    describe_instances(s, addresses, to, &d);
    snapshot_measures(s, &to->measures, &d);
    snapshot_admission(s, &d);
    service_cgroup_count(s);
    service_cgroup_describe(s, &d.cgroup);
    snapshot_sources(s, addresses, &to->sources);
    d.sources = to->sources.items;
    d.n_sources = to->sources.n;
    d.n_events = calls_recall(calls, client, s, EVENTS_KEPT_SERVICE, DESCRIBED_LINES, to->events);
    api_encode_description(out, &d);
    snapshot_done(&to->snapshot);
    return 1;
}

void call_describe(Calls *calls, Client *client, ApiRequest *r) {
    (void)calls;
    calls_stream_of(client, calls_description_part, r);
}

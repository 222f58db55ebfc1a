/* SPDX-License-Identifier: MIT */
/* The calls that change something: orders to services, signals, limits, Shutdown. */
#include <string.h>

#include "build-config.h"
#include "conf/prefix.h"
#include "conf/set.h"
#include "conf/value.h"
#include "daemon/control-private.h"
#include "daemon/pool.h"

void call_upgrade(Calls *calls, Client *client, ApiRequest *r) {
    int e = manager_upgrade(calls->manager);
    if (e == -EALREADY)
        api_encode_error(client_out(client), API_INVALID_STATE, NULL, "an upgrade is under way", 0);
    else if (e < 0)
        api_encode_error(client_out(client), API_INVALID_STATE, NULL, "the daemon is stopping", 0);
    else
        client->wait = WAIT_UPGRADE;
    if (e >= 0 && r->more)
        api_encode_upgrade(client_out(client), &(ApiUpgrade){.begun = true, .version = MP_VERSION});
}

void call_shutdown(Calls *calls, Client *client, ApiRequest *r) {
    client->wait = WAIT_SHUTDOWN;
    /* It may be over before this returns. */
    if (r->more)
        api_encode_empty(client_out(client), true);
    manager_stop(calls->manager, manager_config(calls->manager)->shutdown_children);
}

/* Gives the order to all, or to none when one of them cannot take it; then waits for the result. */
static void order(Calls *calls, Client *client, ApiRequest *r, ServiceVerb verb) {
    Service **services CLEANUP_FREE = NULL;
    const char *missing = NULL;
    size_t n = 0;
    int e = calls_select(calls, r->services, &services, &n, &missing);
    for (size_t i = 0; e >= 0 && i < n; i++) {
        const char *why = service_refuses(services[i], verb);
        if (!why)
            continue;
        api_encode_error(client_out(client), API_INVALID_STATE, services[i]->name, why, 0);
        return;
    }
    if (e >= 0)
        e = calls_select_names(calls, r->services, &client->services, &missing);
    if (e >= 0) {
        client->orders = calloc(n + 1, sizeof(uint64_t));
        e = client->orders ? 0 : -ENOMEM;
    }
    if (e < 0) {
        client_forget_call(client);
        calls_answer_failure(client, e, missing);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        service_order(services[i], verb, client->uid);
        client->orders[i] = services[i]->n_orders;
    }
    client->wait = WAIT_ORDER;
    client->verb = verb;
    client->more = r->more;
    client->told_mark = client->told_usec = 0;
    (void)calls_check_wait(calls, client);
}

void call_start(Calls *calls, Client *client, ApiRequest *r) {
    order(calls, client, r, VERB_START);
}

void call_stop(Calls *calls, Client *client, ApiRequest *r) {
    order(calls, client, r, VERB_STOP);
}

void call_restart(Calls *calls, Client *client, ApiRequest *r) {
    order(calls, client, r, VERB_RESTART);
}

void call_pause(Calls *calls, Client *client, ApiRequest *r) {
    order(calls, client, r, VERB_PAUSE);
}

void call_resume(Calls *calls, Client *client, ApiRequest *r) {
    order(calls, client, r, VERB_RESUME);
}

void call_drain(Calls *calls, Client *client, ApiRequest *r) {
    order(calls, client, r, VERB_DRAIN);
}

/* Signal: to whom, and how it went. */
typedef struct Signaling {
    int signal;
    const Prefix *source; /* NULL: whatever their peers */
    char **services;      /* whose instances got it */
    uint64_t n;
    int error; /* of one that did not */
} Signaling;

static void signaling_done(Signaling *s) {
    strv_free(s->services);
}

static int signal_one(Signaling *s, Instance *i) {
    const char *name = i->service->name;
    if (s->source && !prefix_has(s->source, &i->peer))
        return 0;
    int r = instance_signal(i, s->signal);
    if (r < 0) {
        s->error = r;
        return 0;
    }
    s->n++;
    size_t known = strv_length(s->services);
    if (known > 0 && streq(s->services[known - 1], name))
        return 0;
    return strv_push(&s->services, strdup(name));
}

static int signal_services(Signaling *s, Service *const *services, size_t n) {
    for (size_t k = 0; k < n; k++) {
        LIST_FOREACH (i, &services[k]->instances, Instance, link) {
            int r = signal_one(s, i);
            if (r < 0)
                return r;
        }
    }
    return 0;
}

/* Only a process of our own that has not been reaped: no other can have its pid. */
static int signal_pid(Signaling *s, const ServiceSet *set, int64_t pid) {
    if (set->n == 0 || pid > INT32_MAX)
        return 0;
    Instance *i = instance_table_find(&set->items[0]->rt->instances, (pid_t)pid);
    return i ? signal_one(s, i) : 0;
}

static int signal_all(Calls *calls, ApiRequest *r, Signaling *s, const char **ret_missing) {
    const ServiceSet *set = manager_services(calls->manager);
    Service **services CLEANUP_FREE = NULL;
    char *names[] = {r->service, NULL};
    size_t n = 0;
    if (r->pid >= 0)
        return signal_pid(s, set, r->pid);
    if (!r->service)
        return signal_services(s, set->items, set->n);
    int e = calls_select(calls, names, &services, &n, ret_missing);
    return e < 0 ? e : signal_services(s, services, n);
}

void call_signal(Calls *calls, Client *client, ApiRequest *r) {
    CLEANUP(signaling_done) Signaling s = {0};
    Prefix source;
    const char *missing = NULL, *bad = NULL;
    char pid[24];
    if (value_signal(r->signal, &s.signal, NULL) < 0)
        bad = "signal";
    else if (r->source && prefix_parse(r->source, &source) < 0)
        bad = "source";
    if (bad) {
        api_encode_error(client_out(client), API_INVALID_PARAMETER, bad, NULL, 0);
        return;
    }
    s.source = r->source ? &source : NULL;
    int e = signal_all(calls, r, &s, &missing);
    (void)snprintf(pid, sizeof(pid), "%lld", (long long)r->pid);
    if (e < 0)
        calls_answer_failure(client, e, missing);
    else if (s.n > 0)
        api_encode_signaled(client_out(client), (const char *const *)s.services, s.n);
    else if (s.error < 0)
        api_encode_error(client_out(client), API_FAILED, "kill", strerror(-s.error), -s.error);
    else
        api_encode_error(client_out(client), API_NO_SUCH_INSTANCE,
                         r->service  ? r->service
                         : r->source ? r->source
                                     : pid,
                         NULL, 0);
}

static const char *or_none(const char *s) {
    return s && *s ? s : "none";
}

/* "limits.instances 50 -> 80, limits.rate none -> 50/s by uid 0" */
static void tell_set(Service *s, const Changes *changes, uid_t uid) {
    Text text CLEANUP_TEXT = {0};
    for (size_t i = 0; i < changes->n; i++)
        text_addf(&text, "%s%s %s -> %s", i > 0 ? ", " : "", changes->items[i].key,
                  or_none(changes->items[i].from), or_none(changes->items[i].to));
    text_addf(&text, " by uid %u", uid);
    ApiEvent e = eventlog_event(LOG_LEVEL_INFO, "set");
    e.service = s->name;
    e.message = text.s;
    service_emit(s, &e);
}

static int set_limits(char *const *pairs, LimitsConfig *limits, DiagList *diags) {
    for (; *pairs; pairs++) {
        CLEANUP_FREE char *key = strdup(*pairs);
        char *equals = key ? strchr(key, '=') : NULL;
        if (!equals)
            return key ? -EINVAL : -ENOMEM;
        *equals = '\0';
        if (limits_config_set(limits, key, equals + 1, diags) == -ENOMEM)
            return -ENOMEM;
    }
    return 0;
}

void call_set(Calls *calls, Client *client, ApiRequest *r) {
    Service *s = service_set_find(manager_services(calls->manager), r->service);
    DiagList diags CLEANUP_DIAGS = {0};
    Changes changes CLEANUP(changes_done) = {0};
    if (!s) {
        calls_answer_failure(client, -ENOENT, r->service);
        return;
    }
    LimitsConfig limits = *s->limits;
    int e = set_limits(r->limits, &limits, &diags);
    if (e >= 0 && diags.n_errors == 0)
        (void)limits_config_check(s->config, &limits, &diags);
    if (e >= 0 && diags.n_errors == 0)
        e = changes_of_limits(s->name, s->limits, &limits, &changes);
    if (e < 0) {
        calls_answer_failure(client, e, NULL);
        return;
    }
    if (diags.n_errors > 0) {
        ApiReload failure = {.generation = manager_generation(calls->manager), .diagnostics = &diags};
        api_encode_invalid_config(client_out(client), &failure);
        return;
    }
    if (changes.n > 0) {
        const LimitsConfig before = *s->limits;
        e = service_set_limits(s, &limits);
        if (e < 0) {
            calls_answer_failure(client, e, NULL);
            return;
        }
        gate_change(s, &before);
        tell_set(s, &changes, client->uid);
        service_update(s, "set");
        if (s->pool)
            pool_look(s->pool);
    }
    api_encode_set(client_out(client), changes.items, changes.n);
}

/* Names, bounded: whoever calls must not fill the log. */
#define SAID_NAMES 8
#define SAID_BYTES 64

static void say_one(Text *out, const char *s) {
    size_t n = strlen(s), shown = n > SAID_BYTES ? SAID_BYTES : n;
    while (shown < n && shown > 0 && ((unsigned char)s[shown] & 0xc0) == 0x80)
        shown--; /* not within a character */
    /* In quotes where it could be taken for words of the line itself. */
    bool plain = strcspn(s, " '\"`,:()") == n && n > 0;
    text_add(out, plain ? "" : "'");
    for (size_t i = 0, part; i < shown; i += part) {
        part = s[i] == '\'' ? 1 : strcspn(s + i, "'");
        part = part < shown - i ? part : shown - i;
        if (s[i] == '\'')
            text_add(out, "\\x27");
        else
            text_add_escaped(out, s + i, part);
    }
    text_add(out, shown < n ? "…" : "");
    text_add(out, plain ? "" : "'");
}

static void say_list(Text *out, char *const *list) {
    size_t n = strv_length(list);
    for (size_t i = 0; i < n && i < SAID_NAMES; i++) {
        text_add(out, i > 0 ? ", " : "");
        say_one(out, list[i]);
    }
    if (n > SAID_NAMES)
        text_addf(out, " and %zu more", n - SAID_NAMES);
}

/* Where somebody comes from: as log.addresses has it, if it is an address. */
static void say_source(Text *out, const char *s, LogAddresses addresses) {
    char text[PEER_TEXT_MAX];
    Prefix prefix;
    if (addresses == LOG_ADDRESSES_FULL || streq(s, "any")) {
        say_one(out, s);
        return;
    }
    const char *shown = prefix_parse(s, &prefix) < 0 ? NULL : peer_format_prefix(&prefix, addresses, text);
    text_add(out, shown ? shown : "(not shown)");
}

void calls_say(const ApiRequest *r, LogAddresses addresses, Text *out) {
    const char *name = strrchr(method_name(r->method), '.') + 1;
    text_addc(out, (char)(name[0] | 0x20));
    text_add(out, name + 1);
    if (r->signal) {
        text_addc(out, ' ');
        say_one(out, r->signal);
    }
    text_add(out, r->services || r->service ? " of " : "");
    if (r->services)
        say_list(out, r->services);
    if (r->service)
        say_one(out, r->service);
    if (r->pid >= 0)
        text_addf(out, " of pid %lld", (long long)r->pid);
    if (r->source) {
        text_add(out, " of source ");
        say_source(out, r->source, addresses);
    }
    if (r->prefix) {
        text_add(out, " of ");
        say_source(out, r->prefix, addresses);
    }
    if (r->limits) {
        text_add(out, ": ");
        say_list(out, r->limits);
    }
}

/* SPDX-License-Identifier: MIT */
/* The listeners of a service: made for its config, opened, kept or handed on over a reload, closed. */
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "daemon/backend.h"
#include "daemon/bind-node.h"
#include "daemon/idle.h"
#include "daemon/inherit.h"
#include "daemon/pool.h"
#include "daemon/service-leave.h"
#include "daemon/service-private.h"
#include "daemon/slot.h"

/* What it had goes; its process goes on without it. */
static void leave_slot(Slot *slot) {
    slot_reset(slot);
    slot->idle = idle_free(slot->idle);
    if (slot_is_backend(slot)) {
        backend_leave_slot(slot);
    } else if (slot->instance) {
        slot->instance->slot = NULL;
        slot->instance->stray = true;
        slot->service->n_strays++;
    }
}

/* As it was before its first process. */
static void renew_slot(Service *s, size_t i) {
    leave_slot(&s->slots[i]);
    s->slots[i] = (Slot){.service = s, .index = i};
}

void service_free_slots(Service *s) {
    for (size_t i = 0; i < s->n_slots; i++)
        leave_slot(&s->slots[i]);
    free(s->slots);
    s->slots = NULL;
    s->n_slots = 0;
}

void service_hand_on_anew(Service *s) {
    if (!service_processes_listen(s))
        return;
    if (s->pool) {
        s->pool->roll = true;
        return;
    }
    /* Where each has a slot of its own, nobody else has that one. */
    if (service_n_listen_slots(s) != 1 || !s->slots[0].instance)
        return;
    renew_slot(s, 0);
    s->leave_looks = s->leave_empty = 0;
    service_go_on_leaving(s);
}

/* @anew: their processes have other listeners. */
static int make_slots(Service *s, bool anew) {
    if (s->config->model != MODEL_POOL)
        s->pool = pool_free(s->pool, false);
    else if (!s->pool && pool_new(s, &s->pool) < 0)
        return -ENOMEM;
    size_t n = slot_count(s->config, s->n_listeners);
    bool backend = service_config_has_backend(s->config), had = s->backend.slot;
    size_t n_listen = n - backend;
    for (size_t i = 0; i < s->n_listeners; i++)
        s->listeners[i]->slot = n_listen == 1 ? 0 : (uint32_t)i;
    bool same = n > 0 && n == s->n_slots && backend == had && !s->backend.replaced;
    /* Their processes stay where they are. */
    if (same && !anew)
        return 0;
    /* A backend has none of the listeners. */
    if (same && backend && s->config->enabled) {
        for (size_t i = 0; i < n_listen; i++)
            renew_slot(s, i);
        return 0;
    }
    service_free_slots(s);
    if (n == 0)
        return 0;
    s->slots = calloc(n, sizeof(Slot));
    if (!s->slots)
        return -ENOMEM;
    s->n_slots = n;
    for (size_t i = 0; i < n; i++)
        s->slots[i] = (Slot){.service = s, .index = i};
    s->backend.slot = backend ? &s->slots[n - 1] : NULL;
    return 0;
}

/* What was there already, and is used as it is. */
static void tell_existing(Service *s, const Listener *l) {
    char note[96], message[ENDPOINT_TEXT_MAX + 128];
    bool foreign = l->ino == 0 && !l->adopted && endpoint_socket_type(l->kind) == 0;
    if (!foreign || !bind_node_note(l->config, l->fd, s->config->resolved.uid, note, sizeof(note)))
        return;
    (void)snprintf(message, sizeof(message), "%s: %s", l->config->endpoint.text, note);
    ApiEvent e = eventlog_event(LOG_LEVEL_WARNING, "listening");
    e.service = s->name;
    e.message = message;
    service_emit(s, &e);
}

/* Its options have been set; the length of its queue has not. */
static void refresh_listener(Service *s, Listener *l) {
    if (s->order == ORDER_DRAIN)
        listener_cut(l);
    else
        listener_refresh(l);
    tell_existing(s, l);
}

/* Options that an open socket takes, of one that was passed in. */
static void set_options(Service *s, Listener *l) {
    const char *step = NULL;
    int r = bind_set_options(l->fd, l->config, &step);
    if (r < 0)
        service_set_error(s, step, -r, NULL, &l->config->pos);
    refresh_listener(s, l);
}

int service_make_listeners(Service *s) {
    const ServiceConfig *c = s->config;
    size_t n = 0;
    for (size_t i = 0; i < c->n_listen; i++)
        n += c->listen[i].endpoint.n_addrs;
    s->listeners = (Listener **)calloc(n + 1, sizeof(Listener *));
    s->n_listeners = 0;
    s->rt->listeners_changed = true;
    if (!s->listeners)
        return -ENOMEM;
    for (size_t i = 0; i < c->n_listen; i++) {
        for (size_t a = 0; a < c->listen[i].endpoint.n_addrs; a++) {
            Listener *l = listener_new(s, s->rt->loop, &c->listen[i], a);
            if (!l)
                return -ENOMEM;
            s->listeners[s->n_listeners++] = l;
        }
    }
    return make_slots(s, true);
}

void service_begin_change(Service *s, const ServiceConfig *config) {
    backend_begin_change(s, config);
    /* It watches the listeners that were. */
    for (size_t i = 0; i < s->n_slots; i++)
        s->slots[i].idle = idle_free(s->slots[i].idle);
    service_end_retry(s);
    s->retry_level = 0;
}

static void remove_service(Service *s) {
    s->removed = true;
    spares_drop(s);
    service_free_slots(s);
    s->pool = pool_free(s->pool, false);
}

static void tell_open(Service *s, const Listener *l) {
    char text[ADDR_TEXT_MAX], message[ENDPOINT_TEXT_MAX + 64];
    const char *end = l->adopted ? " (passed in)" : l->restored ? " (kept by the service manager)" : "";
    const Addr addr = listener_addr(l);
    if (addr.len > 0)
        (void)snprintf(message, sizeof(message), "listening on %s:%s%s", endpoint_kind_to_string(l->kind),
                       addr_format(&addr, text), end);
    else
        (void)snprintf(message, sizeof(message), "listening on %s%s", l->config->endpoint.text, end);
    ApiEvent e = eventlog_event(LOG_LEVEL_INFO, "listening");
    e.service = s->name;
    e.message = message;
    service_emit(s, &e);
}

/* The listeners in the places that the config has for them. */
static void place_listeners(Service *s) {
    bool hands_on = !service_config_accepts(s->config);
    size_t at = 0;
    for (size_t i = 0; i < s->config->n_listen; i++) {
        for (size_t a = 0; a < s->config->listen[i].endpoint.n_addrs; a++) {
            Listener *l = s->listeners[at++];
            bool is_new = !l->service, as_long = l->config->backlog == s->config->listen[i].backlog;
            l->config = &s->config->listen[i];
            l->index = (uint32_t)a;
            l->service = s;
            if (is_new)
                listener_lift(l);
            if (is_new && listener_is_open(l))
                tell_open(s, l);
            /* A process that has it may have made its queue shorter. */
            if (s->config->enabled && listener_is_open(l) && (!as_long || l->cut || hands_on || is_new))
                refresh_listener(s, l);
        }
    }
}

int service_change(Service *s, Config *generation_config, ServiceConfig *config, uint64_t generation,
                   Listener **listeners, size_t n, HolderFate holders) {
    free((void *)s->listeners);
    s->listeners = listeners;
    s->n_listeners = n;
    s->rt->listeners_changed = true;
    if (!config) {
        remove_service(s);
        return 0;
    }
    if (s->pool && holders == HOLDERS_ROLL)
        s->pool->roll = true;
    /* What has changed in the data bases of users and groups is found now, too. */
    spares_drop(s);
    /* Its workers are of another kind: those that come are a pool of their own. */
    if (s->pool && holders == HOLDERS_END)
        s->pool = pool_free(s->pool, false);
    service_set_config(s, generation_config, config, generation);
    service_forget_process_data(s);
    s->removed = false;
    place_listeners(s);
    return make_slots(s, holders == HOLDERS_END);
}

void service_renew_config(Service *s, Config *generation_config, ServiceConfig *config, uint64_t generation) {
    bool shared = s->config == config;
    if (shared) {
        config_ref(generation_config);
        config_unref(s->generation_config);
        s->generation_config = generation_config;
        s->generation = generation;
        return;
    }
    service_set_config(s, generation_config, config, generation);
    service_forget_process_data(s);
    place_listeners(s);
}

void service_renew_found(Service *s, ServiceConfig *found) {
    /* Until nothing points to it. */
    ServiceConfig *before = service_config_ref(s->config);
    if (config_replace(s->generation_config, found)) {
        s->config = found;
        s->name = found->name;
        if (!s->own_limits)
            s->limits = &found->terms->limits;
        service_forget_process_data(s);
        tcpmux_renew(s);
        place_listeners(s);
    }
    service_config_unref(before);
}

/* The port that the other family of the same endpoint got from the kernel. */
static uint16_t port_of_pair(const Service *s, size_t i) {
    if (i == 0 || s->listeners[i]->index == 0 || !listener_is_open(s->listeners[i - 1]))
        return 0;
    const Addr addr = listener_addr(s->listeners[i - 1]);
    return addr_port(&addr);
}

/* systemd's usual socket for a port is one for both families: what it passed for IPv6 has IPv4 as well. */
static bool is_served_by_pair(const Service *s, size_t i) {
    const Listener *l = s->listeners[i], *v6 = i + 1 < s->n_listeners ? s->listeners[i + 1] : NULL;
    int only = 1;
    socklen_t n = sizeof(only);
    return l->config->endpoint.both_families && l->index == 0 && v6 && v6->config == l->config &&
           v6->adopted && getsockopt(v6->fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, &n) == 0 && !only;
}

/* Whether it is open now; a failure is told once, not at each retry. */
bool service_open_listener(Service *s, size_t i) {
    Listener *l = s->listeners[i];
    int before = l->error;
    uint16_t port = port_of_pair(s, i);
    const Addr first = endpoint_addr(&l->config->endpoint, 0);
    int r = listener_open(l, port);
    /* The kernel chose a port for one family that somebody has in the other: one more choice for both. */
    for (int tries = 0; r == -EADDRINUSE && port != 0 && first.len && addr_port(&first) == 0 && tries < 8;
         tries++) {
        listener_close(s->listeners[i - 1], true);
        if (listener_open(s->listeners[i - 1], 0) < 0)
            break;
        port = port_of_pair(s, i);
        r = listener_open(l, port);
    }
    if (r >= 0) {
        tell_open(s, l);
        tell_existing(s, l);
        return true;
    }
    if (listener_family_is_missing(l, -r) || (r == -EADDRINUSE && is_served_by_pair(s, i))) {
        l->error = 0;
        l->dispensable = true;
        return true;
    }
    if (before != -r) {
        char why[128], message[ENDPOINT_TEXT_MAX + 160];
        (void)snprintf(message, sizeof(message), "cannot listen on %s: %s", l->config->endpoint.text,
                       listener_error_text(l, why, sizeof(why)));
        service_set_error(s, l->error_step ? l->error_step : "open", -r, message, &l->config->pos);
    }
    return false;
}

void service_adopt(Service *s, Inherited *in, bool by_name) {
    if (!s->config->enabled)
        return;
    for (size_t i = 0; i < s->n_listeners; i++)
        if (!listener_is_open(s->listeners[i]) && inherited_adopt(in, s->listeners[i], by_name)) {
            set_options(s, s->listeners[i]);
            tell_open(s, s->listeners[i]);
        }
}

/* Who stops a service may want to know that there is still work for it. */
static void tell_kept(Service *s, const Listener *l) {
    char message[ENDPOINT_TEXT_MAX + 64];
    int64_t queued = 0, backlog = 0;
    listener_queue(l, &queued, &backlog);
    if (l->kind != ENDPOINT_MQUEUE || l->ino == 0 || !l->config->remove_on_stop || queued <= 0)
        return;
    (void)snprintf(message, sizeof(message), "%s is not removed, messages in it: %lld",
                   l->config->endpoint.text, (long long)queued);
    ApiEvent e = eventlog_event(LOG_LEVEL_WARNING, "listening");
    e.service = s->name;
    e.message = message;
    service_emit(s, &e);
}

void service_close_listeners(Service *s, bool keep_nodes) {
    service_end_retry(s);
    service_drop_leaving(s);
    for (size_t i = 0; i < s->n_listeners; i++) {
        if (!keep_nodes)
            tell_kept(s, s->listeners[i]);
        listener_close(s->listeners[i], !keep_nodes);
        s->listeners[i]->error = 0;
        s->listeners[i]->dispensable = false;
    }
}

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
#include "daemon/service-private.h"
#include "daemon/slot.h"

void service_free_slots(Service *s) {
    for (size_t i = 0; i < s->n_slots; i++) {
        slot_reset(&s->slots[i]);
        s->slots[i].idle = idle_free(s->slots[i].idle);
        if (slot_is_backend(&s->slots[i])) {
            backend_leave_slot(&s->slots[i]);
        } else if (s->slots[i].instance) {
            s->slots[i].instance->slot = NULL;
            s->slots[i].instance->stray = true;
            s->n_strays++;
        }
    }
    free(s->slots);
    s->slots = NULL;
    s->n_slots = 0;
}

/* @same: every listener is the one that was in its place before. */
static int make_slots(Service *s, bool same) {
    if (s->config->model != MODEL_POOL)
        s->pool = pool_free(s->pool);
    else if (!s->pool && pool_new(s, &s->pool) < 0)
        return -ENOMEM;
    size_t n = slot_count(s->config, s->n_listeners);
    bool backend = service_config_has_backend(s->config), had = s->backend.slot;
    size_t n_listen = n - backend;
    for (size_t i = 0; i < s->n_listeners; i++)
        s->listeners[i]->slot = n_listen == 1 ? 0 : i;
    /* One slot is all the listeners there are, whichever; more are one each. Their processes stay where they
     * are. */
    if (n > 0 && n == s->n_slots && backend == had && !s->backend.replaced && (n_listen <= 1 || same))
        return 0;
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

/* From the @pool what serves for address @index of @config: its own first, then what was opened for this
 * reload, then what another service has given up. (Port 0 is one address of many services.) */
static Listener *take_listener(const Service *s, ListenerSet *pool, const ListenConfig *config,
                               size_t index) {
    Listener **best = NULL;
    for (size_t i = 0; pool && i < pool->n; i++) {
        Listener **at = &pool->items[(s->first_in_pool + i) % pool->n];
        if (!*at || !listener_serves(*at, config, index))
            continue;
        if ((*at)->service == s)
            return TAKE_PTR(*at);
        if (!best || ((*best)->service && !(*at)->service))
            best = at;
    }
    return best ? TAKE_PTR(*best) : NULL;
}

/* What was there already, and is used as it is. */
static void tell_existing(Service *s, const Listener *l) {
    char note[96], message[ENDPOINT_TEXT_MAX + 128];
    bool foreign = l->ino == 0 && !l->adopted && l->addr.len == 0;
    if (!foreign || !bind_node_note(l->config, l->fd, s->config->resolved.uid, note, sizeof(note)))
        return;
    (void)snprintf(message, sizeof(message), "%s: %s", l->config->endpoint.text, note);
    ApiEvent e = eventlog_event(LOG_LEVEL_WARNING, "listening");
    e.service = s->name;
    e.message = message;
    service_emit(s, &e);
}

/* Options that an open socket takes; what a UNIX node has is changed at its path. */
static void refresh_listener(Service *s, Listener *l) {
    const char *step = NULL;
    const ListenConfig *c = l->config;
    int r = bind_set_options(l->fd, c, &step);
    if (r < 0)
        service_set_error(s, step, -r, NULL, &c->pos);
    if (s->order == ORDER_DRAIN)
        listener_cut(l);
    else
        listener_refresh(l);
    tell_existing(s, l);
    if (l->ino == 0)
        return;
    r = bind_adjust(c, l->fd, l->dev, l->ino);
    if (r < 0)
        service_set_error(s, "mode", -r, NULL, &c->pos);
}

int service_make_listeners(Service *s, ListenerSet *pool) {
    const ServiceConfig *c = s->config;
    size_t n = 0;
    for (size_t i = 0; i < c->n_listen; i++)
        n += c->listen[i].endpoint.n_addrs;
    Listener **listeners = (Listener **)calloc(n + 1, sizeof(Listener *));
    if (!listeners)
        return -ENOMEM;
    s->listeners = listeners;
    s->n_listeners = 0;
    s->rt->listeners_changed = true;
    bool same = true;
    /* What is disabled listens nowhere. */
    if (!c->enabled)
        pool = NULL;
    for (size_t i = 0; i < c->n_listen; i++) {
        for (size_t a = 0; a < c->listen[i].endpoint.n_addrs; a++) {
            Listener *l = take_listener(s, pool, &c->listen[i], a);
            same = same && l && l->service == s && l->slot == s->n_listeners;
            if (!l)
                l = listener_new(s, s->rt->loop, &c->listen[i], a);
            if (!l)
                return -ENOMEM;
            l->config = &c->listen[i];
            l->index = a;
            l->service = s;
            listeners[s->n_listeners++] = l;
            if (pool && listener_is_open(l))
                refresh_listener(s, l);
        }
    }
    return make_slots(s, same);
}

void service_begin_change(Service *s, const ServiceConfig *config, ListenerSet *pool) {
    /* A service that is new has been made with this very config, its listeners still closed. */
    s->changing = !config || s->config == config || s->removed || s->config->enabled != config->enabled ||
                  service_config_diff(s->config, config, NULL, NULL) > 0;
    if (!s->changing)
        return;
    backend_begin_change(s, config);
    s->first_in_pool = pool->n;
    for (size_t i = 0; i < s->n_listeners; i++) {
        Listener *l = s->listeners[i];
        /* Armed anew later: another model is woken in another way. */
        listener_disarm(l);
        if (listener_has_socket(l))
            pool->items[pool->n++] = l;
        else
            listener_free(l, false);
    }
    /* It watches the listeners that were. */
    for (size_t i = 0; i < s->n_slots; i++)
        s->slots[i].idle = idle_free(s->slots[i].idle);
    s->n_listeners = 0;
    free((void *)s->listeners);
    s->listeners = NULL;
    s->retry = sd_event_source_disable_unref(s->retry);
    s->retry_level = 0;
}

int service_end_change(Service *s, Config *generation_config, ServiceConfig *config, uint64_t generation,
                       ListenerSet *pool) {
    bool changing = s->changing;
    s->changing = false;
    if (!config) {
        s->removed = true;
        bans_forget(s->rt->bans, s->id);
        spares_drop(s);
        service_free_slots(s);
        s->pool = pool_free(s->pool);
        return 0;
    }
    if (s->pool && changing && !pool_config_keeps_workers(s->config, config))
        s->pool->roll = true;
    /* What has changed in the data bases of users and groups is found now, too. */
    bool same = !changing && resolved_is_same(&s->config->resolved, &config->resolved);
    service_set_config(s, generation_config, config, generation);
    service_forget_process_data(s);
    if (!same)
        spares_drop(s);
    s->removed = false;
    if (changing)
        return service_make_listeners(s, pool);
    size_t at = 0;
    for (size_t i = 0; i < config->n_listen; i++)
        for (size_t a = 0; a < config->listen[i].endpoint.n_addrs; a++)
            s->listeners[at++]->config = &config->listen[i];
    return 0;
}

/* The port that the other family of the same endpoint got from the kernel. */
static uint16_t port_of_pair(const Service *s, size_t i) {
    if (i == 0 || s->listeners[i]->index == 0 || !listener_is_open(s->listeners[i - 1]))
        return 0;
    return addr_port(&s->listeners[i - 1]->addr);
}

/* systemd's usual socket for a port is one for both families: what it passed for IPv6 has IPv4 as well. */
static bool is_served_by_pair(const Service *s, size_t i) {
    const Listener *l = s->listeners[i], *v6 = i + 1 < s->n_listeners ? s->listeners[i + 1] : NULL;
    int only = 1;
    socklen_t n = sizeof(only);
    return l->config->endpoint.both_families && l->index == 0 && v6 && v6->config == l->config &&
           v6->adopted && getsockopt(v6->fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, &n) == 0 && !only;
}

static void tell_open(Service *s, const Listener *l) {
    char text[ADDR_TEXT_MAX], message[ENDPOINT_TEXT_MAX + 64];
    const char *end = l->adopted ? " (passed in)" : l->restored ? " (kept by the service manager)" : "";
    if (l->addr.len > 0)
        (void)snprintf(message, sizeof(message), "listening on %s:%s%s", endpoint_kind_to_string(l->kind),
                       addr_format(&l->addr, text), end);
    else
        (void)snprintf(message, sizeof(message), "listening on %s%s", l->config->endpoint.text, end);
    ApiEvent e = eventlog_event(LOG_LEVEL_INFO, "listening");
    e.service = s->name;
    e.message = message;
    service_emit(s, &e);
}

/* Whether it is open now; a failure is told once, not at each retry. */
bool service_open_listener(Service *s, size_t i) {
    Listener *l = s->listeners[i];
    int before = l->error;
    uint16_t port = port_of_pair(s, i);
    int r = listener_open(l, port);
    /* The kernel chose a port for one family that somebody has in the other: one more choice for both. */
    for (int tries = 0; r == -EADDRINUSE && port != 0 && l->config->endpoint.addrs[0].len &&
                        addr_port(&l->config->endpoint.addrs[0]) == 0 && tries < 8;
         tries++) {
        listener_close(s->listeners[i - 1], true);
        if (listener_open(s->listeners[i - 1], 0) < 0)
            break;
        port = addr_port(&s->listeners[i - 1]->addr);
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
        service_set_error(s, l->error_step, -r, message, &l->config->pos);
    }
    return false;
}

void service_adopt(Service *s, Inherited *in) {
    if (!s->config->enabled)
        return;
    for (size_t i = 0; i < s->n_listeners; i++)
        if (inherited_adopt(in, s->listeners[i])) {
            refresh_listener(s, s->listeners[i]);
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
    s->retry = sd_event_source_disable_unref(s->retry);
    for (size_t i = 0; i < s->n_listeners; i++) {
        if (!keep_nodes)
            tell_kept(s, s->listeners[i]);
        listener_close(s->listeners[i], !keep_nodes);
        s->listeners[i]->error = 0;
        s->listeners[i]->dispensable = false;
    }
}

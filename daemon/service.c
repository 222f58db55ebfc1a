/* SPDX-License-Identifier: MIT */
#include "daemon/service.h"

#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "conf/load.h"
#include "daemon/admission.h"
#include "daemon/base/clock.h"
#include "daemon/bind.h"
#include "daemon/inherit.h"
#include "daemon/serve.h"
#include "daemon/slot.h"

/* Lines of a kind: so many a second after a burst. */
#define LINES_PER_SECOND 10
#define LINES_BURST 100

/* Ended processes whose stderr others still hold. */
#define GHOSTS_MAX 256

#define RETRY_MIN_USEC USEC_PER_SEC
#define RETRY_MAX_USEC (60 * USEC_PER_SEC)

static void set_config(Service *s, Config *generation_config, ServiceConfig *config, uint64_t generation) {
    config_ref(generation_config);
    config_unref(s->generation_config);
    s->generation_config = generation_config;
    s->config = config;
    s->generation = generation;
}

static void forget_process_data(Service *s) {
    child_env_done(&s->env);
    strv_free(s->argv);
    s->argv = NULL;
}

static void free_slots(Service *s) {
    for (size_t i = 0; i < s->n_slots; i++) {
        slot_reset(&s->slots[i]);
        if (s->slots[i].instance) {
            s->slots[i].instance->slot = NULL;
            s->n_strays++;
        }
    }
    free(s->slots);
    s->slots = NULL;
    s->n_slots = 0;
}

static int make_slots(Service *s) {
    size_t n = slot_count(s->config, s->n_listeners);
    /* One slot is all the listeners there are, whichever: its process stays where it is. */
    if (n == 1 && s->n_slots == 1)
        return 0;
    free_slots(s);
    if (n == 0)
        return 0;
    s->slots = calloc(n, sizeof(Slot));
    if (!s->slots)
        return -ENOMEM;
    s->n_slots = n;
    for (size_t i = 0; i < n; i++)
        s->slots[i] = (Slot){.service = s, .index = i};
    for (size_t i = 0; i < s->n_listeners; i++)
        s->listeners[i]->slot = n == 1 ? 0 : i;
    return 0;
}

/* From the @pool what serves for address @index of @config: its own by preference. */
static Listener *take_listener(Service *s, ListenerSet *pool, const ListenConfig *config, size_t index) {
    for (size_t i = 0; pool && i < pool->n; i++) {
        Listener **at = &pool->items[(s->first_in_pool + i) % pool->n];
        if (*at && (*at)->index == index && listen_config_same_socket((*at)->config, config))
            return TAKE_PTR(*at);
    }
    return NULL;
}

/* Options that an open socket takes; what a UNIX node has is changed at its path. */
static void refresh_listener(Service *s, Listener *l) {
    const char *step = NULL;
    const ListenConfig *c = l->config;
    int r = bind_set_options(l->fd, c, &step);
    if (r < 0)
        service_set_error(s, step, -r, NULL, &c->pos);
    if (endpoint_socket_type(c->endpoint.kind) != SOCK_DGRAM)
        (void)listen(l->fd, c->backlog > 0 ? c->backlog : INT_MAX);
    if (l->ino != 0) {
        if ((c->user != (uid_t)-1 || c->group != (gid_t)-1) && lchown(c->endpoint.path, c->user, c->group) < 0)
            service_set_error(s, "user", errno, NULL, &c->pos);
        (void)chmod(c->endpoint.path, c->mode);
    }
}

static int make_listeners(Service *s, ListenerSet *pool) {
    const ServiceConfig *c = s->config;
    size_t n = 0;
    for (size_t i = 0; i < c->n_listen; i++)
        n += c->listen[i].endpoint.n_addrs;
    Listener **listeners = (Listener **)calloc(n + 1, sizeof(Listener *));
    if (!listeners)
        return -ENOMEM;
    s->listeners = listeners;
    s->n_listeners = 0;
    for (size_t i = 0; i < c->n_listen; i++) {
        for (size_t a = 0; a < c->listen[i].endpoint.n_addrs; a++) {
            Listener *l = take_listener(s, pool, &c->listen[i], a);
            if (!l)
                l = listener_new(s, s->rt->loop, &c->listen[i], a);
            if (!l)
                return -ENOMEM;
            l->config = &c->listen[i];
            l->service = s;
            listeners[s->n_listeners++] = l;
            if (pool && listener_is_open(l))
                refresh_listener(s, l);
        }
    }
    return make_slots(s);
}

Service *service_new(Runtime *rt, Config *generation_config, ServiceConfig *config, uint64_t generation) {
    Service *s = calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    s->rt = rt;
    s->state = config->enabled ? SERVICE_STOPPED : SERVICE_DISABLED;
    s->since_usec = clock_realtime_usec();
    list_init(&s->instances);
    list_init(&s->ghosts);
    event_ring_init(&s->ring, EVENTS_KEPT_SERVICE);
    s->name = strdup(config->name);
    set_config(s, generation_config, config, generation);
    if (!s->name || make_listeners(s, NULL) < 0)
        return service_free(s);
    return s;
}

Service *service_free(Service *s) {
    if (!s)
        return NULL;
    for (size_t i = 0; i < s->n_listeners; i++)
        listener_free(s->listeners[i], false);
    free((void *)s->listeners);
    free_slots(s);
    s->retry = sd_event_source_disable_unref(s->retry);
    LIST_FOREACH_SAFE(i, &s->instances, Instance, link) {
        instance_table_remove(&s->rt->instances, i);
        instance_free(i);
    }
    LIST_FOREACH_SAFE(i, &s->ghosts, Instance, link) {
        instance_table_remove(&s->rt->instances, i);
        instance_free(i);
    }
    forget_process_data(s);
    event_ring_done(&s->ring);
    free(s->status);
    free(s->last_error.message);
    free(s->last_error.file);
    free(s->name);
    config_unref(s->generation_config);
    free(s);
    return NULL;
}

void service_begin_change(Service *s, const ServiceConfig *config, ListenerSet *pool) {
    s->changing = !config || s->removed || s->config->enabled != config->enabled ||
                  service_config_diff(s->config, config, NULL, NULL) > 0;
    if (!s->changing)
        return;
    s->first_in_pool = pool->n;
    for (size_t i = 0; i < s->n_listeners; i++) {
        /* Armed anew later: another model is woken in another way. */
        listener_disarm(s->listeners[i]);
        pool->items[pool->n++] = s->listeners[i];
    }
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
        free_slots(s);
        return 0;
    }
    set_config(s, generation_config, config, generation);
    forget_process_data(s);
    s->removed = false;
    if (changing)
        return make_listeners(s, pool);
    size_t at = 0;
    for (size_t i = 0; i < config->n_listen; i++)
        for (size_t a = 0; a < config->listen[i].endpoint.n_addrs; a++)
            s->listeners[at++]->config = &config->listen[i];
    return 0;
}

static size_t count_open(const Service *s) {
    size_t n = 0;
    for (size_t i = 0; i < s->n_listeners; i++)
        n += listener_is_open(s->listeners[i]);
    return n;
}

/* The port that the other family of the same endpoint got from the kernel. */
static uint16_t port_of_pair(const Service *s, size_t i) {
    if (i == 0 || s->listeners[i]->index == 0 || !listener_is_open(s->listeners[i - 1]))
        return 0;
    return addr_port(&s->listeners[i - 1]->addr);
}

static bool family_is_missing(const Listener *l, int error) {
    return l->config->endpoint.both_families && l->index > 0 &&
           (error == EAFNOSUPPORT || error == EADDRNOTAVAIL || error == EPROTONOSUPPORT);
}

static void tell_open(Service *s, const Listener *l) {
    char text[ADDR_TEXT_MAX], message[ADDR_TEXT_MAX + 64];
    (void)snprintf(message, sizeof(message), "listening on %s:%s%s", endpoint_kind_to_string(l->config->endpoint.kind),
                   addr_format(&l->addr, text), l->adopted ? " (passed in)" : "");
    ApiEvent e = eventlog_event(LOG_LEVEL_INFO, "listening");
    e.service = s->name;
    e.message = message;
    service_emit(s, &e);
}

/* Whether it is open now; a failure is told once, not at each retry. */
static bool open_listener(Service *s, size_t i) {
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
        return true;
    }
    if (family_is_missing(l, -r)) {
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

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata) {
    Service *s = userdata;
    (void)source;
    (void)usec;
    s->retry = sd_event_source_disable_unref(s->retry);
    (void)service_open(s);
    service_update(s, "tried again");
    service_start_now(s);
    return 0;
}

static void retry_later(Service *s) {
    uint64_t delay = backoff_retry_delay(&s->retry_level, RETRY_MIN_USEC, RETRY_MAX_USEC);
    if (!s->retry)
        (void)sd_event_add_time_relative(s->rt->loop, &s->retry, CLOCK_MONOTONIC, delay, USEC_PER_SEC / 10, on_retry,
                                         s);
}

/* What could not be found at load is looked for again. */
static bool resolve(Service *s) {
    if (!s->config->problem)
        return true;
    if (service_config_resolve(s->config, s->rt->load) >= 0) {
        forget_process_data(s);
        return true;
    }
    const Diag *d = s->config->problem;
    ConfigPos pos = {.file = d->file, .line = d->line, .column = d->column};
    if (!streq_null(s->last_error.message, d->message))
        service_set_error(s, d->code == DIAG_NOT_ALLOWED ? "user" : "exec",
                          d->code == DIAG_NOT_ALLOWED ? EPERM : ENOENT, d->message, &pos);
    return false;
}

void service_adopt(Service *s, Inherited *in) {
    if (!s->config->enabled)
        return;
    for (size_t i = 0; i < s->n_listeners; i++)
        if (inherited_adopt(in, s->listeners[i]))
            tell_open(s, s->listeners[i]);
}

size_t service_open(Service *s) {
    if (!s->config->enabled || s->order != ORDER_RUN || s->removed || s->rt->stopping)
        return 0;
    size_t failed = 0;
    if (!resolve(s)) {
        retry_later(s);
        return s->n_listeners;
    }
    for (size_t i = 0; i < s->n_listeners; i++)
        if (!listener_is_open(s->listeners[i]) && !s->listeners[i]->dispensable)
            failed += !open_listener(s, i);
    if (failed > 0)
        retry_later(s);
    else
        s->retry_level = 0;
    return failed;
}

static bool any_slot_delayed(const Service *s) {
    for (size_t i = 0; i < s->n_slots; i++)
        if (s->slots[i].delayed)
            return true;
    return false;
}

static ServiceFacts facts_of(const Service *s) {
    Usage usage = {.instances = s->n_instances};
    return (ServiceFacts){
        .enabled = s->config->enabled,
        .removed = s->removed,
        .has_problem = s->config->problem != NULL,
        .model = s->config->model,
        .order = s->order,
        .listeners = s->n_listeners,
        .listeners_open = count_open(s),
        .instances = s->n_instances,
        .waiting = s->config->model == MODEL_PER_CONNECTION &&
                   admission_of_service(s->config, &usage).verdict == VERDICT_WAIT,
        .backoff = any_slot_delayed(s),
    };
}

static void set_state(Service *s, ServiceState state, const char *why) {
    if (state == s->state)
        return;
    char message[192];
    (void)snprintf(message, sizeof(message), "%s -> %s%s%s", service_state_to_string(s->state),
                   service_state_to_string(state), why ? ": " : "", why ? why : "");
    s->state = state;
    s->since_usec = clock_realtime_usec();
    bool trouble = state == SERVICE_FAILED || state == SERVICE_BACKOFF || state == SERVICE_FULL;
    ApiEvent e = eventlog_event(trouble ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO, "state");
    e.service = s->name;
    e.message = message;
    e.reason = why;
    service_emit_limited(s, LIMITED_STATE, &e);
    if (s->rt->on_state)
        s->rt->on_state(s, s->rt->on_state_userdata);
}

static void wake_slot(Listener *l) {
    slot_activate(&l->service->slots[l->slot]);
}

static void arm_listeners(Service *s) {
    bool polls = service_state_polls(s->state) && !s->rt->stopping && s->n_strays == 0;
    for (size_t i = 0; i < s->n_listeners; i++) {
        Listener *l = s->listeners[i];
        bool wanted = polls && listener_is_open(l) && (s->n_slots == 0 || slot_is_idle(&s->slots[l->slot]));
        if (wanted == l->armed)
            continue;
        if (!wanted) {
            listener_disarm(l);
            continue;
        }
        int r = s->n_slots == 0 ? listener_set_blocking(l, false) : 0;
        if (r >= 0)
            r = listener_arm(l, s->n_slots == 0 ? serve_listener : wake_slot);
        if (r < 0)
            service_set_error(s, "poll", -r, NULL, &l->config->pos);
    }
}

void service_update(Service *s, const char *why) {
    ServiceFacts facts = facts_of(s);
    set_state(s, service_state_of(&facts), why);
    arm_listeners(s);
}

void service_start_now(Service *s) {
    if (!s->config->start_now || !service_state_polls(s->state))
        return;
    for (size_t i = 0; i < s->n_slots; i++)
        if (slot_is_idle(&s->slots[i]))
            slot_activate(&s->slots[i]);
}

void service_order_start(Service *s) {
    s->order = ORDER_RUN;
    for (size_t i = 0; i < s->n_slots; i++)
        slot_reset(&s->slots[i]);
    s->retry = sd_event_source_disable_unref(s->retry);
    s->retry_level = 0;
    (void)service_open(s);
    service_update(s, "start");
    service_start_now(s);
}

void service_order_stop(Service *s) {
    s->order = ORDER_STOP;
    service_close_listeners(s, false);
    for (size_t i = 0; i < s->n_slots; i++)
        slot_reset(&s->slots[i]);
    service_stop_instances(s, false);
    service_update(s, "stop");
}

void service_close_listeners(Service *s, bool keep_nodes) {
    s->retry = sd_event_source_disable_unref(s->retry);
    for (size_t i = 0; i < s->n_listeners; i++) {
        listener_close(s->listeners[i], !keep_nodes);
        s->listeners[i]->error = 0;
        s->listeners[i]->dispensable = false;
    }
}

void service_stop_instances(Service *s, bool on_demand_only) {
    LIST_FOREACH(i, &s->instances, Instance, link) {
        if (on_demand_only && i->peer.kind != PEER_NONE)
            continue;
        i->asked = true;
        instance_stop(i, s->config->timeout_stop_usec);
    }
}

void service_kill_instances(Service *s) {
    LIST_FOREACH(i, &s->instances, Instance, link) {
        i->asked = true;
        instance_kill(i);
    }
}

static void free_oldest_ghost(Service *s) {
    size_t n = 0;
    LIST_FOREACH(i, &s->ghosts, Instance, link)
        n++;
    if (n <= GHOSTS_MAX)
        return;
    Instance *oldest = LIST_ENTRY(s->ghosts.next, Instance, link);
    if (oldest->state == INSTANCE_GHOST)
        instance_free(oldest);
}

static void tell_end(Service *s, const Instance *i, int status, ExitResult result, uint64_t lived_usec) {
    char peer[PEER_TEXT_MAX], message[128];
    double seconds = (double)lived_usec / (double)USEC_PER_SEC;
    const char *why = i->timed_out ? " (timeouts.lifetime)" : i->asked ? " (as asked)" : "";
    ApiEvent e = instance_event(i, LOG_LEVEL_INFO, "ended", peer);
    e.reason = exit_result_to_string(result);
    e.duration_usec = lived_usec;
    if (WIFSIGNALED(status)) {
        e.signal = WTERMSIG(status);
        const char *name = sigabbrev_np(e.signal);
        (void)snprintf(message, sizeof(message), "ended: killed by SIG%s after %.3g s%s", name ? name : "?", seconds, why);
    } else {
        e.exit_code = WEXITSTATUS(status);
        (void)snprintf(message, sizeof(message), "ended: exit %d after %.3g s%s", e.exit_code, seconds, why);
    }
    e.message = message;
    service_emit(s, &e);
}

void service_on_instance_end(Service *s, Instance *i, int status, const struct rusage *usage) {
    (void)usage;
    instance_table_remove(&s->rt->instances, i);
    if (i->state == INSTANCE_SPAWN_FAILED) {
        instance_free(i);
        return;
    }
    uint64_t lived = clock_monotonic_usec() - i->started_usec;
    ExitResult result = exit_classify(status, i->asked, i->timed_out);
    instance_drain_pipes(i);
    s->n_instances--;
    s->counters.exited[result]++;
    tell_end(s, i, status, result, lived);
    Slot *slot = i->slot;
    if (i->peer.kind == PEER_NONE && !slot && s->n_strays > 0)
        s->n_strays--;
    instance_bury(i, &s->ghosts);
    free_oldest_ghost(s);
    if (slot)
        slot_on_end(slot, result != EXIT_OK, lived);
    service_update(s, NULL);
}

static void take_requests(Service *s, const Report *r, int64_t before) {
    int64_t more = r->requests - (before > 0 ? before : 0);
    /* A count that goes back is a process that has counted anew. */
    if (more > 0)
        s->counters.requests += (uint64_t)more;
}

void service_on_report(Service *s, Instance *i, const char *line, size_t n) {
    char peer[PEER_TEXT_MAX];
    int64_t before = i->report->requests;
    ReportKind kind = report_line(i->report, line, n);
    if (kind == REPORT_MALFORMED)
        s->counters.report_errors++;
    if (kind == REPORT_REQUESTS)
        take_requests(s, i->report, before);
    if (kind == REPORT_STATUS && !streq_null(s->status, i->report->status)) {
        char *status = i->report->status ? strdup(i->report->status) : NULL;
        free(s->status);
        s->status = status;
        ApiEvent e = instance_event(i, LOG_LEVEL_INFO, "status", peer);
        e.message = s->status;
        service_emit_limited(s, LIMITED_STATUS, &e);
    }
    if (kind == REPORT_READY && !i->told_ready) {
        i->told_ready = true;
        ApiEvent e = instance_event(i, LOG_LEVEL_INFO, "ready", peer);
        e.message = "ready";
        service_emit(s, &e);
    }
}

void service_set_error(Service *s, const char *step, int error, const char *message, const ConfigPos *pos) {
    LastError *last = &s->last_error;
    char text[160];
    if (!message) {
        (void)snprintf(text, sizeof(text), "%s: %s", step, strerror(error));
        message = text;
    } else {
        /* Not told elsewhere: failures of processes have an event of their own. */
        ApiEvent e = eventlog_event(LOG_LEVEL_ERROR, "error");
        e.service = s->name;
        e.step = step;
        e.error = error;
        e.message = message;
        service_emit_limited(s, LIMITED_ERROR, &e);
    }
    char *copy = strdup(message), *file = pos && pos->line ? strdup(pos->file ? pos->file : "") : NULL;
    free(last->message);
    free(last->file);
    *last = (LastError){
        .time_usec = clock_realtime_usec(),
        .step = step,
        .error = error,
        .message = copy,
        .file = file,
        .line = pos ? pos->line : 0,
    };
}

void service_emit(Service *s, const ApiEvent *e) {
    eventlog_emit(&s->rt->events, e, &s->ring);
}

void service_emit_limited(Service *s, LimitedLine line, const ApiEvent *e) {
    if (ratelimit_pass(&s->limited[line], LINES_PER_SECOND, LINES_BURST, clock_monotonic_usec()))
        service_emit(s, e);
    else if (s->rt->on_suppressed)
        s->rt->on_suppressed(s->rt->on_suppressed_userdata);
}

bool service_tell_suppressed(Service *s, uint64_t now_usec) {
    static const char *const kinds[_LIMITED_MAX] = {
        [LIMITED_REFUSED] = "refused",
        [LIMITED_SPAWN_FAILED] = "spawn_failed",
        [LIMITED_GONE] = "gone",
        [LIMITED_STATUS] = "status",
        [LIMITED_STATE] = "state",
        [LIMITED_ERROR] = "error",
    };
    bool more = false;
    for (size_t i = 0; i < _LIMITED_MAX; i++) {
        uint64_t n = ratelimit_take_suppressed(&s->limited[i], now_usec);
        if (n > 0) {
            char message[96];
            (void)snprintf(message, sizeof(message), "%" PRIu64 " more lines of '%s' left out", n, kinds[i]);
            ApiEvent e = eventlog_event(LOG_LEVEL_WARNING, kinds[i]);
            e.service = s->name;
            e.message = message;
            service_emit(s, &e);
        }
        more = more || s->limited[i].suppressed > 0;
    }
    return more;
}

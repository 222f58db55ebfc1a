/* SPDX-License-Identifier: MIT */
/* From values to replies. Written straight as text, without a tree, since a status may name thousands of
 * services. That each object has just the fields of its row in methods.c is held by a test. */
#include <string.h>

#include "ctl/proto/methods.h"
#include "ctl/proto/reply.h"

JsonWriter reply_begin(Text *out) {
    JsonWriter w = {.out = out};
    json_open_object(&w, NULL);
    json_open_object(&w, "parameters");
    return w;
}

void reply_end(JsonWriter *w, bool continues) {
    json_close_object(w);
    if (continues)
        json_add_bool(w, "continues", true);
    json_close_object(w);
    text_addc(w->out, '\0');
}

void reply_end_list(Text *out, bool continues) {
    JsonWriter w = {.out = out, .comma = true};
    json_close_array(&w);
    reply_end(&w, continues);
}

static JsonWriter error_begin(Text *out, ApiError error) {
    JsonWriter w = {.out = out};
    json_open_object(&w, NULL);
    json_add_string(&w, "error", api_error(error)->name);
    json_open_object(&w, "parameters");
    return w;
}

static void add_strings(JsonWriter *w, const char *key, const char *const *v) {
    json_open_array(w, key);
    for (; v && *v; v++)
        json_add_string(w, NULL, *v);
    json_close_array(w);
}

void api_encode_empty(Text *out, bool continues) {
    JsonWriter w = reply_begin(out);
    reply_end(&w, continues);
}

void api_encode_error(Text *out, ApiError error, const char *a, const char *b, int error_number) {
    const ApiField *fields = api_error(error)->fields;
    JsonWriter w = error_begin(out, error);
    if (error == API_FAILED) {
        json_add_string(&w, "step", a);
        json_add_uint_or_null(&w, "errno", (uint64_t)error_number, 0);
        json_add_string(&w, "message", b ? b : api_errno_text(error_number));
    } else {
        /* The others have one or two strings. */
        const char *const values[] = {a, b};
        for (size_t i = 0; i < ELEMENTS(values) && fields[i].name; i++)
            json_add_string(&w, fields[i].name, values[i] || fields[i].type[0] == '?' ? values[i] : "");
    }
    reply_end(&w, false);
}

void api_encode_info(Text *out, const char *version) {
    static const char *const interfaces[] = {INTERFACE_SERVICE, INTERFACE_CONTROL, NULL};
    JsonWriter w = reply_begin(out);
    json_add_string(&w, "vendor", "mpinetd");
    json_add_string(&w, "product", "mpinetd");
    json_add_string(&w, "version", version);
    json_add_string(&w, "url", "");
    add_strings(&w, "interfaces", interfaces);
    reply_end(&w, false);
}

int api_encode_interface_description(Text *out, const char *interface) {
    if (!api_interface_exists(interface))
        return -ENOENT;
    CLEANUP_TEXT Text description = {0};
    api_interface_describe(&description, interface);
    JsonWriter w = reply_begin(out);
    json_add_string(&w, "description", description.s);
    reply_end(&w, false);
    return 0;
}

void api_encode_ping(Text *out, const char *version, pid_t pid) {
    JsonWriter w = reply_begin(out);
    json_add_string(&w, "version", version);
    json_add_int(&w, "pid", pid);
    reply_end(&w, false);
}

static void add_daemon(JsonWriter *w, const ApiDaemon *d) {
    json_open_object(w, "daemon");
    json_add_int(w, "pid", d->pid);
    json_add_string(w, "version", d->version);
    json_add_string(w, "state", d->state);
    json_add_uint(w, "uptime_usec", d->uptime_usec);
    json_add_uint(w, "generation", d->generation);
    json_add_string(w, "config", d->config);
    json_open_object(w, "last_reload");
    json_add_bool(w, "ok", d->last_reload.ok);
    json_add_string(w, "error", d->last_reload.error);
    json_add_uint(w, "time_usec", d->last_reload.time_usec);
    json_close_object(w);
    json_add_uint(w, "children", d->children);
    json_add_uint(w, "fds", d->fds);
    json_close_object(w);
}

static void add_listener(JsonWriter *w, const ApiListener *l) {
    json_open_object(w, NULL);
    json_add_string(w, "endpoint", l->endpoint);
    json_add_string(w, "type", l->type);
    json_add_string(w, "address", l->address);
    json_add_uint_or_null(w, "port", l->port, 0);
    json_add_string(w, "path", l->path);
    json_add_bool(w, "adopted", l->adopted);
    json_add_int(w, "queued", l->queued < 0 ? 0 : l->queued);
    json_add_int(w, "backlog", l->backlog < 0 ? 0 : l->backlog);
    json_add_string(w, "error", l->error);
    json_close_object(w);
}

static void add_workers(JsonWriter *w, const ApiWorkers *workers) {
    if (!workers->present) {
        json_add_null(w, "workers");
        return;
    }
    json_open_object(w, "workers");
    json_add_uint(w, "idle", workers->idle);
    json_add_uint(w, "busy", workers->busy);
    json_add_uint(w, "starting", workers->starting);
    json_close_object(w);
}

static void add_last_error(JsonWriter *w, const ApiLastError *e) {
    if (e->time_usec == 0) {
        json_add_null(w, "last_error");
        return;
    }
    json_open_object(w, "last_error");
    json_add_uint(w, "time_usec", e->time_usec);
    json_add_string(w, "step", e->step);
    json_add_uint_or_null(w, "errno", (uint64_t)e->error, 0);
    json_add_string(w, "message", e->message ? e->message : api_errno_text(e->error));
    json_add_string(w, "file", e->file);
    json_add_uint_or_null(w, "line", e->line, 0);
    json_close_object(w);
}

static void add_counters(JsonWriter *w, const ApiService *s) {
    json_add_uint(w, "accepted", s->accepted);
    json_open_object(w, "refused");
    for (size_t i = 0; i < _REFUSE_REASON_MAX; i++)
        json_add_uint(w, refuse_reason_to_string((RefuseReason)i), s->refused[i]);
    json_close_object(w);
    json_add_uint(w, "gone", s->gone);
    json_add_uint(w, "spawned", s->spawned);
    json_add_uint(w, "spawn_failed", s->spawn_failed);
    json_open_object(w, "exited");
    for (size_t i = 0; i < _EXIT_RESULT_MAX; i++)
        json_add_uint(w, exit_result_to_string((ExitResult)i), s->exited[i]);
    json_close_object(w);
    json_add_uint(w, "restarts", s->restarts);
    json_add_uint(w, "requests", s->requests);
    json_add_uint(w, "work_queued", s->work_queued);
    json_add_uint(w, "report_errors", s->report_errors);
}

static void add_quantiles(JsonWriter *w, const char *key, const ApiQuantiles *q) {
    bool any = q->count > 0;
    json_open_object(w, key);
    json_add_uint(w, "count", q->count);
    json_add_uint_or_null(w, "p50_usec", any ? q->p50_usec : UINT64_MAX, UINT64_MAX);
    json_add_uint_or_null(w, "p99_usec", any ? q->p99_usec : UINT64_MAX, UINT64_MAX);
    json_close_object(w);
}

static void add_order(JsonWriter *w, const ApiOrder *o) {
    if (!o->action) {
        json_add_null(w, "order");
        return;
    }
    json_open_object(w, "order");
    json_add_string(w, "action", o->action);
    json_add_uint(w, "uid", o->uid);
    json_add_uint(w, "time_usec", o->time_usec);
    json_close_object(w);
}

static void add_waiting(JsonWriter *w, const ApiWaiting *waiting) {
    if (!waiting->present) {
        json_add_null(w, "waiting");
        return;
    }
    json_open_object(w, "waiting");
    json_add_string(w, "reason", refuse_reason_to_string(waiting->reason));
    json_add_uint_or_null(w, "used", waiting->limit > 0 ? waiting->used : UINT64_MAX, UINT64_MAX);
    json_add_uint_or_null(w, "limit", waiting->limit, 0);
    json_add_uint_or_null(w, "until_usec", waiting->until_usec, 0);
    json_close_object(w);
}

static void add_service(JsonWriter *w, const char *key, const ApiService *s) {
    json_open_object(w, key);
    json_add_string(w, "name", s->name);
    json_add_string(w, "model", s->model);
    json_add_string(w, "state", service_state_to_string(s->state));
    json_add_uint(w, "since_usec", s->since_usec);
    add_strings(w, "listen", s->listen);
    json_open_array(w, "listeners");
    for (size_t i = 0; i < s->n_listeners; i++)
        add_listener(w, &s->listeners[i]);
    json_close_array(w);
    json_add_uint(w, "active", s->active);
    json_add_uint(w, "queued", s->queued);
    add_workers(w, &s->workers);
    json_add_uint(w, "instances_limit", s->instances_limit);
    add_counters(w, s);
    json_add_string(w, "status", s->status);
    add_last_error(w, &s->last_error);
    json_add_milli(w, "accept_rate", s->accept_rate_milli);
    add_quantiles(w, "latency", &s->latency);
    add_quantiles(w, "duration", &s->duration);
    add_order(w, &s->order);
    add_waiting(w, &s->waiting);
    json_close_object(w);
}

void api_encode_status_begin(Text *out, const ApiDaemon *daemon) {
    JsonWriter w = reply_begin(out);
    json_add_int(&w, "api", 1);
    add_daemon(&w, daemon);
    json_open_array(&w, "services");
}

void api_encode_status_part(Text *out, const ApiService *services, size_t n, bool first) {
    JsonWriter w = {.out = out, .comma = !first};
    for (size_t i = 0; i < n; i++)
        add_service(&w, NULL, &services[i]);
}

void api_encode_status_end(Text *out) {
    reply_end_list(out, false);
}

void api_encode_status(Text *out, const ApiDaemon *daemon, const ApiService *services, size_t n) {
    api_encode_status_begin(out, daemon);
    api_encode_status_part(out, services, n, true);
    api_encode_status_end(out);
}

static void add_instance_items(JsonWriter *w, const ApiInstance *instances, size_t n) {
    for (const ApiInstance *i = instances; i < instances + n; i++) {
        json_open_object(w, NULL);
        json_add_string(w, "service", i->service);
        json_add_uint(w, "instance", i->instance);
        json_add_int(w, "pid", i->pid);
        json_add_string(w, "peer", i->peer);
        json_add_string(w, "state", i->state);
        json_add_uint(w, "since_usec", i->since_usec);
        json_add_uint(w, "cpu_usec", i->cpu_usec);
        json_add_uint(w, "memory", i->memory);
        json_add_uint(w, "generation", i->generation);
        json_add_string(w, "status", i->status);
        json_add_uint_or_null(w, "requests", (uint64_t)i->requests, (uint64_t)-1);
        json_add_uint_or_null(w, "active", (uint64_t)i->active, (uint64_t)-1);
        json_close_object(w);
    }
}

static void add_event(JsonWriter *w, const ApiEvent *e) {
    json_open_object(w, NULL);
    json_add_uint(w, "time_usec", e->time_usec);
    json_add_string(w, "level", e->level);
    json_add_string(w, "event", e->event);
    json_add_string(w, "service", e->service);
    json_add_uint_or_null(w, "instance", e->instance, 0);
    json_add_uint_or_null(w, "pid", (uint64_t)e->pid, 0);
    json_add_string(w, "peer", e->peer);
    json_add_string(w, "reason", e->reason);
    json_add_string(w, "step", e->step);
    json_add_uint_or_null(w, "errno", (uint64_t)e->error, 0);
    json_add_string(w, "error", e->error != 0 ? api_errno_text(e->error) : NULL);
    json_add_uint_or_null(w, "exit_code", (uint64_t)e->exit_code, (uint64_t)-1);
    json_add_signal(w, "signal", e->signal);
    json_add_uint_or_null(w, "duration_usec", e->duration_usec, UINT64_MAX);
    json_add_string(w, "message", e->message);
    json_close_object(w);
}

static void add_events(JsonWriter *w, const ApiEvent *events, size_t n) {
    json_open_array(w, "events");
    for (size_t i = 0; i < n; i++)
        add_event(w, &events[i]);
    json_close_array(w);
}

static void add_change(JsonWriter *w, const ApiChange *c) {
    json_open_object(w, NULL);
    json_add_string(w, "service", c->service);
    json_add_string(w, "action", c->action);
    json_add_string(w, "key", c->key);
    json_add_string(w, "from", c->from);
    json_add_string(w, "to", c->to);
    json_close_object(w);
}

static void add_changes(JsonWriter *w, const char *key, const ApiChange *changes, size_t n) {
    json_open_array(w, key);
    for (size_t i = 0; i < n; i++)
        add_change(w, &changes[i]);
    json_close_array(w);
}

static void add_buckets(JsonWriter *w, const char *key, const ApiBucket *buckets, size_t n) {
    json_open_array(w, key);
    for (size_t i = 0; i < n; i++) {
        json_open_object(w, NULL);
        json_add_uint_or_null(w, "le_usec", buckets[i].le_usec, UINT64_MAX);
        json_add_uint(w, "count", buckets[i].count);
        json_close_object(w);
    }
    json_close_array(w);
}

static void add_cgroup(JsonWriter *w, const ApiCgroup *g) {
    if (!g->present) {
        json_add_null(w, "cgroup");
        return;
    }
    json_open_object(w, "cgroup");
    json_add_string(w, "path", g->path);
    json_add_bool(w, "per_instance", g->per_instance);
    json_add_uint_or_null(w, "memory", g->memory, UINT64_MAX);
    json_add_uint_or_null(w, "memory_max", g->memory_max, UINT64_MAX);
    json_add_uint_or_null(w, "memory_high", g->memory_high, UINT64_MAX);
    json_add_uint_or_null(w, "pids", g->pids, UINT64_MAX);
    json_add_uint_or_null(w, "pids_max", g->pids_max, UINT64_MAX);
    json_add_uint_or_null(w, "cpu_usec", g->cpu_usec, UINT64_MAX);
    if (g->cpu_max == UINT64_MAX)
        json_add_null(w, "cpu_max");
    else
        json_add_milli(w, "cpu_max", g->cpu_max);
    json_add_uint_or_null(w, "io_weight", g->io_weight, 0);
    json_add_uint(w, "oom_kills", g->oom_kills);
    json_add_uint(w, "pids_limited", g->pids_limited);
    json_close_object(w);
}

void api_encode_description(Text *out, const ApiDescription *d) {
    JsonWriter w = reply_begin(out);
    add_service(&w, "service", d->service);
    json_add_string(&w, "description", d->description ? d->description : "");
    add_strings(&w, "exec", d->exec);
    json_add_string(&w, "user", d->user);
    json_add_string(&w, "group", d->group);
    json_add_string(&w, "pass", d->pass);
    json_add_string(&w, "stderr", d->stderr_target);
    json_add_string(&w, "to", d->to);
    json_add_string(&w, "file", d->file);
    json_add_uint_or_null(&w, "line", d->line, 0);
    reply_add_limits(&w, d->limits);
    if (d->load < 0)
        json_add_null(&w, "load");
    else
        json_add_milli(&w, "load", (uint64_t)(d->load * 1000));
    reply_add_hours(&w, &d->hours);
    json_add_uint(&w, "access_rules", d->access_rules);
    json_add_uint(&w, "bans", d->bans);
    json_open_object(&w, "timeouts");
    json_add_uint_or_null(&w, "lifetime_usec", d->timeout_lifetime_usec, UINT64_MAX);
    json_add_uint_or_null(&w, "stop_usec", d->timeout_stop_usec, UINT64_MAX);
    json_close_object(&w);
    add_cgroup(&w, &d->cgroup);
    add_changes(&w, "set", d->set, d->n_set);
    add_buckets(&w, "latency", d->latency, d->n_latency);
    add_buckets(&w, "duration", d->duration, d->n_duration);
    reply_add_sources(&w, d->sources, d->n_sources);
    json_open_array(&w, "instances");
    add_instance_items(&w, d->instances, d->n_instances);
    json_close_array(&w);
    add_events(&w, d->events, d->n_events);
    reply_end(&w, false);
}

void api_encode_instances_begin(Text *out) {
    JsonWriter w = reply_begin(out);
    json_open_array(&w, "instances");
}

void api_encode_instances_part(Text *out, const ApiInstance *instances, size_t n, bool first) {
    JsonWriter w = {.out = out, .comma = !first};
    add_instance_items(&w, instances, n);
}

void api_encode_instances_end(Text *out, bool continues) {
    reply_end_list(out, continues);
}

void api_encode_instances(Text *out, const ApiInstance *instances, size_t n, bool continues) {
    api_encode_instances_begin(out);
    api_encode_instances_part(out, instances, n, true);
    api_encode_instances_end(out, continues);
}

void api_encode_events(Text *out, const ApiEvent *events, size_t n, uint64_t missed, bool continues) {
    JsonWriter w = reply_begin(out);
    add_events(&w, events, n);
    json_add_uint(&w, "missed", missed);
    reply_end(&w, continues);
}

void api_encode_metrics_begin(Text *out) {
    (void)reply_begin(out);
    text_add(out, "\"metrics\":\"");
}

void api_encode_metrics_part(Text *out, const char *text, size_t n) {
    /* The quotes of the whole string stand around all parts. */
    CLEANUP_TEXT Text quoted = {0};
    text_add_json(&quoted, text, n);
    if (!text_ok(&quoted)) {
        out->failed = true;
        return;
    }
    text_add_n(out, quoted.s + 1, quoted.len - 2);
}

void api_encode_metrics_end(Text *out, bool continues) {
    JsonWriter w = {.out = out, .comma = true};
    text_addc(out, '"');
    reply_end(&w, continues);
}

void api_encode_metrics(Text *out, const char *text, size_t n, bool continues) {
    api_encode_metrics_begin(out);
    api_encode_metrics_part(out, text, n);
    api_encode_metrics_end(out, continues);
}

static const char *null_if_empty(const char *s) {
    return s && *s ? s : NULL;
}

static void add_diagnostic(JsonWriter *w, const Diag *d, bool hide_excerpt) {
    json_open_object(w, NULL);
    json_add_string(w, "file", null_if_empty(d->file));
    json_add_uint_or_null(w, "line", d->line, 0);
    json_add_uint_or_null(w, "column", d->column, 0);
    json_add_uint_or_null(w, "end_column", d->end_column, 0);
    json_add_string(w, "severity", diag_severity_to_string(d->severity));
    json_add_string(w, "code", diag_code_to_string(d->code));
    json_add_string(w, "message", d->message ? d->message : "");
    json_add_string(w, "hint", null_if_empty(d->hint));
    json_add_string(w, "excerpt", hide_excerpt ? NULL : null_if_empty(d->excerpt));
    json_close_object(w);
}

static void add_plan_item(JsonWriter *w, const ApiPlanItem *i) {
    json_open_object(w, NULL);
    json_add_string(w, "service", i->service);
    json_add_string(w, "object", i->object);
    json_add_string(w, "endpoint", i->endpoint);
    json_add_string(w, "action", i->action);
    json_add_string(w, "detail", i->detail);
    json_close_object(w);
}

static void add_reload(JsonWriter *w, const ApiReload *r) {
    json_add_bool(w, "ok", r->ok);
    json_add_uint(w, "generation", r->generation);
    json_open_array(w, "diagnostics");
    for (size_t i = 0; r->diagnostics && i < r->diagnostics->n; i++)
        add_diagnostic(w, &r->diagnostics->items[i], r->hide_excerpts);
    json_close_array(w);
    add_changes(w, "changes", r->changes, r->n_changes);
    json_open_array(w, "plan");
    for (size_t i = 0; i < r->n_plan; i++)
        add_plan_item(w, &r->plan[i]);
    json_close_array(w);
}

void api_encode_reload(Text *out, const ApiReload *r) {
    JsonWriter w = reply_begin(out);
    add_reload(&w, r);
    reply_end(&w, false);
}

void api_encode_invalid_config(Text *out, const ApiReload *r) {
    JsonWriter w = error_begin(out, API_INVALID_CONFIG);
    add_reload(&w, r);
    reply_end(&w, false);
}

void api_encode_upgrade(Text *out, const ApiUpgrade *u) {
    JsonWriter w = reply_begin(out);
    json_add_string(&w, "version", u->version);
    json_add_string(&w, "previous", u->begun ? NULL : u->previous);
    json_add_uint_or_null(&w, "pause_usec", u->begun ? UINT64_MAX : u->pause_usec, UINT64_MAX);
    json_add_uint_or_null(&w, "duration_usec", u->begun ? UINT64_MAX : u->duration_usec, UINT64_MAX);
    reply_end(&w, u->begun);
}

void api_encode_done(Text *out, const char *const *services, const char *progress, bool continues) {
    JsonWriter w = reply_begin(out);
    add_strings(&w, "services", services);
    json_add_string(&w, "progress", progress);
    reply_end(&w, continues);
}

void api_encode_signaled(Text *out, const char *const *services, uint64_t n) {
    JsonWriter w = reply_begin(out);
    add_strings(&w, "services", services);
    json_add_uint(&w, "signaled", n);
    reply_end(&w, false);
}

void api_encode_set(Text *out, const ApiChange *changes, size_t n) {
    JsonWriter w = reply_begin(out);
    add_changes(&w, "changes", changes, n);
    reply_end(&w, false);
}

/* SPDX-License-Identifier: MIT */
#include "ctl/status-long.h"

#include <string.h>

#include "conf/value.h"
#include "ctl/diagnostics.h"
#include "ctl/event-line.h"
#include "ctl/fields.h"
#include "ctl/status-admission.h"
#include "ctl/status-hints.h"
#include "daemon/base/clock.h"

/* Where what a label names begins. */
#define LABEL_WIDTH 13

/* One line under its label, wrapped; a line that goes on has none. Empties @line. */
static void add_line(Ctl *c, const char *label, Text *line) {
    text_addf(&c->out, *label ? "%*s: " : "%*s  ", LABEL_WIDTH - 2, label);
    style_add_wrapped(&c->style, &c->out, line->s ? line->s : "", LABEL_WIDTH);
    text_addc(&c->out, '\n');
    c->out.failed = c->out.failed || line->failed;
    text_reset(line);
}

static void add_count(Text *out, uint64_t n, const char *what) {
    format_number(out, n);
    text_addf(out, " %s", what);
}

/* Why it is in this state, where that is known. */
static void add_state_reason(const Ctl *c, Text *out, const json_t *service, const json_t *limits) {
    const json_t *order = json_object_get(service, "order");
    waiting_format(&c->style, service, limits, out);
    if (streq(field_text(service, "state"), "disabled"))
        text_add(out, " ('enabled: false' in its config)");
    if (!json_is_object(order))
        return;
    text_add(out, " by ");
    format_user(out, (uid_t)field_count(order, "uid"));
}

/* "31 of 4 096 wait in the kernel's queue" */
static void add_queue(Text *out, const json_t *service) {
    const json_t *listeners = json_object_get(service, "listeners");
    uint64_t backlog = 0;
    for (size_t i = 0; i < json_array_size(listeners); i++)
        backlog += field_count(json_array_get(listeners, i), "backlog");
    if (field_count(service, "queued") == 0)
        return;
    text_add(out, "; ");
    format_number(out, field_count(service, "queued"));
    if (backlog > 0) {
        text_add(out, " of ");
        format_number(out, backlog);
    }
    text_add(out, " wait in the kernel's queue");
}

static void add_state(Ctl *c, const json_t *service, const json_t *limits) {
    const char *state = field_text(service, "state");
    const json_t *order = json_object_get(service, "order");
    uint64_t since = field_count(service, "since_usec"), asked = field_count(order, "time_usec");
    CLEANUP_TEXT Text line = {0};
    Color color;
    (void)style_mark(&c->style, state, &color);
    style_add(&c->style, &line, color, state);
    add_state_reason(c, &line, service, limits);
    if (since > 0) {
        text_add(&line, " since ");
        format_moment(&c->style, &line, since);
    }
    /* It may have taken its time. */
    if (asked > 0 && asked / USEC_PER_SEC != since / USEC_PER_SEC) {
        text_addf(&line, "; asked for (%s) at ", field_text(order, "action"));
        format_time(&c->style, &line, asked);
    }
    add_queue(&line, service);
    add_line(c, "State", &line);
}

static void add_listener(Text *out, const json_t *l, bool closed) {
    field_show(out, l, "endpoint");
    if (field_given(l, "address")) {
        const char *address = field_text(l, "address");
        text_add(out, strchr(address, ':') ? "  [" : "  ");
        field_show(out, l, "address");
        text_add(out, strchr(address, ':') ? "]" : "");
        if (field_given(l, "port"))
            text_addf(out, ":%llu", (unsigned long long)field_count(l, "port"));
    }
    if (field_given(l, "error")) {
        text_add(out, "  not open: ");
        field_show(out, l, "error");
    } else if (field_count(l, "backlog") > 0) {
        text_addf(out, "  (%llu of %llu waiting)", (unsigned long long)field_count(l, "queued"),
                  (unsigned long long)field_count(l, "backlog"));
    } else if (closed) {
        text_add(out, "  (not open)");
    }
    text_add(out, json_is_true(json_object_get(l, "adopted")) ? "  adopted" : "");
}

static void add_listeners(Ctl *c, const json_t *service) {
    const json_t *listeners = json_object_get(service, "listeners"),
                 *listen = json_object_get(service, "listen");
    CLEANUP_TEXT Text line = {0};
    size_t n = json_array_size(listeners);
    bool closed = streq(field_text(service, "state"), "stopped");
    for (size_t i = 0; i < n; i++) {
        add_listener(&line, json_array_get(listeners, i), closed);
        add_line(c, i == 0 ? "Listen" : "", &line);
    }
    for (size_t i = 0; n == 0 && i < json_array_size(listen); i++) {
        const char *s = json_string_value(json_array_get(listen, i));
        text_add_escaped(&line, s ? s : "", s ? strlen(s) : 0);
        text_add(&line, "  (not open)");
        add_line(c, i == 0 ? "Listen" : "", &line);
    }
}

static void add_exec(Ctl *c, const json_t *d) {
    const json_t *exec = json_object_get(d, "exec");
    CLEANUP_TEXT Text line = {0};
    if (json_array_size(exec) == 0)
        return;
    for (size_t i = 0; i < json_array_size(exec); i++) {
        const char *s = json_string_value(json_array_get(exec, i));
        text_add(&line, i > 0 ? " " : "");
        text_add_escaped(&line, s ? s : "", s ? strlen(s) : 0);
    }
    if (field_given(d, "user")) {
        text_add(&line, "  as ");
        field_show(&line, d, "user");
        text_add(&line, field_given(d, "group") ? ":" : "");
        field_show(&line, d, "group");
    }
    add_line(c, "Exec", &line);
}

static void add_place(Ctl *c, const json_t *d) {
    CLEANUP_TEXT Text line = {0};
    if (!field_given(d, "file"))
        return;
    field_show(&line, d, "file");
    if (field_given(d, "line"))
        text_addf(&line, ":%llu", (unsigned long long)field_count(d, "line"));
    add_line(c, "Config", &line);
}

/* The counters of an object that are not 0: "ok 48 120, failed 38". */
static bool add_counters(Text *out, const json_t *counters, const char *none) {
    bool any = false;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)counters, key, value) {
        if (json_integer_value(value) <= 0)
            continue;
        text_add(out, any ? ", " : "");
        text_addf(out, "%s ", key);
        format_number(out, (uint64_t)json_integer_value(value));
        any = true;
    }
    if (!any)
        text_add(out, none);
    return any;
}

static void add_totals(Ctl *c, const json_t *service) {
    double rate = json_number_value(json_object_get(service, "accept_rate"));
    CLEANUP_TEXT Text line = {0};
    format_number(&line, field_count(service, "accepted"));
    if (rate >= 0.05)
        text_addf(&line, ", %.1f a second", rate);
    if (field_count(service, "gone") > 0) {
        text_add(&line, " (");
        add_count(&line, field_count(service, "gone"), "gone before they were served)");
    }
    text_add(&line, "   Spawned: ");
    format_number(&line, field_count(service, "spawned"));
    if (field_count(service, "spawn_failed") > 0) {
        text_add(&line, " (");
        add_count(&line, field_count(service, "spawn_failed"), "more failed to start)");
    }
    text_add(&line, "   Ended: ");
    (void)add_counters(&line, json_object_get(service, "exited"), "none");
    add_line(c, "Accepted", &line);
}

typedef size_t (*SourceLines)(const Style *s, const json_t *sources, Text lines[static SOURCE_LINES_MAX]);

static void add_sources(Ctl *c, const char *label, const json_t *sources, SourceLines format) {
    Text lines[SOURCE_LINES_MAX] = {0};
    size_t n = format(&c->style, sources, lines);
    for (size_t i = 0; i < n; i++) {
        add_line(c, i == 0 ? label : "", &lines[i]);
        text_done(&lines[i]);
    }
}

static void add_refused(Ctl *c, const json_t *d, const json_t *service) {
    CLEANUP_TEXT Text line = {0};
    bool any = add_counters(&line, json_object_get(service, "refused"), "none");
    if (any) {
        text_add(&line, "   (each: mpctl events --service ");
        field_show(&line, service, "name");
        text_add(&line, " -k refused)");
    }
    add_line(c, "Refused", &line);
    add_sources(c, "of whom", json_object_get(d, "sources"), sources_refused);
    add_sources(c, "Sources", json_object_get(d, "sources"), sources_seen);
}

/* "p50 0.9 ms, p99 3.1 ms" */
static bool add_quantiles(Text *out, const json_t *quantiles) {
    if (field_count(quantiles, "count") == 0)
        return false;
    text_add(out, "p50 ");
    api_add_duration(out, field_count(quantiles, "p50_usec"));
    text_add(out, ", p99 ");
    api_add_duration(out, field_count(quantiles, "p99_usec"));
    return true;
}

static void add_times(Ctl *c, const json_t *service) {
    CLEANUP_TEXT Text line = {0};
    text_add(&line, "accept to exec ");
    if (add_quantiles(&line, json_object_get(service, "latency")))
        add_line(c, "Latency", &line);
    text_reset(&line);
    text_add(&line, "exec to end ");
    if (add_quantiles(&line, json_object_get(service, "duration")))
        add_line(c, "Duration", &line);
}

/* What only some services have to tell. */
static void add_reports(Ctl *c, const json_t *service) {
    const json_t *workers = json_object_get(service, "workers");
    CLEANUP_TEXT Text line = {0};
    if (json_is_object(workers)) {
        (void)add_counters(&line, workers, "none");
        add_line(c, "Workers", &line);
    }
    if (field_count(service, "requests") > 0 || field_count(service, "work_queued") > 0) {
        format_number(&line, field_count(service, "requests"));
        text_add(&line, ", queued ");
        format_number(&line, field_count(service, "work_queued"));
        add_line(c, "Requests", &line);
    }
    if (field_count(service, "restarts") > 0) {
        format_number(&line, field_count(service, "restarts"));
        add_line(c, "Restarts", &line);
    }
    if (field_count(service, "report_errors") > 0) {
        add_count(&line, field_count(service, "report_errors"), "malformed lines on status pipes");
        add_line(c, "Reports", &line);
    }
    if (field_given(service, "status")) {
        text_addc(&line, '"');
        field_show(&line, service, "status");
        text_addc(&line, '"');
        add_line(c, "Status", &line);
    }
}

/* Limits that differ from the config, since somebody has set them. */
static void add_set(Ctl *c, const json_t *d) {
    const json_t *set = json_object_get(d, "set");
    CLEANUP_TEXT Text line = {0};
    for (size_t i = 0; i < json_array_size(set); i++) {
        const json_t *change = json_array_get(set, i);
        text_add(&line, i == 0 ? "(set: " : ", ");
        field_show(&line, change, "key");
        text_addc(&line, ' ');
        change_add_values(&c->style, change, &line);
    }
    if (line.len == 0)
        return;
    text_add(&line, ", until the next reload)");
    add_line(c, "", &line);
}

static void add_limits(Ctl *c, const json_t *d) {
    const json_t *timeouts = json_object_get(d, "timeouts");
    CLEANUP_TEXT Text line = {0};
    limits_format(d, &line);
    if (field_given(timeouts, "lifetime_usec")) {
        text_add(&line, ", lifetime ");
        value_duration_format(field_count(timeouts, "lifetime_usec"), &line);
    }
    if (field_given(timeouts, "stop_usec")) {
        text_add(&line, ", stop ");
        value_duration_format(field_count(timeouts, "stop_usec"), &line);
    }
    add_line(c, "Limits", &line);
    add_set(c, d);
    access_format(&c->style, d, &line);
    if (line.len > 0)
        add_line(c, "Access", &line);
}

static void add_amount(Text *out, const json_t *group, const char *key, const char *limit) {
    bool is_size = starts_with(key, "memory");
    if (!field_given(group, key))
        return;
    text_add(out, out->len > 0 ? ", " : "");
    text_addf(out, "%s ", key);
    if (is_size)
        format_size(out, field_count(group, key));
    else
        format_number(out, field_count(group, key));
    if (!field_given(group, limit))
        return;
    text_add(out, " of ");
    if (is_size)
        value_size_format(field_count(group, limit), out);
    else
        format_number(out, field_count(group, limit));
}

static void add_cgroup(Ctl *c, const json_t *d) {
    const json_t *group = json_object_get(d, "cgroup");
    CLEANUP_TEXT Text line = {0};
    if (!json_is_object(group))
        return;
    if (json_is_true(json_object_get(group, "per_instance"))) {
        text_add(&line, "one for each process");
    } else {
        add_amount(&line, group, "memory", "memory_max");
        add_amount(&line, group, "pids", "pids_max");
    }
    if (field_given(group, "cpu_usec")) {
        text_add(&line, line.len > 0 ? ", cpu " : "cpu ");
        api_add_duration(&line, field_count(group, "cpu_usec"));
    }
    if (field_count(group, "oom_kills") > 0) {
        text_add(&line, ", ");
        add_count(&line, field_count(group, "oom_kills"), "killed for want of memory");
    }
    if (field_count(group, "pids_limited") > 0) {
        text_add(&line, ", ");
        add_count(&line, field_count(group, "pids_limited"), "times no process could be made");
    }
    add_line(c, "Group", &line);
    field_show(&line, group, "path");
    add_line(c, "", &line);
}

static void add_last_error(Ctl *c, const json_t *service) {
    const json_t *error = json_object_get(service, "last_error");
    CLEANUP_TEXT Text line = {0};
    if (!json_is_object(error))
        return;
    format_time(&c->style, &line, field_count(error, "time_usec"));
    text_addc(&line, ' ');
    last_error_format(error, &line);
    add_line(c, "Last error", &line);
}

static void add_instances(Ctl *c, const json_t *service) {
    uint64_t active = field_count(service, "active");
    CLEANUP_TEXT Text line = {0};
    format_number(&line, active);
    if (active > 0) {
        text_add(&line, " (mpctl ps ");
        field_show(&line, service, "name");
        text_addc(&line, ')');
    }
    add_line(c, "Instances", &line);
}

static void add_hints(Ctl *c, const json_t *d) {
    CLEANUP_HINTS StatusHints hints;
    status_hints_find(&hints, d);
    for (size_t i = 0; i < hints.n; i++)
        add_line(c, i == 0 ? "What to do" : "", &hints.lines[i]);
}

static void add_title(Ctl *c, const json_t *d, const json_t *service) {
    Color color;
    const char *mark = style_mark(&c->style, field_text(service, "state"), &color);
    CLEANUP_TEXT Text name = {0};
    style_add(&c->style, &c->out, color, mark);
    text_addc(&c->out, ' ');
    field_show(&name, service, "name");
    style_add(&c->style, &c->out, COLOR_BOLD, name.s ? name.s : "");
    text_add(&c->out, *field_text(d, "description") ? " - " : "");
    field_show(&c->out, d, "description");
    text_addc(&c->out, '\n');
}

static void show(Ctl *c, const json_t *d) {
    const json_t *service = json_object_get(d, "service"), *events = json_object_get(d, "events");
    CLEANUP_TEXT Text model = {0};
    add_title(c, d, service);
    add_state(c, service, json_object_get(d, "limits"));
    add_listeners(c, service);
    field_show(&model, service, "model");
    add_line(c, "Model", &model);
    add_exec(c, d);
    add_place(c, d);
    add_totals(c, service);
    add_refused(c, d, service);
    add_times(c, service);
    add_limits(c, d);
    add_cgroup(c, d);
    add_reports(c, service);
    add_last_error(c, service);
    add_instances(c, service);
    add_hints(c, d);
    for (size_t i = 0; i < json_array_size(events); i++) {
        text_add(&c->out, "   ");
        event_line_log(&c->style, json_array_get(events, i), &c->out);
    }
}

int status_long(Ctl *c, const json_t *services) {
    for (size_t i = 0; i < json_array_size(services); i++) {
        json_t *description = NULL;
        const char *name = field_text(json_array_get(services, i), "name");
        int status = ctl_call(c, METHOD_DESCRIBE, json_pack("{s:s}", "service", name), &description);
        if (status != 0)
            return status;
        text_add(&c->out, i > 0 ? "\n" : "");
        show(c, description);
        json_decref(description);
    }
    return CTL_DONE;
}

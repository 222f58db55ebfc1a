/* SPDX-License-Identifier: MIT */
#include "ctl/status-long.h"

#include <string.h>

#include "conf/value.h"
#include "ctl/event-line.h"
#include "ctl/fields.h"
#include "daemon/base/clock.h"

void last_error_format(const json_t *error, Text *out) {
    if (!json_is_object(error))
        return;
    field_show(out, error, "step");
    text_add(out, field_given(error, "step") ? ": " : "");
    field_show(out, error, "message");
    if (!field_given(error, "file"))
        return;
    text_add(out, " (");
    field_show(out, error, "file");
    if (field_given(error, "line"))
        text_addf(out, ":%llu", (unsigned long long)field_count(error, "line"));
    text_addc(out, ')');
}

void last_error_advice(const json_t *service, Text *out) {
    bool config = field_given(json_object_get(service, "last_error"), "file");
    text_add(out, config ? "mend it or correct the config, then: mpctl reload, or mpctl start "
                         : "mend it, then: mpctl start ");
    field_show(out, service, "name");
}

/* The labels of the lines end at the same column; a line that goes on has none. */
static void add_label(Text *out, const char *label) {
    text_addf(out, *label ? "%11s: " : "%11s  ", label);
}

static void add_count(Text *out, uint64_t n, const char *what) {
    format_number(out, n);
    text_addf(out, " %s", what);
}

static void add_state(Ctl *c, const json_t *service) {
    Text *out = &c->out;
    const char *state = field_text(service, "state");
    uint64_t since = field_count(service, "since_usec"), now = c->style.now_usec;
    Color color;
    (void)style_mark(&c->style, state, &color);
    add_label(out, "State");
    style_add(&c->style, out, color, state);
    if (streq(state, "full"))
        text_addf(out, " (%llu of %llu instances)", (unsigned long long)field_count(service, "active"),
                  (unsigned long long)field_count(service, "instances_limit"));
    if (since > 0) {
        text_add(out, " since ");
        format_time(&c->style, out, since);
        text_add(out, ", ");
        format_age(out, now > since ? now - since : 0);
        text_add(out, " ago");
    }
    text_addc(out, '\n');
}

static void add_listener(Text *out, const json_t *l) {
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
    }
    text_add(out, json_is_true(json_object_get(l, "adopted")) ? "  adopted\n" : "\n");
}

static void add_listeners(Text *out, const json_t *service) {
    const json_t *listeners = json_object_get(service, "listeners"),
                 *listen = json_object_get(service, "listen");
    size_t n = json_array_size(listeners);
    for (size_t i = 0; i < n; i++) {
        add_label(out, i == 0 ? "Listen" : "");
        add_listener(out, json_array_get(listeners, i));
    }
    for (size_t i = 0; n == 0 && i < json_array_size(listen); i++) {
        const char *s = json_string_value(json_array_get(listen, i));
        add_label(out, i == 0 ? "Listen" : "");
        text_add_escaped(out, s ? s : "", s ? strlen(s) : 0);
        text_add(out, "  (not open)\n");
    }
}

static void add_exec(Text *out, const json_t *d) {
    const json_t *exec = json_object_get(d, "exec");
    if (json_array_size(exec) == 0)
        return;
    add_label(out, "Exec");
    for (size_t i = 0; i < json_array_size(exec); i++) {
        const char *s = json_string_value(json_array_get(exec, i));
        text_add(out, i > 0 ? " " : "");
        text_add_escaped(out, s ? s : "", s ? strlen(s) : 0);
    }
    if (field_given(d, "user")) {
        text_add(out, "  as ");
        field_show(out, d, "user");
        text_add(out, field_given(d, "group") ? ":" : "");
        field_show(out, d, "group");
    }
    text_addc(out, '\n');
}

static void add_place(Text *out, const json_t *d) {
    if (!field_given(d, "file"))
        return;
    add_label(out, "Config");
    field_show(out, d, "file");
    if (field_given(d, "line"))
        text_addf(out, ":%llu", (unsigned long long)field_count(d, "line"));
    text_addc(out, '\n');
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

static void add_totals(Text *out, const json_t *service) {
    add_label(out, "Accepted");
    format_number(out, field_count(service, "accepted"));
    if (field_count(service, "gone") > 0) {
        text_add(out, " (");
        add_count(out, field_count(service, "gone"), "gone before they were served)");
    }
    text_add(out, "   Spawned: ");
    format_number(out, field_count(service, "spawned"));
    if (field_count(service, "spawn_failed") > 0) {
        text_add(out, " (");
        add_count(out, field_count(service, "spawn_failed"), "more failed to start)");
    }
    text_add(out, "   Ended: ");
    (void)add_counters(out, json_object_get(service, "exited"), "none");
    text_addc(out, '\n');
    add_label(out, "Refused");
    if (add_counters(out, json_object_get(service, "refused"), "none")) {
        text_add(out, "   (who: mpctl events --service ");
        field_show(out, service, "name");
        text_addc(out, ')');
    }
    text_addc(out, '\n');
}

/* What only some services have to tell. */
static void add_reports(Text *out, const json_t *service) {
    const json_t *workers = json_object_get(service, "workers");
    if (json_is_object(workers)) {
        add_label(out, "Workers");
        (void)add_counters(out, workers, "none");
        text_addc(out, '\n');
    }
    if (field_count(service, "requests") > 0 || field_count(service, "work_queued") > 0) {
        add_label(out, "Requests");
        format_number(out, field_count(service, "requests"));
        text_add(out, ", queued ");
        format_number(out, field_count(service, "work_queued"));
        text_addc(out, '\n');
    }
    if (field_count(service, "restarts") > 0) {
        add_label(out, "Restarts");
        format_number(out, field_count(service, "restarts"));
        text_addc(out, '\n');
    }
    if (field_count(service, "report_errors") > 0) {
        add_label(out, "Reports");
        add_count(out, field_count(service, "report_errors"), "malformed lines on status pipes\n");
    }
    if (field_given(service, "status")) {
        add_label(out, "Status");
        text_addc(out, '"');
        field_show(out, service, "status");
        text_add(out, "\"\n");
    }
}

static void add_limits(Text *out, const json_t *d) {
    const json_t *limits = json_object_get(d, "limits"), *timeouts = json_object_get(d, "timeouts");
    add_label(out, "Limits");
    text_addf(out, "instances %llu, when full ", (unsigned long long)field_count(limits, "instances"));
    field_show(out, limits, "when_full");
    if (field_given(timeouts, "lifetime_usec")) {
        text_add(out, ", lifetime ");
        value_duration_format(field_count(timeouts, "lifetime_usec"), out);
    }
    if (field_given(timeouts, "stop_usec")) {
        text_add(out, ", stop ");
        value_duration_format(field_count(timeouts, "stop_usec"), out);
    }
    text_addc(out, '\n');
}

static void add_last_error(Ctl *c, const json_t *service) {
    const json_t *error = json_object_get(service, "last_error");
    if (!json_is_object(error))
        return;
    add_label(&c->out, "Last error");
    format_time(&c->style, &c->out, field_count(error, "time_usec"));
    text_addc(&c->out, ' ');
    last_error_format(error, &c->out);
    text_addc(&c->out, '\n');
    if (!streq(field_text(service, "state"), "failed"))
        return;
    add_label(&c->out, "");
    last_error_advice(service, &c->out);
    text_addc(&c->out, '\n');
}

static void add_rest(Ctl *c, const json_t *d, const json_t *service) {
    const json_t *events = json_object_get(d, "events");
    uint64_t active = field_count(service, "active");
    add_label(&c->out, "Instances");
    format_number(&c->out, active);
    if (active > 0) {
        text_add(&c->out, " (mpctl ps ");
        field_show(&c->out, service, "name");
        text_addc(&c->out, ')');
    }
    text_addc(&c->out, '\n');
    for (size_t i = 0; i < json_array_size(events); i++) {
        text_add(&c->out, "   ");
        event_line(&c->style, json_array_get(events, i), &c->out);
    }
}

static void show(Ctl *c, const json_t *d) {
    const json_t *service = json_object_get(d, "service");
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
    add_state(c, service);
    add_listeners(&c->out, service);
    add_label(&c->out, "Model");
    field_show(&c->out, service, "model");
    text_addc(&c->out, '\n');
    add_exec(&c->out, d);
    add_place(&c->out, d);
    add_totals(&c->out, service);
    add_limits(&c->out, d);
    add_reports(&c->out, service);
    add_last_error(c, service);
    add_rest(c, d, service);
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

/* SPDX-License-Identifier: MIT */
/* mpctl status: the table of all services; and is-active. */
#include <string.h>

#include "ctl/columns.h"
#include "ctl/fields.h"
#include "ctl/names.h"
#include "ctl/status-long.h"
#include "ctl/verbs.h"

static void fill_number(const Ctl *c, uint64_t n, TableCell *cell) {
    if (c->options.format == OUTPUT_PLAIN)
        text_addf(&cell->full, "%llu", (unsigned long long)n);
    else
        format_number(&cell->full, n);
}

static uint64_t sum_of(const json_t *counters) {
    uint64_t sum = 0;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)counters, key, value) {
        sum += (uint64_t)json_integer_value(value);
    }
    return sum;
}

static void fill_name(const Ctl *c, const json_t *row, TableCell *cell) {
    (void)c;
    field_show(&cell->full, row, "name");
}

static void fill_state(const Ctl *c, const json_t *row, TableCell *cell) {
    field_show(&cell->full, row, "state");
    (void)style_mark(&c->style, field_text(row, "state"), &cell->color);
}

static void fill_listen(const Ctl *c, const json_t *row, TableCell *cell) {
    const json_t *listen = json_object_get(row, "listen");
    size_t n = json_array_size(listen);
    (void)c;
    for (size_t i = 0; i < n; i++) {
        const char *s = json_string_value(json_array_get(listen, i));
        text_add(&cell->full, i > 0 ? "," : "");
        text_add_escaped(&cell->full, s ? s : "", s ? strlen(s) : 0);
        if (i == 0 && n > 1)
            text_addf(&cell->brief, "%s +%zu", cell->full.s ? cell->full.s : "", n - 1);
    }
}

static void fill_model(const Ctl *c, const json_t *row, TableCell *cell) {
    (void)c;
    field_show(&cell->full, row, "model");
}

/* What does not listen has no instances to count. */
static bool is_disabled(const json_t *row) {
    return streq(field_text(row, "state"), "disabled");
}

static void fill_now(const Ctl *c, const json_t *row, TableCell *cell) {
    if (!is_disabled(row))
        fill_number(c, field_count(row, "active"), cell);
}

static void fill_max(const Ctl *c, const json_t *row, TableCell *cell) {
    if (field_count(row, "instances_limit") > 0)
        fill_number(c, field_count(row, "instances_limit"), cell);
}

static void fill_accepted(const Ctl *c, const json_t *row, TableCell *cell) {
    if (!is_disabled(row))
        fill_number(c, field_count(row, "accepted"), cell);
}

/* With the letter of the most frequent reason. */
static void fill_refused(const Ctl *c, const json_t *row, TableCell *cell) {
    static const char letters[_REFUSE_REASON_MAX] = {
        [REFUSE_ACCESS] = 'a',     [REFUSE_HOURS] = 'h',     [REFUSE_LOAD] = 'l',
        [REFUSE_RATE] = 'r',       [REFUSE_INSTANCES] = 'i', [REFUSE_RATE_PER_SOURCE] = 's',
        [REFUSE_PER_SOURCE] = 'p', [REFUSE_BANNED] = 'b',    [REFUSE_PROXY] = 'x',
    };
    const json_t *refused = json_object_get(row, "refused");
    uint64_t most = 0;
    char letter = '\0';
    for (size_t i = 0; i < _REFUSE_REASON_MAX; i++) {
        uint64_t n = field_count(refused, refuse_reason_to_string((RefuseReason)i));
        if (n > most) {
            most = n;
            letter = letters[i];
        }
    }
    if (is_disabled(row))
        return;
    fill_number(c, sum_of(refused), cell);
    if (letter && c->options.format == OUTPUT_TEXT)
        text_addf(&cell->full, " %c", letter);
}

static void fill_since(const Ctl *c, const json_t *row, TableCell *cell) {
    uint64_t since = field_count(row, "since_usec");
    if (since > 0)
        format_age(&cell->full, c->style.now_usec > since ? c->style.now_usec - since : 0);
}

static void fill_info(const Ctl *c, const json_t *row, TableCell *cell) {
    const char *state = field_text(row, "state");
    const json_t *error = json_object_get(row, "last_error");
    (void)c;
    if ((streq(state, "failed") || streq(state, "backoff")) && json_is_object(error)) {
        field_show(&cell->full, error, "step");
        text_add(&cell->full, field_given(error, "step") ? ": " : "");
        field_show(&cell->full, error, "message");
        cell->color = COLOR_RED;
    } else if (field_given(row, "status")) {
        text_addc(&cell->full, '"');
        field_show(&cell->full, row, "status");
        text_addc(&cell->full, '"');
    } else if (field_count(row, "queued") > 0) {
        text_addf(&cell->full, "%llu waiting", (unsigned long long)field_count(row, "queued"));
    }
}

static void fill_queued(const Ctl *c, const json_t *row, TableCell *cell) {
    fill_number(c, field_count(row, "queued"), cell);
}

static void fill_spawned(const Ctl *c, const json_t *row, TableCell *cell) {
    fill_number(c, field_count(row, "spawned"), cell);
}

static void fill_spawn_failed(const Ctl *c, const json_t *row, TableCell *cell) {
    fill_number(c, field_count(row, "spawn_failed"), cell);
}

static void fill_exited(const Ctl *c, const json_t *row, TableCell *cell) {
    fill_number(c, sum_of(json_object_get(row, "exited")), cell);
}

static void fill_failed(const Ctl *c, const json_t *row, TableCell *cell) {
    const json_t *exited = json_object_get(row, "exited");
    fill_number(c, sum_of(exited) - field_count(exited, "ok") - field_count(exited, "unknown"), cell);
}

static void fill_restarts(const Ctl *c, const json_t *row, TableCell *cell) {
    fill_number(c, field_count(row, "restarts"), cell);
}

static void fill_requests(const Ctl *c, const json_t *row, TableCell *cell) {
    fill_number(c, field_count(row, "requests"), cell);
}

static void fill_status(const Ctl *c, const json_t *row, TableCell *cell) {
    (void)c;
    field_show(&cell->full, row, "status");
}

static void fill_last_error(const Ctl *c, const json_t *row, TableCell *cell) {
    (void)c;
    last_error_format(json_object_get(row, "last_error"), &cell->full);
}

static const Column columns[] = {
    {{"SERVICE", 0, false, true, false}, "SERVICE", "name", true, fill_name},
    {{"STATE", 0, false, true, false}, "STATE", "listening, full, failed, …", true, fill_state},
    {{"LISTEN", 3, false, false, false}, "LISTEN", "endpoints", true, fill_listen},
    {{"MODEL", 7, false, false, false}, "MODEL", "how its processes come about", true, fill_model},
    {{"NOW", 1, true, true, false}, "NOW", "instances that run", true, fill_now},
    {{"MAX", 6, true, false, false}, "MAX", "limits.instances", true, fill_max},
    {{"ACCEPTED", 5, true, false, false},
     "ACCEPTED",
     "connections since the daemon's start",
     true,
     fill_accepted},
    {{"REFUSED", 2, true, false, false},
     "REFUSED",
     "refused ones; the letter is the most frequent reason: access, hours, load, rate, instances, p(er "
     "source), "
     "s(ource's rate), banned, x (proxy)",
     true,
     fill_refused},
    {{"SINCE", 4, false, false, false}, "SINCE", "how long in this state", true, fill_since},
    {{"", 8, false, false, true}, "INFO", "error, status text, or how many wait", true, fill_info},
    {{"QUEUED", 9, true, false, false}, "QUEUED", "connections that wait in the kernel", false, fill_queued},
    {{"SPAWNED", 9, true, false, false}, "SPAWNED", "instances that were given work", false, fill_spawned},
    {{"SPAWN-FAILED", 9, true, false, false}, "SPAWN-FAILED", "starts that failed", false, fill_spawn_failed},
    {{"EXITED", 9, true, false, false}, "EXITED", "instances that ended", false, fill_exited},
    {{"FAILED", 9, true, false, false}, "FAILED", "those by failure, signal or timeout", false, fill_failed},
    {{"RESTARTS", 9, true, false, false}, "RESTARTS", "restarts", false, fill_restarts},
    {{"REQUESTS", 9, true, false, false}, "REQUESTS", "as the instances report them", false, fill_requests},
    {{"STATUS", 9, false, false, true}, "STATUS", "newest status text", false, fill_status},
    {{"LAST-ERROR", 9, false, false, true},
     "LAST-ERROR",
     "newest error, and its place",
     false,
     fill_last_error},
};

static bool is_running(const json_t *service) {
    int state = service_state_from_string(field_text(service, "state"));
    return state >= 0 && service_state_is_running((ServiceState)state);
}

static int running_status(const json_t *services) {
    for (size_t i = 0; i < json_array_size(services); i++)
        if (!is_running(json_array_get(services, i)))
            return CTL_NOT_RUNNING;
    return CTL_DONE;
}

/* "(7 services: 5 ok, 1 full, 1 failed)" */
static void add_summary(const json_t *services, Text *out) {
    size_t counts[_SERVICE_STATE_MAX] = {0}, n = json_array_size(services);
    for (size_t i = 0; i < n; i++) {
        int state = service_state_from_string(field_text(json_array_get(services, i), "state"));
        if (state >= 0)
            counts[state == SERVICE_ACTIVE ? SERVICE_LISTENING : state]++;
    }
    text_addf(out, "(%zu service%s", n, n == 1 ? "" : "s");
    const char *separator = ": ";
    for (size_t i = 0; i < _SERVICE_STATE_MAX; i++) {
        /* The well ones come first and are "ok". */
        size_t state = i == 0 ? (size_t)SERVICE_LISTENING : i == SERVICE_LISTENING ? 0 : i;
        if (counts[state] == 0)
            continue;
        text_addf(out, "%s%zu %s", separator, counts[state],
                  state == SERVICE_LISTENING ? "ok" : service_state_to_string((ServiceState)state));
        separator = ", ";
    }
    text_add(out, ")\n");
}

static void add_header(Ctl *c, const json_t *status) {
    const json_t *daemon = json_object_get(status, "daemon"),
                 *reload = json_object_get(daemon, "last_reload");
    Text *out = &c->out;
    text_add(out, "mpinetd ");
    field_show(out, daemon, "version");
    if (!streq(field_text(daemon, "state"), "running")) {
        text_add(out, "  ");
        field_show(out, daemon, "state");
    }
    text_addf(out, "  pid %lld  up ", (long long)field_number(daemon, "pid"));
    format_age(out, field_count(daemon, "uptime_usec"));
    text_addf(out, "  generation %llu  ", (unsigned long long)field_count(daemon, "generation"));
    field_show(out, daemon, "config");
    text_add(out, field_given(daemon, "config") ? "  " : "");
    add_summary(json_object_get(status, "services"), out);
    if (!json_is_false(json_object_get(reload, "ok")))
        return;
    CLEANUP_TEXT Text error = {0};
    text_add(&error, "last reload failed: ");
    field_show(&error, reload, "error");
    text_addf(&error, "; generation %llu stays in force",
              (unsigned long long)field_count(daemon, "generation"));
    style_add(&c->style, out, COLOR_RED, error.s ? error.s : "");
    text_addc(out, '\n');
}

/* For each failed service, what is wrong, where, and what mends it. */
static void add_advice(Ctl *c, const json_t *services) {
    bool first = true;
    for (size_t i = 0; i < json_array_size(services); i++) {
        const json_t *service = json_array_get(services, i), *error = json_object_get(service, "last_error");
        if (!streq(field_text(service, "state"), "failed") || !json_is_object(error))
            continue;
        text_add(&c->out, first ? "\n" : "");
        first = false;
        field_show(&c->out, service, "name");
        text_add(&c->out, ": ");
        last_error_format(error, &c->out);
        text_add(&c->out, "; ");
        last_error_advice(service, &c->out);
        text_addc(&c->out, '\n');
    }
}

/* In place of an empty table. */
static void add_nothing(Ctl *c, const json_t *status) {
    const json_t *daemon = json_object_get(status, "daemon");
    if (options_has(&c->options, OPTION(FAILED))) {
        text_add(&c->out, "no service is failed\n");
        return;
    }
    text_add(&c->out, "no services yet: add one to ");
    if (field_given(daemon, "config"))
        field_show(&c->out, daemon, "config");
    else
        text_add(&c->out, "the config");
    text_add(&c->out, " ('mpctl explain' tells the keys), then: mpctl reload\n");
}

static int show_table(Ctl *c, const json_t *status) {
    const json_t *services = json_object_get(status, "services");
    bool text = c->options.format == OUTPUT_TEXT;
    CLEANUP_VIEW View view;
    int result = view_init(&view, c, columns, ELEMENTS(columns));
    if (result != 0)
        return result < 0 ? CTL_DONE : result;
    for (size_t i = 0; i < json_array_size(services); i++) {
        const json_t *service = json_array_get(services, i);
        Color color;
        const char *mark = style_mark(&c->style, field_text(service, "state"), &color);
        view_add(&view, c, service, mark, color);
    }
    if (text)
        add_header(c, status);
    if (text && view.table.n_rows == 0) {
        add_nothing(c, status);
        return CTL_DONE;
    }
    text_add(&c->out, text ? "\n" : "");
    view_format(&view, c, &c->out);
    if (text)
        add_advice(c, services);
    return CTL_DONE;
}

static void keep_failed(json_t *services) {
    for (size_t i = json_array_size(services); i-- > 0;)
        if (!streq(field_text(json_array_get(services, i), "state"), "failed"))
            (void)json_array_remove(services, i);
}

int verb_status(Ctl *c, char *const *args) {
    json_t *status = NULL;
    /* Lists the columns without asking anybody. */
    const char *list = c->options.values[OPTION_COLUMNS];
    if (list && streq(list, "help"))
        return show_table(c, NULL);
    int result = names_status(c, args, &status);
    if (!status)
        return result;
    json_t *services = json_object_get(status, "services");
    int running = *args ? running_status(services) : CTL_DONE;
    if (options_has(&c->options, OPTION(FAILED)))
        keep_failed(services);
    int shown = CTL_DONE;
    if (ctl_wants_json(c))
        ctl_add_json(c, status);
    else if (*args && c->options.format == OUTPUT_TEXT && !list)
        shown = status_long(c, services);
    else if (!*args || json_array_size(services) > 0)
        shown = show_table(c, status);
    json_decref(status);
    return result != 0 ? result : shown != 0 ? shown : running;
}

int verb_is_active(Ctl *c, char *const *args) {
    json_t *status = NULL;
    int result = names_status(c, args, &status);
    if (!status)
        return result;
    if (ctl_wants_json(c))
        ctl_add_json(c, status);
    if (result == 0)
        result = running_status(json_object_get(status, "services"));
    json_decref(status);
    return result;
}

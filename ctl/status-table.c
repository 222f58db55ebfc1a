/* SPDX-License-Identifier: MIT */
#include "ctl/status-table.h"

#include <string.h>

#include "ctl/fields.h"
#include "ctl/refusals.h"
#include "ctl/status-admission.h"
#include "ctl/status-hints.h"
#include "daemon/base/clock.h"

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
    const json_t *refused = json_object_get(row, "refused");
    int most = refusals_most(refused);
    if (is_disabled(row))
        return;
    fill_number(c, refusals_sum(refused), cell);
    if (most >= 0 && c->options.format == OUTPUT_TEXT)
        text_addf(&cell->full, " %c", refusal((size_t)most)->letter);
}

static void fill_rate(const Ctl *c, const json_t *row, TableCell *cell) {
    double rate = json_number_value(json_object_get(row, "accept_rate"));
    if (!is_disabled(row))
        text_addf(&cell->full, c->options.format == OUTPUT_PLAIN ? "%.3f" : "%.1f", rate);
}

/* "40s by root" where somebody has asked for it. */
static void fill_since(const Ctl *c, const json_t *row, TableCell *cell) {
    const json_t *order = json_object_get(row, "order");
    uint64_t since = field_count(row, "since_usec"), now = c->style.now_usec,
             age = now > since ? now - since : 0;
    if (since == 0)
        return;
    if (c->options.format == OUTPUT_PLAIN) {
        text_addf(&cell->full, "%llu", (unsigned long long)(age / USEC_PER_SEC));
        return;
    }
    format_age(&cell->full, age);
    if (!json_is_object(order))
        return;
    text_add(&cell->brief, cell->full.s ? cell->full.s : "");
    text_add(&cell->full, " by ");
    format_user(&cell->full, (uid_t)field_count(order, "uid"));
}

/* The first listener that is not open. */
static const json_t *broken_listener(const json_t *row) {
    const json_t *listeners = json_object_get(row, "listeners");
    for (size_t i = 0; i < json_array_size(listeners); i++)
        if (field_given(json_array_get(listeners, i), "error"))
            return json_array_get(listeners, i);
    return NULL;
}

static void add_item(Text *out, const char *s) {
    text_add(out, out->len > 0 ? ", " : "");
    text_add(out, s);
}

/* What is wrong, else what it says of itself; what holds it up, and how many wait. */
static void fill_info(const Ctl *c, const json_t *row, TableCell *cell) {
    const char *state = field_text(row, "state");
    const json_t *error = json_object_get(row, "last_error"), *broken = broken_listener(row);
    Text *out = &cell->full;
    CLEANUP_TEXT Text waiting = {0};
    (void)c;
    if ((streq(state, "failed") || streq(state, "backoff")) && json_is_object(error)) {
        last_error_what(error, out);
        cell->color = COLOR_RED;
    } else if (broken) {
        field_show(out, broken, "endpoint");
        text_add(out, " is not open: ");
        field_show(out, broken, "error");
        cell->color = COLOR_RED;
    }
    if (field_given(row, "status")) {
        add_item(out, "\"");
        field_show(out, row, "status");
        text_addc(out, '"');
    }
    waiting_brief(row, &waiting);
    if (waiting.s)
        add_item(out, waiting.s);
    if (field_count(row, "queued") > 0) {
        add_item(out, "");
        text_addf(out, "%llu waiting", (unsigned long long)field_count(row, "queued"));
    }
}

/* A time of @quantiles, where there is one. */
static void fill_time(const Ctl *c, const json_t *quantiles, const char *key, TableCell *cell) {
    if (!field_given(quantiles, key))
        return;
    uint64_t usec = field_count(quantiles, key);
    if (c->options.format == OUTPUT_PLAIN)
        text_addf(&cell->full, "%.6f", (double)usec / (double)USEC_PER_SEC);
    else
        api_add_duration(&cell->full, usec);
}

static void fill_p50(const Ctl *c, const json_t *row, TableCell *cell) {
    fill_time(c, json_object_get(row, "latency"), "p50_usec", cell);
}

static void fill_p99(const Ctl *c, const json_t *row, TableCell *cell) {
    fill_time(c, json_object_get(row, "latency"), "p99_usec", cell);
}

static void fill_duration(const Ctl *c, const json_t *row, TableCell *cell) {
    fill_time(c, json_object_get(row, "duration"), "p50_usec", cell);
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
    {{"STATE", 0, false, true, false}, "STATE", "listening, full, failed, ...", true, fill_state},
    {{"LISTEN", 3, false, false, false}, "LISTEN", "endpoints", true, fill_listen},
    {{"MODEL", 7, false, false, false}, "MODEL", "how its processes come about", true, fill_model},
    {{"NOW", 1, true, true, false}, "NOW", "instances that run", true, fill_now},
    {{"MAX", 6, true, false, false}, "MAX", "limits.instances", true, fill_max},
    {{"ACCEPT/S", 5, true, false, false},
     "ACCEPT/S",
     "connections a second, over the last ten seconds",
     true,
     fill_rate},
    {{"REFUSED", 2, true, false, false},
     "REFUSED",
     "refused connections, and a letter for the most frequent reason",
     true,
     fill_refused},
    {{"SINCE", 4, false, false, false},
     "SINCE",
     "how long in this state, and who asked for it",
     true,
     fill_since},
    {{"", 8, false, false, true}, "INFO", "error, status text, how many wait", true, fill_info},
    {{"ACCEPTED", 9, true, false, false},
     "ACCEPTED",
     "connections since the daemon's start",
     false,
     fill_accepted},
    {{"QUEUED", 9, true, false, false}, "QUEUED", "connections that wait in the kernel", false, fill_queued},
    {{"SPAWNED", 9, true, false, false}, "SPAWNED", "instances that were given work", false, fill_spawned},
    {{"SPAWN-FAILED", 9, true, false, false}, "SPAWN-FAILED", "starts that failed", false, fill_spawn_failed},
    {{"EXITED", 9, true, false, false}, "EXITED", "instances that ended", false, fill_exited},
    {{"FAILED", 9, true, false, false}, "FAILED", "those by failure, signal or timeout", false, fill_failed},
    {{"RESTARTS", 9, true, false, false}, "RESTARTS", "restarts", false, fill_restarts},
    {{"REQUESTS", 9, true, false, false}, "REQUESTS", "as the instances report them", false, fill_requests},
    {{"P50", 9, true, false, false}, "P50", "from accept to exec: half took no longer", false, fill_p50},
    {{"P99", 9, true, false, false}, "P99", "from accept to exec: all but one in a hundred", false, fill_p99},
    {{"DURATION", 9, true, false, false},
     "DURATION",
     "from exec to end: half took no longer",
     false,
     fill_duration},
    {{"STATUS", 9, false, false, true}, "STATUS", "newest status text", false, fill_status},
    {{"LAST-ERROR", 9, false, false, true},
     "LAST-ERROR",
     "newest error, and its place",
     false,
     fill_last_error},
};

int status_table_init(View *v, Ctl *c) {
    return view_init(v, c, columns, ELEMENTS(columns));
}

void status_table_add(View *v, const Ctl *c, const json_t *service) {
    Color color;
    const char *mark = style_mark(&c->style, field_text(service, "state"), &color);
    view_add(v, c, service, mark, color);
}

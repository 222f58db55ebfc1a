/* SPDX-License-Identifier: MIT */
#include "ctl/top-table.h"

#include "ctl/fields.h"
#include "ctl/status-admission.h"
#include "ctl/status-long.h"

void top_add_rate(Text *out, double rate) {
    /* 99.96 would become 100.0. */
    if (rate < 99.95)
        text_addf(out, "%.1f", rate);
    else
        format_number(out, (uint64_t)(rate + 0.5));
}

static bool is_disabled(const TopService *s) {
    return streq(s->state, "disabled");
}

static void fill_name(const TopModel *m, const Style *style, const TopService *s, TableCell *cell) {
    (void)m;
    (void)style;
    field_show(&cell->full, s->json, "name");
}

static void fill_state(const TopModel *m, const Style *style, const TopService *s, TableCell *cell) {
    (void)m;
    field_show(&cell->full, s->json, "state");
    (void)style_mark(style, s->state, &cell->color);
}

static void fill_number(const TopService *s, uint64_t n, TableCell *cell) {
    if (!is_disabled(s))
        format_number(&cell->full, n);
}

static void fill_now(const TopModel *m, const Style *style, const TopService *s, TableCell *cell) {
    (void)m;
    (void)style;
    fill_number(s, s->active, cell);
}

static void fill_max(const TopModel *m, const Style *style, const TopService *s, TableCell *cell) {
    (void)m;
    (void)style;
    if (s->limit > 0)
        format_number(&cell->full, s->limit);
}

static void fill_rate(const TopModel *m, const TopService *s, double rate, TableCell *cell) {
    if (m->rated && !is_disabled(s))
        top_add_rate(&cell->full, rate);
}

static void fill_accept(const TopModel *m, const Style *style, const TopService *s, TableCell *cell) {
    (void)style;
    fill_rate(m, s, s->rates.accepted, cell);
}

static void fill_refuse(const TopModel *m, const Style *style, const TopService *s, TableCell *cell) {
    (void)style;
    fill_rate(m, s, s->rates.refused, cell);
    cell->color = s->rates.refused > 0 ? COLOR_YELLOW : COLOR_NONE;
}

static void fill_spawn(const TopModel *m, const Style *style, const TopService *s, TableCell *cell) {
    (void)style;
    fill_rate(m, s, s->rates.spawned, cell);
}

static void fill_exit(const TopModel *m, const Style *style, const TopService *s, TableCell *cell) {
    (void)style;
    fill_rate(m, s, s->rates.exited, cell);
}

static void fill_refused(const TopModel *m, const Style *style, const TopService *s, TableCell *cell) {
    (void)m;
    (void)style;
    fill_number(s, s->refused, cell);
}

static void fill_accepted(const TopModel *m, const Style *style, const TopService *s, TableCell *cell) {
    (void)m;
    (void)style;
    fill_number(s, s->accepted, cell);
}

static void fill_queued(const TopModel *m, const Style *style, const TopService *s, TableCell *cell) {
    (void)m;
    (void)style;
    fill_number(s, s->queued, cell);
}

static void fill_age(const Style *style, uint64_t since_usec, TableCell *cell) {
    if (since_usec > 0)
        format_age(&cell->full, style->now_usec > since_usec ? style->now_usec - since_usec : 0);
}

static void fill_since(const TopModel *m, const Style *style, const TopService *s, TableCell *cell) {
    (void)m;
    fill_age(style, s->since_usec, cell);
}

static void fill_info(const TopModel *m, const Style *style, const TopService *s, TableCell *cell) {
    const json_t *error = json_object_get(s->json, "last_error");
    (void)m;
    (void)style;
    if ((streq(s->state, "failed") || streq(s->state, "backoff")) && json_is_object(error)) {
        last_error_what(error, &cell->full);
        cell->color = COLOR_RED;
    } else if (field_given(s->json, "status")) {
        text_addc(&cell->full, '"');
        field_show(&cell->full, s->json, "status");
        text_addc(&cell->full, '"');
    } else {
        waiting_brief(s->json, &cell->full);
    }
}

typedef struct ServiceColumn {
    TableColumn table; /* without its title */
    const char *help;
    void (*fill)(const TopModel *m, const Style *style, const TopService *s, TableCell *cell);
} ServiceColumn;

/* Behind the columns that have a name stands free text. */
#define INFO _TOP_COLUMN_MAX

static const ServiceColumn service_columns[_TOP_COLUMN_MAX + 1] = {
    [TOP_SERVICE] = {{"", 0, false, true, false}, "name", fill_name},
    [TOP_STATE] = {{"", 0, false, true, false}, "what needs a look comes first", fill_state},
    [TOP_NOW] = {{"", 1, true, true, false}, "instances that run", fill_now},
    [TOP_MAX] = {{"", 5, true, false, false}, "limits.instances", fill_max},
    [TOP_ACCEPT_RATE] = {{"", 2, true, true, false}, "connections accepted a second", fill_accept},
    [TOP_REFUSE_RATE] = {{"", 3, true, false, false}, "connections refused a second", fill_refuse},
    [TOP_SPAWN_RATE] = {{"", 6, true, false, false}, "instances started a second", fill_spawn},
    [TOP_EXIT_RATE] = {{"", 7, true, false, false}, "instances ended a second", fill_exit},
    [TOP_REFUSED] = {{"", 4, true, false, false}, "connections refused in all", fill_refused},
    [TOP_ACCEPTED] = {{"", 9, true, false, false}, "connections accepted in all", fill_accepted},
    [TOP_QUEUED] = {{"", 10, true, false, false}, "connections that wait in the kernel", fill_queued},
    [TOP_SINCE] = {{"", 8, false, false, false}, "how long in this state", fill_since},
    [INFO] = {{"", 11, false, false, true}, NULL, fill_info},
};

void top_list_columns(Text *out) {
    for (size_t i = 0; i < _TOP_COLUMN_MAX; i++)
        text_addf(out, "%-12s %s\n", top_column_to_string((TopColumn)i), service_columns[i].help);
}

static const char *arrow(const TopModel *m, const Style *style) {
    if (top_model_descends(m))
        return style->utf8 ? "↓" : "v";
    return style->utf8 ? "↑" : "^";
}

void top_services_format(const TopModel *m, const Style *style, Text *out) {
    TableColumn columns[ELEMENTS(service_columns)];
    const TableColumn *pointers[ELEMENTS(service_columns)];
    char sorted[32];
    for (size_t i = 0; i < ELEMENTS(service_columns); i++) {
        columns[i] = service_columns[i].table;
        columns[i].title = i < _TOP_COLUMN_MAX ? top_column_to_string((TopColumn)i) : "";
        pointers[i] = &columns[i];
    }
    /* Whatever the width, one sees by what they are sorted. */
    TableColumn *by = &columns[m->sort];
    (void)snprintf(sorted, sizeof(sorted), "%s%s", by->title, arrow(m, style));
    by->title = sorted;
    by->priority = 0;
    by->narrow = true;
    CLEANUP_TABLE Table table;
    table_init(&table, pointers, ELEMENTS(pointers));
    for (size_t row = 0; row < m->n_shown; row++) {
        Color color;
        const char *mark = style_mark(style, m->shown[row]->state, &color);
        TableCell *cells = table_add_row(&table, mark, color);
        for (size_t i = 0; cells && i < ELEMENTS(service_columns); i++)
            service_columns[i].fill(m, style, m->shown[row], &cells[i]);
    }
    table_format(&table, style, out);
}

typedef enum InstanceColumn {
    INSTANCE_PID,
    INSTANCE_PEER,
    INSTANCE_STATE,
    INSTANCE_AGE,
    INSTANCE_CPU,
    INSTANCE_MEMORY,
    INSTANCE_REQUESTS,
    INSTANCE_STATUS,
    _INSTANCE_COLUMN_MAX,
} InstanceColumn;

static const TableColumn instance_columns[_INSTANCE_COLUMN_MAX] = {
    [INSTANCE_PID] = {"PID", 0, true, true, false},
    [INSTANCE_PEER] = {"PEER", 1, false, true, false},
    [INSTANCE_STATE] = {"STATE", 3, false, false, false},
    [INSTANCE_AGE] = {"AGE", 2, true, true, false},
    [INSTANCE_CPU] = {"CPU", 4, true, false, false},
    [INSTANCE_MEMORY] = {"MEM", 5, true, false, false},
    [INSTANCE_REQUESTS] = {"REQUESTS", 7, true, false, false},
    [INSTANCE_STATUS] = {"STATUS", 6, false, false, true},
};

static void fill_instance(const TopInstance *i, const Style *style, TableCell *cells) {
    text_addf(&cells[INSTANCE_PID].full, "%lld", (long long)i->pid);
    field_show(&cells[INSTANCE_PEER].full, i->json, "peer");
    field_show(&cells[INSTANCE_STATE].full, i->json, "state");
    fill_age(style, field_count(i->json, "since_usec"), &cells[INSTANCE_AGE]);
    if (i->cpu_share >= 0)
        text_addf(&cells[INSTANCE_CPU].full, "%.1f%%", 100 * i->cpu_share);
    format_size(&cells[INSTANCE_MEMORY].full, field_count(i->json, "memory"));
    if (field_given(i->json, "requests"))
        format_number(&cells[INSTANCE_REQUESTS].full, field_count(i->json, "requests"));
    field_show(&cells[INSTANCE_STATUS].full, i->json, "status");
}

void top_instances_format(const TopModel *m, size_t first, size_t last, const Style *style, Text *out) {
    const TableColumn *pointers[_INSTANCE_COLUMN_MAX];
    for (size_t i = 0; i < _INSTANCE_COLUMN_MAX; i++)
        pointers[i] = &instance_columns[i];
    CLEANUP_TABLE Table table;
    table_init(&table, pointers, _INSTANCE_COLUMN_MAX);
    for (size_t row = first; row < last; row++) {
        TableCell *cells = table_add_row(&table, "", COLOR_NONE);
        if (cells)
            fill_instance(m->shown_instances[row], style, cells);
    }
    table_format(&table, style, out);
}

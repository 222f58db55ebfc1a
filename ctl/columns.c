/* SPDX-License-Identifier: MIT */
#include "ctl/columns.h"

#include <string.h>
#include <strings.h>

#include "conf/suggest.h"

static void list_columns(Ctl *c, const Column *columns, size_t n) {
    for (size_t i = 0; i < n; i++)
        text_addf(&c->out, "%-12s %s%s\n", columns[i].name, columns[i].help,
                  columns[i].standard ? "" : " (on request)");
}

static void take(View *v, const Column *column) {
    for (size_t i = 0; i < v->n_columns; i++)
        if (v->columns[i] == column)
            return;
    if (v->n_columns == VIEW_COLUMNS_MAX)
        return;
    v->columns[v->n_columns] = column;
    v->table_columns[v->n_columns++] = &column->table;
}

static int fail_column(Ctl *c, const Column *columns, size_t n, const char *word) {
    CLEANUP_TEXT Text shown = {0};
    Suggestion s = {.word = word};
    for (size_t i = 0; i < n; i++)
        suggestion_offer(&s, columns[i].name);
    text_add_escaped(&shown, word, strlen(word));
    if (s.best)
        return ctl_fail(c, CTL_USAGE, NULL, "no column '%s'; did you mean '%s'?", shown.s ? shown.s : "",
                        s.best);
    return ctl_fail(c, CTL_USAGE, "'-o help' lists them", "no column '%s'", shown.s ? shown.s : "");
}

/* One word of -o, in upper or lower case. */
static int take_named(View *v, Ctl *c, const Column *columns, size_t n, const char *word) {
    for (size_t i = 0; i < n; i++) {
        if (strcasecmp(columns[i].name, word) == 0) {
            take(v, &columns[i]);
            return 0;
        }
    }
    return fail_column(c, columns, n, word);
}

static int take_list(View *v, Ctl *c, const Column *columns, size_t n, const char *list) {
    while (*list) {
        size_t len = strcspn(list, ",");
        const char *start = *list == '+' ? list + 1 : list;
        CLEANUP_FREE char *word = strndup(start, len - (size_t)(start - list));
        if (!word)
            return ctl_fail(c, CTL_FAILED, NULL, "out of memory");
        int status = take_named(v, c, columns, n, word);
        if (status != 0)
            return status;
        list += len;
        list += *list == ',';
    }
    return 0;
}

int view_init(View *v, Ctl *c, const Column *columns, size_t n) {
    const char *list = c->options.values[OPTION_COLUMNS];
    *v = (View){0};
    if (list && strcasecmp(list, "help") == 0) {
        list_columns(c, columns, n);
        return -1;
    }
    for (size_t i = 0; i < n && (!list || *list == '+'); i++)
        if (columns[i].standard)
            take(v, &columns[i]);
    size_t n_standard = v->n_columns;
    int status = list ? take_list(v, c, columns, n, list) : 0;
    if (status != 0)
        return status;
    if (v->n_columns == 0)
        return ctl_fail(c, CTL_USAGE, "'-o help' lists them", "-o names no column");
    table_init(&v->table, v->table_columns, v->n_columns);
    v->table.keep = list && *list != '+';
    v->table.n_kept = v->n_columns - n_standard;
    return 0;
}

void view_done(View *v) {
    table_done(&v->table);
}

void view_add(View *v, const Ctl *c, const json_t *row, const char *mark, Color mark_color) {
    TableCell *cells = table_add_row(&v->table, mark, mark_color);
    for (size_t i = 0; cells && i < v->n_columns; i++)
        v->columns[i]->fill(c, row, &cells[i]);
}

bool view_shows(const View *v, const Ctl *c, const char *name) {
    bool narrow = c->style.width > 0 && c->style.width < TABLE_NARROW && !v->table.keep;
    for (size_t i = 0; i < v->n_columns; i++)
        if (streq(v->columns[i]->name, name))
            return !narrow || v->columns[i]->table.narrow || i + v->table.n_kept >= v->n_columns;
    return false;
}

void view_format(const View *v, const Ctl *c, Text *out) {
    if (c->options.format == OUTPUT_PLAIN)
        table_format_plain(&v->table, out);
    else
        table_format(&v->table, &c->style, out);
}

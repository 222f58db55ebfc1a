/* SPDX-License-Identifier: MIT */
#pragma once
/* A table of JSON objects: which columns there are, which -o asks for, and the rows. */
#include "ctl/ctl.h"
#include "ctl/table.h"

typedef struct Column {
    TableColumn table;
    const char *name; /* for -o; the title, or what stands for an empty one */
    const char *help;
    bool standard; /* shown without -o */
    /* Fills the cell for @row. What comes from outside is escaped here. */
    void (*fill)(const Ctl *c, const json_t *row, TableCell *cell);
} Column;

#define VIEW_COLUMNS_MAX 32

typedef struct View {
    const Column *columns[VIEW_COLUMNS_MAX];
    const TableColumn *table_columns[VIEW_COLUMNS_MAX];
    size_t n_columns;
    Table table;
} View;

/* Chooses among @n columns by -o. Returns 0; -1 when all is said (-o help); or the exit status. */
int view_init(View *v, Ctl *c, const Column *columns, size_t n);
void view_done(View *v);
#define CLEANUP_VIEW CLEANUP(view_done)
void view_add(View *v, const Ctl *c, const json_t *row, const char *mark, Color mark_color);
/* Whether a column is chosen, and not sure to be folded away. */
bool view_shows(const View *v, const Ctl *c, const char *name);
/* As a table, or tab separated with --plain. */
void view_format(const View *v, const Ctl *c, Text *out);

/* SPDX-License-Identifier: MIT */
#pragma once
/* A table of text that folds to the terminal's width: cells have a brief form, columns are dropped by
 * priority, and free text is cut at the end; what has priority 0 is never touched. Pure: text in, text out.
 */
#include "ctl/style.h"

typedef struct TableColumn {
    const char *title;
    unsigned char priority; /* 0: always there; else the greater goes first */
    bool right;             /* numbers */
    bool narrow;            /* also shown where there are less than TABLE_NARROW columns */
    bool free_text;         /* may be cut; stands last */
} TableColumn;

#define TABLE_NARROW 60

typedef struct TableCell {
    Text full;
    Text brief; /* empty: as full */
    Color color;
} TableCell;

typedef struct TableRow {
    const char *mark; /* static, "" for none */
    Color mark_color;
} TableRow;

typedef struct Table {
    const TableColumn *const *columns;
    size_t n_columns;
    bool keep;     /* no column is dropped: the user has named them */
    size_t n_kept; /* the last ones are not: the user has added them */
    TableRow *rows;
    TableCell *cells; /* n_columns a row */
    size_t n_rows;
    bool failed; /* memory ran out */
} Table;

/* @columns are borrowed. */
void table_init(Table *t, const TableColumn *const *columns, size_t n_columns);
void table_done(Table *t);
#define CLEANUP_TABLE CLEANUP(table_done)
/* A new row: its n_columns empty cells, valid until the next; NULL when memory runs out. */
TableCell *table_add_row(Table *t, const char *mark, Color mark_color);

/* Header and rows within style->width columns; an empty cell is a dash. */
void table_format(const Table *t, const Style *style, Text *out);
/* A line for each row: full texts, tab separated, "-" for an empty one. */
void table_format_plain(const Table *t, Text *out);

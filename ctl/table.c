/* SPDX-License-Identifier: MIT */
#include "ctl/table.h"

#include <string.h>

/* Blanks between two columns, and the columns that a mark takes. */
#define GAP 2
#define MARK_WIDTH 2
/* Free text shorter than this says nothing. */
#define FREE_TEXT_MIN 8
#define COLUMNS_MAX 32

/* How the columns come out. */
typedef struct Layout {
    size_t mark; /* room before the first column */
    bool shown[COLUMNS_MAX];
    bool brief[COLUMNS_MAX];
    size_t width[COLUMNS_MAX];
} Layout;

void table_init(Table *t, const TableColumn *const *columns, size_t n_columns) {
    *t = (Table){.columns = columns, .n_columns = n_columns < COLUMNS_MAX ? n_columns : COLUMNS_MAX};
}

void table_done(Table *t) {
    for (size_t i = 0; i < t->n_rows * t->n_columns; i++) {
        text_done(&t->cells[i].full);
        text_done(&t->cells[i].brief);
    }
    free(t->cells);
    free(t->rows);
    *t = (Table){0};
}

static int grow(Table *t) {
    /* Doubled at each power of two. */
    if (t->n_rows & (t->n_rows - 1))
        return 0;
    size_t cap = t->n_rows ? 2 * t->n_rows : 1;
    TableRow *rows = reallocarray(t->rows, cap, sizeof(*rows));
    if (!rows)
        return -ENOMEM;
    t->rows = rows;
    TableCell *cells = reallocarray(t->cells, cap * t->n_columns, sizeof(*cells));
    if (!cells)
        return -ENOMEM;
    t->cells = cells;
    return 0;
}

TableCell *table_add_row(Table *t, const char *mark, Color mark_color) {
    if (grow(t) < 0) {
        t->failed = true;
        return NULL;
    }
    TableCell *cells = t->cells + t->n_rows * t->n_columns;
    for (size_t i = 0; i < t->n_columns; i++)
        cells[i] = (TableCell){0};
    t->rows[t->n_rows++] = (TableRow){mark, mark_color};
    return cells;
}

static const char *cell_text(const TableCell *cell, bool brief) {
    const char *s = brief && cell->brief.len > 0 ? cell->brief.s : cell->full.s;
    return s ? s : "";
}

static void measure(const Table *t, Layout *l, size_t column) {
    size_t width = utf8_columns(t->columns[column]->title);
    for (size_t row = 0; row < t->n_rows; row++) {
        size_t w = utf8_columns(cell_text(&t->cells[row * t->n_columns + column], l->brief[column]));
        if (w > width)
            width = w;
    }
    l->width[column] = width;
}

/* An empty column without a title is not there. */
static bool takes_room(const Layout *l, size_t column) {
    return l->shown[column] && l->width[column] > 0;
}

static size_t total_width(const Table *t, const Layout *l) {
    size_t total = l->mark, n = 0;
    for (size_t i = 0; i < t->n_columns; i++) {
        if (takes_room(l, i)) {
            total += l->width[i];
            n++;
        }
    }
    return n > 0 ? total + GAP * (n - 1) : total;
}

/* Cuts the free text, if that is enough. */
static void cut_free_text(const Table *t, Layout *l, size_t width) {
    for (size_t i = 0; i < t->n_columns; i++) {
        size_t total = total_width(t, l);
        if (!t->columns[i]->free_text || !l->shown[i] || total <= width)
            continue;
        size_t others = total - l->width[i];
        if (others + FREE_TEXT_MIN <= width)
            l->width[i] = width - others;
    }
}

/* The shown column that goes first, or n_columns when none may go. */
static size_t least_wanted(const Table *t, const Layout *l) {
    size_t least = t->n_columns;
    for (size_t i = 0; i < t->n_columns && !t->keep; i++) {
        unsigned char priority = i + t->n_kept < t->n_columns ? t->columns[i]->priority : 0;
        if (takes_room(l, i) && priority > 0 &&
            (least == t->n_columns || priority >= t->columns[least]->priority))
            least = i;
    }
    return least;
}

static void fold(const Table *t, Layout *l, size_t width) {
    for (size_t i = 0; i < t->n_columns && width < TABLE_NARROW && !t->keep; i++)
        l->shown[i] = t->columns[i]->narrow || i + t->n_kept >= t->n_columns;
    for (size_t i = 0; i < t->n_columns && total_width(t, l) > width; i++) {
        l->brief[i] = true;
        measure(t, l, i);
    }
    for (;;) {
        cut_free_text(t, l, width);
        if (total_width(t, l) <= width)
            return;
        size_t least = least_wanted(t, l);
        if (least == t->n_columns)
            return;
        l->shown[least] = false;
    }
}

static void add_blanks(Text *out, size_t n) {
    for (size_t i = 0; i < n; i++)
        text_addc(out, ' ');
}

/* One cell and what pads it; blanks are owed until something follows, so that no line ends in them. */
static void add_cell(const Style *style, Text *out, const TableColumn *column, size_t width, const char *s,
                     Color color, size_t *owed) {
    CLEANUP_TEXT Text cut = {0};
    size_t columns = utf8_columns(s);
    if (columns > width) {
        style_add_cut(style, &cut, s, width);
        s = cut.s ? cut.s : "";
        columns = utf8_columns(s);
    }
    size_t pad = width > columns ? width - columns : 0;
    if (*s) {
        add_blanks(out, *owed + (column->right ? pad : 0));
        style_add(style, out, color, s);
        *owed = GAP + (column->right ? 0 : pad);
    } else {
        *owed += GAP + width;
    }
}

static void add_header(const Table *t, const Layout *l, const Style *style, Text *out) {
    size_t owed = l->mark;
    for (size_t i = 0; i < t->n_columns; i++)
        if (takes_room(l, i))
            add_cell(style, out, t->columns[i], l->width[i], t->columns[i]->title, COLOR_BOLD, &owed);
    text_addc(out, '\n');
}

void table_format(const Table *t, const Style *style, Text *out) {
    Layout l = {0};
    for (size_t row = 0; row < t->n_rows; row++)
        if (*t->rows[row].mark)
            l.mark = MARK_WIDTH;
    for (size_t i = 0; i < t->n_columns; i++) {
        l.shown[i] = true;
        measure(t, &l, i);
    }
    if (style->width > 0)
        fold(t, &l, style->width);
    add_header(t, &l, style, out);
    for (size_t row = 0; row < t->n_rows; row++) {
        size_t owed = l.mark;
        if (*t->rows[row].mark) {
            style_add(style, out, t->rows[row].mark_color, t->rows[row].mark);
            owed = 1;
        }
        const TableCell *cells = t->cells + row * t->n_columns;
        for (size_t i = 0; i < t->n_columns; i++) {
            if (!takes_room(&l, i))
                continue;
            const char *s = cell_text(&cells[i], l.brief[i]);
            if (!*s && !t->columns[i]->free_text)
                s = style->utf8 ? "–" : "-";
            add_cell(style, out, t->columns[i], l.width[i], s, cells[i].color, &owed);
        }
        text_addc(out, '\n');
    }
    if (t->failed)
        out->failed = true;
}

void table_format_plain(const Table *t, Text *out) {
    for (size_t row = 0; row < t->n_rows; row++) {
        for (size_t i = 0; i < t->n_columns; i++) {
            const char *s = cell_text(&t->cells[row * t->n_columns + i], false);
            text_add(out, i > 0 ? "\t" : "");
            text_add(out, *s ? s : "-");
        }
        text_addc(out, '\n');
    }
    if (t->failed)
        out->failed = true;
}

/* SPDX-License-Identifier: MIT */
#include "conf/diag.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const diag_code_table[] = {
    [DIAG_YAML] = "yaml",
    [DIAG_UNKNOWN_KEY] = "unknown-key",
    [DIAG_FOREIGN_KEY] = "foreign-key",
    [DIAG_DUPLICATE_KEY] = "duplicate-key",
    [DIAG_WRONG_TYPE] = "wrong-type",
    [DIAG_BAD_VALUE] = "bad-value",
    [DIAG_OUT_OF_RANGE] = "out-of-range",
    [DIAG_MISSING_KEY] = "missing-key",
    [DIAG_CONFLICT] = "conflict",
    [DIAG_NOT_FOUND] = "not-found",
    [DIAG_NOT_ALLOWED] = "not-allowed",
    [DIAG_LIMIT] = "limit",
};
DEFINE_STRTAB(diag_code, DiagCode, diag_code_table);

static const char *const diag_severity_table[] = {
    [DIAG_ERROR] = "error",
    [DIAG_WARNING] = "warning",
};
DEFINE_STRTAB(diag_severity, DiagSeverity, diag_severity_table);

/* Diagnostics kept; the rest is only counted. */
#define DIAGS_MAX 1000
/* Diagnostics printed in full. */
#define DIAGS_SHOWN 20
/* Bytes of a line that a diagnostic keeps: a file of one line of a megabyte is not copied with each of its
 * errors. A mark further right has no excerpt. */
#define EXCERPT_KEPT ((size_t)16 << 10)
/* Characters shown of a long line: in all, and before its mark. */
#define EXCERPT_WIDTH 100
#define EXCERPT_BEFORE 40
#define TAB_WIDTH 8

void diag_done(Diag *d) {
    free(d->file);
    free(d->message);
    free(d->hint);
    free(d->excerpt);
    free(d->key);
    *d = (Diag){0};
}

void diag_list_done(DiagList *l) {
    for (size_t i = 0; i < l->n; i++)
        diag_done(&l->items[i]);
    free(l->items);
    *l = (DiagList){0};
}

/* A character of an excerpt; a byte that is no valid UTF-8 is one as well. */
static size_t character_length(const char *s, size_t n) {
    size_t len = utf8_next(s, n, NULL);
    return len ? len : 1;
}

static char *keep_excerpt(const char *line, unsigned column) {
    size_t n = 0, kept = 0;
    unsigned characters = 0;
    /* Not one byte further than is kept: there may be a megabyte of it, and an error for every word. */
    while (line && n < EXCERPT_KEPT && line[n] && line[n] != '\r' && line[n] != '\n')
        n++;
    while (kept < n) {
        kept += character_length(line + kept, n - kept);
        characters++;
    }
    bool marked = n < EXCERPT_KEPT || characters >= column;
    return strndup(line ? line : "", marked ? kept : 0);
}

/* Room for one more diagnostic, or false. */
static bool reserve(DiagList *l) {
    if (l->n >= DIAGS_MAX)
        return false;
    /* Room is doubled at each power of two. */
    if ((l->n & (l->n - 1)) != 0)
        return true;
    Diag *items = realloc(l->items, (l->n ? l->n * 2 : 1) * sizeof(*items));
    if (!items)
        return false;
    l->items = items;
    return true;
}

/* Takes over the texts of @d. */
static void append(DiagList *l, Diag *d) {
    if (d->severity == DIAG_ERROR)
        l->n_errors++;
    if (d->file && d->message && d->hint && d->excerpt && reserve(l)) {
        l->items[l->n++] = *d;
        return;
    }
    diag_done(d);
    l->n_dropped++;
}

/* A warning about a place that has been warned of: what stands in `defaults` counts for every service. */
static bool is_warned_of(const DiagList *l, DiagCode code, const DiagPos *at) {
    for (size_t i = l->n; at->line > 0 && i-- > 0;) {
        const Diag *d = &l->items[i];
        if (d->severity == DIAG_WARNING && d->code == code && d->line == at->line &&
            d->column == at->column && streq_null(d->file, at->file))
            return true;
    }
    return false;
}

void diag_add(DiagList *l, DiagSeverity severity, DiagCode code, const DiagPos *pos, const char *excerpt,
              const char *hint, const char *format, ...) {
    static const DiagPos nowhere = {0};
    const DiagPos *at = pos ? pos : &nowhere;
    if (severity == DIAG_WARNING && is_warned_of(l, code, at))
        return;
    Diag d = {.severity = severity, .code = code, .line = at->line};
    if (at->line > 0) {
        d.column = at->column;
        d.end_column = at->end_column > at->column ? at->end_column : at->column + 1;
    }
    if (l->n < DIAGS_MAX) {
        d.file = strdup(at->file ? at->file : "");
        d.hint = strdup(hint ? hint : "");
        d.excerpt = keep_excerpt(at->line > 0 ? excerpt : NULL, at->column);
        va_list ap;
        va_start(ap, format);
        if (vasprintf(&d.message, format, ap) < 0)
            d.message = NULL;
        va_end(ap);
    }
    append(l, &d);
}

void diag_list_about(DiagList *l, size_t first, const char *key) {
    for (size_t i = first; i < l->n; i++)
        if (!l->items[i].key)
            l->items[i].key = strdup(key);
}

void diag_list_copy(DiagList *to, const DiagList *from) {
    size_t errors = 0;
    for (size_t i = 0; i < from->n; i++) {
        const Diag *d = &from->items[i];
        Diag copy = {.severity = d->severity,
                     .code = d->code,
                     .file = strdup(d->file),
                     .line = d->line,
                     .column = d->column,
                     .end_column = d->end_column,
                     .message = strdup(d->message),
                     .hint = strdup(d->hint),
                     .excerpt = strdup(d->excerpt),
                     .key = d->key ? strdup(d->key) : NULL};
        errors += d->severity == DIAG_ERROR;
        append(to, &copy);
    }
    to->n_errors += from->n_errors - errors;
    to->n_dropped += from->n_dropped;
}

void diag_list_move(DiagList *to, DiagList *from) {
    for (size_t i = 0; i < from->n; i++) {
        if (from->items[i].severity == DIAG_ERROR)
            from->n_errors--;
        append(to, &from->items[i]);
    }
    /* What is left are those that were only counted. */
    to->n_errors += from->n_errors;
    to->n_dropped += from->n_dropped;
    free(from->items);
    *from = (DiagList){0};
}

static void add_escaped(Text *out, const char *s) {
    text_add_escaped(out, s, strlen(s));
}

static void add_head(const Diag *d, Text *out) {
    if (*d->file) {
        add_escaped(out, d->file);
        if (d->line > 0)
            text_addf(out, ":%u:%u", d->line, d->column);
        text_add(out, ": ");
    }
    text_addf(out, "%s: ", diag_severity_to_string(d->severity));
    add_escaped(out, d->message);
    text_addf(out, " [%s]", diag_code_to_string(d->code));
}

void diag_format_line(const Diag *d, Text *out) {
    add_head(d, out);
    if (*d->hint) {
        text_add(out, ": ");
        add_escaped(out, d->hint);
    }
}

/* An excerpt on its way to the terminal: what is shown, and where in it the mark begins and ends. */
typedef struct Excerpt {
    Text shown;
    size_t columns;
    size_t mark_begin, mark_end;
} Excerpt;

static void add_shown(Excerpt *e, const char *s, size_t n) {
    size_t before = e->shown.len;
    if (n == 1 && *s == '\t') {
        do
            text_addc(&e->shown, ' ');
        while (++e->columns % TAB_WIDTH != 0 && text_ok(&e->shown));
        return;
    }
    text_add_escaped(&e->shown, s, n);
    if (text_ok(&e->shown))
        e->columns += utf8_columns(e->shown.s + before);
}

static void add_dots(Excerpt *e) {
    text_add(&e->shown, "…");
    e->columns++;
}

static void excerpt_render(Excerpt *e, const Diag *d) {
    const char *s = d->excerpt;
    size_t n = strlen(s), total = 0;
    for (size_t at = 0; at < n; at += character_length(s + at, n - at))
        total++;
    size_t mark = d->column > 0 ? d->column - 1 : 0;
    mark = mark < total ? mark : total;
    size_t end = d->end_column > d->column ? d->end_column - 1 : mark + 1;
    size_t from = 0;
    if (total > EXCERPT_WIDTH && mark > EXCERPT_WIDTH - EXCERPT_BEFORE)
        from = mark - EXCERPT_BEFORE;
    size_t to = from + EXCERPT_WIDTH < total ? from + EXCERPT_WIDTH : total;
    if (from > 0)
        add_dots(e);
    size_t i = 0;
    for (size_t at = 0; i < to; i++) {
        size_t len = character_length(s + at, n - at);
        if (i == mark)
            e->mark_begin = e->columns;
        if (i >= from)
            add_shown(e, s + at, len);
        if (i < end)
            e->mark_end = e->columns;
        at += len;
    }
    if (mark >= to)
        e->mark_begin = e->columns;
    if (to < total)
        add_dots(e);
    if (e->mark_end <= e->mark_begin)
        e->mark_end = e->mark_begin + 1;
}

void diag_format(const Diag *d, Text *out) {
    if (!*d->excerpt) {
        diag_format_line(d, out);
        text_addc(out, '\n');
        return;
    }
    Excerpt e = {0};
    excerpt_render(&e, d);
    add_head(d, out);
    text_addf(out, "\n%5u | %s\n      | ", d->line, text_ok(&e.shown) && e.shown.s ? e.shown.s : "");
    for (size_t i = 0; i < e.mark_begin; i++)
        text_addc(out, ' ');
    text_addc(out, '^');
    for (size_t i = e.mark_begin + 1; i < e.mark_end; i++)
        text_addc(out, '~');
    if (*d->hint) {
        text_addc(out, ' ');
        add_escaped(out, d->hint);
    }
    text_addc(out, '\n');
    text_done(&e.shown);
}

static size_t count_files(const DiagList *l) {
    size_t files = 0;
    for (size_t i = 0; i < l->n; i++) {
        bool seen = !*l->items[i].file;
        for (size_t j = 0; j < i && !seen; j++)
            seen = streq(l->items[i].file, l->items[j].file);
        files += seen ? 0 : 1;
    }
    return files;
}

static void add_count(Text *out, size_t n, const char *what) {
    text_addf(out, "%zu %s%s", n, what, n == 1 ? "" : "s");
}

static void add_counts(const DiagList *l, size_t errors, size_t warnings, Text *out) {
    size_t files = count_files(l);
    if (errors > 0)
        add_count(out, errors, "error");
    if (errors > 0 && warnings > 0)
        text_add(out, " and ");
    if (warnings > 0)
        add_count(out, warnings, "warning");
    if (files > 0) {
        text_add(out, " in ");
        add_count(out, files, "file");
    }
}

void diag_list_format(const DiagList *l, const char *tail, Text *out) {
    size_t all = l->n + l->n_dropped;
    if (all == 0)
        return;
    size_t errors = l->n_errors, warnings = all - errors;
    /* Where not all can be shown, warnings give way, so that they never hide an error. */
    bool errors_only = all > DIAGS_SHOWN && errors > 0;
    size_t shown = 0;
    for (size_t i = 0; i < l->n && shown < DIAGS_SHOWN; i++) {
        if (errors_only && l->items[i].severity != DIAG_ERROR)
            continue;
        diag_format(&l->items[i], out);
        shown++;
    }
    size_t left = (errors_only ? errors : all) - shown;
    if (left > 0) {
        text_add(out, "… and ");
        add_count(out, left, errors > 0 ? "more error" : "more warning");
        text_addc(out, '\n');
    }
    add_counts(l, errors, warnings, out);
    if (tail) {
        text_add(out, "; ");
        text_add(out, tail);
    }
    text_addc(out, '\n');
}

/* SPDX-License-Identifier: MIT */
#include "ctl/yaml-print.h"

#include <string.h>

#include "ctl/fields.h"
#include "ctl/yaml-scalar.h"

/* Beyond this column a long line does not push the comments of all others. */
#define COMMENT_COLUMN_MAX 48
#define NOT_SHOWN "not shown to who may not manage mpinetd"

/* A line is made whole, with its comment beside it: where comments stand is known in the end. */
typedef struct Line {
    size_t end;         /* of its text within Page.text */
    size_t comment_end; /* of its comment within Page.comments */
    bool remark;        /* the line itself is a comment */
} Line;

typedef struct Page {
    const Origins *origins;
    Text text, comments;
    Line *lines;
    size_t n_lines, cap_lines;
    Text path;         /* of what is being printed: "services.git.listen[0]" */
    const char *above; /* the origin of the list around it: what stands there too needs no words; or NULL */
    size_t dash; /* the next line begins an item of a list, its dash standing in this column; SIZE_MAX: not */
    bool failed;
} Page;

static void page_done(Page *p) {
    text_done(&p->text);
    text_done(&p->comments);
    text_done(&p->path);
    free(p->lines);
}

/* Ends the line that is being made. */
static void end_line(Page *p, bool remark) {
    if (p->n_lines == p->cap_lines) {
        size_t cap = p->cap_lines > 0 ? 2 * p->cap_lines : 64;
        Line *bigger = reallocarray(p->lines, cap, sizeof(Line));
        if (!bigger) {
            p->failed = true;
            return;
        }
        p->lines = bigger;
        p->cap_lines = cap;
    }
    p->lines[p->n_lines++] = (Line){.end = p->text.len, .comment_end = p->comments.len, .remark = remark};
}

static void begin_line(Page *p, size_t indent) {
    if (p->dash == SIZE_MAX) {
        text_addf(&p->text, "%*s", (int)indent, "");
        return;
    }
    text_addf(&p->text, "%*s- ", (int)p->dash, "");
    p->dash = SIZE_MAX;
}

/* The origin of what is being printed. */
static void add_comment(Page *p) {
    CLEANUP_TEXT Text origin = {0};
    if (p->origins && p->path.s)
        origins_format(p->origins, p->path.s, &origin);
    if (origin.s && !(p->above && streq(origin.s, p->above)))
        text_add_n(&p->comments, origin.s, origin.len);
}

/* Makes the path longer. Returns what it was, for leave(). */
static size_t enter_key(Page *p, const char *key) {
    size_t n = p->path.len;
    text_addf(&p->path, "%s%s", n > 0 ? "." : "", key);
    return n;
}

static size_t enter_item(Page *p, size_t i) {
    size_t n = p->path.len;
    text_addf(&p->path, "[%zu]", i);
    return n;
}

static void leave(Page *p, size_t n) {
    if (!text_ok(&p->path))
        return;
    p->path.len = n;
    p->path.s[n] = '\0';
}

/* A text of several lines, as it is. */
static void print_block(Page *p, const char *s, size_t indent) {
    size_t n = strlen(s);
    text_add(&p->text, s[n - 1] == '\n' ? "|" : "|-");
    add_comment(p);
    end_line(p, false);
    while (*s) {
        n = strcspn(s, "\n");
        if (n > 0)
            text_addf(&p->text, "%*s", (int)indent, "");
        yaml_add_doubled(&p->text, s, n);
        end_line(p, false);
        s += n + (s[n] == '\n');
    }
}

static void add_plain_value(Text *out, const json_t *value) {
    if (json_is_string(value))
        yaml_add_scalar(out, json_string_value(value));
    else if (json_is_integer(value))
        text_addf(out, "%lld", (long long)json_integer_value(value));
    else if (json_is_real(value))
        text_addf(out, "%.6g", json_real_value(value));
    else
        text_add(out, json_is_true(value) ? "true" : json_is_false(value) ? "false" : "null");
}

static void print_object(Page *p, const json_t *object, size_t indent);
static void print_array(Page *p, const json_t *array, size_t indent);

/* What stands behind "key:" or "-", whose line has begun. Items and keys below it stand at @indent. */
static void print_below(Page *p, const json_t *value, size_t indent) {
    bool object = json_is_object(value), empty = json_object_size(value) + json_array_size(value) == 0;
    if ((object || json_is_array(value)) && !empty) {
        add_comment(p);
        end_line(p, false);
        if (object)
            print_object(p, value, indent);
        else
            print_array(p, value, indent);
        return;
    }
    text_addc(&p->text, ' ');
    if (json_is_string(value) && yaml_is_block(json_string_value(value))) {
        print_block(p, json_string_value(value), indent);
        return;
    }
    if (object || json_is_array(value))
        text_add(&p->text, object ? "{}" : "[]");
    else
        add_plain_value(&p->text, value);
    add_comment(p);
    end_line(p, false);
}

/* Whether all of it is kept from the caller. */
static bool is_hidden(const json_t *value) {
    const char *key;
    json_t *member;
    if (!json_is_object(value) || json_object_size(value) == 0)
        return json_is_null(value);
    json_object_foreach((json_t *)(uintptr_t)value, key, member) {
        if (!is_hidden(member))
            return false;
    }
    return true;
}

/* "# environment: not shown to …: LANG, MODE" */
static void print_hidden(Page *p, const char *name, const json_t *value, size_t indent) {
    const char *key, *separator = ": ";
    json_t *member;
    text_addf(&p->text, "%*s# ", (int)indent, "");
    yaml_add_scalar(&p->text, name);
    text_add(&p->text, ": " NOT_SHOWN);
    json_object_foreach((json_t *)(uintptr_t)value, key, member) {
        text_add(&p->text, separator);
        text_add_escaped(&p->text, key, strlen(key));
        separator = ", ";
    }
    end_line(p, true);
}

/* "# start: not applied, does not fit model per-connection (defaults, mpinetd.yaml:9)" */
static void print_left_out(Page *p, const char *service, size_t indent) {
    const json_t *list = p->origins ? origins_left_out(p->origins, service) : NULL;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *origin = json_array_get(list, i);
        text_addf(&p->text, "%*s# ", (int)indent, "");
        text_add_escaped(&p->text, origin_key(origin), strlen(origin_key(origin)));
        text_add(&p->text, ": not applied, ");
        field_show(&p->text, origin, "note");
        text_add(&p->text, " (");
        origin_format(p->origins, origin, &p->text);
        text_addc(&p->text, ')');
        end_line(p, true);
    }
}

static void print_object(Page *p, const json_t *object, size_t indent) {
    const char *key;
    json_t *value;
    bool services = p->path.len > 0 && streq(p->path.s, "services");
    json_object_foreach((json_t *)(uintptr_t)object, key, value) {
        if (is_hidden(value)) {
            print_hidden(p, key, value, indent);
            continue;
        }
        size_t n = enter_key(p, key);
        begin_line(p, indent);
        yaml_add_scalar(&p->text, key);
        text_addc(&p->text, ':');
        print_below(p, value, indent + 2);
        if (services)
            print_left_out(p, key, indent + 2);
        leave(p, n);
    }
}

static void print_item(Page *p, const json_t *value, size_t indent) {
    if (json_is_object(value) && json_object_size(value) > 0) {
        p->dash = indent;
        print_object(p, value, indent + 2);
        return;
    }
    text_addf(&p->text, "%*s-", (int)indent, "");
    print_below(p, value, indent + 2);
}

static void print_array(Page *p, const json_t *array, size_t indent) {
    CLEANUP_TEXT Text origin = {0};
    const char *above = p->above;
    if (p->origins && p->path.s)
        origins_format(p->origins, p->path.s, &origin);
    p->above = origin.s;
    for (size_t i = 0; i < json_array_size(array); i++) {
        size_t n = enter_item(p, i);
        print_item(p, json_array_get(array, i), indent);
        leave(p, n);
    }
    p->above = above;
}

static bool page_ok(const Page *p) {
    return !p->failed && text_ok(&p->text) && text_ok(&p->comments) && text_ok(&p->path);
}

/* Columns of line @i, its text put into @text. */
static size_t take_line(const Page *p, size_t i, Text *text) {
    size_t begin = i > 0 ? p->lines[i - 1].end : 0;
    text_reset(text);
    text_add_n(text, p->text.s + begin, p->lines[i].end - begin);
    return text->s ? utf8_columns(text->s) : 0;
}

static size_t comment_column(const Page *p) {
    CLEANUP_TEXT Text line = {0};
    size_t column = 0;
    for (size_t i = 0; i < p->n_lines; i++) {
        if (p->lines[i].comment_end == (i > 0 ? p->lines[i - 1].comment_end : 0))
            continue;
        size_t width = take_line(p, i, &line);
        if (width > column && width <= COMMENT_COLUMN_MAX)
            column = width;
    }
    return column;
}

static void page_format(const Page *p, const Style *style, Text *out) {
    CLEANUP_TEXT Text line = {0};
    CLEANUP_TEXT Text comment = {0};
    size_t column = comment_column(p);
    for (size_t i = 0, at = 0; i < p->n_lines; at = p->lines[i++].comment_end) {
        size_t width = take_line(p, i, &line);
        if (p->lines[i].remark)
            style_add(style, out, COLOR_GREY, line.s ? line.s : "");
        else
            text_add_n(out, line.s ? line.s : "", line.len);
        if (p->lines[i].comment_end > at) {
            text_reset(&comment);
            text_add(&comment, "# ");
            text_add_n(&comment, p->comments.s + at, p->lines[i].comment_end - at);
            text_addf(out, "%*s", (int)(width < column ? column - width + 2 : 2), "");
            style_add(style, out, COLOR_GREY, comment.s ? comment.s : "");
        }
        text_addc(out, '\n');
    }
    if (!text_ok(&line) || !text_ok(&comment))
        out->failed = true;
}

void yaml_print(const json_t *config, const Origins *origins, const Style *style, Text *out) {
    CLEANUP(page_done) Page p = {.origins = origins, .dash = SIZE_MAX};
    print_object(&p, config, 0);
    if (page_ok(&p))
        page_format(&p, style, out);
    else
        out->failed = true;
}

/* A line for each plain value. @origin is that of what is around it, for what has none of its own. */
static void print_lines(Page *p, const json_t *value, const char *around, Text *out) {
    CLEANUP_TEXT Text own = {0};
    const char *key;
    json_t *member;
    size_t i, n;
    origins_format(p->origins, p->path.s ? p->path.s : "", &own);
    const char *origin = own.s ? own.s : around;
    json_object_foreach((json_t *)(uintptr_t)value, key, member) {
        n = enter_key(p, key);
        print_lines(p, member, origin, out);
        leave(p, n);
    }
    json_array_foreach((json_t *)(uintptr_t)value, i, member) {
        n = enter_item(p, i);
        print_lines(p, member, origin, out);
        leave(p, n);
    }
    if (json_is_object(value) || (json_is_array(value) && json_array_size(value) > 0))
        return;
    text_addf(out, "%s\t", p->path.s ? p->path.s : "");
    if (json_is_string(value))
        text_add_escaped(out, json_string_value(value), json_string_length(value));
    else if (json_is_array(value))
        text_add(out, "[]");
    else if (json_is_null(value))
        text_addc(out, '-');
    else
        add_plain_value(out, value);
    text_addf(out, "\t%s\n", origin);
}

void yaml_print_plain(const json_t *config, const Origins *origins, Text *out) {
    CLEANUP(page_done) Page p = {.origins = origins, .dash = SIZE_MAX};
    print_lines(&p, config, "-", out);
    if (!page_ok(&p))
        out->failed = true;
}

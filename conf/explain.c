/* SPDX-License-Identifier: MIT */
#include "conf/explain.h"

#include <stdio.h>
#include <string.h>

#include "conf/field.h"
#include "conf/foreign.h"
#include "conf/schema.h"
#include "conf/suggest.h"

#define TEXT_COLUMNS 78

static const char *const scope_titles[] = {
    [KEY_SCOPE_FILE] = "Keys of the file",
    [KEY_SCOPE_SERVICE] = "Keys of a service",
    [KEY_SCOPE_LISTEN] = "Options of an endpoint in the long form of listen",
};

/* Appends @s in lines of at most TEXT_COLUMNS, each after @indent blanks; the first goes on at column
 * @column. */
static void wrap(const char *s, size_t indent, size_t column, Text *out) {
    while (*s) {
        size_t n = strcspn(s, " ");
        if (column > indent && column + 1 + n > TEXT_COLUMNS) {
            text_addf(out, "\n%*s", (int)indent, "");
            column = indent;
        } else if (column > indent) {
            text_addc(out, ' ');
            column++;
        }
        text_add_n(out, s, n);
        column += n;
        s += n + strspn(s + n, " ");
    }
    text_addc(out, '\n');
}

static void add_field(const char *name, const char *value, Text *out) {
    text_addf(out, "  %-10s", name);
    wrap(value, 12, 12, out);
}

void explain_type(const Key *key, Text *out) {
    if (key->type == KEY_WORD) {
        char word[32];
        for (size_t i = 0; schema_word(key, i, word); i++)
            text_addf(out, "%s%s", i > 0 ? ", " : "", word);
        return;
    }
    CLEANUP_TEXT Text range = {0};
    schema_range_format(key, &range);
    text_add(out, schema_type_name(key->type));
    if (range.s)
        text_addf(out, ", %s", range.s);
    if (key->flags & KEY_OR_NONE)
        text_add(out, ", or none");
}

static void add_type(const Key *key, Text *out) {
    CLEANUP_TEXT Text text = {0};
    explain_type(key, &text);
    add_field("Type", text.s ? text.s : "", out);
}

static void add_default(const Key *key, Text *out) {
    const char *value = key->standard ? key->standard : key->standard_note;
    if (key->flags & KEY_REQUIRED)
        value = "none: it must be given";
    add_field("Default", value ? value : "not set", out);
}

static void add_fits(const Key *key, Text *out) {
    CLEANUP_TEXT Text text = {0};
    if (key->scope == KEY_SCOPE_SERVICE && key->models != 0) {
        schema_models_format(key->models, &text);
        add_field("Models", text.s ? text.s : "", out);
    } else if (key->scope == KEY_SCOPE_LISTEN && key->kinds != 0) {
        schema_kinds_format(key->kinds, &text);
        add_field("Endpoints", text.s ? text.s : "", out);
    }
}

static void add_key(const Key *key, Text *out) {
    char label[64];
    field_label(key, label);
    CLEANUP_TEXT Text head = {0};
    text_addf(&head, "%s: %s", label, key->help);
    wrap(head.s ? head.s : label, 0, 0, out);
    text_addc(out, '\n');
    add_type(key, out);
    add_default(key, out);
    add_fits(key, out);
    if (key->flags & KEY_NO_DEFAULTS)
        add_field("Place", "in a service only, not in defaults", out);
    if (key->example)
        add_field("Example", key->example, out);
    if (key->more) {
        text_add(out, "\n  ");
        wrap(key->more, 2, 2, out);
    }
}

static void add_line(const Key *key, Text *out) {
    char label[64];
    field_label(key, label);
    text_addf(out, "  %-28s ", label);
    wrap(key->help, 31, 31, out);
}

static void add_section(const Key *section, Text *out) {
    char label[64];
    field_label(section, label);
    CLEANUP_TEXT Text head = {0};
    text_addf(&head, "%s: %s", label, section->help);
    wrap(head.s ? head.s : label, 0, 0, out);
    text_addc(out, '\n');
    size_t n = strlen(section->path);
    for (size_t i = 0; i < schema_n_keys(); i++) {
        const Key *key = schema_key(i);
        if (key->scope == section->scope && strncmp(key->path, section->path, n) == 0 &&
            key->path[n] == '.' && key->type != KEY_SECTION)
            add_line(key, out);
    }
}

static void add_all(Text *out) {
    for (KeyScope scope = 0; scope < _KEY_SCOPE_MAX; scope++) {
        text_addf(out, "%s%s:\n", scope > 0 ? "\n" : "", scope_titles[scope]);
        for (size_t i = 0; i < schema_n_keys(); i++)
            if (schema_key(i)->scope == scope && schema_key(i)->type != KEY_SECTION)
                add_line(schema_key(i), out);
    }
}

/* "services.web.user" and "defaults.user" are keys of a service. */
static const char *strip_prefix(const char *path) {
    if (starts_with(path, "defaults."))
        return path + strlen("defaults.");
    if (starts_with(path, "services.")) {
        const char *dot = strchr(path + strlen("services."), '.');
        return dot ? dot + 1 : path;
    }
    return path;
}

static size_t add_matches(const char *path, Text *out) {
    size_t n = 0;
    for (size_t i = 0; i < schema_n_keys(); i++) {
        const Key *key = schema_key(i);
        char label[64];
        field_label(key, label);
        if (!streq(label, path))
            continue;
        text_add(out, n++ > 0 ? "\n" : "");
        if (key->type == KEY_SECTION)
            add_section(key, out);
        else
            add_key(key, out);
    }
    return n;
}

size_t explain_find(const char *key_path, void (*emit)(const Key *key, void *userdata), void *userdata) {
    size_t n = 0;
    bool all = !key_path || !*key_path;
    const char *path = all ? "" : strip_prefix(key_path);
    size_t len = strlen(path);
    for (size_t i = 0; i < schema_n_keys(); i++) {
        const Key *key = schema_key(i);
        char label[64];
        field_label(key, label);
        bool below = strncmp(label, path, len) == 0 && label[len] == '.';
        if (key->type == KEY_SECTION || !(all || below || streq(label, path)))
            continue;
        emit(key, userdata);
        n++;
    }
    return n;
}

static void add_nearest(const char *path, Text *out) {
    Suggestion near = {.word = path};
    CLEANUP_TEXT Text hint = {0};
    char best[64] = "";
    const char *whose = foreign_key(path, NULL, &hint);
    if (whose) {
        text_addf(out, "; it is %s word, here %s\n", whose, hint.s ? hint.s : "");
        return;
    }
    for (size_t i = 0; i < schema_n_keys(); i++) {
        char label[64];
        field_label(schema_key(i), label);
        const char *candidates[] = {label, schema_leaf(schema_key(i))};
        for (size_t k = 0; k < ELEMENTS(candidates); k++) {
            size_t before = near.best ? near.distance : SIZE_MAX;
            suggestion_offer(&near, candidates[k]);
            if (near.best && near.distance < before)
                (void)snprintf(best, sizeof(best), "%s", label);
            if (near.best)
                near.best = best;
        }
    }
    if (*best)
        text_addf(out, "; did you mean '%s'?", best);
    text_addc(out, '\n');
}

int explain_format(const char *key, Text *out) {
    if (!key || !*key) {
        add_all(out);
        return 0;
    }
    if (add_matches(strip_prefix(key), out) > 0)
        return 0;
    text_add(out, "no key '");
    text_add_escaped(out, key, strnlen(key, 100));
    text_addc(out, '\'');
    add_nearest(key, out);
    return -ENOENT;
}

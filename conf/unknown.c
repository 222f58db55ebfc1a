/* SPDX-License-Identifier: MIT */
#include "conf/unknown.h"

#include <stdio.h>
#include <string.h>

#include "conf/field.h"
#include "conf/foreign.h"
#include "conf/suggest.h"

/* The only key of @scope elsewhere whose last part is @name, or NULL. */
static const Key *find_elsewhere(KeyScope scope, const char *name) {
    const Key *found = NULL;
    for (size_t i = 0; i < schema_n_keys(); i++) {
        const Key *key = schema_key(i);
        if (key->scope != scope || key->type == KEY_EXTENSION || !streq(schema_leaf(key), name))
            continue;
        if (found)
            return NULL;
        found = key;
    }
    return found;
}

/* "limits: {instances: …}" for limits.instances. */
static void add_nested(const char *path, Text *hint) {
    size_t depth = 0;
    for (const char *s = path;; s++) {
        size_t n = strcspn(s, ".");
        text_add_n(hint, s, n);
        s += n;
        if (!*s)
            break;
        text_add(hint, ": {");
        depth++;
    }
    text_add(hint, ": …");
    while (depth-- > 0)
        text_addc(hint, '}');
}

static bool hint_near(KeyScope scope, const Key *parent, const char *name, Text *hint) {
    Suggestion near = {.word = name};
    const Key *key;
    for (size_t at = 0; (key = schema_next_child(scope, parent, &at));)
        if (key->type != KEY_EXTENSION)
            suggestion_offer(&near, schema_leaf(key));
    if (near.best)
        text_addf(hint, "did you mean '%s'?", near.best);
    return near.best;
}

static bool looks_like_service(const YamlNode *value) {
    return value && value->kind == YAML_MAPPING && (yaml_get(value, "exec") || yaml_get(value, "listen"));
}

static void make_hint(KeyScope scope, const Key *parent, const char *name, const YamlNode *value,
                      Text *hint) {
    const Key *key;
    if (strchr(name, '.') && !parent && (key = schema_find(scope, name))) {
        text_add(hint, "write: ");
        add_nested(key->path, hint);
    } else if ((key = find_elsewhere(scope, name)) && strchr(key->path, '.')) {
        text_add(hint, "it belongs in another place: ");
        add_nested(key->path, hint);
    } else if (scope == KEY_SCOPE_FILE && !parent && looks_like_service(value)) {
        text_add(hint, "services stand below 'services:'");
    } else if (key) { /* a service's key in one of its sections */
        text_addf(hint, "'%s' is a key of its own, not one of %s", name,
                  parent ? parent->path : "this mapping");
    } else if (!hint_near(scope, parent, name, hint)) {
        if (scope == KEY_SCOPE_FILE && (schema_child(KEY_SCOPE_SERVICE, NULL, name)))
            text_add(hint, "it is a key of a service, or of 'defaults'");
    }
}

void unknown_key_report(Reader *r, KeyScope scope, const Key *parent, const char *where, const YamlNode *name,
                        const YamlNode *value) {
    CLEANUP_TEXT Text hint = {0};
    CLEANUP_TEXT Text shown = {0};
    text_add_escaped(&shown, name->text, strnlen(name->text, 100));
    if (!text_ok(&shown) || !shown.s)
        text_add(&shown, "");
    const char *word = shown.s ? shown.s : "";
    /* At the top level it is 'services' misspelt. */
    bool near = scope == KEY_SCOPE_FILE && !parent && streq(name->text, "service");
    const char *whose = near ? NULL : foreign_key(name->text, value, &hint);
    if (whose) {
        reader_error(r, name, DIAG_FOREIGN_KEY, hint.s, "'%s' is %s word", word, whose);
        return;
    }
    make_hint(scope, parent, name->text, value, &hint);
    reader_error(r, name, DIAG_UNKNOWN_KEY, hint.s, "unknown key '%s' in %s", word, where);
}

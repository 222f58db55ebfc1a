/* SPDX-License-Identifier: MIT */
#include "conf/set.h"

#include <string.h>

#include "conf/field.h"
#include "conf/unknown.h"
#include "conf/validate.h"

#define SECTION "limits"

/* A word of the caller as the decoder takes it. It stands in no file. */
static YamlNode node_of(const char *text) {
    return (YamlNode){.kind = *text ? YAML_SCALAR : YAML_NULL, .text = text, .pos = {.file = ""}};
}

/* "limits.rate" for "limits.rate" and "rate". */
static void whole_path(const char *key, Text *out) {
    if (!starts_with(key, SECTION ".") && !streq(key, SECTION))
        text_add(out, SECTION ".");
    text_add(out, key);
}

/* Whether @key begins with a key, or a section, that the config has outside of limits. */
static bool is_elsewhere(const char *key) {
    CLEANUP_TEXT Text first = {0};
    text_add_n(&first, key, strcspn(key, "."));
    const char *word = first.s ? first.s : "";
    if (streq(word, SECTION))
        return false;
    return schema_child(KEY_SCOPE_SERVICE, NULL, word) || schema_child(KEY_SCOPE_FILE, NULL, word);
}

/* Says why there is no limit @path: the first part of it that is not known, where it stands. */
static void report_unknown(Reader *r, const char *path, const YamlNode *value) {
    const Key *section = schema_find(KEY_SCOPE_SERVICE, SECTION), *child = NULL;
    const char *rest = path + strlen(SECTION) + 1;
    CLEANUP_TEXT Text word = {0};
    for (;; rest += word.len + 1, section = child) {
        text_reset(&word);
        text_add_n(&word, rest, strcspn(rest, "."));
        child = word.s ? schema_child(KEY_SCOPE_SERVICE, section, word.s) : NULL;
        if (!child || child->type != KEY_SECTION || rest[word.len] == '\0')
            break;
    }
    /* What follows a key that has none below it is as wrong as a key that there is not. */
    const YamlNode name = node_of(child ? rest : word.s ? word.s : "");
    unknown_key_report(r, KEY_SCOPE_SERVICE, section, section->path, &name, value);
}

static int decode_limit(Reader *r, const Key *key, const YamlNode *name, const YamlNode *value,
                        LimitsConfig *l) {
    /* The key table knows limits as a part of a service. */
    ServiceTerms terms = {.limits = *l};
    ServiceConfig s = {.terms = &terms};
    int k = field_decode(r, key, name, value, &s);
    if (k == 0)
        *l = terms.limits;
    return k;
}

int limits_config_set(LimitsConfig *l, const char *key, const char *value, DiagList *diags) {
    Reader r = {.diags = diags};
    CLEANUP_TEXT Text path = {0};
    CLEANUP_TEXT Text shown = {0};
    const YamlNode name = node_of(key), node = node_of(value);
    whole_path(key, &path);
    text_add_escaped(&shown, key, strnlen(key, 100));
    if (!text_ok(&path) || !text_ok(&shown))
        return -ENOMEM;
    const Key *found = schema_find(KEY_SCOPE_SERVICE, path.s);
    if (found)
        return decode_limit(&r, found, &name, &node, l);
    if (is_elsewhere(key))
        reader_error(&r, &name, DIAG_CONFLICT, "change the config, then: mpctl reload",
                     "'%s' cannot be set: only limits can", shown.s);
    else
        report_unknown(&r, path.s, &node);
    return -EINVAL;
}

int limits_config_check(const ServiceConfig *s, const LimitsConfig *l, DiagList *diags) {
    Reader r = {.diags = diags};
    size_t errors = diags->n_errors;
    ServiceTerms terms = *s->terms;
    ServiceConfig now = *s;
    terms.limits = *l;
    now.terms = &terms;
    now.origins = NULL; /* it stands in no file */
    now.n_origins = 0;
    now.pos = (ConfigPos){.file = ""};
    validate_limits(&r, &now);
    return diags->n_errors > errors ? -EINVAL : 0;
}

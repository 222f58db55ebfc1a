/* SPDX-License-Identifier: MIT */
#include "conf/field-list.h"

#include <stdlib.h>
#include <string.h>

#include "conf/field.h"
#include "conf/value.h"
#include "conf/variable.h"

static const char *const kind_names[] = {
    [YAML_NULL] = "nothing",
    [YAML_SCALAR] = "a single value",
    [YAML_SEQUENCE] = "a list",
    [YAML_MAPPING] = "a mapping",
};

const YamlNode *field_place(const YamlNode *name, const YamlNode *value) {
    return value->kind == YAML_NULL && !value->faulty ? name : value;
}

void field_wrong_type(Reader *r, const Key *key, const YamlNode *name, const YamlNode *value,
                      const char *hint) {
    char label[64];
    field_label(key, label);
    if (value->kind == YAML_NULL)
        reader_error(r, field_place(name, value), DIAG_WRONG_TYPE, "write its value, or leave the key out",
                     "%s has no value", label);
    else
        reader_error(r, value, DIAG_WRONG_TYPE, hint, "%s takes %s, not %s", label,
                     schema_type_describe(key->type), kind_names[value->kind]);
}

static void item_error(Reader *r, const Key *key, const YamlNode *item) {
    char label[64];
    field_label(key, label);
    reader_error(r, item, DIAG_WRONG_TYPE, NULL, "%s is a list of plain values, not of %s", label,
                 item->kind == YAML_NULL       ? "nothing"
                 : item->kind == YAML_SEQUENCE ? "lists"
                                               : "mappings");
}

/* A vector with room, so that an empty list differs from none. */
static char **empty_vector(void) {
    return strv_copy(NULL);
}

static int decode_items(Reader *r, const Key *key, const YamlNode *value, char ***ret) {
    CLEANUP_STRV char **v = empty_vector();
    if (!v)
        return -ENOMEM;
    bool bad = false;
    for (size_t i = 0; i < value->n; i++) {
        const YamlNode *item = value->items[i];
        if (item->kind != YAML_SCALAR) {
            item_error(r, key, item);
            bad = true;
        } else if (strv_push(&v, strdup(item->text)) < 0) {
            return -ENOMEM;
        }
    }
    if (bad)
        return -EINVAL;
    *ret = TAKE_PTR(v);
    return 0;
}

static int decode_command(Reader *r, const Key *key, const YamlNode *name, const YamlNode *value,
                          char ***ret) {
    ValueError error = {0};
    if (value->kind == YAML_SCALAR) {
        int k = value_words(value->text, ret, &error);
        if (k == -EINVAL || k == -ERANGE)
            reader_error(r, value, k == -ERANGE ? DIAG_OUT_OF_RANGE : DIAG_BAD_VALUE, error.hint, "%s: %s",
                         key->path, error.why);
        return k == -ERANGE ? -EINVAL : k;
    }
    if (value->kind != YAML_SEQUENCE) {
        field_wrong_type(r, key, name, value, NULL);
        return -EINVAL;
    }
    int k = decode_items(r, key, value, ret);
    if (k < 0)
        return k;
    const char *why = NULL;
    const YamlNode *at = value;
    if (!(*ret)[0]) {
        why = "an empty list";
    } else if (!(*ret)[0][0]) {
        why = "the program's name is empty";
        at = value->items[0];
    } else if (strv_length(*ret) > VALUE_WORDS_MAX) {
        why = "too many words";
    }
    if (!why)
        return 0;
    reader_error(r, at, DIAG_BAD_VALUE, "write the program and its arguments, as in exec: [cat]", "%s: %s",
                 key->path, why);
    strv_free(*ret);
    *ret = NULL;
    return -EINVAL;
}

#define PATH_BYTES_MAX 4095

/* Whether one of its parts is "..", which could lead out of what it seems to name. */
static bool has_dots(const char *path) {
    for (const char *s = path; (s = strstr(s, "/.."));) {
        s += strlen("/..");
        if (*s == '/' || *s == '\0')
            return true;
    }
    return false;
}

/* What is wrong with @path, an item of a list; NULL: nothing. */
static const char *path_fault(const char *item, const char **ret_hint) {
    const char *path = *item == '-' ? item + 1 : item;
    *ret_hint = "begin it with '/'";
    if (*path != '/') {
        if (streq(path, "true") || streq(path, "yes"))
            *ret_hint = "for the whole file system write [/]";
        return "is not an absolute path";
    }
    *ret_hint = "write where it leads to";
    if (has_dots(path))
        return "has a '..' in it";
    *ret_hint = NULL;
    return strlen(path) > PATH_BYTES_MAX ? "is too long for a path" : NULL;
}

/* "//a/./b/" is "/a/b"; in place. */
static void simplify(char *item) {
    char *path = *item == '-' ? item + 1 : item, *to = path;
    for (const char *s = path; *s;) {
        size_t n = strcspn(++s, "/");
        if (n > 0 && !(n == 1 && *s == '.')) {
            *to++ = '/';
            memmove(to, s, n);
            to += n;
        }
        s += n;
    }
    if (to == path)
        *to++ = '/';
    *to = '\0';
}

static int check_paths(Reader *r, const Key *key, const YamlNode *value, char **v) {
    int result = 0;
    for (size_t i = 0; v[i]; i++) {
        const YamlNode *item = value->kind == YAML_SEQUENCE ? value->items[i] : value;
        const char *hint, *fault = path_fault(v[i], &hint);
        if (!fault) {
            simplify(v[i]);
            continue;
        }
        char label[64];
        CLEANUP_TEXT Text shown = {0};
        field_label(key, label);
        text_add_escaped(&shown, v[i], strnlen(v[i], 100));
        reader_error(r, item, DIAG_BAD_VALUE, hint, "%s: '%s' %s", label, shown.s ? shown.s : "", fault);
        result = -EINVAL;
    }
    return result;
}

/* Sets @name to @value among the "NAME=VALUE" of @v. */
static int set_variable(char ***v, const char *name, const char *value) {
    CLEANUP_TEXT Text pair = {0};
    text_addf(&pair, "%s=", name);
    size_t n = pair.len;
    text_add(&pair, value);
    char *s = text_take(&pair);
    if (!s)
        return -ENOMEM;
    for (char **at = *v; at && *at; at++) {
        if (strncmp(*at, s, n) == 0) {
            free(*at);
            *at = s;
            return 0;
        }
    }
    return strv_push(v, s);
}

static int decode_environment(Reader *r, const Key *key, const YamlNode *name, const YamlNode *value,
                              char ***v) {
    if (value->kind != YAML_MAPPING) {
        reader_error(r, field_place(name, value), DIAG_WRONG_TYPE, "write NAME: VALUE lines below it",
                     "%s takes %s", key->path, schema_type_describe(key->type));
        return -EINVAL;
    }
    int result = 0;
    for (size_t i = 0; i < value->n; i++) {
        const YamlNode *variable = value->pairs[i].key, *text = value->pairs[i].value;
        if (!variable_is_name(variable->text)) {
            reader_error(r, variable, DIAG_BAD_VALUE, "letters, digits and '_', not beginning with a digit",
                         "'%s' is not the name of a variable", variable->text);
            result = -EINVAL;
        } else if (text->kind != YAML_SCALAR) {
            reader_error(r, field_place(variable, text), DIAG_WRONG_TYPE,
                         text->kind == YAML_NULL ? "for an empty one write \"\"" : NULL,
                         "the variable %s takes one value", variable->text);
            result = -EINVAL;
        } else if (set_variable(v, variable->text, text->text) < 0) {
            return -ENOMEM;
        }
    }
    return result;
}

int field_list_decode(Reader *r, const Key *key, const YamlNode *name, const YamlNode *value, char ***field) {
    if (key->type == KEY_ENVIRONMENT)
        return decode_environment(r, key, name, value, field);
    CLEANUP_STRV char **v = NULL;
    int k;
    if (key->type == KEY_COMMAND) {
        k = decode_command(r, key, name, value, &v);
    } else if (value->kind == YAML_SCALAR) { /* a list of one */
        k = (v = empty_vector()) && strv_push(&v, strdup(value->text)) == 0 ? 0 : -ENOMEM;
    } else if (value->kind == YAML_SEQUENCE) {
        k = decode_items(r, key, value, &v);
    } else {
        field_wrong_type(r, key, name, value, NULL);
        k = -EINVAL;
    }
    if (k == 0 && key->type == KEY_PATHS)
        k = check_paths(r, key, value, v);
    if (k < 0)
        return k;
    strv_free(*field);
    *field = TAKE_PTR(v);
    return 0;
}

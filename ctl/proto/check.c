/* SPDX-License-Identifier: MIT */
/* Whether a JSON value is of a type of the interface. */
#include <string.h>

#include "ctl/proto/methods.h"

static bool is_word(const ApiType *type, const json_t *value) {
    const char *s = json_string_value(value), *word;
    for (size_t i = 0; s && (word = type->word(i)); i++)
        if (streq(word, s))
            return true;
    return false;
}

static bool is_counters(const ApiType *type, const json_t *value) {
    size_t n = 0;
    const char *word;
    for (; (word = type->word(n)); n++)
        if (!json_is_integer(json_object_get(value, word)))
            return false;
    return json_object_size(value) == n;
}

static bool is_struct(const ApiField *fields, const json_t *value, bool all_present) {
    size_t n = 0;
    for (const ApiField *f = fields; f->name; f++) {
        const json_t *member = json_object_get(value, f->name);
        if (member)
            n++;
        else if (all_present || f->type[0] != '?')
            return false;
        if (member && !api_value_is(f->type, member, all_present))
            return false;
    }
    return json_is_object(value) && json_object_size(value) == n;
}

/* @type without "?" and "[]". */
static bool is_plain(const char *type, const json_t *value, bool all_present) {
    if (streq(type, "string"))
        return json_is_string(value);
    if (streq(type, "int"))
        return json_is_integer(value);
    if (streq(type, "float"))
        return json_is_number(value);
    if (streq(type, "scalar"))
        return json_is_string(value) || json_is_integer(value);
    if (streq(type, "bool"))
        return json_is_boolean(value);
    if (streq(type, "object"))
        return json_is_object(value);
    const ApiType *named = api_type_find(type, strlen(type));
    if (!named)
        return false;
    if (!named->word)
        return is_struct(named->fields, value, all_present);
    return named->counters ? is_counters(named, value) : is_word(named, value);
}

bool api_value_is(const char *type, const json_t *value, bool all_present) {
    if (type[0] == '?') {
        if (!value || json_is_null(value))
            return true;
        type++;
    }
    if (!starts_with(type, "[]"))
        return is_plain(type, value, all_present);
    if (!json_is_array(value))
        return false;
    for (size_t i = 0; i < json_array_size(value); i++)
        if (!is_plain(type + 2, json_array_get(value, i), all_present))
            return false;
    return true;
}

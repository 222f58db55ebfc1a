/* SPDX-License-Identifier: MIT */
#include "conf/schema.h"

#include <string.h>

#include "conf/schema-table.h"
#include "conf/value.h"

size_t schema_n_keys(void) {
    return schema_table_size;
}

const Key *schema_key(size_t i) {
    return i < schema_table_size ? &schema_table[i] : NULL;
}

size_t schema_index(const Key *key) {
    return (size_t)(key - schema_table);
}

const Key *schema_find(KeyScope scope, const char *path) {
    for (size_t i = 0; i < schema_table_size; i++) {
        const Key *key = &schema_table[i];
        if (key->path[0] == path[0] && key->scope == scope && streq(key->path, path))
            return key;
    }
    return NULL;
}

/* Whether @key stands right below @parent; its last part goes to @ret_leaf. */
static bool is_child(const Key *key, KeyScope scope, const Key *parent, const char **ret_leaf) {
    if (key->scope != scope)
        return false;
    const char *leaf = key->path;
    if (parent) {
        size_t n = strlen(parent->path);
        if (strncmp(leaf, parent->path, n) != 0 || leaf[n] != '.')
            return false;
        leaf += n + 1;
    }
    if (strchr(leaf, '.'))
        return false;
    *ret_leaf = leaf;
    return true;
}

const Key *schema_child(KeyScope scope, const Key *parent, const char *name) {
    if (scope == KEY_SCOPE_FILE && !parent && starts_with(name, "x-"))
        return schema_find(scope, "x-*");
    for (size_t at = 0;;) {
        const Key *key = schema_next_child(scope, parent, &at);
        if (!key || streq(schema_leaf(key), name))
            return key && key->type != KEY_EXTENSION ? key : NULL;
    }
}

const Key *schema_next_child(KeyScope scope, const Key *parent, size_t *at) {
    while (*at < schema_table_size) {
        const char *leaf;
        const Key *key = &schema_table[(*at)++];
        if (is_child(key, scope, parent, &leaf))
            return key;
    }
    return NULL;
}

const char *schema_leaf(const Key *key) {
    const char *dot = strrchr(key->path, '.');
    return dot ? dot + 1 : key->path;
}

bool schema_is_limit(const Key *key) {
    return key->scope == KEY_SCOPE_SERVICE && starts_with(key->path, "limits.");
}

bool schema_fits_model(const Key *key, Model model) {
    if (model == MODEL_TCPMUX && (key->flags & (KEY_OF_EXEC | KEY_OF_PROCESS)))
        return false;
    return key->models == 0 || (key->models & 1U << model) != 0;
}

bool schema_fits_endpoint(const Key *key, EndpointKind kind) {
    return key->kinds == 0 || (key->kinds & 1U << kind) != 0;
}

/* "a", "a and b", "a, b and c" out of the set bits of @bits. */
static void names_format(unsigned bits, const char *(*name)(unsigned i), Text *out) {
    size_t left = (size_t)__builtin_popcount(bits);
    bool first = true;
    for (unsigned i = 0; bits >> i; i++) {
        if ((bits & 1U << i) == 0)
            continue;
        if (!first)
            text_add(out, left == 1 ? " and " : ", ");
        text_add(out, name(i));
        first = false;
        left--;
    }
}

static const char *model_name(unsigned i) {
    return model_to_string((Model)i);
}

static const char *kind_name(unsigned i) {
    return endpoint_kind_to_string((EndpointKind)i);
}

void schema_models_format(unsigned models, Text *out) {
    names_format(models, model_name, out);
}

void schema_kinds_format(unsigned kinds, Text *out) {
    names_format(kinds, kind_name, out);
}

static const struct {
    const char *name;
    const char *describe;
} types[_KEY_TYPE_MAX] = {
    [KEY_SECTION] = {"keys of its own", "keys of its own"},
    [KEY_EXTENSION] = {"anything", "anything"},
    [KEY_DEFAULTS] = {"keys of a service", "keys of a service"},
    [KEY_SERVICES] = {"services by name", "services by name"},
    [KEY_LISTEN] = {"endpoint, or list of endpoints", "an endpoint such as tcp:80, or a list of them"},
    [KEY_ENDPOINT] = {"endpoint", "an endpoint such as tcp:80"},
    [KEY_BOOL] = {"boolean", "true or false"},
    [KEY_WORD] = {"word", "a word"},
    [KEY_INTEGER] = {"number", "a whole number"},
    [KEY_NUMBER] = {"decimal number", "a number such as 2.5"},
    [KEY_DURATION] = {"duration", "a duration such as 10s"},
    [KEY_SIZE] = {"size", "a size such as 64K"},
    [KEY_RATE] = {"rate", "a rate such as 50/s or 5/10s"},
    [KEY_MODE] = {"mode", "a quoted octal mode such as \"0660\""},
    [KEY_TEXT] = {"text", "a text"},
    [KEY_PATH] = {"path", "an absolute path"},
    [KEY_FDNAME] = {"name", "a name"},
    [KEY_USER] = {"user", "a user"},
    [KEY_GROUP] = {"group", "a group"},
    [KEY_LIST] = {"list", "a list"},
    [KEY_PATHS] = {"list of paths", "a list of absolute paths"},
    [KEY_COMMAND] = {"command", "a list of words, or a string that is split into words"},
    [KEY_ENVIRONMENT] = {"variables", "variables, NAME: VALUE"},
    [KEY_RLIMIT_COUNT] = {"number, or unlimited", "a whole number, or unlimited"},
    [KEY_RLIMIT_SIZE] = {"size, or unlimited", "a size such as 64K, or unlimited"},
    [KEY_RLIMIT_TIME] = {"duration, or unlimited", "a duration such as 10s, or unlimited"},
    [KEY_IO_PRIORITY] = {"priority", "an I/O priority such as best-effort:4"},
    [KEY_CPUS] = {"processors", "processors such as 0-3,8"},
    [KEY_PROCESSORS] = {"percent, or number of processors", "processor time such as 50% or 1.5"},
};

const char *schema_type_describe(KeyType type) {
    return types[type].describe;
}

const char *schema_type_name(KeyType type) {
    return types[type].name;
}

int schema_word_find(const Key *key, const char *s) {
    char word[32];
    for (size_t i = 0; schema_word(key, i, word); i++)
        if (streq(word, s))
            return (int)i;
    return -EINVAL;
}

const char *schema_word(const Key *key, size_t i, char buf[static 32]) {
    const char *s = key->words;
    for (; s && i > 0; i--) {
        s = strchr(s, '|');
        s = s ? s + 1 : NULL;
    }
    if (!s)
        return NULL;
    size_t n = strcspn(s, "|");
    if (n > 31)
        n = 31;
    memcpy(buf, s, n);
    buf[n] = '\0';
    return buf;
}

static void bound_format(const Key *key, int64_t bound, Text *out) {
    bool duration = key->type == KEY_DURATION || key->type == KEY_RLIMIT_TIME;
    if (duration)
        value_duration_format((uint64_t)bound, out);
    else if (key->type == KEY_SIZE || key->type == KEY_RLIMIT_SIZE)
        value_size_format((uint64_t)bound, out);
    else if (key->type == KEY_PROCESSORS)
        value_processors_format((uint64_t)bound, out);
    else
        text_addf(out, "%lld", (long long)bound);
}

void schema_range_format(const Key *key, Text *out) {
    bool text = key->type == KEY_TEXT || key->type == KEY_PATH;
    if ((key->min == 0 && key->max == 0) || key->type == KEY_MODE)
        return;
    if (text) {
        text_addf(out, "at most %lld bytes", (long long)key->max);
    } else if (key->min == key->max) {
        bound_format(key, key->min, out);
    } else if (key->max == INT64_MAX) {
        bound_format(key, key->min, out);
        text_add(out, " or more");
    } else {
        bound_format(key, key->min, out);
        text_add(out, " to ");
        bound_format(key, key->max, out);
    }
}

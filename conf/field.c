/* SPDX-License-Identifier: MIT */
#include "conf/field.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/field-list.h"
#include "conf/foreign.h"
#include "conf/part.h"
#include "conf/suggest.h"
#include "conf/target.h"
#include "conf/value.h"
#include "daemon/base/clock.h"

#define NO_BOUND ((int64_t)1 << 62)
#define NUMBER_UNIT 1e6

/* Sets the field from text. Returns as the decoders of value.h do. */
typedef int (*FieldParse)(const Key *key, const char *s, void *base, ValueError *error);

void field_label(const Key *key, char buf[static 64]) {
    (void)snprintf(buf, 64, "%s%s", key->scope == KEY_SCOPE_LISTEN ? "listen." : "", key->path);
}

const void *field_home(const Key *key, const void *base) {
    return key->part ? part_get(base, key->part) : base;
}

void *field_make_home(const Key *key, void *base) {
    return key->part ? part_make(base, key->part) : base;
}

static void *field_of(const Key *key, void *home) {
    return (char *)home + key->offset;
}

static void set_has(const Key *key, void *home) {
    if (key->has > 0)
        *(bool *)(void *)((char *)home + key->has) = true;
}

static int64_t upper_bound(const Key *key) {
    return key->min == 0 && key->max == 0 ? NO_BOUND : key->max;
}

static void store_integer(const Key *key, void *home, int64_t value) {
    void *field = field_of(key, home);
    if (key->size == sizeof(bool)) {
        bool b = value != 0;
        memcpy(field, &b, sizeof(b));
    } else if (key->size == sizeof(int)) {
        int i = (int)value;
        memcpy(field, &i, sizeof(i));
    } else {
        memcpy(field, &value, sizeof(value));
    }
    set_has(key, home);
}

static int parse_bool(const Key *key, const char *s, void *home, ValueError *error) {
    bool value;
    int r = value_bool(s, &value, error);
    if (r == 0)
        store_integer(key, home, value);
    return r;
}

/* `none` of what may be left out: no limit, no rate. */
static bool is_none(const Key *key, const char *s) {
    return (key->flags & KEY_OR_NONE) != 0 && streq(s, "none");
}

static int parse_integer(const Key *key, const char *s, void *home, ValueError *error) {
    int64_t value = key->none;
    int r = is_none(key, s) ? 0 : value_signed(s, key->min, upper_bound(key), &value, error);
    if (r == 0)
        store_integer(key, home, value);
    return r;
}

static void list_words(const Key *key, Text *out) {
    char word[32];
    for (size_t i = 0; schema_word(key, i, word); i++) {
        text_add(out, i > 0 ? ", " : "");
        text_add(out, word);
    }
}

static bool near_word(const Key *key, const char *s, char best[static 32]) {
    char word[32];
    Suggestion near = {.word = s};
    for (size_t i = 0; schema_word(key, i, word); i++) {
        const char *before = near.best;
        suggestion_offer(&near, word);
        if (near.best && near.best != before) {
            memcpy(best, word, sizeof(word));
            near.best = best; /* word goes on to the next */
        }
    }
    return near.best;
}

static int refuse_word(const Key *key, const char *s, ValueError *error) {
    char label[64], best[32];
    CLEANUP_TEXT Text shown = {0};
    CLEANUP_TEXT Text words = {0};
    field_label(key, label);
    text_add_escaped(&shown, s, strnlen(s, 64));
    list_words(key, &words);
    const char *text = shown.s ? shown.s : "", *known = words.s ? words.s : "";
    const char *foreign = foreign_value(key->path, s);
    (void)snprintf(error->why, sizeof(error->why), "unknown value '%.100s' of %s", text, label);
    if (foreign)
        (void)snprintf(error->hint, sizeof(error->hint), "%s", foreign);
    else if (near_word(key, s, best))
        (void)snprintf(error->hint, sizeof(error->hint), "did you mean '%s'?", best);
    else
        (void)snprintf(error->hint, sizeof(error->hint), "%s%.150s",
                       strchr(known, ',') ? "one of " : "write ", known);
    return -EINVAL;
}

static int parse_word(const Key *key, const char *s, void *home, ValueError *error) {
    int i = schema_word_find(key, s);
    if (i < 0)
        return refuse_word(key, s, error);
    store_integer(key, home, i);
    return 0;
}

static int parse_duration(const Key *key, const char *s, void *home, ValueError *error) {
    uint64_t usec = USEC_INFINITY;
    if (!is_none(key, s)) {
        bool or_none = (key->flags & KEY_OR_NONE) != 0;
        int r = value_duration(s, (uint64_t)key->min, (uint64_t)upper_bound(key), or_none, &usec, error);
        if (r < 0)
            return r;
    }
    if (key->size != sizeof(int)) {
        memcpy(field_of(key, home), &usec, sizeof(usec));
        return 0;
    }
    if (usec % USEC_PER_SEC != 0) {
        (void)snprintf(error->why, sizeof(error->why), "only whole seconds will do");
        return -EINVAL;
    }
    store_integer(key, home, (int64_t)(usec / USEC_PER_SEC));
    return 0;
}

static int parse_size(const Key *key, const char *s, void *home, ValueError *error) {
    uint64_t bytes = (uint64_t)key->none;
    int r =
        is_none(key, s) ? 0 : value_size(s, (uint64_t)key->min, (uint64_t)upper_bound(key), &bytes, error);
    if (r == 0)
        store_integer(key, home, (int64_t)bytes);
    return r;
}

static int parse_processors(const Key *key, const char *s, void *home, ValueError *error) {
    uint64_t share = (uint64_t)key->none;
    int r = is_none(key, s) ? 0 : value_processors(s, (uint64_t)key->min, (uint64_t)key->max, &share, error);
    if (r == 0)
        store_integer(key, home, (int64_t)share);
    return r;
}

static int parse_rate(const Key *key, const char *s, void *home, ValueError *error) {
    Rate *rate = field_of(key, home);
    if (!is_none(key, s))
        return value_rate(s, rate, error);
    *rate = (Rate){0};
    return 0;
}

static int parse_number(const Key *key, const char *s, void *home, ValueError *error) {
    uint64_t millionths = 0;
    if (!is_none(key, s)) {
        int r = value_number(s, (uint64_t)key->max, &millionths, error);
        if (r < 0)
            return r;
        if (millionths == 0) {
            (void)snprintf(error->why, sizeof(error->why), "0 would never be kept to");
            (void)snprintf(error->hint, sizeof(error->hint), "write a number such as 8.5, or none");
            return -ERANGE;
        }
    }
    double value = (double)millionths / NUMBER_UNIT;
    memcpy(field_of(key, home), &value, sizeof(value));
    return 0;
}

static int parse_mode(const Key *key, const char *s, void *home, ValueError *error) {
    mode_t mode;
    int r = value_mode(s, (mode_t)upper_bound(key), &mode, error);
    if (r == 0)
        memcpy(field_of(key, home), &mode, sizeof(mode));
    return r;
}

static int store_string(const Key *key, const char *s, void *home) {
    char *copy = strdup(s);
    if (!copy)
        return -ENOMEM;
    char **field = (char **)field_of(key, home);
    free(*field);
    *field = copy;
    return 0;
}

static int parse_text(const Key *key, const char *s, void *home, ValueError *error) {
    if (key->max > 0 && strlen(s) > (size_t)key->max) {
        (void)snprintf(error->why, sizeof(error->why), "longer than %lld bytes", (long long)key->max);
        return -ERANGE;
    }
    return store_string(key, s, home);
}

static int parse_path(const Key *key, const char *s, void *home, ValueError *error) {
    size_t max = key->max > 0 ? (size_t)key->max : 4095;
    if (s[0] != '/') {
        CLEANUP_TEXT Text shown = {0};
        text_add_escaped(&shown, s, strnlen(s, 100));
        (void)snprintf(error->why, sizeof(error->why), "'%.150s' is not an absolute path",
                       shown.s ? shown.s : "");
        (void)snprintf(error->hint, sizeof(error->hint), "begin it with '/'");
        return -EINVAL;
    }
    if (strlen(s) > max) {
        (void)snprintf(error->why, sizeof(error->why), "a path of more than %zu bytes", max);
        return -ERANGE;
    }
    return store_string(key, s, home);
}

/* sd_listen_fds_with_names(3): no colons, no control characters, at most 255 bytes. */
static int parse_fdname(const Key *key, const char *s, void *home, ValueError *error) {
    size_t n = strlen(s);
    bool ok = n > 0 && n <= 255;
    for (size_t i = 0; i < n && ok; i++)
        ok = s[i] > 0x20 && s[i] < 0x7f && s[i] != ':';
    if (ok)
        return store_string(key, s, home);
    (void)snprintf(error->why, sizeof(error->why), "not a name for LISTEN_FDNAMES");
    (void)snprintf(error->hint, sizeof(error->hint), "1 to 255 ASCII characters without blanks and ':'");
    return -EINVAL;
}

static int parse_name(const Key *key, const char *s, void *home, ValueError *error) {
    if (*s)
        return store_string(key, s, home);
    (void)snprintf(error->why, sizeof(error->why), "an empty name");
    return -EINVAL;
}

static int parse_target(const Key *key, const char *s, void *home, ValueError *error) {
    const char *why = "", *hint = "";
    Endpoint target;
    if (target_parse(s, &target, &why, &hint) == 0)
        return store_string(key, s, home);
    (void)snprintf(error->why, sizeof(error->why), "%s", why);
    (void)snprintf(error->hint, sizeof(error->hint), "%s", hint ? hint : "");
    return -EINVAL;
}

static int parse_rlimit(const Key *key, const char *s, void *home, ValueError *error) {
    uint64_t value = 0;
    int r = 0;
    bool unlimited = streq(s, "unlimited") || streq(s, "infinity");
    if (!unlimited && key->type == KEY_RLIMIT_SIZE)
        r = value_size(s, (uint64_t)key->min, (uint64_t)key->max, &value, error);
    else if (!unlimited && key->type == KEY_RLIMIT_TIME)
        r = value_duration(s, (uint64_t)key->min, (uint64_t)key->max, false, &value, error);
    else if (!unlimited)
        r = value_unsigned(s, (uint64_t)key->min, (uint64_t)key->max, &value, error);
    if (r < 0)
        return r;
    if (key->type == KEY_RLIMIT_TIME) {
        if (value % USEC_PER_SEC != 0) {
            (void)snprintf(error->why, sizeof(error->why), "only whole seconds will do");
            return -EINVAL;
        }
        value /= USEC_PER_SEC;
    }
    ResourceConfig *resources = home;
    size_t i = 0;
    while (i < resources->n_rlimits && resources->rlimits[i].resource != key->resource)
        i++;
    resources->rlimits[i] =
        (RlimitConfig){.resource = key->resource, .value = unlimited ? RLIM_INFINITY : (rlim_t)value};
    if (i == resources->n_rlimits)
        resources->n_rlimits++;
    return 0;
}

static int parse_io_priority(const Key *key, const char *s, void *home, ValueError *error) {
    int value;
    int r = value_io_priority(s, &value, error);
    if (r == 0)
        store_integer(key, home, value);
    return r;
}

static int parse_cpus(const Key *key, const char *s, void *home, ValueError *error) {
    int r = value_cpus(s, (uint64_t *)field_of(key, home), error);
    if (r == 0)
        set_has(key, home);
    return r;
}

static const FieldParse parsers[_KEY_TYPE_MAX] = {
    [KEY_BOOL] = parse_bool,           [KEY_WORD] = parse_word,
    [KEY_INTEGER] = parse_integer,     [KEY_DURATION] = parse_duration,
    [KEY_SIZE] = parse_size,           [KEY_RATE] = parse_rate,
    [KEY_MODE] = parse_mode,           [KEY_TEXT] = parse_text,
    [KEY_PATH] = parse_path,           [KEY_FDNAME] = parse_fdname,
    [KEY_USER] = parse_name,           [KEY_GROUP] = parse_name,
    [KEY_RLIMIT_COUNT] = parse_rlimit, [KEY_RLIMIT_SIZE] = parse_rlimit,
    [KEY_RLIMIT_TIME] = parse_rlimit,  [KEY_IO_PRIORITY] = parse_io_priority,
    [KEY_CPUS] = parse_cpus,           [KEY_ENDPOINT] = parse_target,
    [KEY_NUMBER] = parse_number,       [KEY_PROCESSORS] = parse_processors,
};

static int decode_scalar(Reader *r, const Key *key, const YamlNode *value, void *base) {
    ValueError error = {0};
    /* A key without a field (version) is judged and forgotten. */
    uint64_t nowhere = 0;
    Key judged = *key;
    void *home = key->size == 0 ? &nowhere : field_make_home(key, base);
    if (!home)
        return -ENOMEM;
    if (key->size == 0) {
        judged.offset = 0;
        judged.size = sizeof(nowhere);
    }
    int k = parsers[key->type](&judged, value->text, home, &error);
    if (k == -EINVAL || k == -ERANGE) {
        char label[64];
        field_label(key, label);
        bool named = key->type == KEY_WORD; /* its message names the key */
        if (key->min == key->max && key->max > 0)
            (void)snprintf(error.hint, sizeof(error.hint), "write %lld", (long long)key->max);
        reader_error(r, value, k == -ERANGE ? DIAG_OUT_OF_RANGE : DIAG_BAD_VALUE, error.hint, "%s%s%s",
                     named ? "" : label, named ? "" : ": ", error.why);
        return -EINVAL;
    }
    return k;
}

static int decode_list(Reader *r, const Key *key, const YamlNode *name, const YamlNode *value, void *base) {
    void *home = field_make_home(key, base);
    return home ? field_list_decode(r, key, name, value, (char ***)field_of(key, home)) : -ENOMEM;
}

int field_decode(Reader *r, const Key *key, const YamlNode *name, const YamlNode *value, void *base) {
    if (key->type == KEY_LIST || key->type == KEY_PATHS || key->type == KEY_COMMAND ||
        key->type == KEY_ENVIRONMENT)
        return decode_list(r, key, name, value, base);
    if (value->kind != YAML_SCALAR || !parsers[key->type]) {
        field_wrong_type(r, key, name, value, NULL);
        return -EINVAL;
    }
    return decode_scalar(r, key, value, base);
}

/* A part that few services have is made with its own. */
static bool has_standard(const Key *key) {
    return key->size > 0 && key->standard && (!key->part || key->part == KEY_PART_TERMS);
}

int field_set_standard(const Key *key, void *base) {
    void *home = has_standard(key) && parsers[key->type] ? field_make_home(key, base) : NULL;
    if (!home)
        return 0;
    char text[64];
    size_t quote = key->standard[0] == '"' ? 1 : 0;
    (void)snprintf(text, sizeof(text), "%.*s", (int)(strlen(key->standard) - 2 * quote),
                   key->standard + quote);
    ValueError error;
    int r = parsers[key->type](key, text, home, &error);
    return r == -ENOMEM ? r : 0;
}

static int set_list(char ***field, const char *text) {
    CLEANUP_STRV char **v = strv_copy(NULL);
    if (!v)
        return -ENOMEM;
    for (const char *s = text; *s;) {
        size_t n = strcspn(s, " ");
        if (strv_push(&v, strndup(s, n)) < 0)
            return -ENOMEM;
        s += n + strspn(s + n, " ");
    }
    strv_free(*field);
    *field = TAKE_PTR(v);
    return 0;
}

int field_set_text(const Key *key, const char *text, void *base) {
    ValueError error;
    void *home = field_make_home(key, base);
    if (!home)
        return -ENOMEM;
    if (key->type == KEY_LIST || key->type == KEY_PATHS)
        return set_list((char ***)field_of(key, home), text);
    int r = parsers[key->type] ? parsers[key->type](key, text, home, &error) : 0;
    return r == -ENOMEM ? r : 0;
}

/* Those whose field is its value, and not a pointer to it. */
static const bool is_value[_KEY_TYPE_MAX] = {
    [KEY_BOOL] = true,     [KEY_WORD] = true, [KEY_INTEGER] = true, [KEY_NUMBER] = true,
    [KEY_DURATION] = true, [KEY_SIZE] = true, [KEY_RATE] = true,    [KEY_MODE] = true,
};

int field_copy_standard(const Key *key, const void *from, void *base) {
    if (!has_standard(key))
        return 0;
    if (!is_value[key->type])
        return field_set_standard(key, base);
    const char *home = field_home(key, from);
    memcpy(field_of(key, field_make_home(key, base)), home + key->offset, key->size);
    return 0;
}

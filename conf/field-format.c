/* SPDX-License-Identifier: MIT */
/* Fields as text and compared; see field.h. */
#include <string.h>

#include "conf/field.h"
#include "conf/value.h"
#include "daemon/base/clock.h"

typedef void (*FieldFormat)(const Key *key, const void *field, Text *out);
typedef bool (*FieldEqual)(const Key *key, const void *a, const void *b);

static const void *field_in(const Key *key, const void *base) {
    return (const char *)field_home(key, base) + key->offset;
}

/* The rlimit of @key among the resources of a service; NULL: not given. */
static const RlimitConfig *find_rlimit(const Key *key, const void *base) {
    const ResourceConfig *resources = field_home(key, base);
    for (size_t i = 0; i < resources->n_rlimits; i++)
        if (resources->rlimits[i].resource == key->resource)
            return &resources->rlimits[i];
    return NULL;
}

static bool is_given(const Key *key, const void *base) {
    return key->has == 0 || *(const bool *)(const void *)((const char *)field_home(key, base) + key->has);
}

static void format_integer(const Key *key, const void *field, Text *out) {
    int64_t value;
    if (key->size == sizeof(int)) {
        int i;
        memcpy(&i, field, sizeof(i));
        value = i;
    } else {
        memcpy(&value, field, sizeof(value));
    }
    /* Below its bounds is what stands for "not given", as -1 in a listener's options. */
    if (value < (key->type == KEY_DURATION ? 0 : key->min))
        return;
    if (key->type == KEY_SIZE)
        value_size_format((uint64_t)value, out);
    else if (key->type == KEY_PROCESSORS)
        value_processors_format((uint64_t)value, out);
    else if (key->type == KEY_DURATION)
        value_duration_format((uint64_t)value * USEC_PER_SEC, out);
    else
        text_addf(out, "%lld", (long long)value);
}

static void format_bool(const Key *key, const void *field, Text *out) {
    int value;
    if (key->size == sizeof(bool))
        value = *(const bool *)field;
    else
        memcpy(&value, field, sizeof(value));
    if (value >= 0)
        text_add(out, value ? "true" : "false");
}

static void format_word(const Key *key, const void *field, Text *out) {
    char word[32];
    unsigned value;
    if (key->size == sizeof(bool))
        value = *(const bool *)field;
    else
        memcpy(&value, field, sizeof(value));
    if (schema_word(key, value, word))
        text_add(out, word);
}

static void format_duration(const Key *key, const void *field, Text *out) {
    if (key->size == sizeof(int)) {
        format_integer(key, field, out);
        return;
    }
    uint64_t usec;
    memcpy(&usec, field, sizeof(usec));
    if (usec == USEC_INFINITY)
        text_add(out, "none");
    else
        value_duration_format(usec, out);
}

static void format_rate(const Key *key, const void *field, Text *out) {
    const Rate *rate = field;
    (void)key;
    if (rate->count > 0)
        value_rate_format(rate, out);
}

static void format_number(const Key *key, const void *field, Text *out) {
    double value;
    (void)key;
    memcpy(&value, field, sizeof(value));
    if (value > 0)
        value_number_format((uint64_t)(value * 1e6 + 0.5), out);
}

static void format_mode(const Key *key, const void *field, Text *out) {
    mode_t mode;
    (void)key;
    memcpy(&mode, field, sizeof(mode));
    text_addc(out, '"');
    value_mode_format(mode, out);
    text_addc(out, '"');
}

static void format_string(const Key *key, const void *field, Text *out) {
    (void)key;
    const char *s = *(char *const *)field;
    if (s)
        text_add(out, s);
}

static void format_list(const Key *key, const void *field, Text *out) {
    char *const *v = *(char **const *)field;
    if (!v)
        return;
    if (key->type == KEY_COMMAND) {
        value_words_format(v, out);
        return;
    }
    text_addc(out, '[');
    for (size_t i = 0; v[i]; i++) {
        text_add(out, i > 0 ? ", " : "");
        text_add(out, v[i]);
    }
    text_addc(out, ']');
}

static void format_io_priority(const Key *key, const void *field, Text *out) {
    int value;
    (void)key;
    memcpy(&value, field, sizeof(value));
    value_io_priority_format(value, out);
}

static void format_cpus(const Key *key, const void *field, Text *out) {
    (void)key;
    value_cpus_format(field, out);
}

static void format_rlimit(const Key *key, const RlimitConfig *limit, Text *out) {
    if (limit->value == RLIM_INFINITY)
        text_add(out, "unlimited");
    else if (key->type == KEY_RLIMIT_SIZE)
        value_size_format(limit->value, out);
    else if (key->type == KEY_RLIMIT_TIME)
        value_duration_format(limit->value * USEC_PER_SEC, out);
    else
        text_addf(out, "%llu", (unsigned long long)limit->value);
}

static bool equal_bytes(const Key *key, const void *a, const void *b) {
    return memcmp(a, b, key->size) == 0;
}

static bool equal_string(const Key *key, const void *a, const void *b) {
    (void)key;
    return streq_null(*(char *const *)a, *(char *const *)b);
}

static bool equal_list(const Key *key, const void *a, const void *b) {
    char *const *v = *(char **const *)a, *const *w = *(char **const *)b;
    (void)key;
    return (!v && !w) || (v && w && strv_equal(v, w));
}

static const struct {
    FieldFormat format;
    FieldEqual equal;
} operations[_KEY_TYPE_MAX] = {
    [KEY_SECTION] = {format_bool, equal_bytes}, /* those with a field: whether they are there */
    [KEY_BOOL] = {format_bool, equal_bytes},          [KEY_WORD] = {format_word, equal_bytes},
    [KEY_INTEGER] = {format_integer, equal_bytes},    [KEY_DURATION] = {format_duration, equal_bytes},
    [KEY_SIZE] = {format_integer, equal_bytes},       [KEY_RATE] = {format_rate, equal_bytes},
    [KEY_MODE] = {format_mode, equal_bytes},          [KEY_TEXT] = {format_string, equal_string},
    [KEY_PATH] = {format_string, equal_string},       [KEY_FDNAME] = {format_string, equal_string},
    [KEY_USER] = {format_string, equal_string},       [KEY_GROUP] = {format_string, equal_string},
    [KEY_LIST] = {format_list, equal_list},           [KEY_COMMAND] = {format_list, equal_list},
    [KEY_ENVIRONMENT] = {format_list, equal_list},    [KEY_IO_PRIORITY] = {format_io_priority, equal_bytes},
    [KEY_CPUS] = {format_cpus, equal_bytes},          [KEY_ENDPOINT] = {format_string, equal_string},
    [KEY_NUMBER] = {format_number, equal_bytes},      [KEY_PATHS] = {format_list, equal_list},
    [KEY_PROCESSORS] = {format_integer, equal_bytes},
};

/* Types whose field is a string, or a vector of strings. */
static bool is_string(const Key *key) {
    return operations[key->type].format == format_string;
}

static bool is_list(const Key *key) {
    return operations[key->type].format == format_list;
}

static bool is_rlimit(const Key *key) {
    return key->type == KEY_RLIMIT_COUNT || key->type == KEY_RLIMIT_SIZE || key->type == KEY_RLIMIT_TIME;
}

void field_format(const Key *key, const void *base, Text *out) {
    if (key->size == 0)
        return;
    if (is_rlimit(key)) {
        const RlimitConfig *limit = find_rlimit(key, base);
        if (limit)
            format_rlimit(key, limit, out);
    } else if (operations[key->type].format && is_given(key, base)) {
        operations[key->type].format(key, field_in(key, base), out);
    }
}

bool field_equal(const Key *key, const void *a, const void *b) {
    if (key->size == 0)
        return true;
    if (is_rlimit(key)) {
        const RlimitConfig *x = find_rlimit(key, a), *y = find_rlimit(key, b);
        return (!x && !y) || (x && y && x->value == y->value);
    }
    if (!operations[key->type].equal)
        return true;
    if (key->has > 0 && is_given(key, a) != is_given(key, b))
        return false;
    return operations[key->type].equal(key, field_in(key, a), field_in(key, b));
}

/* A number as such, where @text is one. */
static bool read_number(const char *text, int64_t *ret) {
    return value_signed(text, INT64_MIN, INT64_MAX, ret, NULL) == 0;
}

static void get_formatted(const Key *key, const void *base, Text *buffer, FieldValue *ret) {
    text_reset(buffer);
    if (key->size > 0)
        field_format(key, base, buffer);
    else if (key->standard) /* it can only have that */
        text_add(buffer, key->standard);
    if (buffer->len == 0)
        return;
    bool number = key->type == KEY_INTEGER || key->type == KEY_RLIMIT_COUNT;
    ret->text = buffer->s;
    if (key->type == KEY_BOOL || key->type == KEY_SECTION) {
        ret->kind = FIELD_BOOL;
        ret->truth = streq(buffer->s, "true");
    } else if (number && read_number(buffer->s, &ret->number)) {
        ret->kind = FIELD_INTEGER;
    } else {
        ret->kind = FIELD_TEXT;
    }
    if (key->type == KEY_MODE) { /* without its quotes */
        buffer->s[--buffer->len] = '\0';
        ret->text++;
    }
}

/* As a number it has thousandths; what is finer stays a text. */
static void get_number(const Key *key, const void *base, Text *buffer, FieldValue *ret) {
    double value;
    memcpy(&value, field_in(key, base), sizeof(value));
    get_formatted(key, base, buffer, ret);
    int64_t millionths = (int64_t)(value * 1e6 + 0.5);
    if (ret->kind != FIELD_TEXT || millionths % 1000 != 0)
        return;
    ret->kind = FIELD_NUMBER;
    ret->number = millionths / 1000;
}

void field_get(const Key *key, const void *base, Text *buffer, FieldValue *ret) {
    *ret = (FieldValue){.kind = FIELD_NONE};
    if (is_list(key) && key->size > 0) {
        ret->list = *(char **const *)field_in(key, base);
        ret->kind = ret->list ? FIELD_LIST : FIELD_NONE;
    } else if (is_string(key) && key->size > 0) {
        ret->text = *(char *const *)field_in(key, base);
        ret->kind = ret->text ? FIELD_TEXT : FIELD_NONE;
    } else if (key->type == KEY_NUMBER && key->size > 0) {
        get_number(key, base, buffer, ret);
    } else {
        get_formatted(key, base, buffer, ret);
    }
}

/* SPDX-License-Identifier: MIT */
#pragma once
/* Reading fields of a reply, forgiving: what is missing, null or of another type is "" or 0. */
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/text.h"

static inline const char *field_text(const json_t *object, const char *key) {
    const char *s = json_string_value(json_object_get(object, key));
    return s ? s : "";
}
static inline int64_t field_number(const json_t *object, const char *key) {
    return json_integer_value(json_object_get(object, key));
}
/* A count or time, never negative. */
static inline uint64_t field_count(const json_t *object, const char *key) {
    int64_t n = field_number(object, key);
    return n < 0 ? 0 : (uint64_t)n;
}
static inline bool field_given(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    return value && !json_is_null(value);
}
/* Appends the text of a field for showing: nothing in it reaches the terminal as a control. */
static inline void field_show(Text *out, const json_t *object, const char *key) {
    const char *s = field_text(object, key);
    text_add_escaped(out, s, __builtin_strlen(s));
}

/* SPDX-License-Identifier: MIT */
#pragma once
/* Writes compact JSON into a Text, commas by itself. Meant for large replies: no tree is built. Keys are
 * written as they are, so they are names of ours, never text from outside. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/base/text.h"

typedef struct JsonWriter {
    Text *out;
    bool comma; /* something stands before in this object or array */
} JsonWriter;

/* An object or array as an element, or with @key as a member; @key NULL for an element. */
void json_open_object(JsonWriter *w, const char *key);
void json_close_object(JsonWriter *w);
void json_open_array(JsonWriter *w, const char *key);
void json_close_array(JsonWriter *w);

/* Members of an object; with @key NULL, elements of an array. A NULL string is null. */
void json_add_string(JsonWriter *w, const char *key, const char *s);
void json_add_bool(JsonWriter *w, const char *key, bool b);
void json_add_null(JsonWriter *w, const char *key);
void json_add_int(JsonWriter *w, const char *key, int64_t n);
/* What exceeds 64-bit signed, the interface's int, becomes its largest value. */
void json_add_uint(JsonWriter *w, const char *key, uint64_t n);
/* A number of thousandths as a decimal fraction: 12400 as 12.4. */
void json_add_milli(JsonWriter *w, const char *key, uint64_t milli);
/* null when @n is @none. */
void json_add_uint_or_null(JsonWriter *w, const char *key, uint64_t n, uint64_t none);
/* A signal's name, "SIGKILL"; null for 0. */
void json_add_signal(JsonWriter *w, const char *key, int signal);

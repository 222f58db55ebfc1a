/* SPDX-License-Identifier: MIT */
#include "ctl/proto/json-writer.h"

#include <string.h>

#include "conf/value.h"

static void json_begin(JsonWriter *w, const char *key) {
    if (w->comma)
        text_addc(w->out, ',');
    w->comma = true;
    if (!key)
        return;
    text_add_n(w->out, "\"", 1);
    text_add(w->out, key);
    text_add_n(w->out, "\":", 2);
}

void json_open_object(JsonWriter *w, const char *key) {
    json_begin(w, key);
    text_addc(w->out, '{');
    w->comma = false;
}

void json_close_object(JsonWriter *w) {
    text_addc(w->out, '}');
    w->comma = true;
}

void json_open_array(JsonWriter *w, const char *key) {
    json_begin(w, key);
    text_addc(w->out, '[');
    w->comma = false;
}

void json_close_array(JsonWriter *w) {
    text_addc(w->out, ']');
    w->comma = true;
}

void json_add_string(JsonWriter *w, const char *key, const char *s) {
    json_begin(w, key);
    if (s)
        text_add_json(w->out, s, strlen(s));
    else
        text_add(w->out, "null");
}

void json_add_bool(JsonWriter *w, const char *key, bool b) {
    json_begin(w, key);
    text_add(w->out, b ? "true" : "false");
}

void json_add_null(JsonWriter *w, const char *key) {
    json_begin(w, key);
    text_add(w->out, "null");
}

void json_add_int(JsonWriter *w, const char *key, int64_t n) {
    if (n >= 0) {
        json_add_uint(w, key, (uint64_t)n);
        return;
    }
    json_begin(w, key);
    text_addf(w->out, "%lld", (long long)n);
}

void json_add_uint(JsonWriter *w, const char *key, uint64_t n) {
    json_begin(w, key);
    text_add_u64(w->out, n > INT64_MAX ? INT64_MAX : n);
}

void json_add_milli(JsonWriter *w, const char *key, uint64_t milli) {
    json_begin(w, key);
    text_addf(w->out, "%llu.%03llu", (unsigned long long)(milli / 1000), (unsigned long long)(milli % 1000));
}

void json_add_uint_or_null(JsonWriter *w, const char *key, uint64_t n, uint64_t none) {
    if (n == none)
        json_add_null(w, key);
    else
        json_add_uint(w, key, n);
}

void json_add_signal(JsonWriter *w, const char *key, int signal) {
    CLEANUP_TEXT Text name = {0};
    if (signal != 0)
        value_signal_format(signal, &name);
    json_add_string(w, key, name.s);
}

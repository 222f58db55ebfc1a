/* SPDX-License-Identifier: MIT */
#include "ctl/origins.h"

#include <string.h>

#include "conf/effective.h"
#include "conf/schema.h"
#include "ctl/fields.h"

#define SERVICES "services."

/* Whether it is a key of a service, or a part of one: an item of a list, a variable of `environment`. */
static bool is_key(const char *s) {
    CLEANUP_TEXT Text text = {0};
    text_add_n(&text, s, strcspn(s, "["));
    if (!text.s)
        return false;
    if (schema_find(KEY_SCOPE_SERVICE, text.s))
        return true;
    text.s[strcspn(text.s, ".")] = '\0';
    const Key *key = schema_find(KEY_SCOPE_SERVICE, text.s);
    return key && key->type == KEY_ENVIRONMENT;
}

const char *origin_key(const json_t *origin) {
    const char *key = field_text(origin, "key");
    if (!starts_with(key, SERVICES))
        return "";
    /* A service's name may have dots in it, too. */
    for (const char *dot = strchr(key + strlen(SERVICES), '.'); dot; dot = strchr(dot + 1, '.'))
        if (is_key(dot + 1))
            return dot + 1;
    return "";
}

void origin_service(const json_t *origin, Text *out) {
    const char *key = field_text(origin, "key"), *rest = origin_key(origin);
    key += *rest ? strlen(SERVICES) : 0;
    if (*rest)
        text_add_n(out, key, (size_t)(rest - key) - 1);
}

static void add_left_out(Origins *o, json_t *origin) {
    CLEANUP_TEXT Text service = {0};
    origin_service(origin, &service);
    if (!service.s)
        return;
    json_t *list = json_object_get(o->left_out, service.s);
    if (!list) {
        list = json_array();
        (void)json_object_set_new(o->left_out, service.s, list);
    }
    (void)json_array_append(list, origin);
}

void origins_init(Origins *o, const json_t *origins, const char *main_file) {
    const char *slash = main_file ? strrchr(main_file, '/') : NULL;
    *o = (Origins){
        .by_key = json_object(),
        .left_out = json_object(),
        .folder = slash ? strndup(main_file, (size_t)(slash - main_file) + 1) : NULL,
    };
    for (size_t i = 0; i < json_array_size(origins); i++) {
        json_t *origin = json_array_get(origins, i);
        if (json_is_true(json_object_get(origin, "applied")))
            (void)json_object_set(o->by_key, field_text(origin, "key"), origin);
        else
            add_left_out(o, origin);
    }
}

void origins_done(Origins *o) {
    json_decref(o->by_key);
    json_decref(o->left_out);
    free(o->folder);
}

const json_t *origins_left_out(const Origins *o, const char *service) {
    return json_object_get(o->left_out, service);
}

static void add_place(const Origins *o, const json_t *origin, Text *out) {
    const char *file = field_text(origin, "file");
    if (o->folder && starts_with(file, o->folder))
        file += strlen(o->folder);
    text_add_escaped(out, file, strlen(file));
    text_addf(out, ":%llu", (unsigned long long)field_count(origin, "line"));
}

void origin_format(const Origins *o, const json_t *origin, Text *out) {
    int from = config_from_from_string(field_text(origin, "from"));
    bool placed = field_given(origin, "file");
    if (from == CONFIG_FROM_DEFAULT)
        text_add(out, "default");
    else if (from == CONFIG_FROM_PRESET)
        text_add(out, "preset");
    else if (from == CONFIG_FROM_SET)
        text_add(out, "set, until the next reload");
    else if (from == CONFIG_FROM_DEFAULTS)
        text_add(out, placed ? "defaults, " : "defaults");
    if (placed)
        add_place(o, origin, out);
}

void origins_format(const Origins *o, const char *key, Text *out) {
    const json_t *origin = json_object_get(o->by_key, key);
    if (origin)
        origin_format(o, origin, out);
}

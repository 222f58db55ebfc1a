/* SPDX-License-Identifier: MIT */
#include "conf/effective.h"

#include <string.h>

#include "conf/config-build.h"
#include "conf/part.h"
#include "conf/preset.h"
#include "conf/schema.h"

static const char *const froms[] = {
    [CONFIG_FROM_DEFAULT] = "default", [CONFIG_FROM_FILE] = "file", [CONFIG_FROM_DEFAULTS] = "defaults",
    [CONFIG_FROM_SERVICE] = "service", [CONFIG_FROM_SET] = "set",   [CONFIG_FROM_PRESET] = "preset",
};
DEFINE_STRTAB(config_from, ConfigFrom, froms);

/* One mapping with its sections on the way. */
typedef struct Walk {
    const EffectiveVisitor *visitor;
    void *userdata;
    KeyScope scope;
    const void *base;             /* the struct of the scope */
    const ServiceConfig *service; /* NULL outside of services; its limits are those of the config */
    const ConfigOrigin *origins;
    size_t n_origins;
    uint32_t item;             /* of the endpoint, as origins count them; 0: no long form */
    const ListenConfig *plain; /* what an endpoint without options has */
    const char *prefix;        /* of its keys: "services.git." */
    char open[64];             /* the section that is open, "limits.source_prefix"; "": none */
    Text path, buffer;
} Walk;

static void walk_done(Walk *w) {
    text_done(&w->path);
    text_done(&w->buffer);
}

static bool walk_failed(const Walk *w) {
    return w->path.failed || w->buffer.failed;
}

static void open_map(const Walk *w, const char *name) {
    if (w->visitor->open_map)
        w->visitor->open_map(name, w->userdata);
}

static void close_map(const Walk *w) {
    if (w->visitor->close_map)
        w->visitor->close_map(w->userdata);
}

static void open_list(const Walk *w, const char *name) {
    if (w->visitor->open_list)
        w->visitor->open_list(name, w->userdata);
}

static void close_list(const Walk *w) {
    if (w->visitor->close_list)
        w->visitor->close_list(w->userdata);
}

static void visit_value(const Walk *w, const char *name, const FieldValue *value, bool secret) {
    if (w->visitor->value)
        w->visitor->value(name, value, secret, w->userdata);
}

static void visit_text(const Walk *w, const char *name, const char *text, bool secret) {
    const FieldValue value = {.kind = FIELD_TEXT, .text = text};
    visit_value(w, name, &value, secret);
}

/* Closes and opens sections until the one is open that the first @n bytes of @path name. */
static void enter(Walk *w, const char *path, size_t n) {
    size_t m;
    while ((m = strlen(w->open)) > 0 &&
           (m > n || memcmp(w->open, path, m) != 0 || (m < n && path[m] != '.'))) {
        char *dot = strrchr(w->open, '.');
        *(dot ? dot : w->open) = '\0';
        close_map(w);
    }
    while (m < n) {
        size_t start = m > 0 ? m + 1 : 0, end = start + strcspn(path + start, ".");
        memcpy(w->open, path, end);
        w->open[end] = '\0';
        open_map(w, w->open + start);
        m = end;
    }
}

/* The one that holds of several is the last. */
static const ConfigOrigin *find_origin(const Walk *w, const Key *key, uint32_t item) {
    const ConfigOrigin *found = NULL;
    for (size_t i = 0; i < w->n_origins; i++) {
        const ConfigOrigin *o = &w->origins[i];
        if (o->key == schema_index(key) && o->item == item && !o->ignored)
            found = o;
    }
    return found;
}

static ConfigFrom from_of(const Walk *w, const Key *key, const ConfigOrigin *origin) {
    if (!origin)
        return w->service && preset_gives(w->service, key) ? CONFIG_FROM_PRESET : CONFIG_FROM_DEFAULT;
    if (!w->service)
        return CONFIG_FROM_FILE;
    return origin->from_defaults ? CONFIG_FROM_DEFAULTS : CONFIG_FROM_SERVICE;
}

/* Tells the origin of @key, or of its @item, whose path goes on with @suffix. */
static void tell_origin(Walk *w, const Key *key, uint32_t item, const char *suffix) {
    if (!w->visitor->origin)
        return;
    const ConfigOrigin *origin = find_origin(w, key, item);
    text_reset(&w->path);
    text_add(&w->path, w->prefix);
    text_add(&w->path, key->path);
    text_add(&w->path, suffix);
    EffectiveOrigin told = {.key = w->path.s, .from = from_of(w, key, origin)};
    if (w->service && schema_is_limit(key) && !field_equal(key, w->service, w->base))
        told.from = CONFIG_FROM_SET;
    else if (origin)
        told.pos = origin->pos;
    if (text_ok(&w->path))
        w->visitor->origin(&told, w->userdata);
}

/* Whether @key can stand there at all, and says anything there. */
static bool is_shown(const Walk *w, const Key *key) {
    if (key->scope != w->scope)
        return false;
    switch (w->scope) {
    case KEY_SCOPE_FILE:
        return key->size > 0;
    case KEY_SCOPE_SERVICE:
        return schema_fits_model(key, w->service->model) &&
               (!key->part || part_is_there(w->base, key->part)) &&
               ((key->flags & KEY_OF_EXEC) == 0 || w->service->model != MODEL_FORWARD || w->service->exec);
    case KEY_SCOPE_LISTEN:
        return key->type == KEY_ENDPOINT || !field_equal(key, w->base, w->plain);
    case _KEY_SCOPE_MAX:
        break;
    }
    return false;
}

static void walk_list(Walk *w, const Key *key, char *const *list) {
    open_list(w, schema_leaf(key));
    for (; *list; list++)
        visit_text(w, NULL, *list, (key->flags & KEY_SECRET) != 0);
    close_list(w);
}

static void walk_environment(Walk *w, const Key *key, char *const *list) {
    CLEANUP_TEXT Text name = {0};
    open_map(w, schema_leaf(key));
    for (uint32_t i = 0; list[i]; i++) {
        size_t n = strcspn(list[i], "=");
        text_reset(&name);
        text_addc(&name, '.');
        text_add_n(&name, list[i], n);
        if (!text_ok(&name))
            w->buffer.failed = true;
        if (!name.s)
            continue;
        tell_origin(w, key, i + 1, name.s);
        visit_text(w, name.s + 1, list[i] + n + (list[i][n] == '='), (key->flags & KEY_SECRET) != 0);
    }
    close_map(w);
}

static void walk_listen(Walk *w, const Key *key);

static void walk_key(Walk *w, const Key *key) {
    FieldValue value;
    const char *leaf = schema_leaf(key);
    if (!is_shown(w, key))
        return;
    if (key->type == KEY_LISTEN) {
        walk_listen(w, key);
        return;
    }
    if (key->type == KEY_ENDPOINT && w->scope == KEY_SCOPE_LISTEN) {
        tell_origin(w, key, w->item, "");
        visit_text(w, leaf, ((const ListenConfig *)w->base)->endpoint.text, false);
        return;
    }
    field_get(key, w->base, &w->buffer, &value);
    if (value.kind == FIELD_NONE)
        return;
    if (key->type == KEY_SECTION) { /* to be there is to be wanted */
        if (value.truth)
            enter(w, key->path, strlen(key->path));
        return;
    }
    enter(w, key->path, leaf > key->path ? (size_t)(leaf - key->path) - 1 : 0);
    tell_origin(w, key, w->item, "");
    if (key->type == KEY_ENVIRONMENT)
        walk_environment(w, key, value.list);
    else if (value.kind == FIELD_LIST)
        walk_list(w, key, value.list);
    else
        visit_value(w, leaf, &value, (key->flags & KEY_SECRET) != 0);
}

static void walk_keys(Walk *w) {
    for (size_t i = 0; i < schema_n_keys(); i++)
        walk_key(w, schema_key(i));
    enter(w, "", 0);
}

/* Whether the endpoint has options. */
static bool is_long(const Walk *w) {
    for (size_t i = 0; i < schema_n_keys(); i++)
        if (schema_key(i)->type != KEY_ENDPOINT && is_shown(w, schema_key(i)))
            return true;
    return false;
}

static void walk_endpoint(Walk *w, const Key *key, uint32_t i) {
    const ListenConfig *l = &w->service->listen[i];
    ListenConfig plain;
    CLEANUP_TEXT Text suffix = {0};
    CLEANUP_TEXT Text prefix = {0};
    listen_config_init(&plain);
    plain.name = w->service->name;
    plain.mode = endpoint_standard_mode(l->endpoint.kind);
    text_addf(&suffix, "[%u]", i);
    text_addf(&prefix, "%s%s[%u].", w->prefix, key->path, i);
    if (!text_ok(&suffix) || !text_ok(&prefix)) {
        w->buffer.failed = true;
        return;
    }
    tell_origin(w, key, i + 1, suffix.s);
    CLEANUP(walk_done)
    Walk options = {
        .visitor = w->visitor,
        .userdata = w->userdata,
        .scope = KEY_SCOPE_LISTEN,
        .base = l,
        .service = w->service,
        .origins = w->origins,
        .n_origins = w->n_origins,
        .item = i + 1,
        .plain = &plain,
        .prefix = prefix.s,
    };
    if (is_long(&options)) {
        open_map(w, NULL);
        walk_keys(&options);
        close_map(w);
    } else {
        visit_text(w, NULL, l->endpoint.text, false);
    }
    w->buffer.failed = w->buffer.failed || walk_failed(&options);
}

static void walk_listen(Walk *w, const Key *key) {
    if (w->service->n_listen == 0) /* tcpmux reaches it */
        return;
    enter(w, "", 0);
    tell_origin(w, key, 0, "");
    open_list(w, schema_leaf(key));
    for (uint32_t i = 0; i < w->service->n_listen; i++)
        walk_endpoint(w, key, i);
    close_list(w);
}

/* Keys of `defaults` that were left alone. */
static void walk_ignored(Walk *w) {
    CLEANUP_TEXT Text note = {0};
    for (size_t i = 0; i < w->n_origins && w->visitor->origin; i++) {
        const ConfigOrigin *o = &w->origins[i];
        if (!o->ignored)
            continue;
        const Key *key = schema_key(o->key);
        text_reset(&note);
        if (schema_fits_model(key, w->service->model) && (key->flags & KEY_OF_EXEC) == 0)
            text_add(&note, "does not fit its endpoints");
        else
            text_addf(&note, "does not fit model %s", model_to_string(w->service->model));
        text_reset(&w->path);
        text_addf(&w->path, "%s%s", w->prefix, key->path);
        const EffectiveOrigin told = {
            .key = w->path.s, .from = CONFIG_FROM_DEFAULTS, .pos = o->pos, .note = note.s};
        if (text_ok(&w->path) && text_ok(&note))
            w->visitor->origin(&told, w->userdata);
    }
}

int effective_globals(const Config *c, const EffectiveVisitor *visitor, void *userdata) {
    CLEANUP(walk_done)
    Walk w = {
        .visitor = visitor,
        .userdata = userdata,
        .scope = KEY_SCOPE_FILE,
        .base = c,
        .origins = c->origins,
        .n_origins = c->n_origins,
        .prefix = "",
    };
    /* The version has no field: there is just one. */
    const Key *version = schema_find(KEY_SCOPE_FILE, "version");
    const FieldValue value = {.kind = FIELD_INTEGER, .number = version->max};
    tell_origin(&w, version, 0, "");
    visit_value(&w, version->path, &value, false);
    walk_keys(&w);
    return walk_failed(&w) ? -ENOMEM : 0;
}

int effective_service(const ServiceConfig *s, const LimitsConfig *limits, const EffectiveVisitor *visitor,
                      void *userdata) {
    ServiceTerms terms = *s->terms;
    ServiceConfig now = *s;
    CLEANUP_TEXT Text prefix = {0};
    text_addf(&prefix, "services.%s.", s->name);
    if (!text_ok(&prefix))
        return -ENOMEM;
    now.terms = &terms;
    if (limits)
        terms.limits = *limits;
    CLEANUP(walk_done)
    Walk w = {
        .visitor = visitor,
        .userdata = userdata,
        .scope = KEY_SCOPE_SERVICE,
        .base = &now,
        .service = s,
        .origins = s->origins,
        .n_origins = s->n_origins,
        .prefix = prefix.s,
    };
    open_map(&w, s->name);
    walk_keys(&w);
    walk_ignored(&w);
    close_map(&w);
    return walk_failed(&w) ? -ENOMEM : 0;
}

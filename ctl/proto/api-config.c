/* SPDX-License-Identifier: MIT */
/* The effective config as a reply of GetConfig: a document nested as a file would be, values as there. */
#include "conf/effective.h"
#include "ctl/proto/api.h"
#include "ctl/proto/reply.h"

typedef struct Document {
    JsonWriter *writer;
    bool secrets; /* show what is not for everybody's eyes */
} Document;

static void on_open_map(const char *name, void *userdata) {
    json_open_object(((Document *)userdata)->writer, name);
}

static void on_close_map(void *userdata) {
    json_close_object(((Document *)userdata)->writer);
}

static void on_open_list(const char *name, void *userdata) {
    json_open_array(((Document *)userdata)->writer, name);
}

static void on_close_list(void *userdata) {
    json_close_array(((Document *)userdata)->writer);
}

static void on_value(const char *name, const FieldValue *value, bool secret, void *userdata) {
    const Document *d = userdata;
    if (secret && !d->secrets)
        json_add_null(d->writer, name);
    else if (value->kind == FIELD_BOOL)
        json_add_bool(d->writer, name, value->truth);
    else if (value->kind == FIELD_INTEGER)
        json_add_int(d->writer, name, value->number);
    else if (value->kind == FIELD_NUMBER)
        json_add_milli(d->writer, name, (uint64_t)value->number);
    else
        json_add_string(d->writer, name, value->text);
}

static void on_origin(const EffectiveOrigin *o, void *userdata) {
    JsonWriter *w = ((Document *)userdata)->writer;
    json_open_object(w, NULL);
    json_add_string(w, "key", o->key);
    json_add_string(w, "from", config_from_to_string(o->from));
    json_add_string(w, "file", o->pos.file);
    json_add_uint_or_null(w, "line", o->pos.line, 0);
    json_add_uint_or_null(w, "column", o->pos.column, 0);
    json_add_bool(w, "applied", !o->note);
    json_add_string(w, "note", o->note);
    json_close_object(w);
}

static const EffectiveVisitor values = {
    .open_map = on_open_map,
    .close_map = on_close_map,
    .open_list = on_open_list,
    .close_list = on_close_list,
    .value = on_value,
};
static const EffectiveVisitor origins = {.origin = on_origin};

static int visit_services(const ApiConfig *c, const EffectiveVisitor *visitor, Document *d) {
    int r = 0;
    for (size_t i = 0; i < c->n_services && r == 0; i++)
        r = effective_service(c->services[i], c->limits ? c->limits[i] : NULL, visitor, d);
    return r;
}

static void check(Text *out, int r) {
    out->failed = out->failed || r < 0;
}

void api_encode_config_begin(Text *out, const ApiConfig *c) {
    JsonWriter w = reply_begin(out);
    Document d = {.writer = &w, .secrets = c->secrets};
    char *const *files = c->config->files;
    json_add_uint(&w, "generation", c->generation);
    json_add_string(&w, "path", files && *files ? *files : NULL);
    json_open_array(&w, "files");
    for (; c->globals && files && *files; files++)
        json_add_string(&w, NULL, *files);
    json_close_array(&w);
    json_open_object(&w, "config");
    check(out, c->globals ? effective_globals(c->config, &values, &d) : 0);
    json_open_object(&w, "services");
}

void api_encode_config_services(Text *out, const ApiConfig *c, bool *any) {
    JsonWriter w = {.out = out, .comma = *any};
    Document d = {.writer = &w, .secrets = c->secrets};
    check(out, visit_services(c, &values, &d));
    *any = w.comma;
}

void api_encode_config_turn(Text *out, const ApiConfig *c, bool *any) {
    JsonWriter w = {.out = out, .comma = true};
    Document d = {.writer = &w, .secrets = c->secrets};
    json_close_object(&w);
    json_close_object(&w);
    json_open_array(&w, "origins");
    check(out, c->origin && c->globals ? effective_globals(c->config, &origins, &d) : 0);
    *any = w.comma;
}

void api_encode_config_origins(Text *out, const ApiConfig *c, bool *any) {
    JsonWriter w = {.out = out, .comma = *any};
    Document d = {.writer = &w, .secrets = c->secrets};
    check(out, c->origin ? visit_services(c, &origins, &d) : 0);
    *any = w.comma;
}

void api_encode_config_end(Text *out, bool continues) {
    reply_end_list(out, continues);
}

void api_encode_config(Text *out, const ApiConfig *c, bool continues) {
    bool any = false;
    api_encode_config_begin(out, c);
    api_encode_config_services(out, c, &any);
    api_encode_config_turn(out, c, &any);
    api_encode_config_origins(out, c, &any);
    api_encode_config_end(out, continues);
}

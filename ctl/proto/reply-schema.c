/* SPDX-License-Identifier: MIT */
#include "ctl/proto/reply-schema.h"

#include <string.h>

/* Before the names of definitions. */
#define DOCUMENT "mpctl."

static json_t *reference(const char *prefix, const char *name) {
    return json_pack("{s:o}", "$ref", json_sprintf("#/definitions/%s%s", prefix, name));
}

/* What of the types is JSON's own; the rest are references. */
static const struct {
    const char *type, *json;
} plain_types[] = {
    {"string", "string"}, {"int", "integer"}, {"float", "number"}, {"bool", "boolean"}, {"object", "object"},
};

/* One of several, null among them where @nullable; takes @schema over. */
static json_t *or_null(json_t *schema, bool nullable) {
    return nullable ? json_pack("{s:[o, {s:s}]}", "anyOf", schema, "type", "null") : schema;
}

/* {"type": @json}, or with null beside it. */
static json_t *of_type(const char *json, bool nullable) {
    return nullable ? json_pack("{s:[s, s]}", "type", json, "null") : json_pack("{s:s}", "type", json);
}

/* @type without "?". */
static json_t *plain_schema(const char *type, bool nullable) {
    for (size_t i = 0; i < ELEMENTS(plain_types); i++)
        if (streq(plain_types[i].type, type))
            return of_type(plain_types[i].json, nullable);
    if (streq(type, "scalar"))
        return or_null(json_pack("{s:[s, s]}", "type", "string", "number"), nullable);
    return or_null(reference("", type), nullable);
}

static json_t *type_schema(const char *type) {
    bool nullable = type[0] == '?';
    type += nullable;
    if (!starts_with(type, "[]"))
        return plain_schema(type, nullable);
    json_t *list = of_type("array", nullable);
    (void)json_object_set_new(list, "items", plain_schema(type + 2, false));
    return list;
}

/* Beside a reference nothing counts (draft-07), so that one is wrapped. */
static json_t *describe(json_t *schema, const char *doc) {
    if (!doc)
        return schema;
    if (json_object_get(schema, "$ref"))
        schema = json_pack("{s:[o]}", "allOf", schema);
    (void)json_object_set_new(schema, "description", json_string(doc));
    return schema;
}

/* An object with all of @properties (taken over), and nothing else. */
static json_t *closed(json_t *properties) {
    json_t *required = json_array(), *value;
    const char *key;
    json_object_foreach(properties, key, value) {
        (void)json_array_append_new(required, json_string(key));
    }
    return json_pack("{s:s, s:o, s:o, s:b}", "type", "object", "properties", properties, "required", required,
                     "additionalProperties", 0);
}

static json_t *struct_schema(const ApiField *fields) {
    json_t *properties = json_object();
    for (const ApiField *f = fields; f->name; f++)
        (void)json_object_set_new(properties, f->name, describe(type_schema(f->type), f->doc));
    return closed(properties);
}

static json_t *counters_schema(const ApiType *type) {
    json_t *properties = json_object();
    const char *word;
    for (size_t i = 0; (word = type->word(i)); i++)
        (void)json_object_set_new(properties, word, of_type("integer", false));
    return closed(properties);
}

static json_t *words_schema(const ApiType *type) {
    json_t *words = json_array();
    const char *word;
    for (size_t i = 0; (word = type->word(i)); i++)
        (void)json_array_append_new(words, json_string(word));
    return json_pack("{s:o}", "enum", words);
}

static void add_types(json_t *definitions) {
    const ApiType *type;
    for (size_t i = 0; (type = api_type(i)); i++) {
        json_t *schema = type->counters ? counters_schema(type)
                         : type->word   ? words_schema(type)
                                        : struct_schema(type->fields);
        (void)json_object_set_new(definitions, type->name, describe(schema, type->doc));
    }
}

static void add_methods(json_t *definitions) {
    for (Method m = 0; m < _METHOD_MAX; m++) {
        const ApiMethod *method = api_method(m);
        (void)json_object_set_new(definitions, method->name,
                                  describe(struct_schema(method->out), method->doc));
    }
}

/* The parameters of each error, and the document that names one. */
static void add_errors(json_t *definitions) {
    json_t *any = json_array();
    const ApiErrorRow *row;
    for (size_t e = 0; (row = api_error(e)); e++) {
        (void)json_object_set_new(definitions, row->name, describe(struct_schema(row->fields), row->doc));
        json_t *document = closed(
            json_pack("{s:{s:s}, s:o}", "error", "const", row->name, "parameters", reference("", row->name)));
        (void)json_array_append_new(any, document);
    }
    (void)json_object_set_new(definitions, DOCUMENT "error",
                              describe(json_pack("{s:o}", "anyOf", any), "An error of any verb."));
}

static json_t *document_schema(const ReplyDocument *document) {
    json_t *schema;
    if (document->fields)
        schema = struct_schema(document->fields);
    else if (document->type)
        schema = reference("", document->type);
    else
        schema = reference(INTERFACE_CONTROL ".", document->method);
    return describe(schema, document->doc);
}

int reply_schema_format(const ReplyDocument *documents, size_t n, Text *out) {
    json_t *definitions = json_object(), *any = json_array();
    add_types(definitions);
    add_methods(definitions);
    add_errors(definitions);
    for (size_t i = 0; i < n; i++) {
        char name[64];
        (void)snprintf(name, sizeof(name), DOCUMENT "%s", documents[i].verb);
        (void)json_object_set_new(definitions, name, document_schema(&documents[i]));
        (void)json_array_append_new(any, reference("", name));
    }
    (void)json_array_append_new(any, reference(DOCUMENT, "error"));
    json_t *root = json_pack("{s:s, s:s, s:o, s:o}", "$schema", "http://json-schema.org/draft-07/schema#",
                             "title", "replies of mpinetd and documents of mpctl --json", "anyOf", any,
                             "definitions", definitions);
    char *text = root ? json_dumps(root, JSON_INDENT(2)) : NULL;
    json_decref(root);
    if (!text)
        return -ENOMEM;
    text_addf(out, "%s\n", text);
    free(text);
    return text_ok(out) ? 0 : -ENOMEM;
}

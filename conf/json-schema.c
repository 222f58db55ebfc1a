/* SPDX-License-Identifier: MIT */
#include "conf/json-schema.h"

#include <jansson.h>
#include <string.h>

#include "conf/schema.h"

/* The types, as definitions. Every scalar may also be an expansion, and YAML 1.2 reads some words of ours as
 * strings. */
static const char definitions[] =
    "{\"expansion\": {\"type\": \"string\", \"pattern\": \"\\\\$\\\\{\"},"
    " \"scalar\": {\"type\": [\"string\", \"number\", \"boolean\"]},"
    " \"boolean\": {\"anyOf\": [{\"type\": \"boolean\"},"
    "   {\"enum\": [\"true\", \"false\", \"yes\", \"no\", \"on\", \"off\"]}, {\"$ref\": "
    "\"#/definitions/expansion\"}]},"
    " \"number\": {\"anyOf\": [{\"type\": \"number\", \"minimum\": 0},"
    "   {\"type\": \"string\", \"pattern\": \"^([0-9.]+|none)$\"}, {\"$ref\": "
    "\"#/definitions/expansion\"}]},"
    " \"duration\": {\"anyOf\": [{\"type\": \"number\", \"minimum\": 0},"
    "   {\"type\": \"string\", \"pattern\": \"^([0-9]|none$|infinity$)\"}, {\"$ref\": "
    "\"#/definitions/expansion\"}]},"
    " \"size\": {\"anyOf\": [{\"type\": \"integer\", \"minimum\": 0},"
    "   {\"type\": \"string\", \"pattern\": \"^[0-9]+ ?[KMGT]?(iB|B)?$\"}, {\"$ref\": "
    "\"#/definitions/expansion\"}]},"
    " \"rlimit\": {\"anyOf\": [{\"type\": \"number\", \"minimum\": 0},"
    "   {\"type\": \"string\", \"pattern\": \"^([0-9]|unlimited$|infinity$)\"}, {\"$ref\": "
    "\"#/definitions/expansion\"}]},"
    " \"rate\": {\"anyOf\": [{\"type\": \"string\", \"pattern\": \"^([0-9]+ */|none$)\"},"
    "   {\"$ref\": \"#/definitions/expansion\"}]},"
    " \"mode\": {\"anyOf\": [{\"type\": \"integer\", \"minimum\": 0},"
    "   {\"type\": \"string\", \"pattern\": \"^(0o)?[0-7]+$\"}, {\"$ref\": \"#/definitions/expansion\"}]},"
    " \"path\": {\"anyOf\": [{\"type\": \"string\", \"pattern\": \"^/\"}, {\"$ref\": "
    "\"#/definitions/expansion\"}]},"
    " \"name\": {\"type\": [\"string\", \"integer\"]},"
    " \"list\": {\"anyOf\": [{\"$ref\": \"#/definitions/scalar\"},"
    "   {\"type\": \"array\", \"items\": {\"$ref\": \"#/definitions/scalar\"}}]},"
    " \"paths\": {\"anyOf\": [{\"$ref\": \"#/definitions/list-path\"},"
    "   {\"type\": \"array\", \"items\": {\"$ref\": \"#/definitions/list-path\"}}]},"
    " \"list-path\": {\"anyOf\": [{\"type\": \"string\", \"pattern\": \"^-?/\"}, {\"$ref\": "
    "\"#/definitions/expansion\"}]},"
    " \"processors\": {\"anyOf\": [{\"type\": \"number\", \"exclusiveMinimum\": 0},"
    "   {\"type\": \"string\", \"pattern\": \"^([0-9]+([.][0-9]+)?%?|none)$\"}, {\"$ref\": "
    "\"#/definitions/expansion\"}]},"
    " \"command\": {\"anyOf\": [{\"type\": \"string\", \"minLength\": 1},"
    "   {\"type\": \"array\", \"minItems\": 1, \"items\": {\"$ref\": \"#/definitions/scalar\"}}]},"
    " \"environment\": {\"type\": \"object\", \"propertyNames\": {\"pattern\": \"^[A-Za-z_][A-Za-z0-9_]*$\"},"
    "   \"additionalProperties\": {\"$ref\": \"#/definitions/scalar\"}},"
    " \"endpoint\": {\"anyOf\": [{\"type\": \"string\","
    "   \"pattern\": \"^(tcp|udp|unix|unix-dgram|unix-seqpacket|fifo|mqueue|vsock|systemd):\"},"
    "   {\"$ref\": \"#/definitions/expansion\"}]},"
    " \"endpoints\": {\"anyOf\": [{\"$ref\": \"#/definitions/endpoint\"}, {\"$ref\": "
    "\"#/definitions/listen\"},"
    "   {\"type\": \"array\", \"minItems\": 1, \"items\": {\"anyOf\": [{\"$ref\": "
    "\"#/definitions/endpoint\"},"
    "     {\"$ref\": \"#/definitions/listen\"}]}}]},"
    " \"services\": {\"type\": [\"object\", \"null\"],"
    "   \"propertyNames\": {\"pattern\": \"^[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}$\"},"
    "   \"additionalProperties\": {\"$ref\": \"#/definitions/service\"}},"
    " \"anything\": true}";

/* What runs a service, or what it does without; and how it is reached. */
static const char needs[] = "[{\"anyOf\": [{\"required\": [\"exec\"]}, {\"required\": [\"to\"]},"
                            "   {\"required\": [\"sensor\"]},"
                            "   {\"required\": [\"model\"], \"properties\": {\"model\": {\"const\": "
                            "\"tcpmux\"}}}]},"
                            " {\"anyOf\": [{\"required\": [\"listen\"]}, {\"required\": [\"tcpmux\"]}]}]";

static const char *const references[_KEY_TYPE_MAX] = {
    [KEY_EXTENSION] = "anything",  [KEY_DEFAULTS] = "defaults",
    [KEY_SERVICES] = "services",   [KEY_LISTEN] = "endpoints",
    [KEY_ENDPOINT] = "endpoint",   [KEY_BOOL] = "boolean",
    [KEY_NUMBER] = "number",       [KEY_DURATION] = "duration",
    [KEY_SIZE] = "size",           [KEY_RATE] = "rate",
    [KEY_MODE] = "mode",           [KEY_TEXT] = "scalar",
    [KEY_PATH] = "path",           [KEY_FDNAME] = "scalar",
    [KEY_USER] = "name",           [KEY_GROUP] = "name",
    [KEY_LIST] = "list",           [KEY_PATHS] = "paths",
    [KEY_COMMAND] = "command",     [KEY_ENVIRONMENT] = "environment",
    [KEY_RLIMIT_COUNT] = "rlimit", [KEY_RLIMIT_SIZE] = "rlimit",
    [KEY_RLIMIT_TIME] = "rlimit",  [KEY_IO_PRIORITY] = "scalar",
    [KEY_CPUS] = "name",           [KEY_PROCESSORS] = "processors",
};

/* Where a mapping of keys is described. */
typedef struct Place {
    KeyScope scope;
    const Key *parent;
    bool defaults;
} Place;

static json_t *reference(const char *name) {
    return json_pack("{s:o}", "$ref", json_sprintf("#/definitions/%s", name));
}

static json_t *words_schema(const Key *key) {
    json_t *words = json_array();
    char word[32];
    for (size_t i = 0; schema_word(key, i, word); i++)
        (void)json_array_append_new(words, json_string(word));
    return json_pack("{s:[{s:o}, o]}", "anyOf", "enum", words, reference("expansion"));
}

static json_t *integer_schema(const Key *key) {
    json_t *integer = json_pack("{s:s, s:I}", "type", "integer", "minimum", (json_int_t)key->min);
    if (key->max != 0 && key->max != INT64_MAX)
        (void)json_object_set_new(integer, "maximum", json_integer(key->max));
    return json_pack("{s:[o, {s:s, s:s}, o]}", "anyOf", integer, "type", "string", "pattern",
                     key->flags & KEY_OR_NONE ? "^([0-9]+|none)$" : "^-?[0-9]+$", reference("expansion"));
}

static json_t *mapping_schema(const Place *place);

static json_t *key_schema(const Key *key, bool defaults) {
    if (key->type == KEY_SECTION)
        return mapping_schema(&(Place){.scope = key->scope, .parent = key, .defaults = defaults});
    if (key->type == KEY_WORD)
        return words_schema(key);
    if (key->type == KEY_INTEGER)
        return integer_schema(key);
    if (key->type == KEY_SIZE && (key->flags & KEY_OR_NONE))
        return json_pack("{s:[o, {s:s}]}", "anyOf", reference(references[key->type]), "const", "none");
    return json_pack("{s:[o]}", "allOf", reference(references[key->type]));
}

/* Text of the table's default as a JSON value. */
static json_t *default_value(const Key *key) {
    json_t *value = json_loads(key->standard, JSON_DECODE_ANY, NULL);
    return value ? value : json_string(key->standard);
}

static void add_property(json_t *properties, const Key *key, bool defaults) {
    json_t *schema = key_schema(key, defaults);
    (void)json_object_set_new(schema, "description", json_string(key->help));
    if (key->standard)
        (void)json_object_set_new(schema, "default", default_value(key));
    (void)json_object_set_new(properties, schema_leaf(key), schema);
}

static json_t *mapping_schema(const Place *place) {
    json_t *properties = json_object(), *required = json_array();
    const Key *key;
    for (size_t at = 0; (key = schema_next_child(place->scope, place->parent, &at));) {
        if (key->type == KEY_EXTENSION || (place->defaults && (key->flags & KEY_NO_DEFAULTS)))
            continue;
        add_property(properties, key, place->defaults);
        if ((key->flags & KEY_REQUIRED) && place->scope != KEY_SCOPE_FILE)
            (void)json_array_append_new(required, json_string(schema_leaf(key)));
    }
    json_t *schema = json_pack("{s:o, s:o, s:b}", "type",
                               place->parent || place->defaults ? json_pack("[s, s]", "object", "null")
                                                                : json_string("object"),
                               "properties", properties, "additionalProperties", 0);
    if (json_array_size(required) > 0 && !place->defaults)
        (void)json_object_set(schema, "required", required);
    json_decref(required);
    return schema;
}

static json_t *all_definitions(void) {
    json_t *all = json_loads(definitions, 0, NULL);
    json_t *service = mapping_schema(&(Place){.scope = KEY_SCOPE_SERVICE});
    (void)json_object_set_new(service, "allOf", json_loads(needs, 0, NULL));
    (void)json_object_set_new(all, "service", service);
    (void)json_object_set_new(all, "defaults",
                              mapping_schema(&(Place){.scope = KEY_SCOPE_SERVICE, .defaults = true}));
    (void)json_object_set_new(all, "listen", mapping_schema(&(Place){.scope = KEY_SCOPE_LISTEN}));
    return all;
}

int json_schema_format(Text *out) {
    /* The version is not required: an included file has none, and is edited by the same schema. */
    json_t *schema = mapping_schema(&(Place){.scope = KEY_SCOPE_FILE});
    json_t *root = json_pack("{s:s, s:s}", "$schema", "http://json-schema.org/draft-07/schema#", "title",
                             "mpinetd configuration");
    (void)json_object_update(root, schema);
    json_decref(schema);
    (void)json_object_set_new(root, "patternProperties", json_pack("{s:b}", "^x-", 1));
    (void)json_object_set_new(root, "definitions", all_definitions());
    char *text = json_dumps(root, JSON_INDENT(2));
    json_decref(root);
    if (!text)
        return -ENOMEM;
    text_addf(out, "%s\n", text);
    free(text);
    return text_ok(out) ? 0 : -ENOMEM;
}

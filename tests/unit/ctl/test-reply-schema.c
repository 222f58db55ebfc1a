/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ctl/proto/reply-schema.h"

static const ApiField fields[] = {
    {"a", "string", NULL, 0},   {"b", "?int", "or not", 0},  {"c", "[]Service", NULL, 0},
    {"d", "?Workers", "so", 0}, {"e", "?[]string", NULL, 0}, {"f", "float", NULL, 0},
    {"g", "Level", "how", 0},   {"h", "bool", NULL, 0},      {"i", "scalar", NULL, 0},
    {"j", "?scalar", NULL, 0},  {"k", "object", NULL, 0},    {"l", "?" INTERFACE_CONTROL ".Ping", NULL, 0},
    {NULL, NULL, NULL, 0},
};

static json_t *schema(void) {
    const ReplyDocument documents[] = {
        {.verb = "status", .doc = "all", .method = "Status"},
        {.verb = "events", .doc = "each", .type = "Event"},
        {.verb = "own", .fields = fields},
    };
    Text text = {0};
    assert_int_equal(reply_schema_format(documents, ELEMENTS(documents), &text), 0);
    json_t *root = json_loads(text.s, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(root);
    text_done(&text);
    return root;
}

static const json_t *definition(const json_t *root, const char *name) {
    const json_t *found = json_object_get(json_object_get(root, "definitions"), name);
    if (!found)
        print_error("no definition: %s\n", name);
    assert_non_null(found);
    return found;
}

/* @schema as text is @wanted. */
static void assert_json(const json_t *value, const char *wanted) {
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    assert_string_equal(text, wanted);
    free(text);
}

static void test_types_of_fields(void **state) {
    static const char *const wanted[] = {
        "{\"type\":\"string\"}",
        "{\"type\":[\"integer\",\"null\"],\"description\":\"or not\"}",
        "{\"type\":\"array\",\"items\":{\"$ref\":\"#/definitions/Service\"}}",
        "{\"anyOf\":[{\"$ref\":\"#/definitions/Workers\"},{\"type\":\"null\"}],\"description\":\"so\"}",
        "{\"type\":[\"array\",\"null\"],\"items\":{\"type\":\"string\"}}",
        "{\"type\":\"number\"}",
        "{\"allOf\":[{\"$ref\":\"#/definitions/Level\"}],\"description\":\"how\"}",
        "{\"type\":\"boolean\"}",
        "{\"type\":[\"string\",\"number\"]}",
        "{\"anyOf\":[{\"type\":[\"string\",\"number\"]},{\"type\":\"null\"}]}",
        "{\"type\":\"object\"}",
        "{\"anyOf\":[{\"$ref\":\"#/definitions/dev.mpinetd.Control.Ping\"},{\"type\":\"null\"}]}",
    };
    json_t *root = schema();
    const json_t *own = definition(root, "mpctl.own");
    (void)state;
    assert_json(json_object_get(own, "type"), "\"object\"");
    assert_json(json_object_get(own, "additionalProperties"), "false");
    assert_json(json_object_get(own, "required"),
                "[\"a\",\"b\",\"c\",\"d\",\"e\",\"f\",\"g\",\"h\",\"i\",\"j\",\"k\",\"l\"]");
    for (size_t i = 0; fields[i].name; i++)
        assert_json(json_object_get(json_object_get(own, "properties"), fields[i].name), wanted[i]);
    json_decref(root);
}

static void assert_closed(const json_t *object, const ApiField *f) {
    size_t n = 0;
    for (; f->name; f++, n++)
        assert_non_null(json_object_get(json_object_get(object, "properties"), f->name));
    assert_int_equal(json_object_size(json_object_get(object, "properties")), n);
    assert_int_equal(json_array_size(json_object_get(object, "required")), n);
    assert_true(json_is_false(json_object_get(object, "additionalProperties")));
}

/* Each row of the tables is there, with its fields. */
static void test_complete(void **state) {
    json_t *root = schema();
    const ApiType *type;
    const ApiErrorRow *error;
    (void)state;
    for (size_t i = 0; (type = api_type(i)); i++) {
        const json_t *found = definition(root, type->name);
        size_t n = 0;
        if (type->fields)
            assert_closed(found, type->fields);
        while (type->word && type->word(n))
            n++;
        if (type->counters)
            assert_int_equal(json_object_size(json_object_get(found, "properties")), n);
        else if (type->word)
            assert_int_equal(json_array_size(json_object_get(found, "enum")), n);
    }
    for (Method m = 0; m < _METHOD_MAX; m++)
        assert_closed(definition(root, api_method(m)->name), api_method(m)->out);
    for (size_t e = 0; (error = api_error(e)); e++) {
        assert_closed(definition(root, error->name), error->fields);
        assert_non_null(json_array_get(json_object_get(definition(root, "mpctl.error"), "anyOf"), e));
    }
    json_decref(root);
}

/* Calls @f for each reference below @value. */
static void each_reference(const json_t *root, const json_t *value) {
    const char *key, *reference = json_string_value(json_object_get(value, "$ref"));
    json_t *member;
    static const char prefix[] = "#/definitions/";
    if (reference) {
        assert_true(starts_with(reference, prefix));
        (void)definition(root, reference + strlen(prefix));
    }
    json_object_foreach((json_t *)value, key, member) {
        each_reference(root, member);
    }
    for (size_t i = 0; i < json_array_size(value); i++)
        each_reference(root, json_array_get(value, i));
}

static void test_references(void **state) {
    json_t *root = schema();
    (void)state;
    each_reference(root, root);
    assert_json(json_object_get(definition(root, "mpctl.status"), "allOf"),
                "[{\"$ref\":\"#/definitions/dev.mpinetd.Control.Status\"}]");
    assert_json(json_object_get(definition(root, "mpctl.events"), "allOf"),
                "[{\"$ref\":\"#/definitions/Event\"}]");
    assert_int_equal(json_array_size(json_object_get(root, "anyOf")), 4);
    json_decref(root);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types_of_fields),
        cmocka_unit_test(test_complete),
        cmocka_unit_test(test_references),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

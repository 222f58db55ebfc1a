/* SPDX-License-Identifier: MIT */
/* The key table told to people (explain) and to editors (the JSON Schema). */
#include "conf/explain.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "conf/field.h"
#include "conf/json-schema.h"
#include "conf/schema.h"

static void test_key(void **state) {
    CLEANUP_TEXT Text text = {0};
    (void)state;
    assert_int_equal(explain_format("limits.instances", &text), 0);
    assert_string_equal(text.s, "limits.instances: the most processes that run at once\n\n"
                                "  Type      number, 1 to 1000000\n"
                                "  Default   1000\n"
                                "  Example   limits: {instances: 50}\n");
}

/* Parts of what is said of a key. */
static void test_parts(void **state) {
    static const struct {
        const char *key, *part;
    } cases[] = {
        {"listen.backlog", "Endpoints"},
        {"listen.backlog", "Default   the kernel's somaxconn\n"},
        {"restart.policy", "Type      never, on-failure, always\n"},
        {"restart.policy", "Models    on-demand and forward\n"},
        {"model", "forward, tcpmux\n"},
        {"timeouts.lifetime", "or none\n"},
        {"listen.endpoint", "Default   none: it must be given\n"},
        {"listen", "Default   none: every service must have it, but one that tcpmux reaches\n"},
        {"exec", "Default   none: every service must have it, but a sensor and one of model"},
        {"limits.per_source", "Type      number, 1 to 1000000, or none\n"},
        {"limits.rate", "Type      rate, or none\n"},
        {"limits.load", "or none\n"},
        {"exec", "Place     in a service only, not in defaults\n"},
        {"cgroup.pids_max", "Type      number, 1 to 4194304, or none\n"},
        {"cgroup.cpu_max", "Type      percent, or number of processors, 1% to 102400%, or none\n"},
        {"root_directory", "Default   not set\n"},
        {"control.mode", "Default   \"0660\"\n"},
        /* Sections: all of their keys */
        {"limits", "limits: who is admitted, how many and how fast\n"},
        {"limits", "\n  limits.instances "},
        {"limits", "\n  limits.when_full "},
        {"listen.keepalive", "\n  listen.keepalive.count "},
        {"ban", "\n  ban.after "},
        {"cgroup", "\n  cgroup.per_instance "},
        {"sandbox", "\n  sandbox.landlock.write "},
        /* Two keys of one name */
        {"log", "\n  log.level "},
        {"log", "\n  log.success "},
        {"listen", "where it listens"},
        /* Where they stand in a config */
        {"services.web.umask", "umask: "},
        {"defaults.umask", "umask: "},
        {"services", "services: the services, by name\n"},
    };
    (void)state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        CLEANUP_TEXT Text text = {0};
        int r = explain_format(cases[i].key, &text);
        if (r != 0 || !strstr(text.s, cases[i].part))
            fail_msg("%s: no '%s' in\n%s", cases[i].key, cases[i].part, text.s);
        assert_int_equal(text.s[text.len - 1], '\n');
    }
}

static void test_unknown(void **state) {
    static const struct {
        const char *key, *text;
    } cases[] = {
        {"limits.instance", "no key 'limits.instance'; did you mean 'limits.instances'?\n"},
        {"umsk", "no key 'umsk'; did you mean 'umask'?\n"},
        {"instnces", "no key 'instnces'; did you mean 'limits.instances'?\n"},
        {"nothing-like-it", "no key 'nothing-like-it'\n"},
        {"a\nb\x1b", "no key 'a\\x0ab\\x1b'\n"},
        {"limits.", "no key 'limits.'; did you mean 'limits'?\n"},
        {"limits.instances.x", "no key 'limits.instances.x'; did you mean 'limits.instances'?\n"},
    };
    (void)state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        CLEANUP_TEXT Text text = {0};
        assert_int_equal(explain_format(cases[i].key, &text), -ENOENT);
        assert_string_equal(text.s, cases[i].text);
    }
    CLEANUP_TEXT Text text = {0};
    assert_int_equal(explain_format("server_args", &text), -ENOENT);
    assert_true(starts_with(text.s, "no key 'server_args'; it is xinetd's word, here "));
}

/* Every key is in the list, and can be explained under the name it has there; no line is too long for a
 * screen. */
static void test_all(void **state) {
    CLEANUP_TEXT Text all = {0};
    CLEANUP_TEXT Text same = {0};
    (void)state;
    assert_int_equal(explain_format(NULL, &all), 0);
    assert_int_equal(explain_format("", &same), 0);
    assert_string_equal(all.s, same.s);
    for (size_t i = 0; i < schema_n_keys(); i++) {
        const Key *key = schema_key(i);
        char label[64], line[80];
        CLEANUP_TEXT Text text = {0};
        field_label(key, label);
        if (explain_format(label, &text) != 0 || !strstr(text.s, label))
            fail_msg("%s cannot be explained", label);
        (void)snprintf(line, sizeof(line), "\n  %s ", label);
        if (key->type != KEY_SECTION && !strstr(all.s, line))
            fail_msg("%s is not in the list", label);
        text_add(&text, all.s);
        for (const char *s = text.s; *s; s += strcspn(s, "\n") + 1)
            if (utf8_length(s, strcspn(s, "\n")) > 80)
                fail_msg("%s: %.*s", label, (int)strcspn(s, "\n"), s);
    }
}

/* A mapping that describes its properties leaves no room for others. */
static void check_closed(json_t *schema, const char *where) {
    const char *name;
    json_t *value;
    const json_t *properties = json_object_get(schema, "properties");
    if (properties && !json_is_false(json_object_get(schema, "additionalProperties")))
        fail_msg("%s takes any key", where);
    json_object_foreach(schema, name, value) {
        if (json_is_object(value))
            check_closed(value, name);
    }
}

/* Each "#/definitions/NAME" is there. */
static void check_references(json_t *node, const json_t *definitions) {
    const char *name;
    json_t *value;
    size_t i;
    if (json_is_array(node)) {
        json_array_foreach(node, i, value) check_references(value, definitions);
        return;
    }
    json_object_foreach(node, name, value) {
        const char *to = streq(name, "$ref") ? json_string_value(value) : NULL;
        if (to && (!starts_with(to, "#/definitions/") ||
                   !json_object_get(definitions, to + strlen("#/definitions/"))))
            fail_msg("%s leads nowhere", to);
        if (json_is_object(value) || json_is_array(value))
            check_references(value, definitions);
    }
}

/* The place of @key's schema below @at, or NULL. */
static const json_t *find_property(const json_t *at, const char *path) {
    while (at && *path) {
        char name[64];
        size_t n = strcspn(path, ".");
        (void)snprintf(name, sizeof(name), "%.*s", (int)n, path);
        at = json_object_get(json_object_get(at, "properties"), name);
        path += n + (path[n] == '.');
    }
    return at;
}

static void test_json_schema(void **state) {
    static const char *const scopes[] = {NULL, "service", "listen"};
    CLEANUP_TEXT Text text = {0};
    (void)state;
    assert_int_equal(json_schema_format(&text), 0);
    assert_int_equal(text.s[text.len - 1], '\n');
    json_t *root = json_loads(text.s, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(root);
    assert_string_equal(json_string_value(json_object_get(root, "$schema")),
                        "http://json-schema.org/draft-07/schema#");
    assert_string_equal(json_string_value(json_object_get(root, "type")), "object");
    const json_t *definitions = json_object_get(root, "definitions");
    check_closed(root, "the file");
    check_references(root, definitions);
    for (size_t i = 0; i < schema_n_keys(); i++) {
        const Key *key = schema_key(i);
        const json_t *at =
            key->scope == KEY_SCOPE_FILE ? root : json_object_get(definitions, scopes[key->scope]);
        bool there = find_property(at, key->path) != NULL;
        bool wanted = key->type != KEY_EXTENSION;
        if (there != wanted)
            fail_msg("%s: %s", key->path, there ? "is there" : "is not there");
        bool inherits = find_property(json_object_get(definitions, "defaults"), key->path) != NULL;
        if (key->scope == KEY_SCOPE_SERVICE && inherits != (wanted && (key->flags & KEY_NO_DEFAULTS) == 0))
            fail_msg("defaults: %s", key->path);
    }
    assert_non_null(json_object_get(json_object_get(root, "patternProperties"), "^x-"));
    json_decref(root);
}

static void test_json_schema_values(void **state) {
    CLEANUP_TEXT Text text = {0};
    (void)state;
    assert_int_equal(json_schema_format(&text), 0);
    json_t *root = json_loads(text.s, 0, NULL);
    const json_t *service = json_object_get(json_object_get(root, "definitions"), "service");
    const json_t *instances = find_property(service, "limits.instances");
    const json_t *integer = json_array_get(json_object_get(instances, "anyOf"), 0);
    assert_int_equal(json_integer_value(json_object_get(integer, "minimum")), 1);
    assert_int_equal(json_integer_value(json_object_get(integer, "maximum")), 1000000);
    assert_int_equal(json_integer_value(json_object_get(instances, "default")), 1000);
    const json_t *model =
        json_object_get(json_array_get(json_object_get(find_property(service, "model"), "anyOf"), 0), "enum");
    assert_int_equal(json_array_size(model), 5);
    assert_string_equal(json_string_value(json_array_get(model, 1)), "on-demand");
    /* What it runs or does, and how it is reached. */
    assert_null(json_object_get(service, "required"));
    const json_t *needs = json_object_get(service, "allOf");
    assert_int_equal(json_array_size(needs), 2);
    assert_int_equal(json_array_size(json_object_get(json_array_get(needs, 0), "anyOf")), 4);
    assert_int_equal(json_array_size(json_object_get(json_array_get(needs, 1), "anyOf")), 2);
    json_decref(root);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_key),         cmocka_unit_test(test_parts),
        cmocka_unit_test(test_unknown),     cmocka_unit_test(test_all),
        cmocka_unit_test(test_json_schema), cmocka_unit_test(test_json_schema_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

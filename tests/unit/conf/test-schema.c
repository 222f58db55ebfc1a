/* SPDX-License-Identifier: MIT */
/* The key table holds together, and every key of it is taken and refused by the reader as it says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "conf/field.h"
#include "conf/part.h"
#include "conf/schema.h"
#include "fixture.h"

typedef const char *(*Name)(int value);

#define NAMES(name, type)                                                                                    \
    static const char *name##_name(int value) {                                                              \
        return name##_to_string((type)value);                                                                \
    }
NAMES(model, Model)
NAMES(handoff, Handoff)
NAMES(stderr_target, StderrTarget)
NAMES(when_full, WhenFull)
NAMES(restart_policy, RestartPolicy)
NAMES(log_level, LogLevel)
NAMES(log_format, LogFormat)
NAMES(log_addresses, LogAddresses)
NAMES(shutdown_children, ShutdownChildren)

/* The words of the table are those of the enums, in their order. */
static void test_words_are_enums(void **state) {
    static const struct {
        KeyScope scope;
        const char *path;
        Name name;
    } cases[] = {
        {KEY_SCOPE_SERVICE, "model", model_name},
        {KEY_SCOPE_SERVICE, "pass", handoff_name},
        {KEY_SCOPE_SERVICE, "stderr", stderr_target_name},
        {KEY_SCOPE_SERVICE, "limits.when_full", when_full_name},
        {KEY_SCOPE_SERVICE, "restart.policy", restart_policy_name},
        {KEY_SCOPE_FILE, "log.level", log_level_name},
        {KEY_SCOPE_FILE, "log.format", log_format_name},
        {KEY_SCOPE_FILE, "log.addresses", log_addresses_name},
        {KEY_SCOPE_FILE, "shutdown.children", shutdown_children_name},
    };
    (void)state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        const Key *key = schema_find(cases[i].scope, cases[i].path);
        char word[32];
        size_t n = 0;
        assert_non_null(key);
        for (; schema_word(key, n, word); n++) {
            assert_string_equal(word, cases[i].name((int)n));
            assert_int_equal(schema_word_find(key, word), n);
        }
        assert_null(cases[i].name((int)n));
        assert_int_equal(schema_word_find(key, ""), -EINVAL);
    }
}

static void test_rows(void **state) {
    static const size_t sizes[] = {
        [KEY_SCOPE_FILE] = sizeof(Config),
        [KEY_SCOPE_SERVICE] = sizeof(ServiceConfig),
        [KEY_SCOPE_LISTEN] = sizeof(ListenConfig),
    };
    (void)state;
    for (size_t i = 0; i < schema_n_keys(); i++) {
        const Key *key = schema_key(i);
        assert_int_equal(schema_index(key), i);
        assert_ptr_equal(schema_find(key->scope, key->path), key);
        assert_true(key->help && *key->help);
        assert_true(key->type == KEY_SECTION || key->example);
        size_t home = key->part ? part_size(key->part) : sizes[key->scope];
        assert_true(key->offset + key->size <= home && key->has < home);
        assert_int_equal(key->part == KEY_PART_RESOURCES,
                         key->scope == KEY_SCOPE_SERVICE && starts_with(key->path, "resources."));
        assert_true(key->min <= key->max);
        assert_true((key->type == KEY_WORD) == (key->words != NULL));
        assert_true(strlen(key->path) < 50);
        const char *dot = strrchr(key->path, '.');
        if (dot) {
            char parent[64];
            (void)snprintf(parent, sizeof(parent), "%s", key->path);
            parent[dot - key->path] = '\0';
            const Key *section = schema_find(key->scope, parent);
            assert_true(section && section->type == KEY_SECTION && section < key);
            assert_ptr_equal(schema_child(key->scope, section, dot + 1), key);
        }
    }
    assert_null(schema_key(schema_n_keys()));
    assert_null(schema_find(KEY_SCOPE_SERVICE, "limits.nothing"));
    assert_null(schema_child(KEY_SCOPE_SERVICE, NULL, "instances"));
    assert_int_equal(schema_child(KEY_SCOPE_FILE, NULL, "x-anything")->type, KEY_EXTENSION);
    assert_null(schema_child(KEY_SCOPE_SERVICE, NULL, "x-anything"));
}

/* All have a field, or are read in another way. */
static void test_fields(void **state) {
    (void)state;
    for (size_t i = 0; i < schema_n_keys(); i++) {
        const Key *key = schema_key(i);
        if (key->scope == KEY_SCOPE_SERVICE && key->type != KEY_SECTION && key->type != KEY_LISTEN)
            assert_true(key->size > 0 || streq(key->path, "notify"));
    }
}

static void test_range(void **state) {
    static const struct {
        KeyScope scope;
        const char *path, *range;
    } cases[] = {
        {KEY_SCOPE_SERVICE, "limits.instances", "1 to 1000000"},
        {KEY_SCOPE_SERVICE, "restart.delay", "1ms to 1h"},
        {KEY_SCOPE_SERVICE, "resources.stack", "64K to 1024T"},
        {KEY_SCOPE_FILE, "version", "1"},
        {KEY_SCOPE_FILE, "control.socket", "at most 107 bytes"},
        {KEY_SCOPE_SERVICE, "pool.max_requests", "0 or more"},
        {KEY_SCOPE_SERVICE, "umask", ""},
        {KEY_SCOPE_SERVICE, "description", ""},
    };
    (void)state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        CLEANUP_TEXT Text range = {0};
        schema_range_format(schema_find(cases[i].scope, cases[i].path), &range);
        assert_string_equal(range.s ? range.s : "", cases[i].range);
    }
}

/* A whole config around one key's line, as its scope and model need it. */
static void wrap(const Key *key, const char *line, char text[static 1024]) {
    bool pool = key->models == 1U << MODEL_POOL;
    bool forward = key->models == 1U << MODEL_FORWARD, target = streq(key->path, "to");
    bool on_demand = !pool && key->models != 0 && !schema_fits_model(key, MODEL_PER_CONNECTION);
    bool at_listen = key->scope == KEY_SCOPE_LISTEN || key->type == KEY_LISTEN;
    const char *user = key->scope == KEY_SCOPE_SERVICE && streq(key->path, "user") ? "" : "    user: root\n";
    const char *exec = key->type == KEY_COMMAND ? "" : "    exec: [mp-echo]\n";
    if (key->scope == KEY_SCOPE_FILE && streq(key->path, "version"))
        (void)snprintf(text, 1024, "%s\n", line);
    else if (key->scope == KEY_SCOPE_FILE)
        (void)snprintf(text, 1024, "version: 1\n%s\n", line);
    else
        (void)snprintf(text, 1024, "version: 1\nservices:\n  s:\n%s%s%s    %s\n", exec, user,
                       at_listen   ? ""
                       : pool      ? "    listen: tcp:7007\n    model: pool\n"
                       : target    ? "    listen: tcp:7007\n    model: forward\n"
                       : forward   ? "    listen: tcp:7007\n    model: forward\n    to: tcp:10.0.0.1:80\n"
                       : on_demand ? "    listen: udp:7007\n"
                                   : "    listen: tcp:7007\n",
                       line);
}

/* Users, groups, programs and folders of the examples are not those of this machine. */
static bool only_missing(const Fixture *f) {
    for (size_t i = 0; i < f->diags.n; i++)
        if (f->diags.items[i].code != DIAG_NOT_FOUND && f->diags.items[i].code != DIAG_NOT_ALLOWED)
            return false;
    return true;
}

static void test_every_example_passes(void **state) {
    Fixture *f = *state;
    f->context.tolerate_missing = true;
    for (size_t i = 0; i < schema_n_keys(); i++) {
        const Key *key = schema_key(i);
        char text[1024], label[64];
        if (key->type == KEY_SECTION)
            continue;
        /* The one example with a whole service leaves the user out, as only an ordinary user may. */
        f->context.euid = key->type == KEY_SERVICES ? FIXTURE_USER : FIXTURE_ROOT;
        wrap(key, key->example, text);
        field_label(key, label);
        int r = fixture_load_text(f, text);
        if (r != 0 || !only_missing(f))
            fail_msg("%s: %s\n%s", label, f->diags.n > 0 ? f->diags.items[0].message : "?", text);
    }
}

/* "limits: {instances: [[[]]]}": a list of lists is right for no key. */
static void write_wrong(const Key *key, Text *line) {
    char label[64];
    size_t depth = 0;
    field_label(key, label);
    for (const char *s = label; *s; depth++) {
        size_t n = strcspn(s, ".");
        if (depth > 0)
            text_add(line, depth == 1 && key->scope == KEY_SCOPE_LISTEN ? "{endpoint: tcp:80, " : "{");
        text_add_n(line, s, n);
        text_add(line, ": ");
        s += n + (s[n] == '.');
    }
    text_add(line, "[[[]]]");
    for (; depth > 1; depth--)
        text_addc(line, '}');
}

static void test_every_key_fails(void **state) {
    Fixture *f = *state;
    for (size_t i = 0; i < schema_n_keys(); i++) {
        const Key *key = schema_key(i);
        CLEANUP_TEXT Text line = {0};
        char text[1024], label[64];
        if (key->type == KEY_EXTENSION)
            continue;
        write_wrong(key, &line);
        wrap(key, line.s, text);
        field_label(key, label);
        if (fixture_load_text(f, text) != -EINVAL)
            fail_msg("%s was taken:\n%s", label, text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words_are_enums),
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_range),
        cmocka_unit_test_setup_teardown(test_every_example_passes, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_every_key_fails, fixture_setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

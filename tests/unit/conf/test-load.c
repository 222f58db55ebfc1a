/* SPDX-License-Identifier: MIT */
/* Files, their includes, and what may not be read. */
#include "conf/load.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "conf/yaml.h"
#include "daemon/base/cleanup.h"
#include "daemon/base/text.h"
#include "fixture.h"

#define SERVICE(name, port) "services:\n  " name ": {listen: tcp:" port ", exec: [mp-echo], user: root}\n"

static void make_folder(const Fixture *f, const char *name) {
    assert_int_equal(mkdir(fixture_path(f, name), 0755), 0);
}

/* Sorted within a glob, each after its includer, once only; paths are relative to the includer. */
static void test_order(void **state) {
    static const char *const expected[] = {"main.yaml", "d/a.yaml", "d/sub/z.yaml",
                                           "d/b.yaml",  "d/c.yaml", "last.yaml"};
    Fixture *f = *state;
    make_folder(f, "d");
    make_folder(f, "d/sub");
    fixture_write(f, "main.yaml",
                  "version: 1\ninclude: [\"d/*.yaml\", last.yaml, d/b.yaml, \"none/*.yaml\"]\n", 0644);
    fixture_write(f, "d/c.yaml", SERVICE("c", "3"), 0644);
    fixture_write(f, "d/b.yaml", "version: 1\n" SERVICE("b", "2"), 0644);
    fixture_write(f, "d/a.yaml", "include: sub/z.yaml\n" SERVICE("a", "1"), 0644);
    fixture_write(f, "d/not.yml", "nonsense: [\n", 0644);
    fixture_write(f, "d/.hidden.yaml", "nonsense: [\n", 0644);
    fixture_write(f, "d/sub/z.yaml", SERVICE("0", "4"), 0644);
    fixture_write(f, "last.yaml", "defaults: {umask: 077}\n", 0644);
    (void)fixture_load(f, "main.yaml");
    fixture_expect(f, "order", "", NULL);
    for (size_t i = 0; i < ELEMENTS(expected); i++)
        assert_string_equal(f->config->files[i], fixture_path(f, expected[i]));
    assert_null(f->config->files[ELEMENTS(expected)]);
    assert_string_equal(f->config->path, fixture_path(f, "main.yaml"));
    assert_int_equal(f->config->n_services, 4);
    assert_string_equal(f->config->services[0]->name, "0");
    assert_string_equal(f->config->services[3]->name, "c");
    assert_string_equal(config_find(f->config, "b")->pos.file, fixture_path(f, "d/b.yaml"));
    assert_int_equal(config_find(f->config, "a")->umask, 077);
    assert_null(config_find(f->config, "d"));
}

/* @included: "part.yaml", where it is not empty. */
static void test_includes(void **state) {
    static const struct {
        const char *main, *included, *codes, *text;
    } cases[] = {
        {"version: 1\ninclude: []\n", "", "", NULL},
        {"version: 1\ninclude:\n", "", "", NULL},
        {"version: 1\ninclude: part.yaml\n", "services: {}\n", "", NULL},
        {"version: 1\ninclude: part.yaml\n", "", "", NULL},
        {"version: 1\ninclude: [\"${FOLDER}/part.yaml\"]\n", SERVICE("a", "1"), "", NULL},
        {"version: 1\ninclude: none.yaml\n", "", "not-found", "none.yaml: No such file"},
        {"version: 1\ninclude: [\"none-*.yaml\", \"no/such/*\"]\n", "", "", NULL},
        {"version: 1\ninclude: test.yaml\n", "", "conflict", "a file cannot include itself"},
        {"version: 1\ninclude: \"*.yaml\"\n", "", "conflict", "a file cannot include itself"},
        {"version: 1\ninclude: part.yaml\n", "include: test.yaml\n", "conflict",
         "a file cannot include itself"},
        {"version: 1\ninclude: [{a: b}]\n", "", "wrong-type", "include takes paths and globs"},
        {"version: 1\ninclude: [\"\"]\n", "", "bad-value", "include takes paths and globs"},
        {"version: 1\ninclude: part.yaml\n", "umsk: 1\n", "unknown-key", "unknown key 'umsk'"},
        {"version: 1\ninclude: part.yaml\n", "a: [\n", "yaml", NULL},
        {"version: 1\ninclude: part.yaml\n", "version: 2\n", "out-of-range", "version"},
        {"include: part.yaml\n", "version: 1\n", "missing-key", "the file has no 'version'"},
        {"version: 1\ninclude: part.yaml\nlog: {level: info}\n", "log: {format: json}\n", "", NULL},
        {"version: 1\ninclude: part.yaml\nlog: {level: info}\n", "log: {level: info}\n", "duplicate-key",
         "'log.level' is set by two files"},
        {"version: 1\ninclude: part.yaml\ndefaults: {umask: 7}\n", "defaults: {umask: 7}\n", "duplicate-key",
         "'umask' is set by two files"},
        {"version: 1\ninclude: part.yaml\nx-a: 1\n", "x-a: 2\n", "", NULL},
        {"version: 1\ninclude: part.yaml\n" SERVICE("a", "1"), SERVICE("a", "2"), "duplicate-key",
         "service 'a' is there twice"},
    };
    Fixture *f = *state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        fixture_write(f, "part.yaml", cases[i].included, 0644);
        (void)fixture_load_text(f, cases[i].main);
        fixture_expect(f, cases[i].main, cases[i].codes, cases[i].text);
    }
}

/* Both places of what is there twice. */
static void test_both_places(void **state) {
    Fixture *f = *state;
    char hint[256];
    fixture_write(f, "part.yaml", "# one\n" SERVICE("a", "2"), 0644);
    (void)fixture_load_text(f, "version: 1\ninclude: part.yaml\n" SERVICE("a", "1"));
    (void)snprintf(hint, sizeof(hint), "the other one is at %s:4:3", fixture_path(f, "test.yaml"));
    fixture_expect(f, "twice", "duplicate-key", hint);
    assert_string_equal(f->diags.items[0].file, fixture_path(f, "part.yaml"));
    assert_int_equal(f->diags.items[0].line, 3);
    assert_int_equal(f->diags.items[0].column, 3);
}

/* Diagnostics come in the order of the files, then of their lines. */
static void test_sorted(void **state) {
    Fixture *f = *state;
    static const unsigned lines[] = {3, 5, 6, 1, 2};
    fixture_write(f, "part.yaml", "umsk: 1\nlog: {level: no}\n", 0644);
    (void)fixture_load_text(f, "version: 1\ninclude: part.yaml\nshutdown: 5\nservices:\n"
                               "  z: {listen: udp:7, exec: [mp-echo], user: root, model: per-connection}\n"
                               "  a: {listen: tcp:7, exec: [mp-echo], user: root, umask: 9}\n");
    assert_int_equal(f->diags.n, ELEMENTS(lines));
    for (size_t i = 0; i < ELEMENTS(lines); i++)
        assert_int_equal(f->diags.items[i].line, lines[i]);
}

static void test_refused_files(void **state) {
    static const struct {
        const char *name, *codes, *text;
    } cases[] = {
        {"fifo", "not-allowed", "not a regular file"}, {"folder", "not-allowed", "a folder, not a file"},
        {"zero", "not-allowed", "not a regular file"}, {"dangling", "not-found", "No such file"},
        {"round", "not-allowed", "Too many levels"},   {"main.yaml/x", "not-found", "Not a directory"},
        {"big.yaml", "limit", "larger than 1 MiB"},
    };
    Fixture *f = *state;
    assert_int_equal(mkfifo(fixture_path(f, "fifo"), 0644), 0);
    make_folder(f, "folder");
    assert_int_equal(symlink("/dev/zero", fixture_path(f, "zero")), 0);
    assert_int_equal(symlink("nowhere", fixture_path(f, "dangling")), 0);
    assert_int_equal(symlink("round", fixture_path(f, "round")), 0);
    fixture_write(f, "big.yaml", "", 0644);
    assert_int_equal(truncate(fixture_path(f, "big.yaml"), YAML_FILE_MAX + 1), 0);
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        char text[256];
        (void)snprintf(text, sizeof(text), "version: 1\ninclude: [%s]\n", cases[i].name);
        fixture_write(f, "main.yaml", text, 0644);
        (void)fixture_load(f, "main.yaml");
        fixture_expect(f, text, cases[i].codes, cases[i].text);
        assert_int_equal(f->diags.items[0].line, 2);
        assert_int_equal(f->diags.items[0].column, 11);
        (void)fixture_load(f, cases[i].name);
        fixture_expect(f, cases[i].name, cases[i].codes, cases[i].text);
        assert_string_equal(f->diags.items[0].file, fixture_path(f, cases[i].name));
        assert_int_equal(f->diags.items[0].line, 0);
    }
}

/* Just 1 MiB is fine. */
static void test_largest(void **state) {
    Fixture *f = *state;
    static const char head[] = "version: 1\n#";
    CLEANUP_FREE char *text = malloc(YAML_FILE_MAX + 2);
    assert_non_null(text);
    memset(text, 'x', YAML_FILE_MAX + 1);
    memcpy(text, head, sizeof(head) - 1);
    for (size_t extra = 0; extra < 2; extra++) {
        text[YAML_FILE_MAX + extra - 1] = '\n';
        text[YAML_FILE_MAX + extra] = '\0';
        (void)fixture_load_text(f, text);
        fixture_expect(f, "a large file", extra == 0 ? "" : "limit", NULL);
        text[YAML_FILE_MAX + extra - 1] = 'x';
    }
}

static void test_unreadable(void **state) {
    Fixture *f = *state;
    fixture_write(f, "secret.yaml", "version: 1\n", 0600);
    fixture_write(f, "main.yaml", "version: 1\ninclude: secret.yaml\n", 0644);
    bool root = geteuid() == 0;
    if (!root)
        assert_int_equal(chmod(fixture_path(f, "secret.yaml"), 0), 0);
    else
        assert_int_equal(seteuid(FIXTURE_USER), 0);
    (void)fixture_load(f, "main.yaml");
    if (root)
        assert_int_equal(seteuid(0), 0);
    fixture_expect(f, "unreadable", "not-allowed", "secret.yaml: Permission denied");
}

/* A file that others may write to is no place for what root runs. */
static void test_writable(void **state) {
    Fixture *f = *state;
    fixture_write(f, "open.yaml", "version: 1\n", 0666);
    (void)fixture_load(f, "open.yaml");
    fixture_expect(f, "open", "~not-allowed", "everybody may write to this file");
    f->context.euid = FIXTURE_USER;
    (void)fixture_load(f, "open.yaml");
    fixture_expect(f, "own", "", NULL);
}

static void test_too_many_files(void **state) {
    Fixture *f = *state;
    make_folder(f, "many");
    for (unsigned i = 1; i <= YAML_FILES_MAX; i++) {
        char name[32];
        (void)snprintf(name, sizeof(name), "many/%04u.yaml", i);
        fixture_write(f, name, "", 0644);
        if (i < YAML_FILES_MAX - 1)
            continue;
        (void)fixture_load_text(f, "version: 1\ninclude: \"many/*.yaml\"\n");
        fixture_expect(f, "many files", i < YAML_FILES_MAX ? "" : "limit", NULL);
    }
}

static void test_expansion(void **state) {
    static const struct {
        const char *value, *description, *codes;
    } cases[] = {
        {"${SET}", "value", ""},
        {"a ${SET} b", "a value b", ""},
        {"${UNSET:-other}", "other", ""},
        {"${SET:-other}", "value", ""},
        {"$${SET}", "${SET}", ""},
        {"${UNSET}", NULL, "bad-value"},
        {"${UNSET:?is needed}", NULL, "bad-value"},
        {"${SE}", NULL, "bad-value"}, /* the beginning of a name is not the name */
    };
    Fixture *f = *state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        char body[128];
        (void)snprintf(body, sizeof(body), "    listen: tcp:7\n    description: \"%s\"", cases[i].value);
        (void)fixture_load_service(f, body);
        fixture_expect(f, body, cases[i].codes, NULL);
        if (cases[i].description)
            assert_string_equal(f->config->services[0]->description, cases[i].description);
    }
    f->context.environ = NULL;
    (void)fixture_load_service(f, "    listen: tcp:7\n    description: \"${SET}\"");
    fixture_expect(f, "no environment", "bad-value", "SET");
}

/* Relative names stay as they were given, but for whoever is told from elsewhere. */
static void test_names(void **state) {
    static const struct {
        const char *path;
        bool absolute;
        const char *shown;
    } cases[] = {
        {"bad.yaml", false, "bad.yaml"},   {"./bad.yaml", false, "./bad.yaml"},
        {"bad.yaml", true, "/bad.yaml"},   {"./bad.yaml", true, "/bad.yaml"},
        {"none.yaml", true, "/none.yaml"},
    };
    Fixture *f = *state;
    char cwd[4096];
    assert_non_null(getcwd(cwd, sizeof(cwd)));
    fixture_write(f, "bad.yaml", "version: 1\numsk: 1\n", 0644);
    assert_int_equal(chdir(f->folder), 0);
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        CLEANUP_DIAGS DiagList diags = {0};
        Config *c = NULL;
        f->context.absolute_names = cases[i].absolute;
        assert_int_equal(config_load(cases[i].path, &f->context, &diags, &c), -EINVAL);
        assert_null(c);
        const char *file = diags.items[0].file;
        size_t n = cases[i].absolute ? strlen(f->folder) : 0;
        if (strncmp(file, f->folder, n) != 0 || !streq(file + n, cases[i].shown))
            fail_msg("%s: %s", cases[i].path, file);
    }
    assert_int_equal(chdir(cwd), 0);
}

/* What was in the list before is no concern of this load, and stays first. */
static void test_earlier_diagnostics(void **state) {
    Fixture *f = *state;
    static const DiagPos nowhere = {.file = "zzz"};
    fixture_write(f, "good.yaml", "version: 1\n", 0644);
    CLEANUP_DIAGS DiagList diags = {0};
    Config *c = NULL;
    diag_add(&diags, DIAG_ERROR, DIAG_LIMIT, &nowhere, NULL, NULL, "earlier");
    assert_int_equal(config_load(fixture_path(f, "good.yaml"), &f->context, &diags, &c), 0);
    assert_int_equal(diags.n, 1);
    assert_null(config_unref(c));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_order),      TEST(test_includes),      TEST(test_both_places),
        TEST(test_sorted),     TEST(test_refused_files), TEST(test_largest),
        TEST(test_unreadable), TEST(test_writable),      TEST(test_too_many_files),
        TEST(test_expansion),  TEST(test_names),         TEST(test_earlier_diagnostics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

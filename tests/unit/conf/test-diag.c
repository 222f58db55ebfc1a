/* SPDX-License-Identifier: MIT */
#include "conf/diag.h"

#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* One diagnostic with what is to be printed for it. */
typedef struct Case {
    const char *name;
    DiagSeverity severity;
    DiagCode code;
    DiagPos pos;
    const char *excerpt, *hint, *message;
    const char *shown;
} Case;

static const Case cases[] = {
    {"as the manual has it",
     DIAG_ERROR,
     DIAG_UNKNOWN_KEY,
     {"services.d/web.yaml", 7, 7, 16},
     "      per_sorce: 5",
     "did you mean 'per_source'?",
     "unknown key 'per_sorce' in limits",
     "services.d/web.yaml:7:7: error: unknown key 'per_sorce' in limits [unknown-key]\n"
     "    7 |       per_sorce: 5\n"
     "      |       ^~~~~~~~~ did you mean 'per_source'?\n"},
    {"no hint",
     DIAG_WARNING,
     DIAG_CONFLICT,
     {"a", 1, 1, 2},
     "x\ny",
     NULL,
     "m",
     "a:1:1: warning: m [conflict]\n    1 | x\n      | ^\n"},
    {"line with CRLF",
     DIAG_ERROR,
     DIAG_YAML,
     {"a", 123456, 3, 4},
     "a: b\r\nc",
     "h",
     "m",
     "a:123456:3: error: m [yaml]\n123456 | a: b\n      |   ^ h\n"},
    {"no excerpt", DIAG_ERROR, DIAG_LIMIT, {"a", 2, 3, 4}, NULL, "h", "m", "a:2:3: error: m [limit]: h\n"},
    {"no line", DIAG_ERROR, DIAG_NOT_FOUND, {"a", 0, 0, 0}, "x", "", "m", "a: error: m [not-found]\n"},
    {"no file", DIAG_ERROR, DIAG_NOT_ALLOWED, {NULL, 0, 0, 0}, NULL, NULL, "m", "error: m [not-allowed]\n"},
    {"tab before the mark",
     DIAG_ERROR,
     DIAG_YAML,
     {"a", 1, 2, 3},
     "\tx",
     NULL,
     "m",
     "a:1:2: error: m [yaml]\n    1 |         x\n      |         ^\n"},
    {"tab within the mark",
     DIAG_ERROR,
     DIAG_YAML,
     {"a", 1, 1, 4},
     "a\tb c",
     NULL,
     "m",
     "a:1:1: error: m [yaml]\n    1 | a       b c\n      | ^~~~~~~~~\n"},
    {"controls are escaped and counted",
     DIAG_ERROR,
     DIAG_YAML,
     {"a\x1b", 1, 3, 4},
     "\x1b"
     "bc",
     "\x07",
     "\x9b"
     "m",
     "a\\x1b:1:3: error: \\x9bm [yaml]\n    1 | \\x1bbc\n      |      ^ \\x07\n"},
    {"invalid UTF-8",
     DIAG_ERROR,
     DIAG_YAML,
     {"a", 1, 2, 3},
     "\xff"
     "b",
     NULL,
     "m",
     "a:1:2: error: m [yaml]\n    1 | \\xffb\n      |     ^\n"},
    {"mark behind the end",
     DIAG_ERROR,
     DIAG_YAML,
     {"a", 1, 9, 12},
     "abc",
     NULL,
     "m",
     "a:1:9: error: m [yaml]\n    1 | abc\n      |    ^\n"},
    {"mark over the end",
     DIAG_ERROR,
     DIAG_YAML,
     {"a", 1, 2, 99},
     "abc",
     NULL,
     "m",
     "a:1:2: error: m [yaml]\n    1 | abc\n      |  ^~\n"},
    {"no end",
     DIAG_ERROR,
     DIAG_YAML,
     {"a", 1, 2, 0},
     "abc",
     NULL,
     "m",
     "a:1:2: error: m [yaml]\n    1 | abc\n      |  ^\n"},
    {"accents are one column",
     DIAG_ERROR,
     DIAG_YAML,
     {"a", 1, 4, 5},
     "äöüx",
     NULL,
     "m",
     "a:1:4: error: m [yaml]\n    1 | äöüx\n      |    ^\n"},
};

static void test_format(void **state) {
    (void)state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        const Case *c = &cases[i];
        CLEANUP_DIAGS DiagList list = {0};
        diag_add(&list, c->severity, c->code, &c->pos, c->excerpt, c->hint, "%s", c->message);
        CLEANUP_TEXT Text out = {0};
        diag_format(&list.items[0], &out);
        if (!streq(out.s, c->shown))
            fail_msg("%s: got\n%sinstead of\n%s", c->name, out.s, c->shown);
    }
}

static void test_wide(void **state) {
    (void)state;
    if (!setlocale(LC_CTYPE, "C.UTF-8"))
        skip();
    CLEANUP_DIAGS DiagList list = {0};
    const DiagPos pos = {"a", 1, 3, 4};
    diag_add(&list, DIAG_ERROR, DIAG_YAML, &pos, "日本語x", NULL, "m");
    CLEANUP_TEXT Text out = {0};
    diag_format(&list.items[0], &out);
    assert_string_equal(out.s, "a:1:3: error: m [yaml]\n    1 | 日本語x\n      |     ^~\n");
    (void)setlocale(LC_CTYPE, "C");
}

static void test_line(void **state) {
    (void)state;
    CLEANUP_DIAGS DiagList list = {0};
    const DiagPos pos = {"a", 1, 3, 4};
    diag_add(&list, DIAG_ERROR, DIAG_YAML, &pos, "abc", "h\n", "m%d", 5);
    CLEANUP_TEXT Text out = {0};
    diag_format_line(&list.items[0], &out);
    assert_string_equal(out.s, "a:1:3: error: m5 [yaml]: h\\x0a");
}

/* A line of @n characters, marked at @column: what is shown of it is short, and the mark stands under its
 * character. */
static void check_long_line(size_t n, unsigned column) {
    CLEANUP_TEXT Text line = {0}, out = {0};
    for (size_t i = 1; i <= n; i++)
        text_addc(&line, i == column ? 'X' : '.');
    CLEANUP_DIAGS DiagList list = {0};
    const DiagPos pos = {"a", 1, column, column + 1};
    diag_add(&list, DIAG_ERROR, DIAG_YAML, &pos, line.s, NULL, "m");
    diag_format(&list.items[0], &out);
    const char *shown = strchr(out.s, '\n') + 1;
    const char *mark = strchr(shown, '\n') + 1;
    const char *x = strchr(shown, 'X');
    assert_non_null(x);
    /* "…" takes three bytes and one column. */
    size_t dots = x > shown && strstr(shown, "…") && strstr(shown, "…") < x ? 2 : 0;
    assert_int_equal(strchr(mark, '^') - mark, (x - shown) - (ptrdiff_t)dots);
    assert_true((size_t)(mark - shown) < 120);
}

static void test_long_lines(void **state) {
    (void)state;
    static const unsigned columns[] = {1, 2, 40, 60, 61, 62, 99, 100, 101, 500, 4000, 5000};
    for (size_t i = 0; i < ELEMENTS(columns); i++)
        check_long_line(5000, columns[i]);
    check_long_line(100, 100);
    check_long_line(101, 101);
    check_long_line(16384, 16384);
}

static void test_far_mark(void **state) {
    (void)state;
    CLEANUP_TEXT Text line = {0}, out = {0};
    for (size_t i = 0; i < 100000; i++)
        text_addc(&line, '.');
    CLEANUP_DIAGS DiagList list = {0};
    const DiagPos pos = {"a", 1, 50000, 50001};
    diag_add(&list, DIAG_ERROR, DIAG_YAML, &pos, line.s, NULL, "m");
    diag_format(&list.items[0], &out);
    assert_string_equal(out.s, "a:1:50000: error: m [yaml]\n");
}

static void add(DiagList *list, DiagSeverity severity, const char *file, unsigned line) {
    const DiagPos pos = {file, line, 1, 2};
    diag_add(list, severity, DIAG_YAML, &pos, NULL, NULL, "m");
}

static void test_counts(void **state) {
    (void)state;
    static const struct {
        size_t errors, warnings, files;
        const char *tail, *count;
    } counts[] = {
        {1, 0, 1, NULL, "1 error in 1 file\n"},
        {3, 0, 2, "generation 7 stays in force", "3 errors in 2 files; generation 7 stays in force\n"},
        {0, 1, 1, NULL, "1 warning in 1 file\n"},
        {0, 2, 1, "", "2 warnings in 1 file; \n"},
        {1, 1, 1, NULL, "1 error and 1 warning in 1 file\n"},
        {2, 2, 3, NULL, "2 errors and 2 warnings in 3 files\n"},
        {1, 0, 0, NULL, "1 error\n"},
    };
    static const char *const files[] = {"a", "b", "c"};
    for (size_t i = 0; i < ELEMENTS(counts); i++) {
        CLEANUP_DIAGS DiagList list = {0};
        for (size_t j = 0; j < counts[i].errors + counts[i].warnings; j++)
            add(&list, j < counts[i].errors ? DIAG_ERROR : DIAG_WARNING,
                counts[i].files ? files[j % counts[i].files] : NULL, (unsigned)j + 1);
        CLEANUP_TEXT Text out = {0};
        diag_list_format(&list, counts[i].tail, &out);
        size_t n = strlen(counts[i].count);
        assert_true(out.len > n);
        assert_string_equal(out.s + out.len - n, counts[i].count);
    }
}

/* What belongs to no line is given no column either, whatever its place says. */
static void test_no_place(void **state) {
    static const DiagPos places[] = {{0}, {.file = "a"}, {.file = "a", .end_column = 1}, {"a", 0, 3, 4}};
    (void)state;
    CLEANUP_DIAGS DiagList list = {0};
    diag_add(&list, DIAG_ERROR, DIAG_LIMIT, NULL, NULL, NULL, "m");
    for (size_t i = 0; i < ELEMENTS(places); i++)
        diag_add(&list, DIAG_ERROR, DIAG_LIMIT, &places[i], NULL, NULL, "m");
    assert_int_equal(list.n, 1 + ELEMENTS(places));
    for (size_t i = 0; i < list.n; i++)
        assert_int_equal(list.items[i].line + list.items[i].column + list.items[i].end_column, 0);
}

static void test_one_warning_for_a_place(void **state) {
    (void)state;
    CLEANUP_DIAGS DiagList list = {0};
    for (int i = 0; i < 3; i++) {
        add(&list, DIAG_WARNING, "a", 1);
        add(&list, DIAG_WARNING, "a", 2);
        add(&list, DIAG_WARNING, "b", 1);
        add(&list, DIAG_WARNING, "", 0);
        add(&list, DIAG_ERROR, "a", 1);
    }
    assert_int_equal(list.n_errors, 3);
    assert_int_equal(list.n, 3 + 3 + 3);
}

static size_t count_lines(const char *s) {
    size_t n = 0;
    for (; *s; s++)
        n += *s == '\n' ? 1 : 0;
    return n;
}

static void test_empty(void **state) {
    (void)state;
    DiagList list = {0};
    CLEANUP_TEXT Text out = {0};
    diag_list_format(&list, "tail", &out);
    assert_int_equal(out.len, 0);
}

static void test_many(void **state) {
    (void)state;
    CLEANUP_DIAGS DiagList list = {0};
    for (unsigned i = 1; i <= 20; i++)
        add(&list, DIAG_ERROR, "a", i);
    CLEANUP_TEXT Text out = {0};
    diag_list_format(&list, NULL, &out);
    assert_int_equal(count_lines(out.s), 21);
    assert_null(strstr(out.s, "more"));
    for (unsigned i = 21; i <= 5000; i++)
        add(&list, DIAG_ERROR, "a", i);
    text_reset(&out);
    diag_list_format(&list, NULL, &out);
    assert_int_equal(count_lines(out.s), 22);
    assert_non_null(strstr(out.s, "\n… and 4980 more errors\n5000 errors in 1 file\n"));
    assert_int_equal(list.n, 1000);
    assert_int_equal(list.n_dropped, 4000);
}

static void test_errors_before_warnings(void **state) {
    (void)state;
    CLEANUP_DIAGS DiagList list = {0};
    for (unsigned i = 1; i <= 30; i++)
        add(&list, DIAG_WARNING, "w", i);
    CLEANUP_TEXT Text out = {0};
    diag_list_format(&list, NULL, &out);
    assert_non_null(strstr(out.s, "… and 10 more warnings\n30 warnings in 1 file\n"));
    add(&list, DIAG_ERROR, "e", 1);
    text_reset(&out);
    diag_list_format(&list, NULL, &out);
    assert_string_equal(out.s, "e:1:1: error: m [yaml]\n1 error and 30 warnings in 2 files\n");
}

static void test_move(void **state) {
    (void)state;
    CLEANUP_DIAGS DiagList to = {0}, from = {0};
    for (unsigned i = 1; i <= 600; i++)
        add(&to, DIAG_ERROR, "a", i);
    for (unsigned i = 1; i <= 1100; i++)
        add(&from, i % 2 ? DIAG_ERROR : DIAG_WARNING, "b", i);
    diag_list_move(&to, &from);
    assert_int_equal(to.n, 1000);
    assert_int_equal(to.n_errors, 600 + 550);
    assert_int_equal(to.n_dropped, 700);
    assert_string_equal(to.items[600].file, "b");
    assert_int_equal(from.n + from.n_errors + from.n_dropped, 0);
    assert_null(from.items);
}

static void test_copy(void **state) {
    (void)state;
    CLEANUP_DIAGS DiagList to = {0}, from = {0};
    CLEANUP_TEXT Text one = {0}, other = {0};
    add(&to, DIAG_ERROR, "a", 1);
    const DiagPos pos = {"b", 7, 3, 5};
    diag_add(&from, DIAG_WARNING, DIAG_CONFLICT, &pos, "abcdef", "h", "m");
    diag_list_about(&from, 0, "exec");
    for (unsigned i = 1; i <= 1200; i++)
        add(&from, DIAG_ERROR, "b", i);
    diag_list_copy(&to, &from);
    assert_int_equal(from.n, 1000);
    assert_int_equal(to.n, 1000);
    assert_int_equal(to.n_errors, 1 + 1200);
    assert_int_equal(to.n + to.n_dropped, 1 + 1 + 1200);
    diag_format(&from.items[0], &one);
    diag_format(&to.items[1], &other);
    assert_string_equal(one.s, other.s);
    assert_string_equal(to.items[1].key, "exec");
    assert_ptr_not_equal(to.items[1].key, from.items[0].key);
    assert_int_equal(to.items[1].end_column, 5);
}

static void test_names(void **state) {
    (void)state;
    for (int i = 0; i < _DIAG_CODE_MAX; i++)
        assert_int_equal(diag_code_from_string(diag_code_to_string((DiagCode)i)), i);
    for (int i = 0; i < _DIAG_SEVERITY_MAX; i++)
        assert_int_equal(diag_severity_from_string(diag_severity_to_string((DiagSeverity)i)), i);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_format),
        cmocka_unit_test(test_wide),
        cmocka_unit_test(test_line),
        cmocka_unit_test(test_long_lines),
        cmocka_unit_test(test_far_mark),
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_no_place),
        cmocka_unit_test(test_one_warning_for_a_place),
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_errors_before_warnings),
        cmocka_unit_test(test_move),
        cmocka_unit_test(test_copy),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include "conf/yaml.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char *lookup(const char *name, void *userdata) {
    (void)userdata;
    return streq(name, "USER") ? "me" : streq(name, "BAD") ? "\xff" : streq(name, "CONTROL") ? "\x1b" : NULL;
}

/* A file that was read, with what was said of it. */
typedef struct Result {
    int r;
    YamlFile *file;
    DiagList diags;
    YamlBudget budget;
} Result;

static void result_done(Result *x) {
    x->file = yaml_file_free(x->file);
    diag_list_done(&x->diags);
}

static Result parse_n(const char *text, size_t n) {
    Result x = {0};
    x.r = yaml_parse("f", text, n, &x.budget, lookup, NULL, &x.diags, &x.file);
    if (x.r == 0)
        assert_non_null(x.file);
    else
        assert_null(x.file);
    if (x.r == -EINVAL)
        assert_true(x.diags.n_errors > 0);
    return x;
}

static Result parse(const char *text) {
    return parse_n(text, strlen(text));
}

/* The tree on one line: {key: value}, [item], 'quoted', text, ~; a merged key has a + before it. */
static void show(const YamlNode *node, Text *out) {
    if (!node || node->kind == YAML_NULL) {
        text_add(out, "~");
    } else if (node->kind == YAML_SCALAR) {
        text_addf(out, node->quoted ? "'%s'" : "%s", node->text);
    } else {
        bool mapping = node->kind == YAML_MAPPING;
        text_add(out, mapping ? "{" : "[");
        for (size_t i = 0; i < node->n; i++) {
            text_add(out, i > 0 ? ", " : "");
            if (mapping)
                text_addf(out, "%s%s: ", node->pairs[i].merged ? "+" : "", node->pairs[i].key->text);
            show(mapping ? node->pairs[i].value : node->items[i], out);
        }
        text_add(out, mapping ? "}" : "]");
    }
}

static void test_trees(void **state) {
    (void)state;
    static const struct {
        const char *in, *tree;
    } cases[] = {
        {"", "~"},
        {"# only a comment\n", "~"},
        {"---\n", "~"},
        {"~", "~"},
        {"a: 1", "{a: 1}"},
        {"a: b\nc: [1, '2', \"3\"]\n", "{a: b, c: [1, '2', '3']}"},
        {"a:\n- b\n- c: d\n", "{a: [b, {c: d}]}"},
        {"a:\nb: ~\nc: null\nd: ''\ne: '~'\n", "{a: ~, b: ~, c: ~, d: '', e: '~'}"},
        {"~: 1\nnull: 2\n'': 3", "{~: 1, null: 2, : 3}"},
        {"a: !!str\nb: !!str ~\nc: !!null x\nd: !!int 5\ne: ! x", "{a: '', b: '~', c: ~, d: 5, e: 'x'}"},
        {"a: !!seq [b]\nc: !!map {d: e}", "{a: [b], c: {d: e}}"},
        {"a: 0660\nb: no\nc: 22:30\nd: 1.10", "{a: 0660, b: no, c: 22:30, d: 1.10}"},
        {"a: tcp:[::1]:80\nb: [\"::1\"]\nc:\n- ::1", "{a: tcp:[::1]:80, b: ['::1'], c: [::1]}"},
        {"a: |\n  b\n  c\nd: >-\n  e\n  f\n", "{a: 'b\nc\n', d: 'e f'}"},
        {"a: \"tab\\tnewline\\ncr\\r\"", "{a: 'tab\tnewline\ncr\r'}"},
        {"\xef\xbb\xbf"
         "a: b",
         "{a: b}"},
        {"a: b\r\nc: d\r\n", "{a: b, c: d}"},
        {"%YAML 1.2\n---\na: b\n...\n", "{a: b}"},
        {"{a: b, 'c': d, e}", "{a: b, c: d, e: ~}"},
        {"[]", "[]"},
        {"{}", "{}"},
        {"just text", "just text"},
        {"a: &x b\nc: *x", "{a: b, c: b}"},
        {"a: &x [1, 2]\nb: [*x, *x]", "{a: [1, 2], b: [[1, 2], [1, 2]]}"},
        {"&k a: 1\nb: *k", "{a: 1, b: a}"},
        {"a: &k x\n*k : 1", "{a: x, x: 1}"},
        {"a: &x 1\nb: &x 2\nc: *x", "{a: 1, b: 2, c: 2}"},
        {"a: ${USER}\nb: '${USER}'\nc: \"x${USER}\"\nd: [$USER, $$, \"${NO:-y}\"]",
         "{a: me, b: 'me', c: 'xme', d: [$USER, $, 'y']}"},
        {"${USER}: 1", "{${USER}: 1}"},
        {"a: |\n  ${USER}\n", "{a: 'me\n'}"},
        {"a: ${NO:-}", "{a: }"},
        {"a: ${NO:-~}", "{a: ~}"},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        CLEANUP(result_done) Result x = parse(cases[i].in);
        if (x.r != 0 || x.diags.n != 0)
            fail_msg("%s: %s", cases[i].in, x.diags.n ? x.diags.items[0].message : "?");
        CLEANUP_TEXT Text out = {0};
        show(yaml_file_root(x.file), &out);
        if (!streq(out.s, cases[i].tree))
            fail_msg("%s: %s", cases[i].in, out.s);
    }
}

static void test_merge(void **state) {
    (void)state;
    static const struct {
        const char *in, *tree;
    } cases[] = {
        {"a: &a {x: 1, y: 2}\nb:\n  <<: *a\n  y: 3\n", "{a: {x: 1, y: 2}, b: {y: 3, +x: 1}}"},
        {"a: &a {x: 1, y: 2}\nb:\n  y: 3\n  <<: *a\n", "{a: {x: 1, y: 2}, b: {y: 3, +x: 1}}"},
        {"a: &a {x: 1}\nb: &b {x: 2, y: 2}\nc: {<<: [*a, *b], z: 3}",
         "{a: {x: 1}, b: {x: 2, y: 2}, c: {z: 3, +x: 1, +y: 2}}"},
        {"a: {<<: {x: 1}}", "{a: {+x: 1}}"},
        {"a: &a {<<: {x: 1}, y: 2}\nb: {<<: *a}", "{a: {y: 2, +x: 1}, b: {+y: 2, +x: 1}}"},
        {"a: {<<: []}", "{a: {}}"},
        {"a: {'<<': 1}", "{a: {<<: 1}}"},
        {"<<: {a: 1}", "{+a: 1}"},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        CLEANUP(result_done) Result x = parse(cases[i].in);
        assert_int_equal(x.r, 0);
        assert_int_equal(x.diags.n, 0);
        CLEANUP_TEXT Text out = {0};
        show(yaml_file_root(x.file), &out);
        assert_string_equal(out.s, cases[i].tree);
    }
}

/* What is wrong, where and what to do; `r` says whether there is still a tree. */
typedef struct ErrorCase {
    const char *in;
    int r;
    unsigned line, column, end_column;
    DiagCode code;
    const char *message; /* a part of it */
    const char *hint;    /* a part of it, or NULL */
} ErrorCase;

static const ErrorCase error_cases[] = {
    /* IPv6 in brackets */
    {"a: [::1]", -EINVAL, 1, 5, 8, DIAG_YAML, "IPv6 address in a [ ] list needs quotes", "write: [\"::1\"]"},
    {"a: [127.0.0.1, ::1]", -EINVAL, 1, 16, 19, DIAG_YAML, "IPv6 address", "[\"::1\"]"},
    {"a: [fe80::]", -EINVAL, 1, 5, 11, DIAG_YAML, "IPv6 address", "[\"fe80::\"]"},
    {"a: [tcp:[::1]:80]", -EINVAL, 1, 5, 17, DIAG_YAML, "IPv6 address", "\"tcp:[::1]:80\""},
    {"a: [::]:80", -EINVAL, 1, 4, 11, DIAG_YAML, "IPv6 address", "\"[::]:80\""},
    /* aliases that are none */
    {"a: *:80", -EINVAL, 1, 4, 5, DIAG_YAML, "alias", "for all addresses write tcp:80"},
    {"a: * b", -EINVAL, 1, 4, 5, DIAG_YAML, "alias", "quote"},
    {"a: & c", -EINVAL, 1, 4, 5, DIAG_YAML, "anchor", "quote"},
    {"a: *b", 0, 1, 4, 6, DIAG_YAML, "'&b'", NULL},
    {"a: &base 1\nb: *bsae", 0, 2, 4, 9, DIAG_YAML, "'&bsae'", "did you mean '*base'?"},
    {"a: &b [*b]", 0, 1, 8, 10, DIAG_YAML, "within what it names", NULL},
    {"a: &b {c: {<<: *b}}", 0, 1, 16, 18, DIAG_YAML, "within what it names", NULL},
    /* signs that need quotes */
    {"a: %b", -EINVAL, 1, 4, 5, DIAG_YAML, "'%' must be quoted", NULL},
    {"a: @b", -EINVAL, 1, 4, 5, DIAG_YAML, "'@' must be quoted", NULL},
    {"a: `b", -EINVAL, 1, 4, 5, DIAG_YAML, "'`' must be quoted", NULL},
    {"a: !inc b", 0, 1, 4, 5, DIAG_YAML, "'!inc'", NULL},
    {"a: !include b", 0, 1, 4, 5, DIAG_YAML, "'!include'", "include: [FILE]"},
    {"a: !!binary aGk=", 0, 1, 4, 5, DIAG_YAML, "'!!binary'", NULL},
    {"a: !!seq x", 0, 1, 4, 5, DIAG_YAML, "'!!seq'", NULL},
    {"a: !foo!bar x", -EINVAL, 1, 4, 5, DIAG_YAML, "tag", NULL},
    {"a: !<x", -EINVAL, 1, 4, 5, DIAG_YAML, "tag", NULL},
    {"a: |x", -EINVAL, 1, 5, 6, DIAG_YAML, "'|'", NULL},
    {"a: ? b", -EINVAL, 1, 4, 5, DIAG_YAML, "'?'", NULL},
    {"a: ]", -EINVAL, 1, 4, 5, DIAG_YAML, "']'", NULL},
    {"a: [${X}]", -EINVAL, 1, 5, 9, DIAG_YAML, "needs quotes", "\"${X}\""},
    {"a: {{ x }}", 0, 1, 5, 6, DIAG_YAML, "a mapping cannot be a key", "quote"},
    {"? [a]\n: b", 0, 1, 3, 4, DIAG_YAML, "a list cannot be a key", NULL},
    /* quotes and brackets that are not closed */
    {"a: \"b\nc: d\n", -EINVAL, 1, 4, 5, DIAG_YAML, "never closed", NULL},
    {"a: 'b\nc: d\n", -EINVAL, 1, 4, 5, DIAG_YAML, "never closed", NULL},
    {"a: \"b\nc: \"d\"\n", -EINVAL, 1, 4, 5, DIAG_YAML, "closed only in line 2", NULL},
    {"a: [b, c\nd: e\n", -EINVAL, 1, 4, 5, DIAG_YAML, "never closed", "before line 2"},
    {"a: [b, c", -EINVAL, 1, 4, 5, DIAG_YAML, "never closed", "']'"},
    {"a: {b: c\nd: e\n", -EINVAL, 1, 4, 5, DIAG_YAML, "never closed", NULL},
    {"a: [\"b\" \"c\"]", -EINVAL, 1, 9, 10, DIAG_YAML, "','", NULL},
    {"a: [b]]", -EINVAL, 1, 7, 8, DIAG_YAML, "too many", NULL},
    {"a: b\n}\n", -EINVAL, 2, 1, 2, DIAG_YAML, "too many", NULL},
    {"a: \"\\q\"", -EINVAL, 1, 5, 6, DIAG_YAML, "escapes", "backslash"},
    {"a: \"\\xzz\"", -EINVAL, 1, 7, 8, DIAG_YAML, "escapes", NULL},
    /* lines */
    {"a:\n\tb: c\n", -EINVAL, 2, 1, 2, DIAG_YAML, "tab", "spaces, not tabs"},
    {"\ta: b\n", -EINVAL, 1, 1, 2, DIAG_YAML, "tab", NULL},
    {"a: b: c\n", -EINVAL, 1, 5, 6, DIAG_YAML, "second ':'", "quote"},
    {"a: b\n  c: d\n", -EINVAL, 2, 4, 5, DIAG_YAML, "has its value already", "column"},
    {"a: b\nfoo\nc: d\n", -EINVAL, 2, 1, 2, DIAG_YAML, "':' is missing", NULL},
    {"a: - b\n", -EINVAL, 1, 4, 5, DIAG_YAML, "list cannot begin here", NULL},
    {"a:\n  b: 1\n c: 2\n", -EINVAL, 3, 2, 3, DIAG_YAML, "column of the keys", NULL},
    {" a: 1\nb: 2\n", -EINVAL, 2, 1, 2, DIAG_YAML, "does not belong", NULL},
    {"a: 1\n- b\n", -EINVAL, 2, 1, 2, DIAG_YAML, "list item cannot stand", NULL},
    {"- a\nb: c\n", -EINVAL, 2, 1, 2, DIAG_YAML, "goes on with '- '", NULL},
    {"a: \"x\" y\n", -EINVAL, 1, 8, 9, DIAG_YAML, "after the end of the value", "quote"},
    {": 80\n", -EINVAL, 1, 1, 2, DIAG_YAML, "key before this ':'", NULL},
    {"{: 80}", -EINVAL, 1, 2, 3, DIAG_YAML, "cannot begin with ':'", NULL},
    {"{? : b}", 0, 1, 4, 5, DIAG_YAML, "the key is missing", NULL},
    {"%foo\n---\na: b\n", -EINVAL, 1, 1, 2, DIAG_YAML, "directive", NULL},
    {"%YAML 3.0\n---\na: b\n", -EINVAL, 1, 1, 2, DIAG_YAML, "version", NULL},
    {"a: 1\n---\nb: 2\n", 0, 2, 1, 2, DIAG_YAML, "second document", NULL},
    {"a: 1\n...\n---\n", 0, 3, 1, 2, DIAG_YAML, "second document", NULL},
    /* keys */
    {"a: 1\nb: 2\na: 3\n", 0, 3, 1, 2, DIAG_DUPLICATE_KEY, "'a' is given twice", "first at line 1"},
    {"a: {b: 1, 'b': 2}", 0, 1, 11, 14, DIAG_DUPLICATE_KEY, "'b' is given twice", "first at column 5"},
    {"<<: {a: 1}\n<<: {b: 1}", 0, 2, 1, 3, DIAG_DUPLICATE_KEY, "'<<' is given twice", NULL},
    {"a: {<<: 5}", 0, 1, 9, 10, DIAG_WRONG_TYPE, "'<<' takes a mapping", NULL},
    {"a: {<<: [{b: 1}, 5]}", 0, 1, 18, 19, DIAG_WRONG_TYPE, "'<<' takes a mapping", NULL},
    {"a: {<<: }", 0, 1, 9, 10, DIAG_WRONG_TYPE, "'<<' takes a mapping", NULL},
    /* characters */
    {"a: \xff", -EINVAL, 1, 4, 5, DIAG_YAML, "0xff is not UTF-8", "UTF-8"},
    {"a: ä\xc3", -EINVAL, 1, 5, 6, DIAG_YAML, "0xc3 is not UTF-8", "UTF-8"},
    {"a:\n b\x1b", -EINVAL, 2, 3, 4, DIAG_YAML, "U+001B is not allowed", NULL},
    {"a: b\x7f", -EINVAL, 1, 5, 6, DIAG_YAML, "U+007F is not allowed", NULL},
    {"\xff\xfe"
     "a",
     -EINVAL, 1, 1, 2, DIAG_YAML, "UTF-16", "UTF-8"},
    {"\xfe\xff"
     "a",
     -EINVAL, 1, 1, 2, DIAG_YAML, "UTF-16", "UTF-8"},
    {"a: \"x\\0\"", 0, 1, 4, 9, DIAG_BAD_VALUE, "\\x00 cannot stand in a value", NULL},
    {"a: \"\\e[2J\"", 0, 1, 4, 11, DIAG_BAD_VALUE, "\\x1b cannot stand in a value", NULL},
    {"\"a\\x01\": b", 0, 1, 1, 8, DIAG_BAD_VALUE, "\\x01 cannot stand in a key", NULL},
    /* expansion: the mark is on the ${…} itself where the file has it as it is */
    {"a: x ${NOPE} y", 0, 1, 6, 13, DIAG_BAD_VALUE, "'NOPE' is not set", "${NOPE:-value}"},
    {"a: 'ä ${NOPE}'", 0, 1, 7, 14, DIAG_BAD_VALUE, "'NOPE' is not set", NULL},
    {"a: \"\\t ${NOPE}\"", 0, 1, 4, 16, DIAG_BAD_VALUE, "'NOPE' is not set", NULL},
    {"a: &b ${NOPE}", 0, 1, 7, 14, DIAG_BAD_VALUE, "'NOPE' is not set", NULL},
    {"a: |\n  ${NOPE}", 0, 1, 4, 5, DIAG_BAD_VALUE, "'NOPE' is not set", NULL},
    {"a: ${NOPE:?tell me}", 0, 1, 4, 20, DIAG_BAD_VALUE, "tell me", NULL},
    {"a: x${", 0, 1, 5, 7, DIAG_BAD_VALUE, "never closed", NULL},
    {"a: ${BAD}", 0, 1, 4, 10, DIAG_BAD_VALUE, "not UTF-8", NULL},
    {"a: ${CONTROL}", 0, 1, 4, 14, DIAG_BAD_VALUE, "\\x1b", NULL},
    /* lines that end in other ways */
    {"a: b\r\na: c\r\n", 0, 2, 1, 2, DIAG_DUPLICATE_KEY, "'a'", "line 1"},
    {"a: b\ra: c\r", 0, 2, 1, 2, DIAG_DUPLICATE_KEY, "'a'", "line 1"},
    {"\xef\xbb\xbf"
     "a: b\na: c",
     0, 2, 1, 2, DIAG_DUPLICATE_KEY, "'a'", NULL},
    {"\xef\xbb\xbf"
     "{a: b, a: c}",
     0, 1, 8, 9, DIAG_DUPLICATE_KEY, "'a'", NULL},
    {"ä: b\n# ß\nä: c", 0, 3, 1, 2, DIAG_DUPLICATE_KEY, "'ä'", NULL},
};

static void test_errors(void **state) {
    (void)state;
    for (size_t i = 0; i < ELEMENTS(error_cases); i++) {
        const ErrorCase *c = &error_cases[i];
        CLEANUP(result_done) Result x = parse(c->in);
        if (x.r != c->r || x.diags.n != 1)
            fail_msg("%s: result %d, %zu messages, the first: %s", c->in, x.r, x.diags.n,
                     x.diags.n ? x.diags.items[0].message : "");
        const Diag *d = &x.diags.items[0];
        if (d->line != c->line || d->column != c->column || d->end_column != c->end_column ||
            d->code != c->code || !strstr(d->message, c->message) || (c->hint && !strstr(d->hint, c->hint)))
            fail_msg("%s: %u:%u-%u: %s [%s]: %s", c->in, d->line, d->column, d->end_column, d->message,
                     diag_code_to_string(d->code), d->hint);
        assert_string_equal(d->file, "f");
        assert_int_equal(d->severity, DIAG_ERROR);
        CLEANUP_TEXT Text out = {0};
        diag_format(d, &out);
        assert_true(text_ok(&out));
    }
}

static void test_nul(void **state) {
    (void)state;
    static const char text[] = "a: b\0c: d";
    CLEANUP(result_done) Result x = parse_n(text, sizeof(text) - 1);
    assert_int_equal(x.r, -EINVAL);
    assert_string_equal(x.diags.items[0].message, "the character U+0000 is not allowed");
    assert_int_equal(x.diags.items[0].column, 5);
    static const char utf16[] = "a\0:\0 \0b";
    CLEANUP(result_done) Result y = parse_n(utf16, sizeof(utf16));
    assert_int_equal(y.r, -EINVAL);
    assert_non_null(strstr(y.diags.items[0].message, "UTF-16"));
}

/* Several errors come together, from the top to the bottom, and each thing is told once. */
static void test_several(void **state) {
    (void)state;
    CLEANUP(result_done) Result x = parse("a: ${NOPE}\nb: {c: 1, c: 2}\na: *none\nd: [!x y]\n---\n");
    assert_int_equal(x.r, 0);
    assert_int_equal(x.diags.n_errors, 6);
    static const unsigned lines[] = {1, 2, 3, 3, 4, 5};
    for (size_t i = 0; i < ELEMENTS(lines); i++)
        assert_int_equal(x.diags.items[i].line, lines[i]);
    const YamlNode *value = yaml_get(yaml_file_root(x.file), "a");
    assert_true(value->faulty);
    yaml_diag(x.file, value, &x.diags, DIAG_ERROR, DIAG_BAD_VALUE, NULL, "once more");
    assert_int_equal(x.diags.n_errors, 6);
    const YamlNode *b = yaml_get(yaml_file_root(x.file), "b");
    assert_int_equal(b->n, 1);
    yaml_diag(x.file, yaml_get(b, "c"), &x.diags, DIAG_WARNING, DIAG_BAD_VALUE, "hint", "%d", 5);
    const Diag *d = &x.diags.items[6];
    CLEANUP_TEXT Text out = {0};
    diag_format(d, &out);
    assert_string_equal(out.s,
                        "f:2:8: warning: 5 [bad-value]\n    2 | b: {c: 1, c: 2}\n      |        ^ hint\n");
}

static void test_places(void **state) {
    (void)state;
    CLEANUP(result_done)
    Result x = parse("a:  &x  !!str  text \nb: [1,\n  \"two\"]\nc: &y\n  d: e\nä: 'ü'\nf: 'a\n  b'\n");
    assert_int_equal(x.r, 0);
    const YamlNode *root = yaml_file_root(x.file);
    const struct {
        const YamlNode *node;
        unsigned line, column, end_column;
    } places[] = {
        {root, 1, 1, 2},
        {root->pairs[0].key, 1, 1, 2},
        {yaml_get(root, "a"), 1, 16, 20},
        {yaml_get(root, "b"), 2, 4, 5},
        {yaml_get(root, "b")->items[0], 2, 5, 6},
        {yaml_get(root, "b")->items[1], 3, 3, 8},
        {yaml_get(yaml_get(root, "c"), "d"), 5, 6, 7},
        {yaml_get(root, "ä"), 6, 4, 7},
        {yaml_get(root, "f"), 7, 4, 5},
    };
    for (size_t i = 0; i < ELEMENTS(places); i++) {
        const DiagPos *pos = &places[i].node->pos;
        if (pos->line != places[i].line || pos->column != places[i].column ||
            pos->end_column != places[i].end_column)
            fail_msg("%zu: %u:%u-%u", i, pos->line, pos->column, pos->end_column);
        assert_string_equal(pos->file, "f");
    }
}

static void test_get(void **state) {
    (void)state;
    CLEANUP(result_done) Result x = parse("a: {b: c}\nd: [e]\n");
    const YamlNode *root = yaml_file_root(x.file);
    assert_string_equal(yaml_get(yaml_get(root, "a"), "b")->text, "c");
    assert_null(yaml_get(root, "x"));
    assert_null(yaml_get(yaml_get(root, "d"), "e"));
    assert_null(yaml_get(NULL, "e"));
    assert_string_equal(yaml_file_name(x.file), "f");
}

static void test_lines(void **state) {
    (void)state;
    CLEANUP(result_done) Result x = parse("a: b\r\n\n# c\rd: e");
    static const char *const expected[] = {"a: b", "", "# c", "d: e"};
    size_t n = 0;
    for (unsigned i = 0; i < ELEMENTS(expected); i++) {
        const char *line = yaml_file_line(x.file, i + 1, &n);
        assert_int_equal(n, strlen(expected[i]));
        assert_memory_equal(line, expected[i], n);
    }
    assert_null(yaml_file_line(x.file, 0, &n));
    assert_null(yaml_file_line(x.file, 5, &n));
}

static void test_no_expansion(void **state) {
    (void)state;
    Result x = {0};
    assert_int_equal(yaml_parse("f", "a: ${NOPE} $$", 13, &x.budget, NULL, NULL, &x.diags, &x.file), 0);
    assert_string_equal(yaml_get(yaml_file_root(x.file), "a")->text, "${NOPE} $$");
    assert_int_equal(x.diags.n, 0);
    result_done(&x);
}

/* Asserts that @text is refused for the limit that @message names, with at most @events counted. */
static void check_limit(const Text *text, const char *message, size_t events) {
    CLEANUP(result_done) Result x = parse_n(text->s, text->len);
    assert_int_equal(x.r, -EINVAL);
    assert_int_equal(x.diags.n_errors, 1);
    const Diag *d = &x.diags.items[0];
    assert_int_equal(d->code, DIAG_LIMIT);
    if (!strstr(d->message, message))
        fail_msg("%s", d->message);
    assert_true(x.budget.events <= events);
}

static void test_depth(void **state) {
    (void)state;
    static const struct {
        const char *open, *inner, *close;
    } cases[] = {{"[", "x", "]"}, {"{a: ", "x", "}"}, {"- ", "x", ""}};
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        for (size_t depth = YAML_DEPTH_MAX; depth <= 20000;
             depth = depth == YAML_DEPTH_MAX ? depth + 1 : 20000) {
            CLEANUP_TEXT Text text = {0};
            for (size_t j = 0; j < depth; j++)
                text_add(&text, cases[i].open);
            text_add(&text, cases[i].inner);
            for (size_t j = 0; j < depth; j++)
                text_add(&text, cases[i].close);
            if (depth > YAML_DEPTH_MAX) {
                check_limit(&text, "more than 32 levels", (size_t)YAML_DEPTH_MAX * 4);
            } else {
                CLEANUP(result_done) Result x = parse(text.s);
                assert_int_equal(x.r, 0);
                assert_int_equal(x.diags.n, 0);
            }
            if (depth == 20000)
                break;
        }
    }
}

/* Each level stands for ten of the one before: nothing is built of it, it is only counted. */
static void test_bomb(void **state) {
    (void)state;
    CLEANUP_TEXT Text text = {0};
    text_add(&text, "a0: &a0 [x]\n");
    for (int i = 1; i < 30; i++) {
        text_addf(&text, "a%d: &a%d [", i, i);
        for (int j = 0; j < 10; j++)
            text_addf(&text, "*a%d%s", i - 1, j < 9 ? "," : "]\n");
    }
    check_limit(&text, "more in this file than 200000", (size_t)2 * YAML_FILE_EVENTS_MAX);
}

static void test_merge_bomb(void **state) {
    (void)state;
    CLEANUP_TEXT Text text = {0};
    text_add(&text, "a0: &a0 {");
    for (int i = 0; i < 100; i++)
        text_addf(&text, "k%d: 1, ", i);
    text_add(&text, "}\n");
    for (int i = 1; i < 10000; i++)
        text_addf(&text, "b%d: {<<: *a0}\n", i);
    check_limit(&text, "more in this file than 200000", (size_t)2 * YAML_FILE_EVENTS_MAX);
}

/* What is deep only when its aliases are followed. */
static void test_deep_aliases(void **state) {
    (void)state;
    CLEANUP_TEXT Text text = {0};
    text_add(&text, "a0: &a0 [x]\n");
    for (int i = 1; i < 40; i++)
        text_addf(&text, "a%d: &a%d [*a%d]\n", i, i, i - 1);
    check_limit(&text, "more than 32 levels", 10000);
}

static void test_many_events(void **state) {
    (void)state;
    CLEANUP_TEXT Text text = {0};
    for (int i = 0; i < 500000; i++)
        text_add(&text, "-\n");
    check_limit(&text, "more in this file than 200000", YAML_FILE_EVENTS_MAX + 1);
    text_reset(&text);
    text_addc(&text, '[');
    for (int i = 0; i < 500000; i++)
        text_add(&text, "1,");
    text_addc(&text, ']');
    check_limit(&text, "more in this file than 200000", YAML_FILE_EVENTS_MAX + 1);
}

static void test_budgets(void **state) {
    (void)state;
    YamlBudget budget = {.events = YAML_EVENTS_MAX - 3, .files = YAML_FILES_MAX - 2};
    DiagList diags = {0};
    YamlFile *file = NULL;
    assert_int_equal(yaml_parse("f", "[]", 2, &budget, NULL, NULL, &diags, &file), 0);
    file = yaml_file_free(file);
    assert_int_equal(yaml_parse("f", "[a]", 3, &budget, NULL, NULL, &diags, &file), -EINVAL);
    assert_non_null(strstr(diags.items[0].message, "in all files together"));
    budget.events = 0;
    assert_int_equal(yaml_parse("f", "[a]", 3, &budget, NULL, NULL, &diags, &file), -EINVAL);
    assert_string_equal(diags.items[1].message, "there are more than 512 files");
    assert_int_equal(diags.items[1].code, DIAG_LIMIT);
    diag_list_done(&diags);
}

static void test_large_file(void **state) {
    (void)state;
    CLEANUP_TEXT Text text = {0};
    text_add(&text, "a: ");
    while (text.len < YAML_FILE_MAX)
        text_addc(&text, 'x');
    CLEANUP(result_done) Result x = parse_n(text.s, text.len);
    assert_int_equal(x.r, 0);
    assert_int_equal(strlen(yaml_get(yaml_file_root(x.file), "a")->text), YAML_FILE_MAX - 3);
    text_addc(&text, 'x');
    check_limit(&text, "larger than 1 MiB", 0);
}

static void test_expansion_bounds(void **state) {
    (void)state;
    CLEANUP_TEXT Text text = {0};
    text_add(&text, "a: ${NOPE:-");
    for (int i = 0; i < 64 * 1024 + 1; i++)
        text_addc(&text, 'x');
    text_add(&text, "}\n");
    CLEANUP(result_done) Result x = parse_n(text.s, text.len);
    assert_int_equal(x.diags.n_errors, 1);
    assert_int_equal(x.diags.items[0].code, DIAG_LIMIT);
    assert_non_null(strstr(x.diags.items[0].message, "64 KiB"));
}

static const char *lookup_long(const char *name, void *userdata) {
    (void)name;
    return userdata;
}

static void test_expansion_total(void **state) {
    (void)state;
    static char value[60000];
    memset(value, 'v', sizeof(value) - 1);
    CLEANUP_TEXT Text text = {0};
    for (int i = 0; i < 1000; i++)
        text_add(&text, "- ${V}\n");
    Result x = {0};
    assert_int_equal(yaml_parse("f", text.s, text.len, &x.budget, lookup_long, value, &x.diags, &x.file),
                     -EINVAL);
    assert_int_equal(x.diags.items[0].code, DIAG_LIMIT);
    result_done(&x);
}

/* A hundred thousand anchors on one line, and keys: nothing in the reader is slow in the length of a line or
 * in the number of names. (Were it, this would take minutes.) */
static void test_many_names(void **state) {
    (void)state;
    CLEANUP_TEXT Text text = {0};
    text_addc(&text, '[');
    for (int i = 0; i < 90000; i++)
        text_addf(&text, "&%d ,", i);
    text_add(&text, "*0, *89999, *none]");
    CLEANUP(result_done) Result x = parse_n(text.s, text.len);
    assert_int_equal(x.r, 0);
    assert_int_equal(x.diags.n_errors, 1);
    assert_int_equal(yaml_file_root(x.file)->n, 90003);
    text_reset(&text);
    text_addc(&text, '{');
    for (int i = 0; i < 60000; i++)
        text_add(&text, "a: b,");
    text_addc(&text, '}');
    CLEANUP(result_done) Result z = parse_n(text.s, text.len);
    assert_int_equal(z.r, 0);
    assert_int_equal(z.diags.n_errors, 59999);
    text_reset(&text);
    for (int i = 0; i < 90000; i++)
        text_addf(&text, "k%d:\n", i % 89999);
    CLEANUP(result_done) Result y = parse_n(text.s, text.len);
    assert_int_equal(y.diags.n_errors, 1);
    assert_int_equal(y.diags.items[0].line, 90000);
    assert_int_equal(yaml_file_root(y.file)->n, 89999);
}

static const char sample[] =
    "# A file with a bit of everything\n"
    "version: 1\n"
    "include: [services.d/*.yaml]\n"
    "x-common: &hard\n"
    "  user: \"no${USER}body\"\n"
    "  resources: { nofile: 256, processes: 64 }\n"
    "services:\n"
    "  echo:\n"
    "    <<: *hard\n"
    "    description: 'Écho (RFC 862)'\n"
    "    listen:\n"
    "      - tcp:[::1]:7007\n"
    "      - endpoint: unix:/run/echo.sock\n"
    "        mode: \"0660\"\n"
    "    exec: [mp-echo, --flag, \"a \\\"b\\\"\"]\n"
    "    limits: {instances: 5, per_source: \"${N:-2}\"}\n"
    "  text: { banner: { greeting: \"hello\\r\\n\" }, environment: { A: !!str 1, B: ~ } }\n"
    "  folded: >\n"
    "    one\n"
    "    two\n"
    "  literal: |-\n"
    "    three\n";

/* Reads @text, shows all of it, and finds every place within the file. */
static void exercise(const char *text, size_t n) {
    CLEANUP(result_done) Result x = parse_n(text, n);
    CLEANUP_TEXT Text out = {0};
    diag_list_format(&x.diags, NULL, &out);
    assert_true(text_ok(&out) && (out.len == 0 || utf8_valid(out.s, out.len)));
    for (size_t i = 0; i < x.diags.n; i++) {
        assert_true(*x.diags.items[i].message);
        assert_true(x.diags.items[i].line > 0 && x.diags.items[i].column > 0);
        assert_true(x.diags.items[i].end_column > x.diags.items[i].column);
    }
    text_reset(&out);
    if (x.file)
        show(yaml_file_root(x.file), &out);
    assert_true(text_ok(&out));
}

static void test_truncated(void **state) {
    (void)state;
    {
        CLEANUP(result_done) Result x = parse(sample);
        if (x.diags.n)
            fail_msg("%s", x.diags.items[0].message);
    }
    for (size_t n = 0; n < sizeof(sample); n++) {
        /* A copy without a NUL behind it, so that reading on is seen. */
        CLEANUP_FREE char *copy = malloc(n + 1);
        assert_non_null(copy);
        char *text = copy + 1;
        memcpy(text, sample, n);
        exercise(text, n);
    }
}

static void test_mutated(void **state) {
    (void)state;
    uint64_t seed = 20240501;
    static const char bytes[] = "\t\n\r :-[]{},&*!|>'\"%@`#?$\\~<\x00\x01\x7f\x80\xc3\xff"
                                "0a";
    for (size_t i = 0; i < 6000; i++) {
        char text[sizeof(sample)];
        memcpy(text, sample, sizeof(sample));
        seed = seed * 6364136223846793005U + 1442695040888963407U;
        size_t at = (size_t)(seed >> 33) % (sizeof(sample) - 1);
        char c = bytes[(seed >> 20) % (sizeof(bytes) - 1)];
        text[at] = i % 3 ? c : (char)(seed >> 50);
        exercise(text, sizeof(sample) - 1);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trees),
        cmocka_unit_test(test_merge),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_nul),
        cmocka_unit_test(test_several),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_get),
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_no_expansion),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_bomb),
        cmocka_unit_test(test_merge_bomb),
        cmocka_unit_test(test_deep_aliases),
        cmocka_unit_test(test_many_events),
        cmocka_unit_test(test_budgets),
        cmocka_unit_test(test_large_file),
        cmocka_unit_test(test_expansion_bounds),
        cmocka_unit_test(test_expansion_total),
        cmocka_unit_test(test_many_names),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_mutated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

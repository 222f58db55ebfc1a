/* SPDX-License-Identifier: MIT */
#include "daemon/base/text.h"

#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/base/list.h"
#include "daemon/base/strtab.h"

static void test_text_grows(void **state) {
    (void)state;
    CLEANUP_TEXT Text t = {0};
    for (int i = 0; i < 1000; i++)
        text_addf(&t, "%d,", i);
    assert_true(text_ok(&t));
    assert_int_equal(t.len, strlen(t.s));
    assert_int_equal(t.len, 10 * 2 + 90 * 3 + 900 * 4);
    assert_true(starts_with(t.s, "0,1,2,3,"));
    assert_string_equal(t.s + t.len - 8, "998,999,");
}

static void test_numbers(void **state) {
    (void)state;
    static const struct {
        uint64_t n;
        size_t width;
        const char *shown;
    } cases[] = {
        {0, 1, "0"},
        {9, 1, "9"},
        {10, 1, "10"},
        {99, 1, "99"},
        {100, 1, "100"},
        {101, 1, "101"},
        {65535, 1, "65535"},
        {UINT64_MAX, 1, "18446744073709551615"},
        {0, 3, "000"},
        {7, 3, "007"},
        {42, 3, "042"},
        {999, 3, "999"},
        {1234, 3, "1234"},
        {5, 0, "5"},
        {0, 25, "0000000000000000000000000"},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        CLEANUP_TEXT Text t = {0};
        text_add(&t, "<");
        text_add_u64_padded(&t, cases[i].n, cases[i].width);
        text_add(&t, ">");
        t.s[t.len - 1] = '\0';
        assert_string_equal(t.s + 1, cases[i].shown);
    }
    /* Around each power of ten, as printf(3) has them. */
    uint64_t power = 1;
    for (size_t i = 0; i < DECIMAL_MAX; i++, power *= 10) {
        for (uint64_t n = power - 1; n <= power + 1; n++) {
            char wanted[32], got[DECIMAL_MAX + 1];
            CLEANUP_TEXT Text t = {0};
            (void)snprintf(wanted, sizeof(wanted), "%llu", (unsigned long long)n);
            *decimal_put(got, n) = '\0';
            assert_string_equal(got, wanted);
            text_add_u64(&t, n);
            assert_string_equal(t.s, wanted);
        }
    }
}

static void test_text_long_format(void **state) {
    (void)state;
    /* On both sides of the buffer that text_addf() tries first. */
    for (int n = 250; n < 262; n++) {
        CLEANUP_TEXT Text t = {0};
        text_addf(&t, "<%*d>", n, 7);
        assert_int_equal(t.len, n + 2);
        assert_int_equal(t.s[0], '<');
        assert_int_equal(t.s[n], '7');
        assert_string_equal(t.s + n + 1, ">");
    }
}

static void test_text_bytes(void **state) {
    (void)state;
    CLEANUP_TEXT Text t = {0};
    text_add_n(&t, "a\0b", 3);
    text_addc(&t, '\0');
    text_add(&t, "c");
    assert_int_equal(t.len, 5);
    assert_memory_equal(t.s, "a\0b\0c", 6);
    text_reset(&t);
    assert_int_equal(t.len, 0);
    assert_string_equal(t.s, "");
    text_add(&t, "again");
    assert_string_equal(t.s, "again");
    t.failed = true;
    text_cut(&t, 2);
    assert_string_equal(t.s, "ag");
    text_add(&t, "o");
    assert_string_equal(t.s, "ago");
}

static void test_text_take(void **state) {
    (void)state;
    CLEANUP_TEXT Text t = {0};
    CLEANUP_FREE char *empty = text_take(&t);
    assert_string_equal(empty, "");
    assert_null(t.s);
    text_add(&t, "mine");
    CLEANUP_FREE char *mine = text_take(&t);
    assert_string_equal(mine, "mine");
    assert_null(t.s);
    assert_int_equal(t.cap, 0);
}

static void test_text_failure_is_sticky(void **state) {
    (void)state;
    CLEANUP_TEXT Text t = {0};
    text_add(&t, "before");
    t.failed = true;
    text_add(&t, "after");
    text_addf(&t, "%300d", 1);
    text_addc(&t, 'x');
    assert_false(text_ok(&t));
    assert_string_equal(t.s, "before");
    assert_null(text_take(&t));
    assert_true(text_ok(&t)); /* taking empties it, the failure included */
}

static void test_text_length_overflow(void **state) {
    (void)state;
    Text t = {.len = SIZE_MAX - 2};
    text_add(&t, "abc");
    assert_false(text_ok(&t));
    assert_null(t.s);
}

typedef struct EscapeCase {
    const char *in;
    size_t n;
    const char *shown;
    const char *json;
} EscapeCase;

#define IN(s) s, sizeof(s) - 1

static const EscapeCase escape_cases[] = {
    {IN(""), "", "\"\""},
    {IN("plain text"), "plain text", "\"plain text\""},
    {IN("quote\"back\\slash"), "quote\"back\\slash", "\"quote\\\"back\\\\slash\""},
    {IN("line\nbreak\ttab\r"), "line\\x0abreak\\x09tab\\x0d", "\"line\\nbreak\\ttab\\u000d\""},
    {IN("\x1b[31mred"), "\\x1b[31mred", "\"\\u001b[31mred\""},
    {IN("nul\0in"), "nul\\x00in", "\"nul\\u0000in\""},
    {IN("del\x7f"), "del\\x7f", "\"del\\u007f\""},
    {IN("c1 \xc2\x9b"), "c1 \\x9b", "\"c1 \\u009b\""},
    {IN("c1 raw \x9b"), "c1 raw \\x9b", "\"c1 raw \\ufffd\""},
    {IN("nbsp \xc2\xa0"), "nbsp \xc2\xa0", "\"nbsp \xc2\xa0\""},
    {IN("Gr\xc3\xbc\xc3\x9f"), "Gr\xc3\xbc\xc3\x9f", "\"Gr\xc3\xbc\xc3\x9f\""},
    {IN("cut \xe2\x82"), "cut \\xe2\\x82", "\"cut \\ufffd\\ufffd\""},
    {IN("\xff\xfe"), "\\xff\\xfe", "\"\\ufffd\\ufffd\""},
    {IN("\xf0\x9f\x98\x80"), "\xf0\x9f\x98\x80", "\"\xf0\x9f\x98\x80\""},
};

static void test_escapes(void **state) {
    (void)state;
    for (size_t i = 0; i < ELEMENTS(escape_cases); i++) {
        const EscapeCase *c = &escape_cases[i];
        CLEANUP_TEXT Text shown = {0};
        text_add_escaped(&shown, c->in, c->n);
        assert_int_equal(shown.len, strlen(c->shown));
        assert_string_equal(shown.s ? shown.s : "", c->shown);
        CLEANUP_TEXT Text json = {0};
        text_add_json(&json, c->in, c->n);
        assert_string_equal(json.s, c->json);
    }
}

/* Plain text is looked at several bytes at a time: each byte at each place comes out as it does alone. */
static void test_escapes_anywhere(void **state) {
    (void)state;
    for (size_t at = 0; at < 20; at++) {
        for (unsigned byte = 0; byte < 256; byte++) {
            char in[20];
            memset(in, 'a', sizeof(in));
            in[at] = (char)byte;
            CLEANUP_TEXT Text whole = {0}, parts = {0}, json = {0}, json_parts = {0};
            text_add_escaped(&whole, in, sizeof(in));
            text_add_json(&json, in, sizeof(in));
            text_add_n(&parts, in, at);
            text_add_escaped(&parts, in + at, 1);
            text_add_n(&parts, in + at + 1, sizeof(in) - at - 1);
            assert_string_equal(whole.s, parts.s);
            text_addc(&json_parts, '"');
            text_add_n(&json_parts, in, at);
            text_add_json(&json_parts, in + at, 1);
            /* Without its quotes. */
            memmove(json_parts.s + at + 1, json_parts.s + at + 2, json_parts.len - at - 2);
            text_cut(&json_parts, json_parts.len - 2);
            text_add_n(&json_parts, in + at + 1, sizeof(in) - at - 1);
            text_addc(&json_parts, '"');
            assert_string_equal(json.s, json_parts.s);
        }
    }
}

/* Whatever comes in, nothing that a terminal would obey comes out. */
static void test_escapes_property(void **state) {
    (void)state;
    uint32_t seed = 20;
    for (int round = 0; round < 2000; round++) {
        char in[40];
        for (size_t i = 0; i < sizeof(in); i++) {
            seed = seed * 1664525U + 1013904223U;
            in[i] = (char)(seed >> 24);
        }
        CLEANUP_TEXT Text t = {0};
        text_add_escaped(&t, in, sizeof(in));
        assert_true(utf8_valid(t.s, t.len));
        for (size_t i = 0; i < t.len;) {
            uint32_t cp = 0;
            i += utf8_next(t.s + i, t.len - i, &cp);
            assert_true(cp >= 0x20 && cp != 0x7f && !(cp >= 0x80 && cp < 0xa0));
        }
    }
}

typedef struct Utf8Case {
    const char *in;
    size_t n, length;
    uint32_t code_point;
} Utf8Case;

static const Utf8Case utf8_cases[] = {
    {IN(""), 0, 0},
    {IN("\0"), 1, 0},
    {IN("A"), 1, 'A'},
    {IN("\x7f"), 1, 0x7f},
    {IN("\x80"), 0, 0},     /* a continuation byte alone */
    {IN("\xc0\x80"), 0, 0}, /* overlong NUL */
    {IN("\xc1\xbf"), 0, 0},
    {IN("\xc2\x80"), 2, 0x80},
    {IN("\xdf\xbf"), 2, 0x7ff},
    {IN("\xe0\x9f\xbf"), 0, 0}, /* overlong */
    {IN("\xe0\xa0\x80"), 3, 0x800},
    {IN("\xed\x9f\xbf"), 3, 0xd7ff},
    {IN("\xed\xa0\x80"), 0, 0}, /* a surrogate */
    {IN("\xed\xbf\xbf"), 0, 0},
    {IN("\xee\x80\x80"), 3, 0xe000},
    {IN("\xef\xbf\xbf"), 3, 0xffff},
    {IN("\xf0\x8f\xbf\xbf"), 0, 0}, /* overlong */
    {IN("\xf0\x90\x80\x80"), 4, 0x10000},
    {IN("\xf4\x8f\xbf\xbf"), 4, 0x10ffff},
    {IN("\xf4\x90\x80\x80"), 0, 0}, /* past the end of Unicode */
    {IN("\xf5\x80\x80\x80"), 0, 0},
    {IN("\xc3"), 0, 0}, /* cut off */
    {IN("\xe2\x82"), 0, 0},
    {IN("\xe2\x28\xa1"), 0, 0},
    {IN("\xf0\x9f\x98"), 0, 0},
};

static void test_utf8(void **state) {
    (void)state;
    for (size_t i = 0; i < ELEMENTS(utf8_cases); i++) {
        const Utf8Case *c = &utf8_cases[i];
        uint32_t cp = UINT32_MAX;
        assert_int_equal(utf8_next(c->in, c->n, &cp), c->length);
        assert_int_equal(cp, c->length ? c->code_point : UINT32_MAX);
        assert_int_equal(utf8_next(c->in, c->n, NULL), c->length);
        assert_int_equal(utf8_valid(c->in, c->n), c->n == c->length);
    }
    assert_true(utf8_valid(IN("a\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80z")));
    assert_false(utf8_valid(IN("a\xc3\xbc\xe2\x82")));
}

static void test_columns(void **state) {
    (void)state;
    if (!setlocale(LC_CTYPE, "C.UTF-8"))
        skip();
    assert_int_equal(utf8_columns(""), 0);
    assert_int_equal(utf8_columns("abc"), 3);
    assert_int_equal(utf8_columns("Gr\xc3\xbc\xc3\x9f"), 4);
    assert_int_equal(utf8_columns("e\xcc\x81"), 1);                /* e and a combining accent */
    assert_int_equal(utf8_columns("\xe6\x97\xa5\xe6\x9c\xac"), 4); /* two wide characters */
    assert_int_equal(utf8_columns("a\xff"), 2);
    (void)setlocale(LC_CTYPE, "C");
}

static void test_predicates(void **state) {
    (void)state;
    assert_true(streq("", ""));
    assert_false(streq("a", "A"));
    assert_true(streq_null(NULL, NULL));
    assert_false(streq_null(NULL, ""));
    assert_false(streq_null("", NULL));
    assert_true(streq_null("x", "x"));
    assert_true(starts_with("prefix", "pre"));
    assert_true(starts_with("prefix", ""));
    assert_false(starts_with("pre", "prefix"));
    assert_false(starts_with("", "p"));
}

static void test_strv(void **state) {
    (void)state;
    CLEANUP_STRV char **v = NULL;
    assert_int_equal(strv_length(v), 0);
    for (size_t i = 0; i < 100; i++) {
        CLEANUP_TEXT Text t = {0};
        text_addf(&t, "item %zu", i);
        assert_int_equal(strv_push(&v, text_take(&t)), 0);
        assert_int_equal(strv_length(v), i + 1);
        assert_null(v[i + 1]);
    }
    assert_string_equal(v[0], "item 0");
    assert_string_equal(v[99], "item 99");
    assert_int_equal(strv_push(&v, NULL), -ENOMEM);
    assert_int_equal(strv_length(v), 100);
}

/* A copy can be pushed to at every length: its room follows the same rule. */
static void test_strv_copy(void **state) {
    (void)state;
    CLEANUP_STRV char **v = NULL;
    for (size_t n = 0; n < 20; n++) {
        CLEANUP_STRV char **copy = strv_copy(v);
        assert_non_null(copy);
        assert_int_equal(strv_length(copy), n);
        assert_true(strv_equal(copy, v));
        assert_int_equal(strv_push(&copy, strdup("more")), 0);
        assert_false(strv_equal(copy, v));
        assert_string_equal(copy[n], "more");
        assert_int_equal(strv_push(&v, strdup("x")), 0);
    }
    char *const a[] = {(char[]){"one"}, (char[]){"two"}, NULL};
    char *const b[] = {(char[]){"one"}, (char[]){"too"}, NULL};
    assert_true(strv_equal(a, a));
    assert_false(strv_equal(a, b));
    assert_true(strv_equal(NULL, NULL));
}

static void test_cleanup(void **state) {
    (void)state;
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    int kept;
    {
        CLEANUP_CLOSE int reader = fds[0];
        assert_true(reader >= 0);
        CLEANUP_CLOSE int writer = fds[1];
        kept = TAKE_FD(writer);
        assert_int_equal(writer, -EBADF);
        assert_int_equal(kept, fds[1]);
    }
    char c = 0;
    assert_int_equal(read(fds[0], &c, 1), -1); /* closed on leaving the block */
    assert_int_equal(errno, EBADF);
    errno = ENOENT;
    kept = fd_close(kept);
    assert_int_equal(kept, -EBADF);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(fd_close(-EBADF), -EBADF);
}

typedef struct Item {
    int value;
    List link;
} Item;

static int sum_items(List *head) {
    int sum = 0;
    LIST_FOREACH (it, head, Item, link)
        sum = sum * 10 + it->value;
    return sum;
}

static void test_list(void **state) {
    (void)state;
    List head;
    list_init(&head);
    assert_true(list_is_empty(&head));
    assert_int_equal(sum_items(&head), 0);
    Item items[3] = {{.value = 1}, {.value = 2}, {.value = 3}};
    for (size_t i = 0; i < ELEMENTS(items); i++)
        list_append(&head, &items[i].link);
    assert_int_equal(sum_items(&head), 123);
    list_remove(&items[1].link);
    list_remove(&items[1].link); /* twice is harmless */
    assert_int_equal(sum_items(&head), 13);
    list_append(&head, &items[1].link);
    assert_int_equal(sum_items(&head), 132);
    LIST_FOREACH_SAFE (it, &head, Item, link)
        list_remove(&it->link);
    assert_true(list_is_empty(&head));
}

typedef enum Colour {
    COLOUR_RED,
    COLOUR_HOLE,
    COLOUR_BLUE
} Colour;
DECLARE_STRTAB(colour, Colour);
static const char *const colour_names[] = {[COLOUR_RED] = "red", [COLOUR_BLUE] = "blue"};
DEFINE_STRTAB(colour, Colour, colour_names);

static void test_strtab(void **state) {
    (void)state;
    assert_string_equal(colour_to_string(COLOUR_RED), "red");
    assert_null(colour_to_string(COLOUR_HOLE));
    assert_null(colour_to_string((Colour)3));
    assert_null(colour_to_string((Colour)-EINVAL));
    assert_int_equal(colour_from_string("blue"), COLOUR_BLUE);
    assert_int_equal(colour_from_string("Blue"), -EINVAL);
    assert_int_equal(colour_from_string(""), -EINVAL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_grows),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_text_long_format),
        cmocka_unit_test(test_text_bytes),
        cmocka_unit_test(test_text_take),
        cmocka_unit_test(test_text_failure_is_sticky),
        cmocka_unit_test(test_text_length_overflow),
        cmocka_unit_test(test_escapes),
        cmocka_unit_test(test_escapes_anywhere),
        cmocka_unit_test(test_escapes_property),
        cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_columns),
        cmocka_unit_test(test_predicates),
        cmocka_unit_test(test_strv),
        cmocka_unit_test(test_strv_copy),
        cmocka_unit_test(test_cleanup),
        cmocka_unit_test(test_list),
        cmocka_unit_test(test_strtab),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ctl/style.h"

typedef struct WrapCase {
    size_t width, indent;
    const char *text, *expect;
} WrapCase;

static const WrapCase wrap_cases[] = {
    {0, 0, "one two  three", "one two  three"},
    {9, 0, "one two  three", "one two\nthree"},
    {7, 2, "one two three", "one\n  two\n  three"},
    {20, 13, "one two three", "one two\n             three"},
    /* A word stays whole, however narrow it is. */
    {4, 2, "/etc/mpinetd.yaml is read", "/etc/mpinetd.yaml\n  is\n  read"},
    /* So does a number. */
    {12, 0, "accepted 48 211 000 in all", "accepted\n48 211 000\nin all"},
    {12, 0, "accepted 48 and 211", "accepted 48\nand 211"},
    /* Colours take no room, wide characters two columns. */
    {9, 0, "\033[32mfull\033[0m for 8m", "\033[32mfull\033[0m for\n8m"},
    {8, 0, "日本 日本", "日本\n日本"},
    {9, 0, "日本 日本", "日本 日本"},
    {10, 0, "", ""},
};

static void test_wrap(void **state) {
    (void)state;
    if (!setlocale(LC_CTYPE, "C.UTF-8"))
        skip();
    for (size_t i = 0; i < ELEMENTS(wrap_cases); i++) {
        const WrapCase *c = &wrap_cases[i];
        Text out = {0};
        text_add(&out, "");
        style_add_wrapped(&(Style){.utf8 = true, .width = c->width}, &out, c->text, c->indent);
        assert_string_equal(out.s, c->expect);
        text_done(&out);
    }
}

typedef struct CutCase {
    bool utf8;
    size_t width;
    const char *text, *expect;
} CutCase;

static const CutCase cut_cases[] = {
    {true, 5, "listen", "list…"},   {true, 6, "listen", "listen"},
    {false, 5, "listen", "li..."},  {true, 1, "listen", "…"},
    {true, 4, "日本語", "日…"},     {true, 6, "日本語", "日本語"},
    {true, SIZE_MAX, "all", "all"}, {true, 3, "", ""},
};

static void test_cut(void **state) {
    (void)state;
    if (!setlocale(LC_CTYPE, "C.UTF-8"))
        skip();
    for (size_t i = 0; i < ELEMENTS(cut_cases); i++) {
        const CutCase *c = &cut_cases[i];
        Text out = {0};
        text_add(&out, "");
        style_add_cut(&(Style){.utf8 = c->utf8}, &out, c->text, c->width);
        assert_string_equal(out.s, c->expect);
        text_done(&out);
    }
}

static void test_user(void **state) {
    Text out = {0};
    (void)state;
    format_user(&out, 0);
    assert_string_equal(out.s, "root");
    text_reset(&out);
    format_user(&out, 4123456789);
    assert_string_equal(out.s, "uid 4123456789");
    text_done(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wrap),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_user),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

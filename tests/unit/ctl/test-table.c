/* SPDX-License-Identifier: MIT */
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ctl/table.h"

static const TableColumn name = {"SERVICE", 0, false, true, false};
static const TableColumn state_column = {"STATE", 0, false, true, false};
static const TableColumn listen_column = {"LISTEN", 2, false, false, false};
static const TableColumn model = {"MODEL", 3, false, false, false};
static const TableColumn now = {"NOW", 1, true, true, false};
static const TableColumn info = {"", 4, false, false, true};
static const TableColumn *const columns[] = {&name, &state_column, &listen_column, &model, &now, &info};

static void add(Table *t, const char *mark, const char *const texts[static 6], const char *brief) {
    TableCell *cells = table_add_row(t, mark, COLOR_GREEN);
    assert_non_null(cells);
    for (size_t i = 0; i < ELEMENTS(columns); i++)
        text_add(&cells[i].full, texts[i]);
    text_add(&cells[2].brief, brief);
}

static void fill(Table *t) {
    table_init(t, columns, ELEMENTS(columns));
    add(t, "●",
        (const char *const[]){"echo", "listening", "tcp:7,unix:/run/echo.sock", "per-connection", "0", ""},
        "tcp:7 +1");
    add(t, "×",
        (const char *const[]){"tftp-of-a-long-name", "failed", "udp:69", "on-demand", "",
                              "exec: No such file or directory"},
        "");
}

typedef struct Case {
    const char *name;
    size_t width;
    const char *expect;
} Case;

static const Case cases[] = {
    {"no bound", 0,
     "  SERVICE              STATE      LISTEN                     MODEL           NOW\n"
     "● echo                 listening  tcp:7,unix:/run/echo.sock  per-connection    0\n"
     "× tftp-of-a-long-name  failed     udp:69                     on-demand         –  exec: No such file "
     "or "
     "directory\n"},
    {"brief endpoints", 100,
     "  SERVICE              STATE      LISTEN    MODEL           NOW\n"
     "● echo                 listening  tcp:7 +1  per-connection    0\n"
     "× tftp-of-a-long-name  failed     udp:69    on-demand         –  exec: No such file or directory\n"},
    {"text cut", 80,
     "  SERVICE              STATE      LISTEN    MODEL           NOW\n"
     "● echo                 listening  tcp:7 +1  per-connection    0\n"
     "× tftp-of-a-long-name  failed     udp:69    on-demand         –  exec: No such …\n"},
    {"text left out", 66,
     "  SERVICE              STATE      LISTEN    MODEL           NOW\n"
     "● echo                 listening  tcp:7 +1  per-connection    0\n"
     "× tftp-of-a-long-name  failed     udp:69    on-demand         –\n"},
    {"model left out", 60,
     "  SERVICE              STATE      LISTEN    NOW\n"
     "● echo                 listening  tcp:7 +1    0\n"
     "× tftp-of-a-long-name  failed     udp:69      –\n"},
    {"narrow", 59,
     "  SERVICE              STATE      NOW\n"
     "● echo                 listening    0\n"
     "× tftp-of-a-long-name  failed       –\n"},
    {"names and states are never cut", 10,
     "  SERVICE              STATE\n"
     "● echo                 listening\n"
     "× tftp-of-a-long-name  failed\n"},
};

static void test_fold(void **state) {
    (void)state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        Table t;
        Text out = {0};
        Style style = {.utf8 = true, .width = cases[i].width};
        fill(&t);
        table_format(&t, &style, &out);
        if (!streq(out.s, cases[i].expect))
            print_error("%s\n", cases[i].name);
        assert_string_equal(out.s, cases[i].expect);
        text_done(&out);
        table_done(&t);
    }
}

/* No line is wider than was asked for, as long as the columns that always stay fit. */
static void test_every_width(void **state) {
    (void)state;
    for (size_t width = 33; width < 140; width++) {
        Table t;
        Text out = {0};
        Style style = {.utf8 = width % 2 == 0, .width = width};
        fill(&t);
        table_format(&t, &style, &out);
        for (char *line = out.s, *end; (end = strchr(line, '\n')); line = end + 1) {
            *end = '\0';
            assert_true(utf8_columns(line) <= width);
            assert_true(end == line || end[-1] != ' ');
        }
        text_done(&out);
        table_done(&t);
    }
}

/* What the user has named stays, whatever the width. */
static void test_keep(void **state) {
    Table t;
    Text out = {0};
    Style style = {.utf8 = true, .width = 40};
    (void)state;
    fill(&t);
    t.keep = true;
    table_format(&t, &style, &out);
    assert_non_null(strstr(out.s, "MODEL"));
    assert_non_null(strstr(out.s, "per-connection"));
    text_done(&out);
    table_done(&t);
}

static void test_plain(void **state) {
    Table t;
    Text out = {0};
    (void)state;
    fill(&t);
    table_format_plain(&t, &out);
    assert_string_equal(
        out.s, "echo\tlistening\ttcp:7,unix:/run/echo.sock\tper-connection\t0\t-\n"
               "tftp-of-a-long-name\tfailed\tudp:69\ton-demand\t-\texec: No such file or directory\n");
    text_done(&out);
    table_done(&t);
}

static void test_color(void **state) {
    static const TableColumn *const one[] = {&name};
    Table t;
    Text out = {0};
    Style style = {.color = true, .utf8 = true};
    (void)state;
    table_init(&t, one, 1);
    TableCell *cells = table_add_row(&t, "●", COLOR_GREEN);
    text_add(&cells[0].full, "echo");
    cells[0].color = COLOR_RED;
    table_format(&t, &style, &out);
    assert_string_equal(out.s, "  \033[1mSERVICE\033[0m\n\033[32m●\033[0m \033[31mecho\033[0m\n");
    text_done(&out);
    table_done(&t);
}

/* Columns are counted as the terminal does: wide, combining. */
static void test_wide(void **state) {
    static const TableColumn *const two[] = {&name, &now};
    static const char *const names[] = {"日本", "e\xcc\x81t\xc3\xa9", "plain"};
    Table t;
    Text out = {0};
    Style style = {.utf8 = true};
    (void)state;
    if (!setlocale(LC_CTYPE, "C.UTF-8"))
        skip();
    table_init(&t, two, 2);
    for (size_t i = 0; i < ELEMENTS(names); i++) {
        TableCell *cells = table_add_row(&t, "", COLOR_NONE);
        text_add(&cells[0].full, names[i]);
        text_add(&cells[1].full, "1");
    }
    table_format(&t, &style, &out);
    assert_string_equal(out.s, "SERVICE  NOW\n日本       1\ne\xcc\x81t\xc3\xa9        1\nplain      1\n");
    text_done(&out);
    table_done(&t);
}

static void test_many_rows(void **state) {
    static const TableColumn *const one[] = {&name};
    Table t;
    Text out = {0};
    (void)state;
    table_init(&t, one, 1);
    for (size_t i = 0; i < 1000; i++) {
        TableCell *cells = table_add_row(&t, "", COLOR_NONE);
        assert_non_null(cells);
        text_addf(&cells[0].full, "%zu", i);
    }
    table_format_plain(&t, &out);
    assert_non_null(strstr(out.s, "\n998\n999\n"));
    text_done(&out);
    table_done(&t);
}

static void test_formats(void **state) {
    static const struct {
        uint64_t n;
        const char *number, *age, *size;
    } rows[] = {
        {0, "0", "0s", "0B"},
        {999, "999", "0s", "999B"},
        {1000, "1 000", "0s", "1.0K"},
        {48211000, "48 211 000", "48s", "46M"},
        {3600000000, "3 600 000 000", "1h 0m", "3.4G"},
        {273600000000, "273 600 000 000", "3d 4h", "255G"},
    };
    (void)state;
    for (size_t i = 0; i < ELEMENTS(rows); i++) {
        Text number = {0}, age = {0}, size = {0};
        format_number(&number, rows[i].n);
        format_age(&age, rows[i].n);
        format_size(&size, rows[i].n);
        assert_string_equal(number.s, rows[i].number);
        assert_string_equal(age.s, rows[i].age);
        assert_string_equal(size.s, rows[i].size);
        text_done(&number);
        text_done(&age);
        text_done(&size);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fold),      cmocka_unit_test(test_every_width), cmocka_unit_test(test_keep),
        cmocka_unit_test(test_plain),     cmocka_unit_test(test_color),       cmocka_unit_test(test_wide),
        cmocka_unit_test(test_many_rows), cmocka_unit_test(test_formats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

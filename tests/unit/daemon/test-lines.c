/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/lines.h"
#include "daemon/base/text.h"

/* Writes each line as "<line>", with "…" behind one that was cut. */
static void collect(const char *line, size_t n, bool truncated, void *userdata) {
    Text *t = userdata;
    text_addc(t, '<');
    text_add_n(t, line, n);
    text_add(t, truncated ? "…>" : ">");
}

static void feed(Lines *l, Text *t, const char *data, size_t n, size_t step) {
    char buf[256];
    for (size_t i = 0; i < n; i += step) {
        size_t k = n - i < step ? n - i : step;
        memcpy(buf, data + i, k);
        lines_feed(l, buf, k, collect, t);
    }
}

static void test_every_split(void **state) {
    (void)state;
    static const char data[] = "one\n\ntwo\nthree";
    for (size_t step = 1; step < sizeof(data); step++) {
        Lines l = {0};
        Text t = {0};
        feed(&l, &t, data, sizeof(data) - 1, step);
        assert_string_equal(t.s, "<one><><two>");
        lines_finish(&l, collect, &t);
        assert_string_equal(t.s, "<one><><two><three>");
        assert_null(l.partial);
        lines_done(&l);
        text_done(&t);
    }
}

static void test_too_long(void **state) {
    (void)state;
    static char data[3 * LINE_MAX_BYTES];
    memset(data, 'x', sizeof(data));
    static const char tail[] = {'\n', 'e', 'n', 'd', '\n'};
    memcpy(data + sizeof(data) - sizeof(tail), tail, sizeof(tail));
    for (size_t step = 1; step <= 256; step += 51) {
        Lines l = {0};
        Text t = {0};
        feed(&l, &t, data, sizeof(data), step);
        assert_int_equal(t.len, LINE_MAX_BYTES + 2 + strlen("…") + strlen("<end>"));
        assert_string_equal(t.s + t.len - 5, "<end>");
        lines_done(&l);
        text_done(&t);
    }
    Lines l = {0};
    Text t = {0};
    static char whole[3 * LINE_MAX_BYTES + 1];
    memcpy(whole, data, sizeof(data));
    lines_feed(&l, whole, sizeof(data), collect, &t);
    assert_int_equal(t.len, LINE_MAX_BYTES + 2 + strlen("…") + strlen("<end>"));
    lines_done(&l);
    text_done(&t);
}

static void test_idle_costs_nothing(void **state) {
    (void)state;
    Lines l = {0};
    Text t = {0};
    feed(&l, &t, "half", 4, 4);
    assert_non_null(l.partial);
    feed(&l, &t, "\n", 1, 1);
    assert_null(l.partial);
    lines_done(&l);
    text_done(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_split),
        cmocka_unit_test(test_too_long),
        cmocka_unit_test(test_idle_costs_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

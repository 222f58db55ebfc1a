/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/control-stream.h"

static const char *name_at(const void *items, size_t i) {
    return ((const char *const *)items)[i];
}

static int no_part(struct Calls *calls, struct Client *client, Stream *s, Text *out) {
    (void)calls;
    (void)client;
    (void)s;
    (void)out;
    return 1;
}

/* Where it goes on, whatever was added or taken away meanwhile. */
static void test_position(void **state) {
    (void)state;
    static const char *const items[] = {"b", "d", "f", "h"};
    static const struct {
        const char *at; /* NULL: the beginning */
        size_t n, expected;
    } cases[] = {
        {NULL, 4, 0}, {NULL, 0, 0}, {"a", 4, 0}, {"b", 4, 1}, {"c", 4, 1}, {"d", 4, 2}, {"e", 4, 2},
        {"f", 4, 3},  {"g", 4, 3},  {"h", 4, 4}, {"z", 4, 4}, {"b", 0, 0}, {"b", 1, 1}, {"a", 1, 0},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        Stream *s = stream_new(no_part, false);
        if (cases[i].at)
            assert_int_equal(stream_advance(s, cases[i].at), 0);
        if (stream_position(s, (const void *)items, cases[i].n, name_at) != cases[i].expected)
            fail_msg("%s of %zu", cases[i].at ? cases[i].at : "the beginning", cases[i].n);
        stream_free(s);
    }
}

/* All of it is visited once, and in order. */
static void test_walk(void **state) {
    (void)state;
    char names[200][8];
    const char *items[200];
    for (size_t i = 0; i < 200; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "s%03zu", i);
        items[i] = names[i];
    }
    Stream *s = stream_new(no_part, true);
    for (size_t i = 0; i < 200; i++) {
        size_t at = stream_position(s, (const void *)items, 200, name_at);
        assert_int_equal(at, i);
        s->number = 7;
        assert_int_equal(stream_advance(s, items[at]), 0);
        assert_int_equal(s->number, 0);
    }
    assert_int_equal(stream_position(s, (const void *)items, 200, name_at), 200);
    stream_rewind(s);
    assert_int_equal(stream_position(s, (const void *)items, 200, name_at), 0);
    stream_free(s);
}

/* With more each part is a message; without they all make one. */
static void test_messages(void **state) {
    (void)state;
    static const struct {
        bool more, begun, last, begins, ends;
    } cases[] = {
        {true, false, false, true, true},   {true, true, false, true, true},
        {true, true, true, true, true},     {false, false, false, true, false},
        {false, true, false, false, false}, {false, true, true, false, true},
        {false, false, true, true, true},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        Stream s = {.more = cases[i].more, .begun = cases[i].begun};
        assert_int_equal(stream_begins_message(&s), cases[i].begins);
        assert_int_equal(stream_ends_message(&s, cases[i].last), cases[i].ends);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_position),
        cmocka_unit_test(test_walk),
        cmocka_unit_test(test_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

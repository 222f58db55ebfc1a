/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/event.h"

static void push(EventRing *r, const char *message) {
    ApiEvent e = {.event = "x", .message = message, .service = "s"};
    Event *copy = event_new(&e);
    assert_non_null(copy);
    event_ring_push(r, copy);
    event_unref(copy);
}

static void test_ring_keeps_the_newest(void **state) {
    (void)state;
    EventRing r;
    event_ring_init(&r, 3);
    assert_null(event_ring_get(&r, 0));
    static const char *const words[] = {"a", "b", "c", "d", "e"};
    for (size_t i = 0; i < ELEMENTS(words); i++) {
        push(&r, words[i]);
        assert_int_equal(r.n, i < 3 ? i + 1 : 3);
        assert_string_equal(event_ring_get(&r, r.n - 1)->e.message, words[i]);
        assert_string_equal(event_ring_get(&r, 0)->e.message, words[i < 3 ? 0 : i - 2]);
        assert_null(event_ring_get(&r, r.n));
    }
    event_ring_done(&r);
    event_ring_done(&r);
}

static void test_copy_is_its_own(void **state) {
    (void)state;
    char message[] = "hello", peer[] = "uid:0";
    ApiEvent e = {.event = "x", .message = message, .peer = peer};
    Event *copy = event_new(&e);
    message[0] = 'J';
    peer[0] = 'X';
    assert_string_equal(copy->e.message, "hello");
    assert_string_equal(copy->e.peer, "uid:0");
    assert_null(copy->e.service);
    event_unref(copy);
}

static void test_line(void **state) {
    (void)state;
    static const struct {
        ApiEvent e;
        const char *line;
    } cases[] = {
        {{.service = "echo", .pid = 42, .peer = "192.0.2.1:9", .message = "started"},
         "echo[42] 192.0.2.1:9 started"},
        {{.service = "echo", .message = "listening"}, "echo: listening"},
        {{.message = "hello"}, "mpinetd: hello"},
        {{.service = "echo", .pid = 42, .message = "evil\x1b[2J\nline"}, "echo[42] evil\\x1b[2J\\x0aline"},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        Text t = {0};
        event_format(&cases[i].e, &t);
        assert_string_equal(t.s, cases[i].line);
        text_done(&t);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ring_keeps_the_newest),
        cmocka_unit_test(test_copy_is_its_own),
        cmocka_unit_test(test_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

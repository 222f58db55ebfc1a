/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ctl/proto/frame.h"

/* Three messages, one of them empty, and the beginning of a fourth. */
static const char stream[] = "{\"a\":1}\0\0{\"method\":\"x.Y\"}\0{\"be";
static const char *const messages[] = {"{\"a\":1}", "", "{\"method\":\"x.Y\"}"};
#define STREAM_LENGTH (sizeof(stream) - 1)

static void feed(Frame *f, const char *s, size_t n) {
    while (n > 0) {
        char *space;
        size_t room;
        assert_int_equal(frame_space(f, &space, &room), 0);
        assert_true(room > 0);
        size_t part = n < room ? n : room;
        memcpy(space, s, part);
        frame_advance(f, part);
        s += part;
        n -= part;
    }
}

/* Takes all whole messages, which have to be the next ones of the list. */
static void take(Frame *f, size_t *next) {
    const char *message = "";
    size_t n = 0;
    while (frame_next(f, &message, &n) > 0) {
        assert_true(*next < ELEMENTS(messages));
        const char *expected = *next < ELEMENTS(messages) ? messages[*next] : "";
        assert_int_equal(n, strlen(expected));
        assert_memory_equal(message, expected, n);
        (*next)++;
    }
}

static void test_every_split(void **state) {
    (void)state;
    for (size_t a = 0; a <= STREAM_LENGTH; a++) {
        for (size_t b = a; b <= STREAM_LENGTH; b++) {
            Frame f;
            size_t next = 0;
            frame_init(&f, 64);
            feed(&f, stream, a);
            take(&f, &next);
            feed(&f, stream + a, b - a);
            take(&f, &next);
            feed(&f, stream + b, STREAM_LENGTH - b);
            take(&f, &next);
            assert_int_equal(next, ELEMENTS(messages));
            assert_int_equal(frame_pending(&f), strlen("{\"be"));
            frame_done(&f);
        }
    }
}

static void test_byte_by_byte(void **state) {
    (void)state;
    Frame f;
    size_t next = 0;
    frame_init(&f, 64);
    for (size_t i = 0; i < STREAM_LENGTH; i++) {
        feed(&f, stream + i, 1);
        take(&f, &next);
    }
    assert_int_equal(next, ELEMENTS(messages));
    frame_done(&f);
}

/* The limit is that of the message, without its NUL, whether the NUL is there yet or not. */
static void test_limit(void **state) {
    static const struct {
        size_t length;
        bool ended;
        int expect;
    } cases[] = {{9, true, 1}, {10, true, 1}, {11, true, -EMSGSIZE}, {10, false, 0}, {11, false, -EMSGSIZE}};
    (void)state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        Frame f;
        const char *message;
        size_t n;
        frame_init(&f, 10);
        feed(&f, "xxxxxxxxxxxxxxxx", cases[i].length);
        if (cases[i].ended)
            feed(&f, "", 1);
        assert_int_equal(frame_next(&f, &message, &n), cases[i].expect);
        frame_done(&f);
    }
}

static void test_large_and_pipelined(void **state) {
    const size_t length = 1000000, count = 5;
    (void)state;
    char *big = malloc(length + 1);
    assert_non_null(big);
    memset(big, 'a', length);
    big[length] = '\0';
    Frame f;
    size_t got = 0, n;
    const char *message;
    frame_init(&f, length);
    for (size_t i = 0; i < count; i++) {
        feed(&f, big, length + 1);
        feed(&f, "small", 6);
    }
    while (frame_next(&f, &message, &n) > 0) {
        assert_int_equal(n, got % 2 ? 5 : length);
        got++;
    }
    assert_int_equal(got, 2 * count);
    assert_int_equal(frame_pending(&f), 0);
    frame_done(&f);
    free(big);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_split),
        cmocka_unit_test(test_byte_by_byte),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_large_and_pipelined),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

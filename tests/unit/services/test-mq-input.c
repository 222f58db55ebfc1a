/* SPDX-License-Identifier: MIT */
#include "services/mq-input.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/base/cleanup.h"

static void test_split(void **state) {
    (void)state;
    static const struct {
        InputForm form;
        const char *text;
        size_t n;
        bool ended, found;
        size_t length, taken;
    } cases[] = {
        {INPUT_LINES, "", 0, true, false, 0, 0},         {INPUT_LINES, "a", 1, false, false, 0, 0},
        {INPUT_LINES, "a", 1, true, true, 1, 1},         {INPUT_LINES, "\n", 1, false, true, 0, 1},
        {INPUT_LINES, "ab\ncd\n", 6, false, true, 2, 3}, {INPUT_LINES, "a\0b\n", 4, false, true, 3, 4},
        {INPUT_NULL, "a\nb\0c", 5, false, true, 3, 4},   {INPUT_NULL, "a\n", 2, false, false, 0, 0},
        {INPUT_NULL, "a\n", 2, true, true, 2, 2},        {INPUT_RAW, "a\n\0b", 4, false, false, 0, 0},
        {INPUT_RAW, "a\n\0b", 4, true, true, 4, 4},      {INPUT_RAW, "", 0, true, false, 0, 0},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        size_t length = 0, taken = 0;
        print_message("%zu\n", i);
        assert_int_equal(
            input_split(cases[i].form, cases[i].text, cases[i].n, cases[i].ended, &length, &taken),
            cases[i].found);
        assert_int_equal(length, cases[i].length);
        assert_int_equal(taken, cases[i].taken);
    }
}

/* A pipe that holds @text and its end. */
static int pipe_with(const char *text, size_t n) {
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_int_equal(write(fds[1], text, n), n);
    (void)fd_close(fds[1]);
    return fds[0];
}

static void test_lines(void **state) {
    (void)state;
    CLEANUP_CLOSE int fd = pipe_with("one\n\nthree\nfour", 15);
    CLEANUP(input_done) Input input;
    const char *data = NULL;
    size_t n = 0;
    assert_int_equal(input_init(&input, fd, INPUT_LINES, 5), 0);
    static const char *const expected[] = {"one", "", "three", "four"};
    for (size_t i = 0; i < ELEMENTS(expected); i++) {
        assert_int_equal(input_next(&input, &data, &n), 1);
        assert_int_equal(n, strlen(expected[i]));
        assert_memory_equal(data, expected[i], n);
    }
    assert_int_equal(input_next(&input, &data, &n), 0);
}

/* What exactly fits is taken, and a byte more is not, whether its end is in sight or far away. */
static void test_too_long(void **state) {
    (void)state;
    static char text[40000];
    memset(text, 'x', sizeof(text));
    text[100] = '\n';
    text[202] = '\n';
    for (int far = 0; far < 2; far++) {
        CLEANUP_CLOSE int fd = pipe_with(text, far ? sizeof(text) : 203);
        CLEANUP(input_done) Input input;
        const char *data = NULL;
        size_t n = 0;
        assert_int_equal(input_init(&input, fd, INPUT_LINES, far ? 101 : 100), 0);
        assert_int_equal(input_next(&input, &data, &n), 1);
        assert_int_equal(n, 100);
        assert_int_equal(input_next(&input, &data, &n), far ? 1 : -EMSGSIZE);
        if (far)
            assert_int_equal(input_next(&input, &data, &n), -EMSGSIZE);
    }
}

static void test_failing(void **state) {
    (void)state;
    CLEANUP(input_done) Input input;
    const char *data = NULL;
    size_t n = 0;
    assert_int_equal(input_init(&input, -1, INPUT_LINES, 100), 0);
    assert_int_equal(input_next(&input, &data, &n), -EBADF);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_split),
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_too_long),
        cmocka_unit_test(test_failing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

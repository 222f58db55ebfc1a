/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "conf/judge.h"

static void assert_words(uid_t euid, const char *words) {
    CLEANUP_TEXT Text text = {0};
    judge_add_words(euid, &text);
    assert_string_equal(text.s, words);
}

static void test_words(void **state) {
    (void)state;
    assert_words(0, "judged as root, with your environment");
    /* Nobody has it. */
    assert_words(4294967290U, "judged as uid 4294967290, with your environment");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_words)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

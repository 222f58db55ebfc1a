/* SPDX-License-Identifier: MIT */
#include "conf/suggest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/base/cleanup.h"

static void test_distance(void **state) {
    (void)state;
    static const struct {
        const char *a, *b;
        size_t distance;
    } cases[] = {
        {"", "", 0},
        {"", "abc", 3},
        {"listen", "listen", 0},
        {"listen", "lsiten", 1},
        {"listen", "listn", 1},
        {"listen", "listten", 1},
        {"listen", "lister", 1},
        {"LISTEN", "listen", 0},
        {"ab", "ba", 1},
        {"kitten", "sitting", 3},
        {"ca", "abc", 3},
        {"per_sorce", "per_source", 1},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        assert_int_equal(suggest_distance(cases[i].a, cases[i].b), cases[i].distance);
        assert_int_equal(suggest_distance(cases[i].b, cases[i].a), cases[i].distance);
    }
}

static void test_long_words(void **state) {
    (void)state;
    char word[80];
    memset(word, 'x', sizeof(word));
    word[64] = '\0';
    assert_int_equal(suggest_distance(word, word), 0);
    assert_int_equal(suggest_distance(word, ""), 64);
    word[64] = 'x';
    word[65] = '\0';
    assert_true(suggest_distance(word, word) == SIZE_MAX);
    assert_null(suggest(word, (const char *const[]){word}, 1));
}

static void test_suggest(void **state) {
    (void)state;
    static const char *const keys[] = {"listen", "user",       "group", "exec",  NULL,    "limits",
                                       "access", "per_source", "pass",  "model", "umask", "to"};
    static const struct {
        const char *word, *best;
    } cases[] = {
        {"lisen", "listen"},
        {"usr", "user"},
        {"User", "user"},
        {"exce", "exec"},
        {"per_sorce", "per_source"},
        {"per-source", "per_source"},
        {"modle", "model"},
        {"limit", "limits"},
        {"ot", "to"},
        {"x", NULL},
        {"", NULL},
        {"to", "to"},
        {"banana", NULL},
        {"usre", "user"},
        {"only_from", NULL},
        {"t", "to"},
        {"ab", NULL},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        const char *best = suggest(cases[i].word, keys, ELEMENTS(keys));
        if (cases[i].best)
            assert_string_equal(best ? best : "(none)", cases[i].best);
        else if (best)
            fail_msg("%s: %s is suggested", cases[i].word, best);
    }
}

static void test_first_of_equals(void **state) {
    (void)state;
    static const char *const keys[] = {"cat", "bat", "rat"};
    assert_string_equal(suggest("hat", keys, ELEMENTS(keys)), "cat");
    Suggestion s = {.word = "bat"};
    for (size_t i = 0; i < ELEMENTS(keys); i++)
        suggestion_offer(&s, keys[i]);
    assert_string_equal(s.best, "bat");
    assert_int_equal(s.distance, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_distance),
        cmocka_unit_test(test_long_words),
        cmocka_unit_test(test_suggest),
        cmocka_unit_test(test_first_of_equals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

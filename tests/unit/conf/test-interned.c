/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "conf/interned.h"
#include "daemon/base/text.h"

#define MANY 5000U

static void test_once(void **state) {
    (void)state;
    Interned *in = interned_new();
    char a[] = "root", b[] = "root";
    const char *first = interned_string(in, a);
    assert_string_equal(first, "root");
    assert_ptr_not_equal(first, a);
    assert_ptr_equal(interned_string(in, b), first);
    assert_ptr_not_equal(interned_string(in, "roo"), first);
    assert_string_equal(interned_string(in, ""), "");
    /* A text is not the beginning of another. */
    assert_ptr_not_equal(interned_bytes(in, a, 4), first);
    assert_null(interned_bytes(in, a, 0));
    assert_null(interned_unref(in));
}

static void test_vectors(void **state) {
    (void)state;
    Interned *in = interned_new();
    char one[] = "/bin/echo", two[] = "-n", same[] = "-n";
    char *v[] = {one, two, NULL}, *w[] = {one, same, NULL}, *none[] = {NULL},
         *longer[] = {one, two, two, NULL};
    char **first = interned_strv(in, v);
    assert_true(strv_equal(first, v));
    assert_ptr_equal(interned_strv(in, w), first);
    assert_ptr_equal(first[1], interned_string(in, "-n"));
    assert_int_equal(strv_length(interned_strv(in, none)), 0);
    assert_true(strv_equal(interned_strv(in, longer), longer));
    interned_unref(in);
}

/* Whatever there is of it, it stays where it is, as aligned as it may have to be. */
static void test_many(void **state) {
    static const char *kept[MANY];
    static uint64_t big[20000];
    (void)state;
    Interned *in = interned_new();
    char text[32];
    for (unsigned i = 0; i < MANY; i++) {
        (void)snprintf(text, sizeof(text), "word %u", i * i);
        kept[i] = interned_string(in, text);
        const uint64_t number = i;
        const void *of_number = interned_bytes(in, &number, sizeof(number));
        assert_int_equal((uintptr_t)of_number % sizeof(number), 0);
        assert_memory_equal(of_number, &number, sizeof(number));
    }
    const void *whole = interned_bytes(in, big, sizeof(big));
    assert_memory_equal(whole, big, sizeof(big));
    for (unsigned i = 0; i < MANY; i++) {
        (void)snprintf(text, sizeof(text), "word %u", i * i);
        assert_string_equal(kept[i], text);
        assert_ptr_equal(interned_string(in, text), kept[i]);
    }
    interned_unref(in);
}

static void test_has(void **state) {
    (void)state;
    char outside[] = "root";
    Interned *in = interned_new();
    const char *inside = interned_string(in, outside);
    assert_true(interned_has(in, inside));
    assert_false(interned_has(in, outside));
    assert_false(interned_has(in, NULL));
    assert_false(interned_has(NULL, inside));
    /* Once it is finished it is only kept. */
    interned_finish(in);
    assert_null(interned_string(in, outside));
    assert_true(interned_has(interned_ref(in), inside));
    interned_unref(in);
    assert_string_equal(inside, "root");
    interned_unref(in);
}

/* By the references that are left of those that there were. */
static void test_sparse(void **state) {
    (void)state;
    Interned *in = interned_new();
    for (unsigned i = 0; i < 5; i++)
        (void)interned_ref(in);
    assert_false(interned_is_sparse(in));
    interned_finish(in);
    interned_unref(in); /* who made it */
    assert_false(interned_is_sparse(in));
    interned_unref(in);
    interned_unref(in);
    assert_false(interned_is_sparse(in));
    interned_unref(in);
    assert_true(interned_is_sparse(in));
    interned_unref(in);
    assert_true(interned_is_sparse(in));
    interned_unref(in);
    /* One alone is all there ever was. */
    in = interned_ref(interned_new());
    interned_finish(in);
    interned_unref(in);
    assert_false(interned_is_sparse(in));
    interned_unref(in);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_once), cmocka_unit_test(test_vectors), cmocka_unit_test(test_many),
        cmocka_unit_test(test_has),  cmocka_unit_test(test_sparse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

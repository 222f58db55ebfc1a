/* SPDX-License-Identifier: MIT */
#include "conf/path.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "daemon/base/text.h"

static void test_below(void **state) {
    static const struct {
        const char *path, *folder;
        bool below;
    } cases[] = {
        {"/srv", "/srv", true}, {"/srv/a", "/srv", true}, {"/srva", "/srv", false},
        {"/", "/srv", false},   {"/srv", "/", true},      {"/", "/", true},
        {"/sr", "/srv", false}, {"/a/b/c", "/a/b", true}, {"/a/b", "/a/b/c", false},
    };
    (void)state;
    for (size_t i = 0; i < ELEMENTS(cases); i++)
        if (path_is_below(cases[i].path, cases[i].folder) != cases[i].below)
            fail_msg("%s below %s", cases[i].path, cases[i].folder);
}

static void test_item(void **state) {
    (void)state;
    assert_string_equal(path_of_item("/a"), "/a");
    assert_string_equal(path_of_item("-/a"), "/a");
}

static void test_above(void **state) {
    char a[] = "/a", b[] = "-/srv", c[] = "/srv/www", *const folders[] = {a, b, c, NULL};
    (void)state;
    assert_int_equal(path_find_above("/srv/www/x", folders), 1);
    assert_int_equal(path_find_above("/a", folders), 0);
    assert_int_equal(path_find_above("/b", folders), -1);
    assert_int_equal(path_find_above("/b", NULL), -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_below),
        cmocka_unit_test(test_item),
        cmocka_unit_test(test_above),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

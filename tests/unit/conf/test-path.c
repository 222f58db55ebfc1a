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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_below),
        cmocka_unit_test(test_item),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

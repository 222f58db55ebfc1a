/* SPDX-License-Identifier: MIT */
#include "services/mq-name.h"

#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/base/cleanup.h"

static void test_good(void **state) {
    (void)state;
    static const struct {
        const char *text;
        QueueKind kind;
        const char *shown;
        unsigned key;
    } good[] = {
        {"/jobs", QUEUE_POSIX, "/jobs", 0},
        {"mqueue:/jobs", QUEUE_POSIX, "/jobs", 0},
        {"/.hidden", QUEUE_POSIX, "/.hidden", 0},
        {"/sysv:1", QUEUE_POSIX, "/sysv:1", 0},
        {"sysv:42", QUEUE_SYSV, "sysv:42", 42},
        {"sysv:0x2A", QUEUE_SYSV, "sysv:0x2A", 42},
        {"sysv:4294967295", QUEUE_SYSV, "sysv:4294967295", UINT_MAX},
        {"sysv:0xffffffff", QUEUE_SYSV, "sysv:0xffffffff", UINT_MAX},
    };
    for (size_t i = 0; i < ELEMENTS(good); i++) {
        QueueName name;
        const char *why = NULL;
        print_message("%s\n", good[i].text);
        assert_int_equal(queue_name_parse(good[i].text, &name, &why), 0);
        assert_int_equal(name.kind, good[i].kind);
        assert_string_equal(name.text, good[i].shown);
        assert_int_equal((unsigned)name.key, good[i].key);
    }
}

static void test_bad(void **state) {
    (void)state;
    static const char *const bad[] = {
        "",        "jobs",      "/",        "/a/b",   "//",      "/.",
        "/..",     "mqueue:",   "mqueue:a", "sysv:",  "sysv:0",  "sysv:0x0",
        "sysv:-1", "sysv:1x",   "sysv:0x",  "sysv:x", "sysv: 1", "sysv:4294967296",
        "tcp:7",   "sysv:0xg1", "MQUEUE:/a"};
    for (size_t i = 0; i < ELEMENTS(bad); i++) {
        QueueName name = {.key = 99};
        const char *why = NULL;
        print_message("'%s'\n", bad[i]);
        assert_int_equal(queue_name_parse(bad[i], &name, &why), -EINVAL);
        assert_non_null(why);
        assert_int_equal(name.key, 99);
    }
}

static void test_length(void **state) {
    (void)state;
    char text[NAME_MAX + 3] = "/";
    QueueName name;
    const char *why = NULL;
    memset(text + 1, 'x', NAME_MAX);
    assert_int_equal(queue_name_parse(text, &name, &why), 0);
    text[NAME_MAX + 1] = 'x';
    assert_int_equal(queue_name_parse(text, &name, &why), -EINVAL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

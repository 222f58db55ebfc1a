/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/knock.h"

static Addr addr(const char *text, uint16_t port) {
    Addr a = {0};
    if (text[0] == '/')
        assert_int_equal(addr_set_unix(text, &a), 0);
    else
        assert_int_equal(addr_parse_ip(text, port, &a), 0);
    return a;
}

static void test_suspicion(void **state) {
    (void)state;
    static const struct {
        const char *from;
        uint16_t from_port;
        bool is_local;
        const char *own;
        uint16_t own_port;
        bool suspicious;
    } cases[] = {
        /* Honest ones. */
        {"192.0.2.1", 40000, false, "0.0.0.0", 7, false},
        {"192.0.2.1", 7, false, "0.0.0.0", 7, false}, /* the same service of another machine: DNS, NTP */
        {"192.0.2.1", 53, true, "0.0.0.0", 7, false}, /* another service of this one */
        {"127.0.0.1", 7, true, "127.0.0.2", 7, false},
        {"2001:db8::1", 123, false, "::", 123, false},
        {"fe80::1", 1024, false, "::", 123, false},
        {"/a", 0, true, "/b", 0, false},
        {"/a", 0, true, "0.0.0.0", 7, false},
        /* Nobody's. */
        {"192.0.2.1", 0, false, "0.0.0.0", 7, true},
        {"2001:db8::1", 0, false, "::", 7, true},
        {"0.0.0.0", 68, false, "0.0.0.0", 67, true},
        {"255.255.255.255", 1000, false, "0.0.0.0", 7, true},
        {"224.0.0.1", 1000, false, "0.0.0.0", 7, true},
        {"239.255.255.250", 1900, false, "0.0.0.0", 7, true},
        {"::", 1000, false, "::", 7, true},
        {"ff02::1", 1000, false, "::", 7, true},
        /* Ourselves. */
        {"127.0.0.1", 7, true, "127.0.0.1", 7, true},
        {"127.0.0.1", 7, true, "0.0.0.0", 7, true},
        {"192.0.2.1", 7, true, "0.0.0.0", 7, true},
        {"2001:db8::1", 7, true, "::", 7, true},
        {"2001:db8::1", 7, false, "2001:db8::1", 7, true},
        {"/a", 0, true, "/a", 0, true},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        Addr from = addr(cases[i].from, cases[i].from_port), own = addr(cases[i].own, cases[i].own_port);
        const Addr *all[] = {&own};
        const char *why = knock_suspicion(&from, cases[i].is_local, all, 1);
        if ((why != NULL) != cases[i].suspicious)
            fail_msg("%s:%u: %s", cases[i].from, cases[i].from_port, why ? why : "nothing");
    }
}

static void test_unnamed(void **state) {
    (void)state;
    Addr from = {0}, own = addr("/a", 0);
    const Addr *all[] = {&own};
    assert_null(knock_suspicion(&from, true, all, 1));
    from.len = sizeof(sa_family_t);
    from.sa.sa_family = AF_UNIX;
    assert_null(knock_suspicion(&from, true, all, 1));
    assert_null(knock_suspicion(&from, true, all, 0));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_suspicion),
        cmocka_unit_test(test_unnamed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Where a forward goes to, and whether that is itself. */
#include "conf/target.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "daemon/base/text.h"

static void test_parse(void **state) {
    static const struct {
        const char *text, *why; /* NULL: it is one */
    } cases[] = {
        {"tcp:80", NULL},
        {"tcp:127.0.0.1:80", NULL},
        {"tcp:[::1]:80", NULL},
        {"udp:53", NULL},
        {"unix:/run/x", NULL},
        {"unix:@x", NULL},
        {"unix-seqpacket:/run/x", NULL},
        {"unix-dgram:/run/x", NULL},
        {"vsock:3:80", NULL},
        {"vsock:any:80", "'any' is nobody's"},
        {"tcp:0", "port 0 is nobody's"},
        {"udp:127.0.0.1:0", "port 0 is nobody's"},
        {"fifo:/run/x", "one cannot connect to that"},
        {"mqueue:/x", "one cannot connect to that"},
        {"systemd:x", "one cannot connect to that"},
    };
    (void)state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        Endpoint e;
        const char *why = "", *hint = "";
        int r = target_parse(cases[i].text, &e, &why, &hint);
        assert_int_equal(r, cases[i].why ? -EINVAL : 0);
        if (cases[i].why)
            assert_string_equal(why, cases[i].why);
        else
            assert_string_equal(e.text, cases[i].text);
        if (!cases[i].why && e.path)
            assert_true(e.path > e.text && e.path < e.text + strlen(e.text));
    }
    assert_int_equal(target_parse("no such thing", &(Endpoint){0}, NULL, NULL), -EINVAL);
}

static void test_own(void **state) {
    static const struct {
        const char *target, *listen;
        bool own;
    } cases[] = {
        {"tcp:80", "tcp:80", true},
        {"tcp:80", "tcp:81", false},
        {"tcp:80", "udp:80", false},
        {"tcp:80", "tcp:127.0.0.1:80", true},
        {"tcp:80", "tcp:192.0.2.1:80", false}, /* it is loopback that is connected to */
        {"tcp:127.0.0.9:80", "tcp:80", true},
        {"tcp:10.0.0.5:80", "tcp:80", false}, /* the usual port forward */
        {"tcp:10.0.0.5:80", "tcp:10.0.0.5:80", true},
        {"tcp:[::1]:80", "tcp:80", true},
        {"tcp:[::1]:80", "tcp:0.0.0.0:80", false},
        {"tcp:[2001:db8::1]:80", "tcp:80", false},
        {"unix:/run/x", "unix:/run/x", true},
        {"unix:/run/x", "unix:/run/y", false},
        {"unix:/run/x", "unix-seqpacket:/run/x", false},
        {"unix:@x", "unix:@x", true},
    };
    (void)state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        Endpoint target, listen;
        assert_int_equal(target_parse(cases[i].target, &target, NULL, NULL), 0);
        assert_int_equal(endpoint_parse(cases[i].listen, &listen, NULL, NULL), 0);
        if (target_is_own(&target, &listen) != cases[i].own)
            fail_msg("%s and %s", cases[i].target, cases[i].listen);
    }
}

/* What was parsed before is the same when it is parsed again, and nothing is looked up for it. */
static void test_again(void **state) {
    static const struct {
        const char *text;
        uint16_t port; /* that is known */
        EndpointKind kind;
        bool has_name;
        const char *addr; /* NULL: it cannot be known */
    } cases[] = {
        {"tcp:80", 0, ENDPOINT_TCP, false, "0.0.0.0:80"},
        {"tcp:127.0.0.1:80", 0, ENDPOINT_TCP, false, "127.0.0.1:80"},
        {"tcp:[::1]:80", 0, ENDPOINT_TCP, false, "[::1]:80"},
        {"unix:/run/x", 0, ENDPOINT_UNIX, false, "/run/x"},
        {"unix:@x:y", 0, ENDPOINT_UNIX, false, "@x:y"},
        {"unix-seqpacket:/run/x", 0, ENDPOINT_UNIX_SEQPACKET, false, "/run/x"},
        {"unix-dgram:/run/x", 0, ENDPOINT_UNIX_DGRAM, false, "/run/x"},
        {"vsock:3:80", 0, ENDPOINT_VSOCK, false, "3:80"},
        {"udp:127.0.0.1:53", 0, ENDPOINT_UDP, false, "127.0.0.1:53"},
        {"tcp:no-such-port", 7000, ENDPOINT_TCP, true, "0.0.0.0:7000"},
        {"tcp:127.0.0.1:no-such-port", 7000, ENDPOINT_TCP, true, "127.0.0.1:7000"},
        {"tcp:[::1]:no-such-port", 65535, ENDPOINT_TCP, true, "[::1]:65535"},
        {"tcp:127.0.0.1:http", 0, ENDPOINT_TCP, true, NULL},
        {"udp:domain", 0, ENDPOINT_UDP, true, NULL},
    };
    (void)state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        Endpoint e = {0};
        char text[ADDR_TEXT_MAX];
        assert_int_equal(target_kind(cases[i].text), cases[i].kind);
        assert_int_equal(target_has_port_name(cases[i].text), cases[i].has_name);
        assert_int_equal(target_parse_again(cases[i].text, cases[i].port, &e), cases[i].addr ? 0 : -EINVAL);
        if (!cases[i].addr)
            continue;
        const Addr a = endpoint_addr(&e, 0);
        assert_string_equal(addr_format(&a, text), cases[i].addr);
        assert_ptr_equal(e.text, cases[i].text);
    }
    assert_int_equal(target_kind("no such thing"), _ENDPOINT_KIND_MAX);
    assert_false(target_has_port_name("no such thing"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_own),
        cmocka_unit_test(test_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/peer.h"

typedef struct PeerCase {
    const char *address;
    const char *full, *prefix;
} PeerCase;

static const PeerCase cases[] = {
    {"192.0.2.77", "192.0.2.77:80", "192.0.2.0/24"},
    {"::ffff:192.0.2.77", "192.0.2.77:80", "192.0.2.0/24"},
    {"2001:db8:1:2::9", "[2001:db8:1:2::9]:80", "2001:db8:1::/48"},
    {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:80",
     "ffff:ffff:ffff::/48"},
};

static void test_shown(void **state) {
    (void)state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        Addr a;
        char buf[PEER_TEXT_MAX];
        assert_int_equal(addr_parse_ip(cases[i].address, 80, &a), 0);
        Peer p = peer_from_addr(&a);
        assert_string_equal(peer_format(&p, LOG_ADDRESSES_FULL, buf), cases[i].full);
        assert_string_equal(peer_format(&p, LOG_ADDRESSES_PREFIX, buf), cases[i].prefix);
        assert_null(peer_format(&p, LOG_ADDRESSES_NONE, buf));
    }
}

static void test_unix(void **state) {
    (void)state;
    char buf[PEER_TEXT_MAX];
    Peer p = peer_from_uid(4294967294U), nobody = {.kind = PEER_NONE};
    assert_string_equal(peer_format(&p, LOG_ADDRESSES_FULL, buf), "uid:4294967294");
    assert_null(peer_format(&p, LOG_ADDRESSES_NONE, buf));
    assert_null(peer_format(&nobody, LOG_ADDRESSES_FULL, buf));
    assert_true(sizeof(Peer) <= 32);
}

static void test_vsock(void **state) {
    (void)state;
    char buf[PEER_TEXT_MAX];
    Addr a = {.vm = {.svm_family = AF_VSOCK, .svm_cid = 3, .svm_port = 4294967294U}, .len = sizeof(a.vm)};
    Peer p = peer_from_addr(&a);
    assert_int_equal(p.kind, PEER_VSOCK);
    assert_string_equal(peer_format(&p, LOG_ADDRESSES_FULL, buf), "vsock:3:4294967294");
    assert_string_equal(peer_format(&p, LOG_ADDRESSES_PREFIX, buf), "vsock:3");
    assert_null(peer_format(&p, LOG_ADDRESSES_NONE, buf));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vsock),
        cmocka_unit_test(test_shown),
        cmocka_unit_test(test_unix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/base/addr.h"
#include "daemon/base/cleanup.h"
#include "services/mp-service.h"

typedef struct GuardCase {
    const char *name;
    const char *peer;
    const char *local;
    uint16_t peer_port;
    uint16_t local_port;
    bool refused;
} GuardCase;

#define CLIENT 40000
#define OWN 7007

static const GuardCase cases[] = {
    {"a client", "192.0.2.1", "192.0.2.9", CLIENT, OWN, false},
    {"a client, well-known service", "192.0.2.1", "192.0.2.9", CLIENT, 7, false},
    {"a client, wildcard socket", "192.0.2.1", "0.0.0.0", CLIENT, OWN, false},
    {"a client over IPv6", "2001:db8::1", "2001:db8::9", CLIENT, OWN, false},
    {"a client over IPv6, wildcard socket", "2001:db8::1", "::", CLIENT, OWN, false},
    {"a link-local client", "fe80::1", "fe80::9", CLIENT, OWN, false},
    {"a client of the first address after 0/8", "1.0.0.0", "192.0.2.9", CLIENT, OWN, false},
    {"a client before multicast", "223.255.255.255", "192.0.2.9", CLIENT, OWN, false},
    {"a client after multicast", "240.0.0.1", "192.0.2.9", CLIENT, OWN, false},
    {"a client before loopback", "126.255.255.255", "192.0.2.9", CLIENT, OWN, false},
    {"a client after loopback", "128.0.0.0", "192.0.2.9", CLIENT, OWN, false},
    {"a client before 255/8", "254.255.255.255", "192.0.2.9", CLIENT, OWN, false},

    {"port 0", "192.0.2.1", "192.0.2.9", 0, OWN, true},
    {"echo", "192.0.2.1", "192.0.2.9", 7, OWN, true},
    {"discard", "192.0.2.1", "192.0.2.9", 9, OWN, true},
    {"daytime", "192.0.2.1", "192.0.2.9", 13, OWN, true},
    {"chargen", "192.0.2.1", "192.0.2.9", 19, OWN, true},
    {"time", "192.0.2.1", "192.0.2.9", 37, OWN, true},
    {"dns", "192.0.2.1", "192.0.2.9", 53, OWN, true},
    {"the last privileged port", "192.0.2.1", "192.0.2.9", 1023, OWN, true},
    {"the first ordinary port", "192.0.2.1", "192.0.2.9", 1024, OWN, false},
    {"nfs", "192.0.2.1", "192.0.2.9", 2049, OWN, true},
    {"beside nfs", "192.0.2.1", "192.0.2.9", 2050, OWN, false},
    {"echo over IPv6", "2001:db8::1", "2001:db8::9", 7, OWN, true},
    {"nfs over IPv6", "2001:db8::1", "2001:db8::9", 2049, OWN, true},

    {"ourselves", "192.0.2.9", "192.0.2.9", OWN, OWN, true},
    {"the same service elsewhere", "192.0.2.1", "192.0.2.9", OWN, OWN, true},
    {"ourselves over IPv6", "2001:db8::9", "2001:db8::9", OWN, OWN, true},
    {"ourselves over loopback", "127.0.0.1", "127.0.0.1", OWN, OWN, true},
    {"our host from another port", "192.0.2.9", "192.0.2.9", CLIENT, OWN, false},

    {"unspecified", "0.0.0.0", "192.0.2.9", CLIENT, OWN, true},
    {"this network", "0.255.255.255", "192.0.2.9", CLIENT, OWN, true},
    {"broadcast", "255.255.255.255", "192.0.2.9", CLIENT, OWN, true},
    {"255/8", "255.0.0.0", "192.0.2.9", CLIENT, OWN, true},
    {"multicast", "224.0.0.0", "192.0.2.9", CLIENT, OWN, true},
    {"the last multicast", "239.255.255.255", "192.0.2.9", CLIENT, OWN, true},
    {"unspecified over IPv6", "::", "2001:db8::9", CLIENT, OWN, true},
    {"multicast over IPv6", "ff02::1", "2001:db8::9", CLIENT, OWN, true},
    {"IPv4-compatible", "::192.0.2.1", "2001:db8::9", CLIENT, OWN, true},

    {"loopback to loopback", "127.0.0.1", "127.0.0.1", CLIENT, OWN, false},
    {"loopback to another loopback address", "127.0.0.1", "127.1.2.3", CLIENT, OWN, false},
    {"loopback from outside", "127.0.0.1", "192.0.2.9", CLIENT, OWN, true},
    {"the last loopback from outside", "127.255.255.255", "192.0.2.9", CLIENT, OWN, true},
    {"loopback to a wildcard socket that knows no more", "127.0.0.1", "0.0.0.0", CLIENT, OWN, true},
    {"loopback to loopback over IPv6", "::1", "::1", CLIENT, OWN, false},
    {"loopback from outside over IPv6", "::1", "2001:db8::9", CLIENT, OWN, true},

    {"a mapped client", "::ffff:192.0.2.1", "::ffff:192.0.2.9", CLIENT, OWN, false},
    {"a mapped client, wildcard socket", "::ffff:192.0.2.1", "::", CLIENT, OWN, false},
    {"mapped echo", "::ffff:192.0.2.1", "::", 7, OWN, true},
    {"mapped unspecified", "::ffff:0.0.0.0", "::", CLIENT, OWN, true},
    {"mapped broadcast", "::ffff:255.255.255.255", "::", CLIENT, OWN, true},
    {"mapped multicast", "::ffff:224.0.0.1", "::", CLIENT, OWN, true},
    {"mapped loopback to mapped loopback", "::ffff:127.0.0.1", "::ffff:127.0.0.1", CLIENT, OWN, false},
    {"mapped loopback from outside", "::ffff:127.0.0.1", "::ffff:192.0.2.9", CLIENT, OWN, true},
    {"mapped ourselves", "::ffff:192.0.2.9", "::ffff:192.0.2.9", OWN, OWN, true},

    {"asked by broadcast", "192.0.2.1", "255.255.255.255", CLIENT, OWN, true},
    {"asked by multicast", "192.0.2.1", "224.0.0.1", CLIENT, OWN, true},
    {"asked by multicast over IPv6", "2001:db8::1", "ff02::1", CLIENT, OWN, true},
};

static void test_cases(void **state) {
    (void)state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        const GuardCase *c = &cases[i];
        Addr peer, local;
        assert_int_equal(addr_parse_ip(c->peer, c->peer_port, &peer), 0);
        assert_int_equal(addr_parse_ip(c->local, c->local_port, &local), 0);
        if (mp_datagram_refused(&peer.sa, peer.len, &local.sa, local.len) != c->refused)
            fail_msg("%s: should %sbe refused", c->name, c->refused ? "" : "not ");
    }
}

/* Every port below 1024 and 2049 is refused, the own one too, and no other. */
static void test_every_port(void **state) {
    (void)state;
    Addr peer, local;
    assert_int_equal(addr_parse_ip("192.0.2.1", 0, &peer), 0);
    assert_int_equal(addr_parse_ip("192.0.2.9", OWN, &local), 0);
    for (unsigned port = 0; port <= UINT16_MAX; port++) {
        addr_set_port(&peer, (uint16_t)port);
        bool expected = port < 1024 || port == 2049 || port == OWN;
        assert_int_equal(mp_datagram_refused(&peer.sa, peer.len, &local.sa, local.len), expected);
    }
}

static void test_other_families(void **state) {
    (void)state;
    Addr peer, local, inet;
    assert_int_equal(addr_set_unix("/run/client", &peer), 0);
    assert_int_equal(addr_set_unix("/run/service", &local), 0);
    assert_int_equal(addr_parse_ip("192.0.2.1", CLIENT, &inet), 0);
    assert_false(mp_datagram_refused(&peer.sa, peer.len, &local.sa, local.len));
    /* A sender without a name. */
    assert_false(mp_datagram_refused(&peer.sa, 0, &local.sa, local.len));
    assert_false(mp_datagram_refused(NULL, 0, &local.sa, local.len));
    /* An own address that nobody knows does not make a client a stranger, but loopback one. */
    assert_false(mp_datagram_refused(&inet.sa, inet.len, NULL, 0));
    assert_int_equal(addr_parse_ip("127.0.0.1", CLIENT, &inet), 0);
    assert_true(mp_datagram_refused(&inet.sa, inet.len, NULL, 0));
}

static void test_short_addresses(void **state) {
    (void)state;
    Addr peer, peer6, local;
    assert_int_equal(addr_parse_ip("192.0.2.1", CLIENT, &peer), 0);
    assert_int_equal(addr_parse_ip("2001:db8::1", CLIENT, &peer6), 0);
    assert_int_equal(addr_parse_ip("192.0.2.9", OWN, &local), 0);
    assert_true(mp_datagram_refused(&peer.sa, peer.len - 1, &local.sa, local.len));
    assert_true(mp_datagram_refused(&peer6.sa, peer6.len - 1, &local.sa, local.len));
    assert_true(mp_datagram_refused(&peer.sa, peer.len, &local.sa, sizeof(sa_family_t)));
}

static void test_local(void **state) {
    (void)state;
    static const struct {
        const char *address;
        bool local;
    } local_cases[] = {
        {"127.0.0.1", true},         {"127.255.0.9", true}, {"::1", true},
        {"::ffff:127.0.0.1", true},  {"192.0.2.1", false},  {"10.0.0.1", false},
        {"::ffff:192.0.2.1", false}, {"fe80::1", false},    {"2001:db8::1", false},
    };
    Addr peer;
    for (size_t i = 0; i < sizeof(local_cases) / sizeof(local_cases[0]); i++) {
        assert_int_equal(addr_parse_ip(local_cases[i].address, CLIENT, &peer), 0);
        assert_int_equal(mp_datagram_is_local(&peer.sa, peer.len), local_cases[i].local);
    }
    assert_false(mp_datagram_is_local(&peer.sa, peer.len - 1));
    assert_int_equal(addr_set_unix("/run/client", &peer), 0);
    assert_true(mp_datagram_is_local(&peer.sa, peer.len));
    assert_true(mp_datagram_is_local(NULL, 0));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),          cmocka_unit_test(test_every_port),
        cmocka_unit_test(test_other_families), cmocka_unit_test(test_short_addresses),
        cmocka_unit_test(test_local),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "conf/prefix.h"
#include "daemon/base/text.h"

static Peer peer_of(const char *text) {
    Addr a;
    if (strncmp(text, "uid:", 4) == 0)
        return peer_from_uid((uid_t)strtoul(text + 4, NULL, 10));
    if (strncmp(text, "vsock:", 6) == 0) {
        a = (Addr){.vm = {.svm_family = AF_VSOCK, .svm_port = 1234}, .len = sizeof(a.vm)};
        a.vm.svm_cid = (unsigned)strtoul(text + 6, NULL, 10);
        return peer_from_addr(&a);
    }
    assert_int_equal(addr_parse_ip(text, 1234, &a), 0);
    return peer_from_addr(&a);
}

static const struct {
    const char *prefix, *peer;
    bool has;
} cases[] = {
    {"192.0.2.1", "192.0.2.1", true},
    {"192.0.2.1", "192.0.2.2", false},
    {"192.0.2.1", "::ffff:192.0.2.1", true},
    {"192.0.2.0/24", "192.0.2.255", true},
    {"192.0.2.0/24", "192.0.3.0", false},
    {"192.0.2.77/24", "192.0.2.1", true},
    {"192.0.2.128/25", "192.0.2.127", false},
    {"192.0.2.128/25", "192.0.2.128", true},
    {"0.0.0.0/0", "203.0.113.9", true},
    {"0.0.0.0/0", "2001:db8::1", false},
    {"::/0", "2001:db8::1", true},
    {"::/0", "192.0.2.1", false},
    {"::ffff:192.0.2.0/120", "192.0.2.7", true},
    {"::ffff:192.0.2.0/120", "192.0.3.7", false},
    {"::ffff:192.0.2.7", "192.0.2.7", true},
    {"::ffff:0:0/96", "198.51.100.1", true},
    {"2001:db8::/48", "2001:db8:0:ffff::1", true},
    {"2001:db8::/48", "2001:db8:1::1", false},
    {"2001:db8::/33", "2001:db8:8000::1", false},
    {"2001:db8::/33", "2001:db8:7fff::1", true},
    {"2001:db8::1/128", "2001:db8::1", true},
    {"2001:db8::1", "2001:db8::2", false},
    {"fe80::/10", "fe80::1%lo", true},
    {"fe80::1%lo", "fe80::1%lo", true},
    {"fe80::1%lo", "fe80::1", false},
    {"uid:1000", "uid:1000", true},
    {"uid:1000", "uid:100", false},
    {"uid:0", "0.0.0.0", false},
    {"vsock:3", "vsock:3", true},
    {"vsock:3", "vsock:4", false},
    {"vsock:3", "uid:3", false},
    {"uid:3", "vsock:3", false},
};

static void test_has(void **state) {
    (void)state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        Prefix p;
        Peer peer = peer_of(cases[i].peer);
        assert_int_equal(prefix_parse(cases[i].prefix, &p), 0);
        if (prefix_has(&p, &peer) != cases[i].has)
            fail_msg("%s in %s", cases[i].peer, cases[i].prefix);
    }
    Prefix all;
    assert_int_equal(prefix_parse("0.0.0.0/0", &all), 0);
    assert_false(prefix_has(&all, &(Peer){.kind = PEER_NONE}));
}

static void test_bad(void **state) {
    (void)state;
    static const char *const bad[] = {
        "",
        "/",
        "/24",
        "192.0.2.0/33",
        "192.0.2.0/",
        "192.0.2.0/-1",
        "192.0.2.0/024",
        "192.0.2",
        "::/129",
        "uid:",
        "uid:x",
        "uid:-1",
        "uid:4294967295",
        "uid:1000 ",
        "localhost",
        "any",
        "[::1]",
        "192.0.2.1:80",
        "192.0.2.0/24/8",
        "gid:1",
        " 192.0.2.1",
        "vsock:",
        "vsock:any",
        "vsock:3:80",
        "vsock:4294967295",
    };
    for (size_t i = 0; i < ELEMENTS(bad); i++) {
        Prefix p = {.bits = 77};
        if (prefix_parse(bad[i], &p) != -EINVAL || p.bits != 77)
            fail_msg("'%s' is taken", bad[i]);
    }
    Prefix p;
    assert_int_equal(prefix_parse("fe80::1%nosuchif", &p), -ENODEV);
}

static void test_format(void **state) {
    static const struct {
        const char *from, *text;
    } formats[] = {
        {"192.0.2.77/24", "192.0.2.0/24"},
        {"192.0.2.1/32", "192.0.2.1"},
        {"::ffff:192.0.2.0/120", "192.0.2.0/24"},
        {"0.0.0.0/0", "0.0.0.0/0"},
        {"2001:DB8:0::1/48", "2001:db8::/48"},
        {"2001:db8::1", "2001:db8::1"},
        {"fe80::1%lo", "fe80::1%lo"},
        {"::/0", "::/0"},
        {"uid:1000", "uid:1000"},
        {"vsock:3", "vsock:3"},
    };
    (void)state;
    for (size_t i = 0; i < ELEMENTS(formats); i++) {
        CLEANUP_TEXT Text text = {0};
        Prefix p, again;
        assert_int_equal(prefix_parse(formats[i].from, &p), 0);
        prefix_format(&p, &text);
        assert_string_equal(text.s, formats[i].text);
        assert_int_equal(prefix_parse(text.s, &again), 0);
        assert_memory_equal(&p, &again, sizeof(p));
    }
    CLEANUP_TEXT Text none = {0};
    prefix_format(&(Prefix){.kind = PEER_NONE}, &none);
    assert_int_equal(none.len, 0);
}

/* One flipped bit within the prefix is another prefix; behind it, it is the same. */
static void test_bits(void **state) {
    (void)state;
    for (unsigned bits = 0; bits <= 32; bits++) {
        char text[32];
        Prefix p;
        (void)snprintf(text, sizeof(text), "198.51.100.165/%u", bits);
        assert_int_equal(prefix_parse(text, &p), 0);
        for (unsigned bit = 0; bit < 32; bit++) {
            Peer peer = peer_of("198.51.100.165");
            peer.in.s_addr ^= htonl(1U << (31 - bit));
            assert_int_equal(prefix_has(&p, &peer), bit >= bits);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_has),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_bits),
        cmocka_unit_test(test_format),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

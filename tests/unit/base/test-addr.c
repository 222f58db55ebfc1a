/* SPDX-License-Identifier: MIT */
#include "daemon/base/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/errors.h"

typedef struct ParseCase {
    const char *in;
    int result;
    int family;
    const char *shown; /* with port 80; NULL: as `in` */
} ParseCase;

static const ParseCase parse_cases[] = {
    {"127.0.0.1", 0, AF_INET, "127.0.0.1:80"},
    {"0.0.0.0", 0, AF_INET, "0.0.0.0:80"},
    {"255.255.255.255", 0, AF_INET, "255.255.255.255:80"},
    {"::", 0, AF_INET6, "[::]:80"},
    {"::1", 0, AF_INET6, "[::1]:80"},
    {"2001:DB8:0:0::1", 0, AF_INET6, "[2001:db8::1]:80"},
    {"::ffff:192.0.2.1", 0, AF_INET6, "[::ffff:192.0.2.1]:80"},
    {"fe80::1%lo", 0, AF_INET6, "[fe80::1%lo]:80"},
    {"fe80::1%4294967295", 0, AF_INET6, "[fe80::1%4294967295]:80"},
    {"", -EINVAL, 0, NULL},
    {"localhost", -EINVAL, 0, NULL},
    {"127.0.0.1 ", -EINVAL, 0, NULL},
    {"127.1", -EINVAL, 0, NULL},
    {"127.0.0.256", -EINVAL, 0, NULL},
    {"0127.0.0.1", -EINVAL, 0, NULL},
    {"127.0.0.1%lo", -EINVAL, 0, NULL},
    {"[::1]", -EINVAL, 0, NULL},
    {":::", -EINVAL, 0, NULL},
    {"1:2:3:4:5:6:7:8:9", -EINVAL, 0, NULL},
    {"0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000", -EINVAL, 0, NULL},
    {"fe80::1%", -ENODEV, 0, NULL},
    {"fe80::1%0", -ENODEV, 0, NULL},
    {"fe80::1%-1", -ENODEV, 0, NULL},
    {"fe80::1%+1", -ENODEV, 0, NULL},
    {"fe80::1%4294967296", -ENODEV, 0, NULL},
    {"fe80::1%18446744073709551616", -ENODEV, 0, NULL},
    {"fe80::1%no-such-interface", -ENODEV, 0, NULL},
};

/* Each number at each place, as inet_ntop(3) writes it. */
static void test_ipv4_text(void **state) {
    (void)state;
    for (uint32_t i = 0; i < 4 * 256; i++) {
        char wanted[INET_ADDRSTRLEN], whole[32], got[ADDR_TEXT_MAX];
        Addr a = {.len = sizeof(a.in)};
        a.in.sin_family = AF_INET;
        a.in.sin_addr.s_addr = htonl(0x01020364U ^ (i % 256) << (i / 256 * 8));
        a.in.sin_port = htons((uint16_t)(i * 64));
        assert_non_null(inet_ntop(AF_INET, &a.in.sin_addr, wanted, sizeof(wanted)));
        assert_string_equal(addr_format_host(&a, got), wanted);
        (void)snprintf(whole, sizeof(whole), "%s:%u", wanted, i * 64);
        assert_string_equal(addr_format(&a, got), whole);
    }
}

static void test_parse(void **state) {
    (void)state;
    for (size_t i = 0; i < ELEMENTS(parse_cases); i++) {
        const ParseCase *c = &parse_cases[i];
        Addr a = {.len = 77};
        int r = addr_parse_ip(c->in, 80, &a);
        if (r != c->result)
            fail_msg("'%s': %d, not %d", c->in, r, c->result);
        if (r < 0) {
            assert_int_equal(a.len, 77); /* untouched */
            continue;
        }
        char buf[ADDR_TEXT_MAX];
        assert_int_equal(a.sa.sa_family, c->family);
        assert_int_equal(addr_port(&a), 80);
        assert_string_equal(addr_format(&a, buf), c->shown);
        /* What is shown without port and brackets reads back as the same address. */
        Addr again;
        assert_int_equal(addr_parse_ip(addr_format_host(&a, buf), 80, &again), 0);
        assert_true(addr_equal(&a, &again));
    }
}

static void test_scope_by_name(void **state) {
    (void)state;
    unsigned lo = if_nametoindex("lo");
    if (lo == 0)
        skip();
    char number[32];
    (void)snprintf(number, sizeof(number), "fe80::1%%%u", lo);
    Addr by_name, by_number, other;
    assert_int_equal(addr_parse_ip("fe80::1%lo", 1, &by_name), 0);
    assert_int_equal(addr_parse_ip(number, 1, &by_number), 0);
    assert_int_equal(addr_parse_ip("fe80::1%4294967295", 1, &other), 0);
    assert_true(addr_equal(&by_name, &by_number));
    assert_false(addr_equal(&by_name, &other));
    assert_false(addr_host_equal(&by_name, &other));
}

static void test_any(void **state) {
    (void)state;
    char buf[ADDR_TEXT_MAX];
    Addr v4, v6, lo;
    addr_any(AF_INET, 7, &v4);
    addr_any(AF_INET6, 65535, &v6);
    assert_string_equal(addr_format(&v4, buf), "0.0.0.0:7");
    assert_string_equal(addr_format(&v6, buf), "[::]:65535");
    assert_true(addr_is_wildcard(&v4));
    assert_true(addr_is_wildcard(&v6));
    assert_int_equal(addr_parse_ip("127.0.0.1", 7, &lo), 0);
    assert_false(addr_is_wildcard(&lo));
    assert_false(addr_host_equal(&v4, &lo));
    assert_false(addr_host_equal(&v4, &v6));
    addr_set_port(&v4, 8);
    addr_set_port(&v6, 9);
    assert_int_equal(addr_port(&v4), 8);
    assert_int_equal(addr_port(&v6), 9);
}

static void test_vsock(void **state) {
    (void)state;
    char buf[ADDR_TEXT_MAX];
    Addr a = {.vm = {.svm_family = AF_VSOCK, .svm_cid = 3, .svm_port = 4294967294U}, .len = sizeof(a.vm)},
         b = a;
    assert_string_equal(addr_format(&a, buf), "3:4294967294");
    assert_string_equal(addr_format_host(&a, buf), "3");
    assert_int_equal(addr_port(&a), 0);
    assert_false(addr_is_wildcard(&a));
    assert_true(addr_equal(&a, &b));
    b.vm.svm_port = 1;
    assert_false(addr_equal(&a, &b));
    assert_true(addr_host_equal(&a, &b));
    b.vm.svm_cid = VMADDR_CID_ANY;
    assert_false(addr_host_equal(&a, &b));
    assert_true(addr_is_wildcard(&b));
    assert_string_equal(addr_format(&b, buf), "any:1");
}

static void test_equal(void **state) {
    (void)state;
    Addr a, b;
    assert_int_equal(addr_parse_ip("192.0.2.1", 80, &a), 0);
    b = a;
    assert_true(addr_equal(&a, &b));
    addr_set_port(&b, 81);
    assert_false(addr_equal(&a, &b));
    assert_true(addr_host_equal(&a, &b));
    /* Every bit of an address counts. */
    for (unsigned bit = 0; bit < 32; bit++) {
        b = a;
        b.in.sin_addr.s_addr ^= 1U << bit;
        assert_false(addr_equal(&a, &b));
        assert_false(addr_host_equal(&a, &b));
    }
    assert_int_equal(addr_parse_ip("2001:db8::1", 80, &a), 0);
    for (unsigned bit = 0; bit < 128; bit++) {
        b = a;
        b.in6.sin6_addr.s6_addr[bit / 8] ^= (uint8_t)(1U << (bit % 8));
        assert_false(addr_equal(&a, &b));
    }
    b = a;
    b.in6.sin6_flowinfo = 1; /* is no part of who it is */
    assert_true(addr_equal(&a, &b));
}

static void test_unmap(void **state) {
    (void)state;
    char buf[ADDR_TEXT_MAX];
    Addr a, plain;
    assert_int_equal(addr_parse_ip("::ffff:192.0.2.1", 4242, &a), 0);
    assert_int_equal(addr_parse_ip("192.0.2.1", 4242, &plain), 0);
    assert_false(addr_equal(&a, &plain));
    addr_unmap(&a);
    assert_true(addr_equal(&a, &plain));
    assert_int_equal(a.len, sizeof(struct sockaddr_in));
    assert_string_equal(addr_format(&a, buf), "192.0.2.1:4242");

    static const char *const others[] = {"::192.0.2.1", "::fffe:192.0.2.1", "::1", "::", "64:ff9b::1"};
    for (size_t i = 0; i < ELEMENTS(others); i++) {
        Addr before;
        assert_int_equal(addr_parse_ip(others[i], 1, &before), 0);
        a = before;
        addr_unmap(&a);
        assert_true(addr_equal(&a, &before));
    }
}

static void test_unix(void **state) {
    (void)state;
    char buf[ADDR_TEXT_MAX];
    Addr a, b;
    assert_int_equal(addr_set_unix("/run/x.sock", &a), 0);
    assert_string_equal(addr_format(&a, buf), "/run/x.sock");
    assert_int_equal(a.len, offsetof(struct sockaddr_un, sun_path) + sizeof("/run/x.sock"));
    assert_int_equal(addr_port(&a), 0);
    assert_false(addr_is_wildcard(&a));

    /* getsockname(2) may count bytes past the path's NUL. */
    b = a;
    b.len = sizeof(struct sockaddr_un);
    assert_true(addr_equal(&a, &b));

    assert_int_equal(addr_set_unix("@name", &b), 0);
    assert_string_equal(addr_format(&b, buf), "@name");
    assert_int_equal(b.len, offsetof(struct sockaddr_un, sun_path) + 5);
    assert_false(addr_equal(&a, &b));
    assert_int_equal(addr_set_unix("name", &a), 0);
    assert_false(addr_equal(&a, &b)); /* a path and an abstract name are different places */

    Addr unnamed = {.un = {.sun_family = AF_UNIX}, .len = offsetof(struct sockaddr_un, sun_path)};
    assert_string_equal(addr_format(&unnamed, buf), "");
}

static void test_unix_length(void **state) {
    (void)state;
    char path[120], buf[ADDR_TEXT_MAX];
    Addr a;
    for (size_t n = 100; n < sizeof(path); n++) {
        memset(path, 'p', n);
        path[0] = '/';
        path[n] = '\0';
        assert_int_equal(addr_set_unix(path, &a), n <= 107 ? 0 : -ENAMETOOLONG);
        if (n <= 107)
            assert_string_equal(addr_format(&a, buf), path);
        path[0] = '@';
        assert_int_equal(addr_set_unix(path, &a), n <= 108 ? 0 : -ENAMETOOLONG);
        if (n <= 108)
            assert_string_equal(addr_format(&a, buf), path);
    }
}

/* The groups must not overlap: what is transient is tried again at once, what is a lack of resources is not.
 */
static void test_errno_groups(void **state) {
    (void)state;
    for (int e = 1; e < 200; e++)
        assert_false(errno_is_accept_transient(e) && errno_is_resource(e));
    assert_true(errno_is_accept_transient(ECONNABORTED));
    assert_true(errno_is_resource(EMFILE));
    assert_false(errno_is_resource(EBADF));
    assert_false(errno_is_accept_transient(EBADF));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ipv4_text),     cmocka_unit_test(test_parse),
        cmocka_unit_test(test_scope_by_name), cmocka_unit_test(test_any),
        cmocka_unit_test(test_vsock),         cmocka_unit_test(test_equal),
        cmocka_unit_test(test_unmap),         cmocka_unit_test(test_unix),
        cmocka_unit_test(test_unix_length),   cmocka_unit_test(test_errno_groups),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/proxy-header.h"

/* A header's bytes, with their length: they hold NULs. */
typedef struct Bytes {
    const char *s;
    size_t n;
} Bytes;
#define B(text)                                                                                              \
    { text, sizeof(text) - 1 }

#define SIG "\r\n\r\n\0\r\nQUIT\n"

static Addr ip(const char *host, uint16_t port) {
    Addr a;
    assert_int_equal(addr_parse_ip(host, port, &a), 0);
    return a;
}

static Addr path(const char *s) {
    Addr a = {.un = {.sun_family = AF_UNIX}, .len = offsetof(struct sockaddr_un, sun_path)};
    if (*s)
        assert_int_equal(addr_set_unix(s, &a), 0);
    return a;
}

static ProxyResult parse(const void *data, size_t n, ProxyHeader *h, size_t *length, const char **why) {
    /* A copy of just this size, so that a sanitizer sees a byte too far. */
    unsigned char *copy = malloc(n ? n : 1);
    assert_non_null(copy);
    memcpy(copy, data, n);
    ProxyResult r = proxy_header_parse(copy, n, h, length, why);
    free(copy);
    return r;
}

typedef struct GoodCase {
    const char *name;
    Bytes in;
    const char *source, *destination; /* as addr_format(); NULL: not told */
    ProxyVersion version;
    int type;
    bool local;
} GoodCase;

static const GoodCase good[] = {
    {"v1 IPv4", B("PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n"), "192.0.2.1:56324", "198.51.100.2:443",
     PROXY_V1, SOCK_STREAM, false},
    {"v1 IPv4, the longest", B("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"),
     "255.255.255.255:65535", "255.255.255.255:65535", PROXY_V1, SOCK_STREAM, false},
    {"v1 IPv4, port 0", B("PROXY TCP4 192.0.2.1 198.51.100.2 0 0\r\n"), "192.0.2.1:0", "198.51.100.2:0",
     PROXY_V1, SOCK_STREAM, false},
    {"v1 IPv6", B("PROXY TCP6 2001:db8::1 ::1 1 2\r\n"), "[2001:db8::1]:1", "[::1]:2", PROXY_V1, SOCK_STREAM,
     false},
    {"v1 IPv6, the longest",
     B("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 "
       "65535\r\n"),
     "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535", "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
     PROXY_V1, SOCK_STREAM, false},
    {"v1 unknown", B("PROXY UNKNOWN\r\n"), NULL, NULL, PROXY_V1, 0, false},
    {"v1 unknown with words", B("PROXY UNKNOWN ffff::1 whatever 1 2\r\n"), NULL, NULL, PROXY_V1, 0, false},
    {"v2 IPv4", B(SIG "\x21\x11\0\x0c\xc0\0\2\1\xc6\x33\x64\2\xdc\4\1\xbb"), "192.0.2.1:56324",
     "198.51.100.2:443", PROXY_V2, SOCK_STREAM, false},
    {"v2 IPv4 datagram", B(SIG "\x21\x12\0\x0c\xc0\0\2\1\xc6\x33\x64\2\xdc\4\1\xbb"), "192.0.2.1:56324",
     "198.51.100.2:443", PROXY_V2, SOCK_DGRAM, false},
    {"v2 IPv6",
     B(SIG "\x21\x21\0\x24\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1"
           "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\1\0\2"),
     "[2001:db8::1]:1", "[::1]:2", PROXY_V2, SOCK_STREAM, false},
    {"v2 unspecified", B(SIG "\x21\0\0\0"), NULL, NULL, PROXY_V2, 0, false},
    {"v2 unspecified with data", B(SIG "\x21\0\0\2xy"), NULL, NULL, PROXY_V2, 0, false},
    {"v2 local", B(SIG "\x20\0\0\0"), NULL, NULL, PROXY_V2, 0, true},
    {"v2 local with a family and data", B(SIG "\x20\xff\0\3abc"), NULL, NULL, PROXY_V2, 0, true},
    {"v2 a TLV", B(SIG "\x21\x11\0\x12\xc0\0\2\1\xc6\x33\x64\2\xdc\4\1\xbb\1\0\3h2c"), "192.0.2.1:56324",
     "198.51.100.2:443", PROXY_V2, SOCK_STREAM, false},
    {"v2 two TLVs, one empty", B(SIG "\x21\x11\0\x13\xc0\0\2\1\xc6\x33\x64\2\xdc\4\1\xbb\4\0\0\x30\0\1x"),
     "192.0.2.1:56324", "198.51.100.2:443", PROXY_V2, SOCK_STREAM, false},
};

static void check_addr(const char *name, const Addr *a, const char *want) {
    char text[ADDR_TEXT_MAX];
    if (!want) {
        assert_int_equal(a->sa.sa_family, AF_UNSPEC);
        return;
    }
    if (strcmp(addr_format(a, text), want) != 0)
        fail_msg("%s: %s instead of %s", name, text, want);
}

/* Every header, cut at every place, wants more; whole, and with bytes of the client behind it, it is the
 * same. */
static void test_good(void **state) {
    (void)state;
    for (size_t i = 0; i < ELEMENTS(good); i++) {
        const GoodCase *c = &good[i];
        unsigned char data[512];
        ProxyHeader h;
        size_t length;
        const char *why = "";
        for (size_t n = 0; n < c->in.n; n++)
            if (parse(c->in.s, n, &h, &length, &why) != PROXY_MORE)
                fail_msg("%s: %zu of %zu bytes are not enough (%s)", c->name, n, c->in.n, why);
        for (size_t more = 0; more < 3; more++) {
            memcpy(data, c->in.s, c->in.n);
            data[c->in.n] = '\r';
            data[c->in.n + 1] = '\n';
            if (parse(data, c->in.n + more, &h, &length, &why) != PROXY_OK)
                fail_msg("%s: refused with %zu bytes more: %s", c->name, more, why);
            assert_int_equal(length, c->in.n);
            assert_int_equal(h.version, c->version);
            assert_int_equal(h.type, c->type);
            assert_int_equal(h.local, c->local);
            check_addr(c->name, &h.source, c->source);
            check_addr(c->name, &h.destination, c->destination);
        }
    }
}

typedef struct BadCase {
    const char *name;
    Bytes in;
    size_t known; /* after so many bytes it is known to be bad; 0: only at the end */
} BadCase;

static const BadCase wrong[] = {
    {"an HTTP request", B("GET / HTTP/1.0\r\n\r\n"), 1},
    {"lower case", B("proxy TCP4 192.0.2.1 198.51.100.2 1 2\r\n"), 1},
    {"POST", B("POST / HTTP/1.0\r\n"), 2},
    {"another protocol", B("PROXY UDP4 192.0.2.1 198.51.100.2 1 2\r\n"), 8},
    {"TCP5", B("PROXY TCP5 192.0.2.1 198.51.100.2 1 2\r\n"), 10},
    {"UNKNOWNS", B("PROXY UNKNOWNS\r\n"), 0},
    {"two spaces", B("PROXY TCP4  192.0.2.1 198.51.100.2 1 2\r\n"), 0},
    {"two spaces later", B("PROXY TCP4 192.0.2.1  198.51.100.2 1 2\r\n"), 0},
    {"a space at the end", B("PROXY TCP4 192.0.2.1 198.51.100.2 1 2 \r\n"), 0},
    {"a tab", B("PROXY TCP4 192.0.2.1\t198.51.100.2 1 2\r\n"), 21},
    {"no carriage return", B("PROXY TCP4 192.0.2.1 198.51.100.2 1 2\n"), 38},
    {"a carriage return alone", B("PROXY TCP4 192.0.2.1 198.51.100.2 1 2\rx"), 39},
    {"a NUL", B("PROXY UNKNOWN\0\r\n"), 14},
    {"beyond ASCII", B("PROXY UNKNOWN \xc3\xa4\r\n"), 15},
    {"a port missing", B("PROXY TCP4 192.0.2.1 198.51.100.2 1\r\n"), 0},
    {"a port too many", B("PROXY TCP4 192.0.2.1 198.51.100.2 1 2 3\r\n"), 0},
    {"no words", B("PROXY TCP4 \r\n"), 0},
    {"a port out of range", B("PROXY TCP4 192.0.2.1 198.51.100.2 65536 2\r\n"), 0},
    {"a port beyond numbers", B("PROXY TCP4 192.0.2.1 198.51.100.2 99999999999999999999 2\r\n"), 0},
    {"a port with a leading zero", B("PROXY TCP4 192.0.2.1 198.51.100.2 01 2\r\n"), 0},
    {"a port with a sign", B("PROXY TCP4 192.0.2.1 198.51.100.2 +1 2\r\n"), 0},
    {"a negative port", B("PROXY TCP4 192.0.2.1 198.51.100.2 -1 2\r\n"), 0},
    {"an IPv4 address with a leading zero", B("PROXY TCP4 192.0.2.01 198.51.100.2 1 2\r\n"), 0},
    {"an IPv4 address too short", B("PROXY TCP4 192.0.2 198.51.100.2 1 2\r\n"), 0},
    {"IPv6 as TCP4", B("PROXY TCP4 ::1 ::1 1 2\r\n"), 0},
    {"IPv4 as TCP6", B("PROXY TCP6 192.0.2.1 198.51.100.2 1 2\r\n"), 0},
    {"a scope", B("PROXY TCP6 fe80::1%lo ::1 1 2\r\n"), 0},
    {"brackets", B("PROXY TCP6 [::1] ::1 1 2\r\n"), 0},
    {"a line that does not end",
     B("PROXY UNKNOWN "
       "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567"
       "89012345\r\n"),
     107},
    {"half a signature", B("\r\n\r\n\0\r\nQUIT\r"), 12},
    {"version 1 in binary", B(SIG "\x11\x11\0\0"), 13},
    {"version 3", B(SIG "\x31\x11\0\0"), 13},
    {"another command", B(SIG "\x22\x11\0\0"), 13},
    {"another family", B(SIG "\x21\x41\0\0"), 14},
    {"a family without a transport", B(SIG "\x21\x10\0\0"), 14},
    {"another transport", B(SIG "\x21\x13\0\0"), 14},
    {"IPv4, too short", B(SIG "\x21\x11\0\x0b\0\0\0\0\0\0\0\0\0\0\0"), 16},
    {"IPv6, too short", B(SIG "\x21\x21\0\x23"), 16},
    {"paths, too short", B(SIG "\x21\x31\0\xd7"), 16},
    {"too long", B(SIG "\x21\x11\x0f\xf1"), 16},
    {"a TLV that is cut", B(SIG "\x21\x11\0\x0e\xc0\0\2\1\xc6\x33\x64\2\xdc\4\1\xbb\1\0"), 0},
    {"a TLV beyond the end", B(SIG "\x21\x11\0\x10\xc0\0\2\1\xc6\x33\x64\2\xdc\4\1\xbb\1\0\2x"), 0},
};

/* What is bad is bad at the byte that makes it so, never before, and stays bad with what comes after. */
static void test_bad(void **state) {
    (void)state;
    for (size_t i = 0; i < ELEMENTS(wrong); i++) {
        const BadCase *c = &wrong[i];
        size_t known = c->known ? c->known : c->in.n;
        for (size_t n = 0; n <= c->in.n; n++) {
            ProxyHeader h = {.type = 77};
            size_t length = 99;
            const char *why = NULL;
            ProxyResult r = parse(c->in.s, n, &h, &length, &why);
            if (r != (n < known ? PROXY_MORE : PROXY_BAD))
                fail_msg("%s: %zu of %zu bytes give %d", c->name, n, c->in.n, (int)r);
            assert_int_equal(h.type, 77);
            assert_int_equal(length, 99);
            assert_true((r == PROXY_BAD) == (why != NULL));
        }
    }
}

typedef struct WriteCase {
    const char *name;
    const char *source, *destination;
    const char *v1;
    unsigned char v2_family;
    const char *back_source, *back_destination; /* what version 2's reader sees; NULL: nothing */
} WriteCase;

static const WriteCase written[] = {
    {"IPv4", "192.0.2.1", "198.51.100.2", "PROXY TCP4 192.0.2.1 198.51.100.2 1000 80\r\n", 0x11,
     "192.0.2.1:1000", "198.51.100.2:80"},
    {"IPv6", "2001:db8::1", "::1", "PROXY TCP6 2001:db8::1 ::1 1000 80\r\n", 0x21, "[2001:db8::1]:1000",
     "[::1]:80"},
    {"mapped IPv4", "::ffff:192.0.2.1", "::ffff:198.51.100.2",
     "PROXY TCP4 192.0.2.1 198.51.100.2 1000 80\r\n", 0x11, "192.0.2.1:1000", "198.51.100.2:80"},
    {"mixed", "192.0.2.1", "2001:db8::1", "PROXY TCP6 ::ffff:192.0.2.1 2001:db8::1 1000 80\r\n", 0x21,
     "[::ffff:192.0.2.1]:1000", "[2001:db8::1]:80"},
    {"UNIX", "", "/run/x.sock", "PROXY UNKNOWN\r\n", 0x31, "", "/run/x.sock"},
    {"abstract", "@peer", "@name", "PROXY UNKNOWN\r\n", 0x31, "@peer", "@name"},
    {"UNIX and IP", "", "192.0.2.1", "PROXY UNKNOWN\r\n", 0x00, NULL, NULL},
};

static Addr address(const char *s, uint16_t port) {
    return *s == '/' || *s == '@' || *s == '\0' ? path(s) : ip(s, port);
}

static void test_write(void **state) {
    (void)state;
    for (size_t i = 0; i < ELEMENTS(written); i++) {
        const WriteCase *c = &written[i];
        Addr source = address(c->source, 1000), destination = address(c->destination, 80);
        unsigned char out[PROXY_HEADER_MAX];
        size_t n = proxy_header_write(PROXY_V1, &source, &destination, out), length;
        assert_int_equal(n, strlen(c->v1));
        assert_memory_equal(out, c->v1, n);
        ProxyHeader h;
        const char *why = "";
        assert_int_equal(parse(out, n, &h, &length, &why), PROXY_OK);
        n = proxy_header_write(PROXY_V2, &source, &destination, out);
        assert_int_equal(out[13], c->v2_family);
        for (size_t cut = 0; cut < n; cut++)
            assert_int_equal(parse(out, cut, &h, &length, &why), PROXY_MORE);
        assert_int_equal(parse(out, n, &h, &length, &why), PROXY_OK);
        assert_int_equal(length, n);
        check_addr(c->name, &h.source, c->back_source);
        check_addr(c->name, &h.destination, c->back_destination);
    }
}

/* A repeatable sequence; its quality does not matter. */
static uint32_t next(uint32_t *seed) {
    *seed = *seed * 1664525U + 1013904223U;
    return *seed >> 8;
}

static Addr any_address(uint32_t *seed, int family) {
    Addr a = {0};
    if (family == AF_INET) {
        a.in = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = (in_port_t)next(seed)};
        a.in.sin_addr.s_addr = next(seed) << 16 ^ next(seed);
        a.len = sizeof(a.in);
        return a;
    }
    a.in6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = (in_port_t)next(seed)};
    /* Not too many zeros, so that none is a mapped one. */
    for (size_t i = 0; i < 16; i++)
        a.in6.sin6_addr.s6_addr[i] = (unsigned char)(next(seed) % 5 && i > 0 ? next(seed) : 32);
    a.len = sizeof(a.in6);
    return a;
}

/* What is written is read again, in both versions. */
static void test_round_trip(void **state) {
    (void)state;
    uint32_t seed = 1;
    for (int i = 0; i < 4000; i++) {
        int family = i % 2 ? AF_INET : AF_INET6;
        Addr source = any_address(&seed, family), destination = any_address(&seed, family);
        unsigned char out[PROXY_HEADER_MAX];
        ProxyVersion version = i % 4 < 2 ? PROXY_V1 : PROXY_V2;
        size_t n = proxy_header_write(version, &source, &destination, out), length = 0;
        ProxyHeader h;
        const char *why = "";
        assert_int_equal(parse(out, n, &h, &length, &why), PROXY_OK);
        assert_int_equal(length, n);
        assert_int_equal(h.version, version);
        assert_true(addr_equal(&h.source, &source));
        assert_true(addr_equal(&h.destination, &destination));
    }
}

/* Any bytes get an answer, and the same one however they arrive: once bad or good, more bytes change nothing.
 */
static void test_any_bytes(void **state) {
    (void)state;
    uint32_t seed = 7;
    for (int i = 0; i < 20000; i++) {
        const GoodCase *c = &good[next(&seed) % ELEMENTS(good)];
        unsigned char data[512];
        size_t n = c->in.n + next(&seed) % 8;
        memset(data, (int)next(&seed), sizeof(data));
        memcpy(data, c->in.s, c->in.n);
        for (uint32_t changes = next(&seed) % 3; changes > 0; changes--)
            data[next(&seed) % n] = (unsigned char)next(&seed);
        ProxyResult before = PROXY_MORE;
        size_t length_before = 0;
        for (size_t cut = 0; cut <= n; cut++) {
            ProxyHeader h;
            size_t length = 0;
            const char *why = "";
            ProxyResult r = parse(data, cut, &h, &length, &why);
            if (before != PROXY_MORE && (r != before || length != length_before))
                fail_msg("'%s', changed: the verdict changes at byte %zu", c->name, cut);
            assert_true(r != PROXY_OK || length <= cut);
            before = r;
            length_before = length;
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),       cmocka_unit_test(test_bad),       cmocka_unit_test(test_write),
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_any_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

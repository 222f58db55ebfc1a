/* SPDX-License-Identifier: MIT */
#include "services/client-target.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/base/cleanup.h"

typedef struct Good {
    const char *text;
    TargetKind kind;
    const char *host, *port, *path;
    uint32_t cid, vsock_port;
    int type;
} Good;

static const Good good[] = {
    {"tcp:7", TARGET_TCP, "", "7", "", 0, 0, SOCK_STREAM},
    {"tcp:echo", TARGET_TCP, "", "echo", "", 0, 0, SOCK_STREAM},
    {"tcp:127.0.0.1:65535", TARGET_TCP, "127.0.0.1", "65535", "", 0, 0, SOCK_STREAM},
    {"tcp:example.org:http", TARGET_TCP, "example.org", "http", "", 0, 0, SOCK_STREAM},
    {"tcp:[::1]:1", TARGET_TCP, "::1", "1", "", 0, 0, SOCK_STREAM},
    {"udp:[fe80::1%eth0]:53", TARGET_UDP, "fe80::1%eth0", "53", "", 0, 0, SOCK_DGRAM},
    {"unix:/run/x.sock", TARGET_UNIX, "", "", "/run/x.sock", 0, 0, SOCK_STREAM},
    {"unix:./x", TARGET_UNIX, "", "", "./x", 0, 0, SOCK_STREAM},
    {"unix:@name", TARGET_UNIX, "", "", "@name", 0, 0, SOCK_STREAM},
    {"unix-dgram:/x:y", TARGET_UNIX_DGRAM, "", "", "/x:y", 0, 0, SOCK_DGRAM},
    {"unix-seqpacket:@x", TARGET_UNIX_SEQPACKET, "", "", "@x", 0, 0, SOCK_SEQPACKET},
    {"vsock:3:1024", TARGET_VSOCK, "", "", "", 3, 1024, SOCK_STREAM},
    {"vsock:host:0", TARGET_VSOCK, "", "", "", 2, 0, SOCK_STREAM},
    {"vsock:local:4294967294", TARGET_VSOCK, "", "", "", 1, 4294967294U, SOCK_STREAM},
};

static void test_good(void **state) {
    (void)state;
    for (size_t i = 0; i < ELEMENTS(good); i++) {
        Target t;
        const char *why = NULL;
        print_message("%s\n", good[i].text);
        assert_int_equal(target_parse(good[i].text, &t, &why), 0);
        assert_int_equal(t.kind, good[i].kind);
        assert_string_equal(t.text, good[i].text);
        assert_string_equal(t.host, good[i].host);
        assert_string_equal(t.port, good[i].port);
        assert_string_equal(t.path, good[i].path);
        assert_int_equal(t.cid, good[i].cid);
        assert_int_equal(t.vsock_port, good[i].vsock_port);
        assert_int_equal(target_socket_type(&t), good[i].type);
        assert_int_equal(target_has_records(&t), good[i].type != SOCK_STREAM);
    }
}

static void test_bad(void **state) {
    (void)state;
    static const struct {
        const char *text, *why; /* a part of it */
    } bad[] = {
        {"", "begins with tcp:"},         {"7", "write tcp: or udp:"},
        {"/run/x", "write unix:"},        {"@x", "write unix:"},
        {"http:80", "begins with tcp:"},  {"tcp:", "port is missing"},
        {"tcp:0", "1 to 65535"},          {"tcp:65536", "1 to 65535"},
        {"tcp:123456", "1 to 65535"},     {"tcp::7", "host is missing"},
        {"tcp:h:", "port is missing"},    {"tcp:::1:7", "in brackets"},
        {"tcp:[::1:7", "']' is missing"}, {"tcp:[::1]7", "behind ']'"},
        {"tcp:[]:7", "host is missing"},  {"unix:", "begins with /"},
        {"unix:x", "begins with /"},      {"unix:@", "begins with /"},
        {"vsock:1", "CID:PORT"},          {"vsock:x:1", "CID:PORT"},
        {"vsock:1:x", "CID:PORT"},        {"vsock::1", "CID:PORT"},
        {"vsock:1:4294967295", "below"},  {"vsock:4294967295:1", "below"},
        {"vsock:1x:1", "CID:PORT"},
    };
    for (size_t i = 0; i < ELEMENTS(bad); i++) {
        Target t = {.kind = TARGET_VSOCK};
        const char *why = NULL;
        print_message("%s\n", bad[i].text);
        assert_int_equal(target_parse(bad[i].text, &t, &why), -EINVAL);
        assert_non_null(strstr(why, bad[i].why));
        assert_int_equal(t.kind, TARGET_VSOCK);
    }
}

/* Exactly what fits is taken, a byte more is not. */
static void test_lengths(void **state) {
    (void)state;
    char text[600] = "unix:/", *fill = text + strlen(text);
    const char *why = NULL;
    Target t;
    memset(fill, 'x', 106);
    assert_int_equal(target_parse(text, &t, &why), 0);
    fill[106] = 'x';
    assert_int_equal(target_parse(text, &t, &why), -EINVAL);
    (void)snprintf(text, sizeof(text), "tcp:%0255d:7", 0);
    assert_int_equal(target_parse(text, &t, &why), 0);
    (void)snprintf(text, sizeof(text), "tcp:%0256d:7", 0);
    assert_int_equal(target_parse(text, &t, &why), -EINVAL);
    (void)snprintf(text, sizeof(text), "tcp:%0500d:7", 0);
    assert_int_equal(target_parse(text, &t, &why), -EINVAL);
    (void)snprintf(text, sizeof(text), "tcp:p%063d", 0);
    assert_int_equal(target_parse(text, &t, &why), -EINVAL);
}

/* Without a host both families are tried, IPv4 first, whatever the system's files say. */
static void test_resolve_this_host(void **state) {
    (void)state;
    Target t;
    TargetAddresses a;
    const char *why = NULL;
    char text[TARGET_ADDRESS_TEXT_MAX];
    assert_int_equal(target_parse("tcp:7", &t, &why), 0);
    assert_int_equal(target_resolve(&t, &a, &why), 0);
    assert_int_equal(a.n, 2);
    assert_string_equal(target_format_address(&a.list[0], text), "127.0.0.1:7");
    assert_string_equal(target_format_address(&a.list[1], text), "[::1]:7");
    assert_int_equal(target_parse("vsock:3:9", &t, &why), 0);
    assert_int_equal(target_resolve(&t, &a, &why), 0);
    assert_string_equal(target_format_address(&a.list[0], text), "vsock:3:9");
    assert_int_equal(target_parse("unix:@n", &t, &why), 0);
    assert_int_equal(target_resolve(&t, &a, &why), 0);
    assert_string_equal(target_format_address(&a.list[0], text), "@n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_resolve_this_host),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

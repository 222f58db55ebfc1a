/* SPDX-License-Identifier: MIT */
#include "conf/endpoint.h"

#include <errno.h>
#include <linux/vm_sockets.h>
#include <netdb.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/text.h"

static uint16_t port_of(const Endpoint *e, size_t i) {
    const Addr a = endpoint_addr(e, i);
    return addr_port(&a);
}

static const char *format(const Endpoint *e, size_t i, char text[static ADDR_TEXT_MAX]) {
    const Addr a = endpoint_addr(e, i);
    return addr_format(&a, text);
}

static void test_addresses(void **state) {
    (void)state;
    static const struct {
        const char *in;
        EndpointKind kind;
        const char *addrs[2];
        const char *path;
    } cases[] = {
        {"tcp:80", ENDPOINT_TCP, {"0.0.0.0:80", "[::]:80"}, NULL},
        {"udp:53", ENDPOINT_UDP, {"0.0.0.0:53", "[::]:53"}, NULL},
        {"tcp:0", ENDPOINT_TCP, {"0.0.0.0:0", "[::]:0"}, NULL},
        {"tcp:65535", ENDPOINT_TCP, {"0.0.0.0:65535", "[::]:65535"}, NULL},
        {"tcp:127.0.0.1:80", ENDPOINT_TCP, {"127.0.0.1:80", NULL}, NULL},
        {"tcp:0.0.0.0:80", ENDPOINT_TCP, {"0.0.0.0:80", NULL}, NULL},
        {"tcp:[::]:80", ENDPOINT_TCP, {"[::]:80", NULL}, NULL},
        {"tcp:[::1]:80", ENDPOINT_TCP, {"[::1]:80", NULL}, NULL},
        {"udp:[2001:DB8::1]:53", ENDPOINT_UDP, {"[2001:db8::1]:53", NULL}, NULL},
        {"tcp:[fe80::1%lo]:80", ENDPOINT_TCP, {"[fe80::1%lo]:80", NULL}, NULL},
        {"tcp:[fe80::1%1]:80", ENDPOINT_TCP, {"[fe80::1%lo]:80", NULL}, NULL},
        {"unix:/run/x.sock", ENDPOINT_UNIX, {"/run/x.sock", NULL}, "/run/x.sock"},
        {"unix:@name", ENDPOINT_UNIX, {"@name", NULL}, "@name"},
        {"unix:@a:b/c", ENDPOINT_UNIX, {"@a:b/c", NULL}, "@a:b/c"},
        {"unix-dgram:/run/d", ENDPOINT_UNIX_DGRAM, {"/run/d", NULL}, "/run/d"},
        {"unix-seqpacket:/run/a b", ENDPOINT_UNIX_SEQPACKET, {"/run/a b", NULL}, "/run/a b"},
        {"fifo:/run/f", ENDPOINT_FIFO, {"", NULL}, "/run/f"},
        {"mqueue:/jobs", ENDPOINT_MQUEUE, {"", NULL}, "/jobs"},
        {"systemd:web.socket", ENDPOINT_SYSTEMD, {"", NULL}, "web.socket"},
        {"vsock:3:80", ENDPOINT_VSOCK, {"3:80", NULL}, NULL},
        {"vsock:any:80", ENDPOINT_VSOCK, {"any:80", NULL}, NULL},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        Endpoint e;
        const char *why = NULL, *hint = NULL;
        if (endpoint_parse(cases[i].in, &e, &why, &hint) != 0)
            fail_msg("%s: %s", cases[i].in, why);
        assert_int_equal(e.kind, cases[i].kind);
        assert_string_equal(e.text, cases[i].in);
        assert_true(streq_null(e.path, cases[i].path));
        assert_true(!e.path || (e.path > e.text && e.path < e.text + strlen(e.text)));
        size_t n = 0;
        for (; n < 2 && cases[i].addrs[n]; n++) {
            char text[ADDR_TEXT_MAX];
            assert_string_equal(format(&e, n, text), cases[i].addrs[n]);
        }
        assert_int_equal(e.n_addrs, n);
        assert_int_equal(endpoint_addr(&e, n).len, 0);
        assert_int_equal(e.both_families, n == 2);
    }
}

static void test_vsock(void **state) {
    (void)state;
    static const struct {
        const char *in;
        unsigned cid, port;
    } cases[] = {
        {"vsock:2:9000", 2, 9000},
        {"vsock:any:9000", VMADDR_CID_ANY, 9000},
        {"vsock:3:0", 3, VMADDR_PORT_ANY},
        {"vsock:4294967294:4294967294", 4294967294U, 4294967294U},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        Endpoint e;
        assert_int_equal(endpoint_parse(cases[i].in, &e, NULL, NULL), 0);
        assert_int_equal(e.n_addrs, 1);
        const Addr a = endpoint_addr(&e, 0);
        const struct sockaddr_vm *vm = &a.vm;
        assert_int_equal(a.len, sizeof(*vm));
        assert_int_equal(vm->svm_family, AF_VSOCK);
        assert_true(vm->svm_cid == cases[i].cid && vm->svm_port == cases[i].port);
    }
}

static void test_port_names(void **state) {
    (void)state;
    if (!getservbyname("ssh", "tcp") || !getservbyname("tftp", "udp"))
        skip();
    Endpoint e;
    const char *why = NULL;
    assert_int_equal(endpoint_parse("tcp:ssh", &e, NULL, NULL), 0);
    assert_int_equal(port_of(&e, 0), 22);
    assert_int_equal(port_of(&e, 1), 22);
    assert_int_equal(endpoint_parse("udp:127.0.0.1:tftp", &e, NULL, NULL), 0);
    assert_int_equal(port_of(&e, 0), 69);
    assert_int_equal(endpoint_parse("tcp:[::1]:ssh", &e, NULL, NULL), 0);
    assert_int_equal(port_of(&e, 0), 22);
    assert_int_equal(endpoint_parse("tcp:no-such-service", &e, &why, NULL), -EINVAL);
    assert_string_equal(why, "services(5) knows no port of that name for this protocol");
}

static void test_refused(void **state) {
    (void)state;
    static const struct {
        const char *in;
        const char *why, *hint; /* a part of it; NULL: any */
    } cases[] = {
        {"", "nothing to listen on", "tcp:80"},
        {"80", "kind", "write tcp: before the port, such as tcp:80"},
        {":80", "kind", "for all addresses write tcp:PORT, such as tcp:80"},
        {"*:80", "kind", "for all addresses write tcp:PORT, such as tcp:80"},
        {"127.0.0.1:80", "kind", "tcp:127.0.0.1:80"},
        {"127.0.0.1", "kind", NULL},
        {"[::1]:80", "kind", "tcp:[::1]:80"},
        {"::1", "kind", "tcp:[::1]:80"},
        {"fe80::1", "kind", "tcp:[::1]:80"},
        {"/run/x.sock", "kind", "unix:/run/example.sock"},
        {"@name", "kind", "unix:@example"},
        {"web", "kind", NULL},
        {"8080:80", "kind", NULL},
        {"localhost:80", "names are not looked up", "tcp:127.0.0.1:80"},
        {"www.example.org:80", "names are not looked up", NULL},
        {"tpc:80", "no such kind", "did you mean 'tcp'?"},
        {"TCP:80", "no such kind", "did you mean 'tcp'?"},
        {"unix-dgran:/x", "no such kind", "did you mean 'unix-dgram'?"},
        {"unix-seqpaket:/x", "no such kind", "did you mean 'unix-seqpacket'?"},
        {"tcp6:80", "no such kind", "tcp:[::]:PORT"},
        {"tcp4:80", "no such kind", "tcp:0.0.0.0:PORT"},
        {"unix-stream:/x", "no such kind", "unix:/path"},
        {"sctp:80", "no such kind", NULL},
        {"banana:80", "no such kind", "one of tcp, udp"},
        {"averyveryveryveryveryveryverylongwordindeed:80", "no such kind", NULL},
        {"tcp:", "port is missing", "tcp:80"},
        {"udp:", "port is missing", "udp:80"},
        {"tcp:127.0.0.1", "port is missing", "tcp:127.0.0.1:80"},
        {"tcp:127.0.0.1:", "port is missing", NULL},
        {"tcp:[::1]", "port is missing", "tcp:[::1]:80"},
        {"tcp:[::1]:", "port is missing", NULL},
        {"tcp:[::1]80", "must follow the ']'", NULL},
        {"tcp:[::1", "never closed", NULL},
        {"tcp:[127.0.0.1]:80", "brackets are for IPv6", "tcp:192.0.2.1:80"},
        {"tcp:[x]:80", "not an IPv6 address", NULL},
        {"tcp:[]:80", "not an IPv6 address", NULL},
        {"tcp:[::ffff:1.2.3.4]:80", "IPv4 address in IPv6's clothes", NULL},
        {"tcp:[fe80::1]:80", "needs its interface", "tcp:[fe80::1%eth0]:80"},
        {"tcp:[fe80::1%]:80", "cannot be the name of a network interface", NULL},
        {"tcp:[fe80::1%a/b]:80", "cannot be the name of a network interface", NULL},
        {"tcp:[fe80::1%much-too-long-a-name]:80", "cannot be the name of a network interface", NULL},
        {"tcp:::1:80", "stands in brackets", "tcp:[::1]:80"},
        {"udp:::1", "stands in brackets", "udp:[::1]:80"},
        {"tcp:2001:db8::1:80", "stands in brackets", NULL},
        {"tcp:a:b:c", "':' too many", NULL},
        {"tcp:*:80", "address is missing", "write tcp:80"},
        {"tcp::80", "address is missing", "write tcp:80"},
        {"udp:*:53", "address is missing", "write udp:80"},
        {"tcp:8080:80", "two ports", NULL},
        {"tcp:localhost:80", "names are not looked up", "write an address, such as tcp:127.0.0.1:80"},
        {"tcp:256.0.0.1:80", "not an IPv4 address", NULL},
        {"tcp:127.1:80", "not an IPv4 address", NULL},
        {"tcp://127.0.0.1:80", "not a URL", NULL},
        {"tcp:65536", "out of range", "0 to 65535"},
        {"tcp:99999999999999999999", "out of range", NULL},
        {"tcp:080", "leading zero", NULL},
        {"tcp:00", "leading zero", NULL},
        {"tcp:-1", "services(5)", NULL},
        {"tcp:80-90", "services(5)", NULL},
        {"tcp:80 ", "blank", NULL},
        {" tcp:80", "blank", NULL},
        {"tcp:8\t0", "control character", NULL},
        {"unix:", "path is missing", NULL},
        {"unix:run/x", "not absolute", "unix:/run/example.sock"},
        {"unix:./x", "not absolute", NULL},
        {"unix:///run/x", "two slashes", NULL},
        {"unix:/", "folder", NULL},
        {"unix:/run/", "folder", NULL},
        {"unix:@", "abstract name is empty", NULL},
        {"unix:/a\nb", "control character", NULL},
        {"fifo:", "path is missing", NULL},
        {"fifo:x", "not absolute", NULL},
        {"fifo:@x", "not absolute", NULL},
        {"fifo:/run/", "folder", NULL},
        {"mqueue:", "name is missing", "mqueue:/jobs"},
        {"mqueue:/", "name is missing", NULL},
        {"mqueue:jobs", "begins with a '/'", NULL},
        {"mqueue:/a/b", "only one '/'", NULL},
        {"mqueue:/..", "no name", NULL},
        {"vsock:", "are missing", NULL},
        {"vsock:9000", "CID or the port is missing", "vsock:any:9000"},
        {"vsock:x:9000", "CID is neither", NULL},
        {"vsock::9000", "CID is neither", NULL},
        {"vsock:4294967295:1", "CID is neither", NULL},
        {"vsock:any:", "port of a vsock", NULL},
        {"vsock:any:4294967295", "port of a vsock", NULL},
        {"vsock:any:x", "port of a vsock", NULL},
        {"vsock:01:1", "CID is neither", NULL},
        {"systemd:", "name is missing", NULL},
        {"systemd:a:b", "without blanks", NULL},
        {"systemd:a b", "without blanks", NULL},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        Endpoint e = {.kind = ENDPOINT_FIFO, .text = "untouched"};
        const char *why = NULL, *hint = NULL;
        if (endpoint_parse(cases[i].in, &e, &why, &hint) != -EINVAL)
            fail_msg("'%s' is taken", cases[i].in);
        assert_string_equal(e.text, "untouched");
        assert_non_null(why);
        assert_non_null(hint);
        if (!strstr(why, cases[i].why) || (cases[i].hint && !strstr(hint, cases[i].hint)))
            fail_msg("'%s': %s (%s)", cases[i].in, why, hint);
        assert_int_equal(endpoint_parse(cases[i].in, &e, NULL, NULL), -EINVAL);
    }
}

/* Names at the bounds of their lengths. */
static void test_lengths(void **state) {
    (void)state;
    static const struct {
        const char *start;
        size_t longest; /* of all of it */
    } cases[] = {
        {"unix:/", 5 + 107}, {"unix:@", 5 + 108}, {"unix-dgram:/", 11 + 107},
        {"fifo:/", 255},     {"mqueue:/", 255},   {"systemd:x", 255},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        char text[400];
        Endpoint e;
        memset(text, 'x', sizeof(text));
        memcpy(text, cases[i].start, strlen(cases[i].start));
        text[cases[i].longest] = '\0';
        assert_int_equal(endpoint_parse(text, &e, NULL, NULL), 0);
        text[cases[i].longest] = 'x';
        text[cases[i].longest + 1] = '\0';
        assert_int_equal(endpoint_parse(text, &e, NULL, NULL), -EINVAL);
        text[399] = '\0';
        assert_int_equal(endpoint_parse(text, &e, NULL, NULL), -EINVAL);
    }
}

static void test_conflicts(void **state) {
    (void)state;
    static const struct {
        const char *a, *b;
        bool conflict;
    } cases[] = {
        {"tcp:80", "tcp:80", true},
        {"tcp:80", "tcp:81", false},
        {"tcp:80", "udp:80", false},
        {"tcp:80", "tcp:127.0.0.1:80", true},
        {"tcp:80", "tcp:[::1]:80", true},
        {"tcp:80", "tcp:0.0.0.0:80", true},
        {"tcp:0.0.0.0:80", "tcp:[::]:80", false},
        {"tcp:0.0.0.0:80", "tcp:[::1]:80", false},
        {"tcp:127.0.0.1:80", "tcp:127.0.0.2:80", false},
        {"tcp:127.0.0.1:80", "tcp:127.0.0.1:80", true},
        {"tcp:[::1]:80", "tcp:[0:0::1]:80", true},
        {"tcp:[::]:80", "tcp:[::1]:80", true},
        {"tcp:0", "tcp:0", false},
        {"tcp:127.0.0.1:0", "tcp:127.0.0.1:0", false},
        {"udp:[::]:53", "udp:53", true},
        {"unix:/a", "unix:/a", true},
        {"unix:/a", "unix-dgram:/a", true},
        {"unix:/a", "fifo:/a", true},
        {"fifo:/a", "fifo:/a", true},
        {"unix:/a", "unix:/b", false},
        {"unix:/a", "unix:/a/../a", false},
        {"unix:@a", "unix:@a", true},
        {"unix:@a", "unix-dgram:@a", false},
        {"unix:@a", "unix:@b", false},
        {"mqueue:/a", "mqueue:/a", true},
        {"mqueue:/a", "unix:/a", false},
        {"mqueue:/a", "fifo:/a", false},
        {"systemd:a", "systemd:a", true},
        {"systemd:a", "systemd:b", false},
        {"systemd:a", "tcp:80", false},
        {"vsock:2:9", "vsock:any:9", true},
        {"vsock:2:9", "vsock:3:9", false},
        {"vsock:2:9", "vsock:2:9", true},
        {"vsock:2:0", "vsock:2:0", false},
        {"vsock:any:9", "tcp:9", false},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        Endpoint a, b;
        assert_int_equal(endpoint_parse(cases[i].a, &a, NULL, NULL), 0);
        assert_int_equal(endpoint_parse(cases[i].b, &b, NULL, NULL), 0);
        if (endpoint_conflicts(&a, &b) != cases[i].conflict ||
            endpoint_conflicts(&b, &a) != cases[i].conflict)
            fail_msg("%s and %s", cases[i].a, cases[i].b);
    }
}

static void test_kinds(void **state) {
    (void)state;
    static const struct {
        EndpointKind kind;
        bool stream, inet, local;
        int type;
    } cases[] = {
        {ENDPOINT_TCP, true, true, false, SOCK_STREAM},
        {ENDPOINT_UDP, false, true, false, SOCK_DGRAM},
        {ENDPOINT_UNIX, true, false, true, SOCK_STREAM},
        {ENDPOINT_UNIX_DGRAM, false, false, true, SOCK_DGRAM},
        {ENDPOINT_UNIX_SEQPACKET, true, false, true, SOCK_SEQPACKET},
        {ENDPOINT_FIFO, false, false, false, 0},
        {ENDPOINT_MQUEUE, false, false, false, 0},
        {ENDPOINT_VSOCK, true, false, false, SOCK_STREAM},
        {ENDPOINT_SYSTEMD, true, false, false, 0},
    };
    assert_int_equal(ELEMENTS(cases), _ENDPOINT_KIND_MAX);
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        EndpointKind kind = cases[i].kind;
        assert_int_equal(endpoint_kind_is_stream(kind), cases[i].stream);
        assert_int_equal(endpoint_kind_is_inet(kind), cases[i].inet);
        assert_int_equal(endpoint_kind_is_unix(kind), cases[i].local);
        assert_int_equal(endpoint_socket_type(kind), cases[i].type);
        assert_int_equal(endpoint_kind_from_string(endpoint_kind_to_string(kind)), kind);
        bool queue = kind == ENDPOINT_FIFO || kind == ENDPOINT_MQUEUE;
        assert_int_equal(endpoint_standard_mode(kind), queue ? 0600 : 0666);
    }
}

static void test_kind_of_socket(void **state) {
    (void)state;
    static const struct {
        int family, type;
        EndpointKind kind;
    } cases[] = {
        {AF_INET, SOCK_STREAM, ENDPOINT_TCP},         {AF_INET6, SOCK_STREAM, ENDPOINT_TCP},
        {AF_INET6, SOCK_DGRAM, ENDPOINT_UDP},         {AF_UNIX, SOCK_STREAM, ENDPOINT_UNIX},
        {AF_UNIX, SOCK_DGRAM, ENDPOINT_UNIX_DGRAM},   {AF_UNIX, SOCK_SEQPACKET, ENDPOINT_UNIX_SEQPACKET},
        {AF_VSOCK, SOCK_STREAM, ENDPOINT_VSOCK},      {AF_VSOCK, SOCK_DGRAM, _ENDPOINT_KIND_MAX},
        {AF_INET, SOCK_RAW, _ENDPOINT_KIND_MAX},      {AF_UNSPEC, 0, _ENDPOINT_KIND_MAX},
        {AF_NETLINK, SOCK_DGRAM, _ENDPOINT_KIND_MAX},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++)
        assert_int_equal(endpoint_kind_of_socket(cases[i].family, cases[i].type), cases[i].kind);
}

static void test_interface_may_be_missing(void **state) {
    (void)state;
    Endpoint a, b;
    assert_int_equal(endpoint_parse("tcp:[fe80::1%nosuch0]:80", &a, NULL, NULL), 0);
    assert_string_equal(a.scope, "nosuch0");
    assert_int_equal(endpoint_addr(&a, 0).in6.sin6_scope_id, 0);
    assert_int_equal(port_of(&a, 0), 80);
    assert_int_equal(endpoint_parse("tcp:[fe80::1%nosuch1]:80", &b, NULL, NULL), 0);
    assert_false(endpoint_conflicts(&a, &b));
    assert_true(endpoint_conflicts(&a, &a));
    assert_int_equal(endpoint_parse("tcp:[::1%lo]:80", &b, NULL, NULL), 0);
    assert_string_equal(b.scope, "lo");
    assert_int_not_equal(endpoint_addr(&b, 0).in6.sin6_scope_id, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_interface_may_be_missing),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_vsock),
        cmocka_unit_test(test_port_names),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_conflicts),
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_kind_of_socket),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/inherit.h"

/* @endpoint must outlive it. */
static void set_config(ListenConfig *c, const char *endpoint, const char *name) {
    *c = (ListenConfig){.name = (char *)name, .nodelay = -1, .mark = -1};
    assert_int_equal(endpoint_parse(endpoint, &c->endpoint, NULL, NULL), 0);
}

static PassedSocket passed(const char *address, uint16_t port, int type, const char *name) {
    PassedSocket p = {.fd = 100, .listening = true, .name = (char *)name};
    assert_int_equal(addr_parse_ip(address, port, &p.addr), 0);
    p.kind = endpoint_kind_of_socket(p.addr.sa.sa_family, type);
    return p;
}

typedef struct MatchCase {
    const char *endpoint;
    size_t index;
    const char *address;
    uint16_t port;
    int type;
    const char *name;
    bool by_address, by_name;
} MatchCase;

static const MatchCase cases[] = {
    {"tcp:127.0.0.1:80", 0, "127.0.0.1", 80, SOCK_STREAM, "web", true, true},
    {"tcp:127.0.0.1:80", 0, "127.0.0.1", 80, SOCK_STREAM, "unknown", true, false},
    {"tcp:127.0.0.1:80", 0, "127.0.0.1", 81, SOCK_STREAM, "web", false, true},
    {"tcp:127.0.0.1:80", 0, "127.0.0.2", 80, SOCK_STREAM, "other", false, false},
    {"tcp:127.0.0.1:80", 0, "127.0.0.1", 80, SOCK_DGRAM, "web", false, false},
    {"udp:127.0.0.1:80", 0, "127.0.0.1", 80, SOCK_DGRAM, "web", true, true},
    {"tcp:127.0.0.1:80", 0, "::1", 80, SOCK_STREAM, "web", false, false},
    {"tcp:80", 0, "0.0.0.0", 80, SOCK_STREAM, "x", true, false},
    {"tcp:80", 1, "::", 80, SOCK_STREAM, "x", true, false},
    {"tcp:80", 0, "::", 80, SOCK_STREAM, "x", false, false},
};

static void test_matches(void **state) {
    (void)state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        const MatchCase *t = &cases[i];
        ListenConfig c;
        set_config(&c, t->endpoint, "web");
        PassedSocket p = passed(t->address, t->port, t->type, t->name);
        if (inherited_matches(&p, &c, t->index, false) != t->by_address ||
            inherited_matches(&p, &c, t->index, true) != t->by_name)
            fail_msg("case %zu: %s and %s", i, t->endpoint, t->address);
        p.fd = -EBADF;
        assert_false(inherited_matches(&p, &c, t->index, false));
    }
}

static void test_by_name_alone(void **state) {
    (void)state;
    ListenConfig c;
    set_config(&c, "systemd:web", "other");
    PassedSocket p = passed("127.0.0.1", 80, SOCK_STREAM, "web");
    assert_true(inherited_matches(&p, &c, 0, true));
    assert_false(inherited_matches(&p, &c, 0, false));
    p = passed("127.0.0.1", 80, SOCK_STREAM, "other");
    assert_false(inherited_matches(&p, &c, 0, true));
    p = (PassedSocket){.fd = 100, .kind = ENDPOINT_FIFO, .name = (char *)"web"};
    assert_true(inherited_matches(&p, &c, 0, true));
    p.fd = -EBADF;
    assert_false(inherited_matches(&p, &c, 0, true));
}

/* A pipe is a fifo without a name: it serves for no path. */
static void test_fifo_needs_its_path(void **state) {
    (void)state;
    int fds[2];
    char path[] = "/tmp/mpinetd-test-inherit-XXXXXX", text[64];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_non_null(mkdtemp(path));
    (void)snprintf(text, sizeof(text), "fifo:%s/f", path);
    ListenConfig c;
    set_config(&c, text, "web");
    PassedSocket p = {.fd = fds[0], .kind = ENDPOINT_FIFO, .name = (char *)"web"};
    assert_false(inherited_matches(&p, &c, 0, false));
    assert_int_equal(mkfifo(c.endpoint.path, 0600), 0);
    assert_false(inherited_matches(&p, &c, 0, true));
    p.fd = open(c.endpoint.path, O_RDWR | O_CLOEXEC);
    assert_true(p.fd >= 0);
    assert_true(inherited_matches(&p, &c, 0, false));
    assert_true(inherited_matches(&p, &c, 0, true));
    p.name = (char *)"other";
    assert_true(inherited_matches(&p, &c, 0, false));
    assert_false(inherited_matches(&p, &c, 0, true));
    p.kind = ENDPOINT_MQUEUE;
    assert_false(inherited_matches(&p, &c, 0, false));
    (void)close(p.fd);
    (void)close(fds[0]);
    (void)close(fds[1]);
    assert_int_equal(unlink(c.endpoint.path), 0);
    assert_int_equal(rmdir(path), 0);
}

static void test_unix_needs_its_path(void **state) {
    (void)state;
    ListenConfig c;
    set_config(&c, "unix:/no/such/folder/x.sock", "web");
    PassedSocket p = {.fd = 100, .kind = ENDPOINT_UNIX, .listening = true, .name = (char *)"web"};
    assert_int_equal(addr_set_unix("/no/such/folder/x.sock", &p.addr), 0);
    assert_false(inherited_matches(&p, &c, 0, false));
    set_config(&c, "unix:@abstract", "web");
    assert_int_equal(addr_set_unix("@abstract", &p.addr), 0);
    assert_true(inherited_matches(&p, &c, 0, false));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matches),
        cmocka_unit_test(test_unix_needs_its_path),
        cmocka_unit_test(test_by_name_alone),
        cmocka_unit_test(test_fifo_needs_its_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

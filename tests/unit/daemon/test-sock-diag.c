/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>

#include "daemon/base/cleanup.h"
#include "daemon/sock-diag.h"

typedef struct Reply {
    char data[1024];
    size_t n;
} Reply;

/* One message, padded as netlink does. */
static void add(Reply *r, uint16_t type, const void *body, size_t n) {
    struct nlmsghdr h = {.nlmsg_len = (uint32_t)(NLMSG_HDRLEN + n), .nlmsg_type = type};
    memcpy(r->data + r->n, &h, sizeof(h));
    if (n > 0)
        memcpy(r->data + r->n + NLMSG_HDRLEN, body, n);
    r->n += NLMSG_ALIGN(NLMSG_HDRLEN + n);
    assert_true(r->n <= sizeof(r->data));
}

static void add_inet(Reply *r, const char *address, uint16_t port, uint32_t inode) {
    Addr a;
    assert_int_equal(addr_parse_ip(address, port, &a), 0);
    struct inet_diag_msg m = {
        .idiag_family = (uint8_t)a.sa.sa_family, .idiag_inode = inode, .id.idiag_sport = htons(port)};
    if (a.sa.sa_family == AF_INET)
        memcpy(m.id.idiag_src, &a.in.sin_addr, sizeof(a.in.sin_addr));
    else
        memcpy(m.id.idiag_src, &a.in6.sin6_addr, sizeof(a.in6.sin6_addr));
    add(r, SOCK_DIAG_BY_FAMILY, &m, sizeof(m));
}

/* With an attribute that is not the name in front of it. */
static void add_unix(Reply *r, const char *name, size_t n, uint32_t inode) {
    struct unix_diag_msg m = {.udiag_family = AF_UNIX, .udiag_ino = inode};
    struct rtattr other = {.rta_len = sizeof(other) + 3, .rta_type = UNIX_DIAG_PEER};
    struct rtattr a = {.rta_len = (unsigned short)(sizeof(a) + n), .rta_type = UNIX_DIAG_NAME};
    char body[256] = {0};
    size_t at = NLMSG_ALIGN(sizeof(m));
    memcpy(body, &m, sizeof(m));
    memcpy(body + at, &other, sizeof(other));
    at += RTA_ALIGN(sizeof(other) + 3);
    memcpy(body + at, &a, sizeof(a));
    memcpy(body + at + sizeof(a), name, n);
    add(r, SOCK_DIAG_BY_FAMILY, body, at + sizeof(a) + n);
}

/* A copy of its very length: a sanitizer sees what is read beyond. */
static SockDiagPart scan(const Addr *listener, const Reply *r, size_t n) {
    char *copy CLEANUP_FREE = malloc(n + (n == 0));
    assert_non_null(copy);
    memcpy(copy, r->data, n);
    return sock_diag_scan(listener, copy, n);
}

static void test_inet(void **state) {
    static const struct {
        const char *listener, *source;
        uint16_t port;
        uint32_t inode;
        SockDiagPart part;
    } cases[] = {
        {"127.0.0.1", "127.0.0.1", 80, 5, SOCK_DIAG_PART_FOUND},
        {"127.0.0.1", "127.0.0.2", 80, 5, SOCK_DIAG_PART_MORE},
        {"127.0.0.1", "127.0.0.1", 81, 5, SOCK_DIAG_PART_MORE},
        /* nobody's: in the queue, or left to the kernel */
        {"127.0.0.1", "127.0.0.1", 80, 0, SOCK_DIAG_PART_MORE},
        {"0.0.0.0", "192.0.2.7", 80, 5, SOCK_DIAG_PART_FOUND},
        {"0.0.0.0", "2001:db8::1", 80, 5, SOCK_DIAG_PART_MORE},
        {"::", "2001:db8::1", 80, 5, SOCK_DIAG_PART_FOUND},
        {"::", "::ffff:192.0.2.7", 80, 5, SOCK_DIAG_PART_FOUND},
        {"2001:db8::1", "2001:db8::1", 80, 5, SOCK_DIAG_PART_FOUND},
        {"2001:db8::1", "2001:db8::2", 80, 5, SOCK_DIAG_PART_MORE},
    };
    (void)state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        Addr listener;
        Reply r = {0};
        assert_int_equal(addr_parse_ip(cases[i].listener, 80, &listener), 0);
        add_inet(&r, "198.51.100.1", 9999, 1);
        add_inet(&r, cases[i].source, cases[i].port, cases[i].inode);
        if (scan(&listener, &r, r.n) != cases[i].part)
            fail_msg("%s of %s", cases[i].source, cases[i].listener);
    }
}

static void test_unix(void **state) {
    static const struct {
        const char *listener, *name;
        size_t n;
        uint32_t inode;
        SockDiagPart part;
    } cases[] = {
        {"/run/x.sock", "/run/x.sock", 12, 5, SOCK_DIAG_PART_FOUND}, /* its NUL belongs to it, unix(7) */
        {"/run/x.sock", "/run/x.sock", 11, 5, SOCK_DIAG_PART_FOUND},
        {"/run/x.sock", "/run/x.soc", 11, 5, SOCK_DIAG_PART_MORE},
        {"/run/x.sock", "/run/x.sock", 12, 0, SOCK_DIAG_PART_MORE},
        {"/run/x.sock", "", 0, 5, SOCK_DIAG_PART_MORE},
        {"@x", "\0x", 2, 5, SOCK_DIAG_PART_FOUND},
        {"@x", "\0xy", 3, 5, SOCK_DIAG_PART_MORE},
        {"@x", "x", 2, 5, SOCK_DIAG_PART_MORE},
    };
    (void)state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        Addr listener;
        Reply r = {0};
        assert_int_equal(addr_set_unix(cases[i].listener, &listener), 0);
        add_unix(&r, "/other", 7, 9);
        add_unix(&r, cases[i].name, cases[i].n, cases[i].inode);
        if (scan(&listener, &r, r.n) != cases[i].part)
            fail_msg("row %zu", i);
    }
}

static void test_ends(void **state) {
    Addr listener;
    Reply done = {0}, error = {0}, failed = {0}, complete = {0}, after = {0};
    (void)state;
    assert_int_equal(addr_parse_ip("127.0.0.1", 80, &listener), 0);
    assert_int_equal(scan(&listener, &done, 0), SOCK_DIAG_PART_MORE);
    add(&done, NLMSG_DONE, NULL, 0);
    assert_int_equal(scan(&listener, &done, done.n), SOCK_DIAG_PART_END);
    struct nlmsgerr e = {.error = -2};
    add(&error, NLMSG_ERROR, &e, sizeof(e));
    assert_int_equal(scan(&listener, &error, error.n), SOCK_DIAG_PART_FAILED);
    /* What could not be gone through ends with an error in its place. */
    int failure = -2;
    add(&failed, NLMSG_DONE, &failure, sizeof(failure));
    assert_int_equal(scan(&listener, &failed, failed.n), SOCK_DIAG_PART_FAILED);
    int none = 0;
    add(&complete, NLMSG_DONE, &none, sizeof(none));
    assert_int_equal(scan(&listener, &complete, complete.n), SOCK_DIAG_PART_END);
    add_inet(&after, "127.0.0.1", 81, 5);
    add(&after, NLMSG_NOOP, NULL, 0);
    add(&after, NLMSG_DONE, NULL, 0);
    assert_int_equal(scan(&listener, &after, after.n), SOCK_DIAG_PART_END);
}

/* Whatever comes, nothing is read beyond it, and it comes to an end. */
static void test_any_bytes(void **state) {
    Addr inet, un;
    Reply good = {0};
    uint64_t seed = 7;
    (void)state;
    assert_int_equal(addr_parse_ip("127.0.0.1", 80, &inet), 0);
    assert_int_equal(addr_set_unix("/run/x.sock", &un), 0);
    add_inet(&good, "127.0.0.1", 81, 5);
    add_unix(&good, "/run/y.sock", 12, 5);
    for (size_t n = 0; n <= good.n; n++) {
        (void)scan(&inet, &good, n);
        (void)scan(&un, &good, n);
    }
    for (int i = 0; i < 50000; i++) {
        Reply bad = good;
        for (int k = 0; k < 4; k++) {
            seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
            bad.data[(seed >> 33) % good.n] = (char)(seed >> 50);
        }
        (void)scan(&inet, &bad, bad.n);
        (void)scan(&un, &bad, bad.n);
    }
}

static void test_requests(void **state) {
    char buf[SOCK_DIAG_REQUEST_MAX];
    Addr a;
    struct nlmsghdr h;
    struct inet_diag_req_v2 inet;
    (void)state;
    assert_int_equal(addr_parse_ip("127.0.0.1", 80, &a), 0);
    size_t n = sock_diag_request(&a, buf);
    memcpy(&h, buf, sizeof(h));
    memcpy(&inet, buf + NLMSG_HDRLEN, sizeof(inet));
    assert_int_equal(n, NLMSG_HDRLEN + sizeof(inet));
    assert_int_equal(h.nlmsg_len, n);
    assert_int_equal(inet.id.idiag_sport, htons(80));
    assert_int_equal(inet.idiag_states & (1U << 10 | 1U << 6), 0); /* neither LISTEN nor TIME_WAIT */
    assert_int_equal(addr_set_unix("/x", &a), 0);
    assert_true(sock_diag_request(&a, buf) > NLMSG_HDRLEN);
    a = (Addr){.sa.sa_family = AF_VSOCK};
    assert_int_equal(sock_diag_request(&a, buf), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_inet),      cmocka_unit_test(test_unix),     cmocka_unit_test(test_ends),
        cmocka_unit_test(test_any_bytes), cmocka_unit_test(test_requests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

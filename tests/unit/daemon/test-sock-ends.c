/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <sys/socket.h>

#include "daemon/sock-ends.h"

/* As the kernel would run it on @data: which of the few instructions there are, and no more. */
static bool passes(const struct sock_filter *code, size_t n, const uint8_t *data, size_t size) {
    uint32_t a = 0;
    for (size_t at = 0; at < n; at++) {
        switch (code[at].code) {
        case BPF_LD | BPF_H | BPF_ABS:
            assert_true(code[at].k + 2 <= size);
            a = (uint32_t)(data[code[at].k] << 8 | data[code[at].k + 1]);
            break;
        case BPF_JMP | BPF_JEQ | BPF_K:
            at += a == code[at].k ? code[at].jt : code[at].jf;
            break;
        case BPF_RET | BPF_K:
            return code[at].k != 0;
        default:
            fail_msg("instruction %x", code[at].code);
        }
    }
    fail_msg("it runs off its end");
    return false;
}

typedef struct Told {
    char data[256];
    size_t n;
} Told;

static Told told(uint16_t own_port, uint16_t type, uint64_t cookie) {
    Told t = {.n = NLMSG_HDRLEN + sizeof(struct inet_diag_msg)};
    struct nlmsghdr h = {.nlmsg_len = (uint32_t)t.n, .nlmsg_type = type};
    struct inet_diag_msg m = {.idiag_family = AF_INET, .idiag_state = 7};
    m.id.idiag_sport = htons(own_port);
    m.id.idiag_dport = htons(7);
    m.id.idiag_cookie[0] = (uint32_t)cookie;
    m.id.idiag_cookie[1] = (uint32_t)(cookie >> 32);
    memcpy(t.data, &h, sizeof(h));
    memcpy(t.data + NLMSG_HDRLEN, &m, sizeof(m));
    return t;
}

static void test_filter(void **state) {
    static const struct {
        const char *what;
        uint16_t ports[3];
        size_t n;
        uint16_t port;
        bool passes;
    } cases[] = {
        {"none", {0}, 0, 80, false},         {"none, port 0", {0}, 0, 0, false},
        {"the only one", {80}, 1, 80, true}, {"another", {80}, 1, 81, false},
        {"the peer's", {80}, 1, 7, false},   {"turned around", {0x1234}, 1, 0x3412, false},
        {"first", {1, 2, 3}, 3, 1, true},    {"middle", {1, 2, 3}, 3, 2, true},
        {"last", {1, 2, 3}, 3, 3, true},     {"none of three", {1, 2, 3}, 3, 4, false},
        {"large", {65535}, 1, 65535, true},
    };
    (void)state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        struct sock_filter code[SOCK_ENDS_FILTER_MAX];
        size_t n = sock_ends_filter(cases[i].ports, cases[i].n, code);
        Told t = told(cases[i].port, SOCK_DIAG_BY_FAMILY, 1);
        if (passes(code, n, (const uint8_t *)t.data, t.n) != cases[i].passes)
            fail_msg("%s", cases[i].what);
    }
}

static void test_full_filter(void **state) {
    uint16_t ports[SOCK_ENDS_PORTS_MAX];
    struct sock_filter code[SOCK_ENDS_FILTER_MAX];
    (void)state;
    for (size_t i = 0; i < SOCK_ENDS_PORTS_MAX; i++)
        ports[i] = (uint16_t)(1000 + i);
    size_t n = sock_ends_filter(ports, SOCK_ENDS_PORTS_MAX, code);
    assert_true(n <= SOCK_ENDS_FILTER_MAX);
    for (unsigned port = 990; port < 1000 + SOCK_ENDS_PORTS_MAX + 10; port++) {
        Told t = told((uint16_t)port, SOCK_DIAG_BY_FAMILY, 1);
        assert_int_equal(passes(code, n, (const uint8_t *)t.data, t.n),
                         port >= 1000 && port < 1000 + SOCK_ENDS_PORTS_MAX);
    }
}

static void test_parse(void **state) {
    static const uint64_t cookie = 0x0123456789abcdefULL;
    Told t = told(80, SOCK_DIAG_BY_FAMILY, cookie), other = told(80, NLMSG_DONE, cookie);
    uint64_t got = 0;
    SockInfo info;
    (void)state;
    assert_true(sock_ends_parse(t.data, t.n, &got, &info));
    assert_true(got == cookie);
    assert_false(info.has_figures);
    assert_false(sock_ends_parse(other.data, other.n, &got, &info));
    for (size_t cut = 0; cut < t.n; cut++) {
        char *copy CLEANUP_FREE = malloc(cut + (cut == 0));
        assert_non_null(copy);
        memcpy(copy, t.data, cut);
        assert_false(sock_ends_parse(copy, cut, &got, &info));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_filter),
        cmocka_unit_test(test_full_filter),
        cmocka_unit_test(test_parse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

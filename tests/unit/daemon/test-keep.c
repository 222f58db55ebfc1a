/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <sys/socket.h>

#include "daemon/keep.h"

typedef struct NameCase {
    const char *name;
    bool good;
    KeptName kept;
} NameCase;

static const NameCase names[] = {
    {"mpinetd.listener.0123456789abcdef", true, {0x0123456789abcdef, false}},
    {"mpinetd.listener.0123456789abcdef.node", true, {0x0123456789abcdef, true}},
    {"mpinetd.listener.ffffffffffffffff", true, {UINT64_MAX, false}},
    {"mpinetd.listener.0123456789abcde", false, {0}},
    {"mpinetd.listener.0123456789abcdef0", false, {0}},
    {"mpinetd.listener.0123456789abcdef.nod", false, {0}},
    {"mpinetd.listener.0123456789ABCDEF", false, {0}},
    {"mpinetd.listener.0x23456789abcdef", false, {0}},
    {"mpinetd.listener.+123456789abcdef", false, {0}},
    {"mpinetd.listener.-123456789abcdef", false, {0}},
    {"mpinetd.listener. 123456789abcdef", false, {0}},
    {"mpinetd.listener. 0123456789abcdef", false, {0}},
    {"mpinetd.ledger", false, {0}},
    {"echo", false, {0}},
    {"", false, {0}},
};

static void test_names(void **state) {
    (void)state;
    for (size_t i = 0; i < ELEMENTS(names); i++) {
        KeptName got = {0};
        char text[FD_STORE_NAME_MAX];
        if (keep_name_parse(names[i].name, &got) != names[i].good)
            fail_msg("%s", names[i].name);
        if (!names[i].good)
            continue;
        assert_true(got.digest == names[i].kept.digest && got.node == names[i].kept.node);
        assert_string_equal(keep_name_format(&got, text), names[i].name);
    }
}

static ListenConfig config_for(const char *endpoint) {
    ListenConfig c = {.nodelay = -1, .mark = -1};
    assert_int_equal(endpoint_parse(endpoint, &c.endpoint, NULL, NULL), 0);
    return c;
}

static void test_digests(void **state) {
    (void)state;
    ListenConfig one = config_for("tcp:127.0.0.1:80"), both = config_for("tcp:80"),
                 any = config_for("tcp:127.0.0.1:0"), on_lo = one, on_eth = one;
    on_lo.device = (char *)"lo";
    on_eth.device = (char *)"eth0";
    Listener a = {.config = &one}, b = {.config = &both}, c = {.config = &both, .index = 1},
             d = {.config = &any}, e = {.config = &any}, f = {.config = &on_lo}, g = {.config = &on_eth};
    Listener *all[] = {&a, &b, &c, &d, &e, &f, &g};
    Service s = {.name = (char *)"s", .listeners = all, .n_listeners = ELEMENTS(all)}, t = s;
    t.name = (char *)"t";
    /* Each has its own, whatever is alike; the same config gives the same. */
    for (size_t i = 0; i < ELEMENTS(all); i++) {
        assert_true(keep_digest(&s, all[i]) == keep_digest(&s, all[i]));
        assert_false(keep_digest(&s, all[i]) == keep_digest(&t, all[i]));
        for (size_t k = 0; k < i; k++)
            assert_false(keep_digest(&s, all[i]) == keep_digest(&s, all[k]));
    }
}

static void test_options(void **state) {
    (void)state;
    ListenConfig plain = config_for("tcp:127.0.0.1:80"), shared = plain, bound = plain;
    shared.reuse_port = true;
    bound.device = (char *)"lo";
    CLEANUP_CLOSE int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int yes = 1;
    assert_true(keep_fits(fd, &plain));
    assert_false(keep_fits(fd, &shared));
    assert_false(keep_fits(fd, &bound));
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof(yes)), 0);
    assert_false(keep_fits(fd, &plain));
    assert_true(keep_fits(fd, &shared));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_digests),
        cmocka_unit_test(test_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

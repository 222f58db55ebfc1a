/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <linux/unix_diag.h>
#include <sys/socket.h>

#include "daemon/base/addr.h"
#include "daemon/sock-query.h"

/* As in the kernel's tcp_states.h. */
enum {
    ESTABLISHED = 1,
    FIN_WAIT1 = 4,
    FIN_WAIT2 = 5,
    TIME_WAIT = 6,
    CLOSE = 7,
    LAST_ACK = 9
};

#define COOKIE 0x0000000700000009ULL
#define SEQUENCE 42

static const SockName tcp_name = {.family = AF_INET, .cookie = COOKIE};
static const SockName unix_name = {.family = AF_UNIX, .inode = 1234, .cookie = COOKIE};

typedef struct Reply {
    char data[1024];
    size_t n;
} Reply;

static Reply message(uint16_t type, uint32_t sequence, const void *body, size_t n) {
    Reply r = {.n = NLMSG_HDRLEN + n};
    struct nlmsghdr h = {.nlmsg_len = (uint32_t)r.n, .nlmsg_type = type, .nlmsg_seq = sequence};
    memcpy(r.data, &h, sizeof(h));
    memcpy(r.data + NLMSG_HDRLEN, body, n);
    return r;
}

/* The body of what the kernel tells of a connection, its tcp_info cut to @figures bytes, with another
 * attribute in front. */
static size_t inet_body(char *body, struct inet_diag_msg m, uint64_t cookie, size_t figures) {
    struct tcp_info t = {.tcpi_bytes_acked = 11,
                         .tcpi_bytes_received = 22,
                         .tcpi_bytes_sent = 35,
                         .tcpi_bytes_retrans = 5,
                         .tcpi_notsent_bytes = 7,
                         .tcpi_data_segs_in = 3,
                         .tcpi_last_data_recv = 100,
                         .tcpi_last_ack_recv = 200};
    struct rtattr other = {.rta_len = sizeof(other) + 1, .rta_type = INET_DIAG_SHUTDOWN};
    struct rtattr a = {.rta_len = (unsigned short)(sizeof(a) + figures), .rta_type = INET_DIAG_INFO};
    m.idiag_family = AF_INET;
    m.id.idiag_cookie[0] = (uint32_t)cookie;
    m.id.idiag_cookie[1] = (uint32_t)(cookie >> 32);
    memset(body, 0, 600);
    memcpy(body, &m, sizeof(m));
    size_t at = NLMSG_ALIGN(sizeof(m));
    memcpy(body + at, &other, sizeof(other));
    at += RTA_ALIGN(sizeof(other) + 1);
    if (figures == 0)
        return at;
    memcpy(body + at, &a, sizeof(a));
    memcpy(body + at + sizeof(a), &t, figures);
    return at + sizeof(a) + figures;
}

/* A copy of its very length: a sanitizer sees what is read beyond. */
static bool answer(const SockName *name, const Reply *r, size_t n, SockFate *ret, SockInfo *ret_info) {
    char *copy CLEANUP_FREE = malloc(n + (n == 0));
    assert_non_null(copy);
    memcpy(copy, r->data, n);
    return sock_query_answer(name, SEQUENCE, copy, n, ret, ret_info);
}

static void test_tcp_fates(void **state) {
    static const struct {
        const char *what;
        struct inet_diag_msg m;
        uint64_t cookie;
        SockFate fate;
        uint8_t in_state, rest_state;
    } cases[] = {
        {"held", {.idiag_state = ESTABLISHED, .idiag_inode = 5}, COOKIE, SOCK_HELD, ESTABLISHED, 0},
        {"left", {.idiag_state = FIN_WAIT1}, COOKIE, SOCK_CLOSING, FIN_WAIT1, 0},
        {"left last", {.idiag_state = LAST_ACK}, COOKIE, SOCK_CLOSING, LAST_ACK, 0},
        {"rests", {.idiag_state = TIME_WAIT, .idiag_timer = 3}, COOKIE, SOCK_GONE, CLOSE, TIME_WAIT},
        {"rests early", {.idiag_state = FIN_WAIT2, .idiag_timer = 3}, COOKIE, SOCK_GONE, CLOSE, FIN_WAIT2},
        {"over", {.idiag_state = CLOSE}, COOKIE, SOCK_GONE, CLOSE, 0},
        {"another", {.idiag_state = ESTABLISHED, .idiag_inode = 5}, COOKIE + 1, SOCK_UNKNOWN, 0, 0},
    };
    (void)state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        char body[600];
        SockFate fate;
        SockInfo info;
        size_t n = inet_body(body, cases[i].m, cases[i].cookie, sizeof(struct tcp_info));
        Reply r = message(SOCK_DIAG_BY_FAMILY, SEQUENCE, body, n);
        assert_true(answer(&tcp_name, &r, r.n, &fate, &info));
        if (fate != cases[i].fate || (fate != SOCK_UNKNOWN && (info.state != cases[i].in_state ||
                                                               info.rest_state != cases[i].rest_state)))
            fail_msg("%s: %d, state %u, rests in %u", cases[i].what, fate, info.state, info.rest_state);
    }
}

static void test_figures(void **state) {
    static const struct {
        size_t size;
        bool has;
        uint64_t sent, not_sent;
    } cases[] = {
        {sizeof(struct tcp_info), true, 30, 7},
        /* of older kernels */
        {offsetof(struct tcp_info, tcpi_bytes_retrans), true, 11, 7},
        {offsetof(struct tcp_info, tcpi_notsent_bytes), true, 11, 0},
        {offsetof(struct tcp_info, tcpi_bytes_received), false, 0, 0},
        {0, false, 0, 0},
    };
    (void)state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        char body[600];
        SockFate fate;
        SockInfo info;
        size_t n = inet_body(body, (struct inet_diag_msg){.idiag_state = ESTABLISHED, .idiag_inode = 1},
                             COOKIE, cases[i].size);
        Reply r = message(SOCK_DIAG_BY_FAMILY, SEQUENCE, body, n);
        assert_true(answer(&tcp_name, &r, r.n, &fate, &info));
        assert_int_equal(info.has_figures, cases[i].has);
        assert_int_equal(info.acked, cases[i].has ? 11 : 0);
        assert_int_equal(info.received, cases[i].has ? 22 : 0);
        assert_int_equal(info.sent, cases[i].sent);
        assert_int_equal(info.not_sent, cases[i].not_sent);
        assert_int_equal(info.since_data_in_msec, cases[i].has ? 100 : 0);
        assert_int_equal(info.since_ack_in_msec, cases[i].has ? 200 : 0);
    }
}

static void test_unix(void **state) {
    static const struct {
        uint32_t inode;
        uint32_t cookie[2];
        SockFate fate;
    } cases[] = {
        {1234, {9, 7}, SOCK_HELD},
        {1235, {9, 7}, SOCK_UNKNOWN},
        {1234, {9, 8}, SOCK_UNKNOWN},
    };
    (void)state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        struct unix_diag_msg m = {.udiag_family = AF_UNIX,
                                  .udiag_ino = cases[i].inode,
                                  .udiag_cookie = {cases[i].cookie[0], cases[i].cookie[1]}};
        Reply r = message(SOCK_DIAG_BY_FAMILY, SEQUENCE, &m, sizeof(m));
        SockFate fate;
        SockInfo info;
        assert_true(answer(&unix_name, &r, r.n, &fate, &info));
        assert_int_equal(fate, cases[i].fate);
    }
}

static void test_errors(void **state) {
    static const struct {
        int error;
        SockFate fate;
    } cases[] = {{-ENOENT, SOCK_GONE},
                 {-ESTALE, SOCK_GONE},
                 {-EPERM, SOCK_UNKNOWN},
                 {-EINVAL, SOCK_UNKNOWN},
                 {0, SOCK_UNKNOWN}};
    (void)state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        struct nlmsgerr e = {.error = cases[i].error};
        Reply r = message(NLMSG_ERROR, SEQUENCE, &e, sizeof(e));
        SockFate fate;
        SockInfo info;
        assert_true(answer(&tcp_name, &r, r.n, &fate, &info));
        assert_int_equal(fate, cases[i].fate);
    }
}

/* Whatever is cut off, nothing beyond is read, and nobody is taken for gone. */
static void test_cut_off(void **state) {
    char body[600];
    size_t n = inet_body(body, (struct inet_diag_msg){.idiag_state = ESTABLISHED, .idiag_inode = 5}, COOKIE,
                         sizeof(struct tcp_info));
    Reply r = message(SOCK_DIAG_BY_FAMILY, SEQUENCE, body, n);
    (void)state;
    for (size_t cut = 0; cut < r.n; cut++) {
        SockFate fate = SOCK_UNKNOWN;
        SockInfo info;
        assert_false(answer(&tcp_name, &r, cut, &fate, &info));
        /* The length says so, too: the message is whole, what is in it is not. */
        Reply shorter = r;
        struct nlmsghdr h;
        memcpy(&h, shorter.data, sizeof(h));
        h.nlmsg_len = (uint32_t)cut;
        memcpy(shorter.data, &h, sizeof(h));
        if (answer(&tcp_name, &shorter, cut, &fate, &info))
            assert_true(fate == SOCK_UNKNOWN || fate == SOCK_HELD);
    }
}

static void test_of_another_question(void **state) {
    struct nlmsgerr e = {.error = -ENOENT};
    Reply r = message(NLMSG_ERROR, SEQUENCE - 1, &e, sizeof(e));
    SockFate fate;
    SockInfo info;
    (void)state;
    assert_false(answer(&tcp_name, &r, r.n, &fate, &info));
}

static void test_no_question(void **state) {
    char buf[SOCK_QUERY_REQUEST_MAX];
    SockName name = {.family = AF_VSOCK};
    (void)state;
    assert_int_equal(sock_query_request(&name, 1, buf), 0);
    assert_true(sock_query_request(&tcp_name, 1, buf) > 0);
    assert_true(sock_query_request(&unix_name, 1, buf) > 0);
}

/* The kernel itself, where it lets itself be asked. */

static bool connect_pair(const char *address, int *ret_ours, int *ret_theirs) {
    Addr a;
    assert_int_equal(addr_parse_ip(address, 0, &a), 0);
    CLEANUP_CLOSE int listener = socket(a.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CLEANUP_CLOSE int theirs = socket(a.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(listener, &a.sa, a.len) < 0 || listen(listener, 1) < 0 ||
        getsockname(listener, &a.sa, &a.len) < 0 || connect(theirs, &a.sa, a.len) < 0)
        return false;
    *ret_ours = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    *ret_theirs = TAKE_FD(theirs);
    return *ret_ours >= 0;
}

static void check_life(SockQuery *q, int ours, int theirs, bool has_figures) {
    SockName name;
    SockInfo info;
    int r = sock_query_name(q, ours, &name);
    if (r == -EOPNOTSUPP || r == -EPERM || r == -EACCES || r == -EPROTONOSUPPORT)
        skip();
    assert_int_equal(r, 0);
    assert_int_equal(send(theirs, "hello", 5, 0), 5);
    assert_int_equal(sock_query_ask(q, &name, &info), SOCK_HELD);
    assert_int_equal(info.has_figures, has_figures);
    SockName wrong = name;
    wrong.cookie++;
    wrong.inet.idiag_cookie[0]++;
    assert_int_equal(sock_query_ask(q, &wrong, NULL), SOCK_GONE);
    char buf[8];
    assert_int_equal(recv(ours, buf, sizeof(buf), 0), 5);
    if (has_figures) {
        assert_int_equal(sock_query_ask(q, &name, &info), SOCK_HELD);
        assert_int_equal(info.received, 5);
        assert_int_equal(info.sent, 0);
    }
    (void)fd_close(ours);
    (void)fd_close(theirs);
    SockFate fate = sock_query_ask(q, &name, &info);
    assert_true(fate == SOCK_GONE || fate == SOCK_CLOSING);
}

static void test_kernel_tcp(void **state) {
    SockQuery *q CLEANUP(sock_query_freep) = sock_query_new();
    int ours = -EBADF, theirs = -EBADF;
    (void)state;
    if (!connect_pair("127.0.0.1", &ours, &theirs))
        skip();
    check_life(q, ours, theirs, true);
    if (connect_pair("::1", &ours, &theirs))
        check_life(q, ours, theirs, true);
}

static void test_kernel_unix(void **state) {
    SockQuery *q CLEANUP(sock_query_freep) = sock_query_new();
    int pair[2];
    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    check_life(q, pair[0], pair[1], false);
}

static void test_kernel_datagrams(void **state) {
    SockQuery *q CLEANUP(sock_query_freep) = sock_query_new();
    CLEANUP_CLOSE int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    SockName name;
    (void)state;
    assert_true(sock_query_name(q, fd, &name) < 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tcp_fates),   cmocka_unit_test(test_figures),
        cmocka_unit_test(test_unix),        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_cut_off),     cmocka_unit_test(test_of_another_question),
        cmocka_unit_test(test_no_question), cmocka_unit_test(test_kernel_tcp),
        cmocka_unit_test(test_kernel_unix), cmocka_unit_test(test_kernel_datagrams),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

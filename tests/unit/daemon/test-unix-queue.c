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
#include <linux/unix_diag.h>
#include <sys/socket.h>

#include "daemon/base/cleanup.h"
#include "daemon/unix-queue.h"

#define INODE 4711U

typedef struct Reply {
    char data[512];
    size_t n;
} Reply;

/* One of socket @inode with an attribute of @type in front of the lengths, which has @n bytes of them. */
static Reply reply_of(uint32_t inode, unsigned short type, size_t n) {
    Reply r = {0};
    struct nlmsghdr h = {.nlmsg_type = SOCK_DIAG_BY_FAMILY};
    struct unix_diag_msg m = {.udiag_family = AF_UNIX, .udiag_ino = inode};
    struct rtattr other = {.rta_len = sizeof(other) + 3, .rta_type = UNIX_DIAG_PEER};
    struct rtattr a = {.rta_len = (unsigned short)(sizeof(a) + n), .rta_type = type};
    struct unix_diag_rqlen lengths = {.udiag_rqueue = 3, .udiag_wqueue = 128};
    size_t at = NLMSG_HDRLEN;
    memcpy(r.data + at, &m, sizeof(m));
    at += NLMSG_ALIGN(sizeof(m));
    memcpy(r.data + at, &other, sizeof(other));
    at += RTA_ALIGN(sizeof(other) + 3);
    memcpy(r.data + at, &a, sizeof(a));
    memcpy(r.data + at + sizeof(a), &lengths, n < sizeof(lengths) ? n : sizeof(lengths));
    r.n = at + sizeof(a) + n;
    h.nlmsg_len = (uint32_t)r.n;
    memcpy(r.data, &h, sizeof(h));
    return r;
}

/* In a copy of its very length: a sanitizer sees what is read beyond. */
static int parse(const char *data, size_t n, int64_t *queued, int64_t *backlog) {
    char *copy CLEANUP_FREE = malloc(n + 1);
    assert_non_null(copy);
    char *exact = realloc(copy, n > 0 ? n : 1);
    assert_non_null(exact);
    copy = exact;
    memcpy(copy, data, n);
    return unix_queue_parse(INODE, copy, n, queued, backlog);
}

static void test_parse(void **state) {
    (void)state;
    static const struct {
        uint32_t inode;
        unsigned short type;
        size_t n;
        int result;
    } cases[] = {
        {INODE, UNIX_DIAG_RQLEN, 8, 0},
        {INODE + 1, UNIX_DIAG_RQLEN, 8, -EBADMSG}, /* another socket */
        {INODE, UNIX_DIAG_RQLEN, 7, -ENODATA},     /* too short */
        {INODE, UNIX_DIAG_MEMINFO, 8, -ENODATA},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t queued = -1, backlog = -1;
        Reply r = reply_of(cases[i].inode, cases[i].type, cases[i].n);
        assert_int_equal(parse(r.data, r.n, &queued, &backlog), cases[i].result);
        assert_int_equal(queued, cases[i].result == 0 ? 3 : -1);
        assert_int_equal(backlog, cases[i].result == 0 ? 128 : -1);
    }
}

static void test_cut_anywhere(void **state) {
    (void)state;
    Reply r = reply_of(INODE, UNIX_DIAG_RQLEN, 8);
    for (size_t n = 0; n < r.n; n++) {
        int64_t queued, backlog;
        assert_int_equal(parse(r.data, n, &queued, &backlog), -EBADMSG);
        /* The header says as much as there is. */
        Reply shorter = r;
        uint32_t length = (uint32_t)n;
        memcpy(shorter.data, &length, sizeof(length));
        assert_true(parse(shorter.data, n, &queued, &backlog) < 0);
    }
}

static void test_error(void **state) {
    (void)state;
    static const struct { int error, result; } cases[] = {{-ENOENT, -ENOENT}, {0, -EBADMSG}, {5, -EBADMSG}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char data[NLMSG_HDRLEN + sizeof(int)];
        struct nlmsghdr h = {.nlmsg_type = NLMSG_ERROR, .nlmsg_len = sizeof(data)};
        int64_t queued, backlog;
        memcpy(data, &h, sizeof(h));
        memcpy(data + NLMSG_HDRLEN, &cases[i].error, sizeof(int));
        assert_int_equal(parse(data, sizeof(data), &queued, &backlog), cases[i].result);
        assert_int_equal(parse(data, NLMSG_HDRLEN, &queued, &backlog), -EBADMSG);
    }
}

static void test_request(void **state) {
    (void)state;
    char buf[UNIX_QUEUE_REQUEST_MAX];
    struct nlmsghdr h;
    struct unix_diag_req request;
    size_t n = unix_queue_request(INODE, buf);
    assert_int_equal(n, NLMSG_LENGTH(sizeof(request)));
    memcpy(&h, buf, sizeof(h));
    memcpy(&request, buf + NLMSG_HDRLEN, sizeof(request));
    assert_int_equal(h.nlmsg_len, n);
    assert_int_equal(h.nlmsg_flags & NLM_F_DUMP, 0); /* this one, not all */
    assert_int_equal(request.udiag_ino, INODE);
    assert_int_equal(request.udiag_show, UDIAG_SHOW_RQLEN);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_cut_anywhere),
        cmocka_unit_test(test_error),
        cmocka_unit_test(test_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

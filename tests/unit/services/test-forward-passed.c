/* SPDX-License-Identifier: MIT */
/* What is told of a connection that is passed, and the message that brings it; and where to forward to. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "daemon/base/cleanup.h"
#include "services/forward-passed.h"

typedef struct ParseCase {
    const char *name;
    const char *lines;
    const char *source, *destination; /* NULL: not told */
} ParseCase;

static const ParseCase cases[] = {
    {"nothing", "", NULL, NULL},
    {"IPv4",
     "PROTO=TCP\nTCPREMOTEIP=192.0.2.1\nTCPREMOTEPORT=5\nTCPLOCALIP=192.0.2.2\nTCPLOCALPORT=80\n"
     "REMOTE_ADDR=192.0.2.1\n",
     "192.0.2.1:5", "192.0.2.2:80"},
    {"IPv6", "TCPREMOTEIP=2001:db8::1\nTCPREMOTEPORT=65535\n", "[2001:db8::1]:65535", NULL},
    {"no newline at the end", "TCPREMOTEIP=192.0.2.1\nTCPREMOTEPORT=5", "192.0.2.1:5", NULL},
    {"the last one counts", "TCPREMOTEPORT=1\nTCPREMOTEIP=192.0.2.1\nTCPREMOTEPORT=2\n", "192.0.2.1:2", NULL},
    {"an address without a port", "TCPREMOTEIP=192.0.2.1\n", NULL, NULL},
    {"a port without an address", "TCPREMOTEPORT=5\n", NULL, NULL},
    {"a name", "TCPREMOTEIP=localhost\nTCPREMOTEPORT=5\n", NULL, NULL},
    {"a port out of range", "TCPREMOTEIP=192.0.2.1\nTCPREMOTEPORT=65536\n", NULL, NULL},
    {"an empty port", "TCPREMOTEIP=192.0.2.1\nTCPREMOTEPORT=\n", NULL, NULL},
    {"a word in front", "XTCPREMOTEIP=192.0.2.1\nTCPREMOTEPORT=5\n", NULL, NULL},
    {"a longer word", "TCPREMOTEIPS=192.0.2.1\nTCPREMOTEPORT=5\n", NULL, NULL},
    {"UNIX", "PROTO=UNIX\nUNIXREMOTEEUID=0\nUNIXLOCALPATH=/run/x.sock\n", NULL, "/run/x.sock"},
    {"lines that are none", "\n\n=\n==\nTCPREMOTEIP\n", NULL, NULL},
};

static void check(const char *name, const Addr *a, const char *want) {
    char text[ADDR_TEXT_MAX];
    if (!want) {
        if (a->sa.sa_family != AF_UNSPEC)
            fail_msg("%s: %s instead of nothing", name, addr_format(a, text));
    } else if (strcmp(addr_format(a, text), want) != 0) {
        fail_msg("%s: %s instead of %s", name, text, want);
    }
}

static void test_parse(void **state) {
    (void)state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        LinkPeer peer;
        passed_parse(cases[i].lines, strlen(cases[i].lines), &peer);
        check(cases[i].name, &peer.source, cases[i].source);
        check(cases[i].name, &peer.destination, cases[i].destination);
    }
}

static void test_environment(void **state) {
    (void)state;
    LinkPeer peer;
    setenv("TCPREMOTEIP", "192.0.2.9", 1);
    setenv("TCPREMOTEPORT", "9", 1);
    passed_from_environment(&peer);
    check("environment", &peer.source, "192.0.2.9:9");
    check("environment", &peer.destination, NULL);
    unsetenv("TCPREMOTEIP");
    unsetenv("TCPREMOTEPORT");
}

static void send_fds(int to, const char *text, const int *fds, size_t n) {
    union {
        struct cmsghdr align;
        char data[CMSG_SPACE(20 * sizeof(int))];
    } control = {0};
    struct iovec iov = {.iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text)};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    if (n > 0) {
        control.align = (struct cmsghdr){
            .cmsg_len = CMSG_LEN(n * sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(&control.align), fds, n * sizeof(int));
        msg.msg_control = &control;
        msg.msg_controllen = CMSG_SPACE(n * sizeof(int));
    }
    assert_true(sendmsg(to, &msg, 0) >= 0);
}

static int count_fds(void) {
    int n = 0;
    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

/* One message, one connection; what is wrong leaves no descriptor behind. */
static void test_receive(void **state) {
    (void)state;
    int pair[2], fd = -1, many[20];
    LinkPeer peer;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    for (size_t i = 0; i < ELEMENTS(many); i++)
        many[i] = pair[0];
    int before = count_fds();
    assert_int_equal(passed_receive(pair[1], &fd, &peer), -EAGAIN);
    send_fds(pair[0], "TCPREMOTEIP=192.0.2.1\nTCPREMOTEPORT=5\n", many, 1);
    assert_int_equal(passed_receive(pair[1], &fd, &peer), 1);
    check("received", &peer.source, "192.0.2.1:5");
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    fd_close(fd);
    send_fds(pair[0], "no descriptor", NULL, 0);
    assert_int_equal(passed_receive(pair[1], &fd, &peer), -EBADMSG);
    send_fds(pair[0], "two", many, 2);
    assert_int_equal(passed_receive(pair[1], &fd, &peer), 1);
    fd_close(fd);
    send_fds(pair[0], "too many", many, ELEMENTS(many));
    assert_int_equal(passed_receive(pair[1], &fd, &peer), -EBADMSG);
    assert_int_equal(count_fds(), before);
    fd_close(pair[0]);
    assert_int_equal(passed_receive(pair[1], &fd, &peer), 0);
    fd_close(pair[1]);
}

typedef struct BackendCase {
    const char *to;
    int family, type; /* 0: no backend */
} BackendCase;

static const BackendCase backends[] = {
    {"tcp:127.0.0.1:80", AF_INET, SOCK_STREAM},
    {"tcp:[::1]:80", AF_INET6, SOCK_STREAM},
    {"tcp:80", AF_INET, SOCK_STREAM},
    {"udp:127.0.0.1:53", AF_INET, SOCK_DGRAM},
    {"unix:/run/x", AF_UNIX, SOCK_STREAM},
    {"unix:@x", AF_UNIX, SOCK_STREAM},
    {"unix-dgram:/run/x", AF_UNIX, SOCK_DGRAM},
    {"unix-seqpacket:/run/x", AF_UNIX, SOCK_SEQPACKET},
    {"vsock:2:80", AF_VSOCK, SOCK_STREAM},
    {"tcp:127.0.0.1:0", 0, 0},
    {"tcp:127.0.0.1", 0, 0},
    {"tcp:localhost:80", 0, 0},
    {"tcp:[fe80::1%nosuchinterface]:80", 0, 0},
    {"fifo:/run/x", 0, 0},
    {"mqueue:/x", 0, 0},
    {"systemd:x", 0, 0},
    {"/run/x", 0, 0},
    {"", 0, 0},
};

static void test_backend(void **state) {
    (void)state;
    for (size_t i = 0; i < ELEMENTS(backends); i++) {
        const BackendCase *c = &backends[i];
        Backend b = {0};
        const char *why = NULL, *hint = NULL;
        int r = backend_parse(c->to, &b, &why, &hint);
        if ((r == 0) != (c->type != 0))
            fail_msg("'%s' gives %d (%s)", c->to, r, why);
        assert_int_equal(b.type, c->type);
        assert_int_equal(b.addr.sa.sa_family, c->family);
        if (r < 0)
            assert_true(why && *why);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_environment),
        cmocka_unit_test(test_receive),
        cmocka_unit_test(test_backend),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* mp_sockets() and mp_write_all(). The test puts sockets where the protocol wants them, at 0 and from 3. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cmocka.h>

#include "daemon/base/cleanup.h"
#include "services/mp-service.h"

#define PASSED 3

static void listen_env(const char *pid, const char *fds, const char *names) {
    char own[16];
    (void)snprintf(own, sizeof(own), "%d", getpid());
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    if (pid)
        setenv("LISTEN_PID", *pid ? pid : own, 1);
    if (fds)
        setenv("LISTEN_FDS", fds, 1);
    if (names)
        setenv("LISTEN_FDNAMES", names, 1);
}

/* A bound socket moved to @fd. */
static void make_socket(int fd, int type, bool listening) {
    int s = socket(AF_UNIX, type, 0);
    assert_true(s >= 0);
    const struct sockaddr_un autobind = {.sun_family = AF_UNIX};
    assert_int_equal(bind(s, (const struct sockaddr *)&autobind, sizeof(sa_family_t)), 0);
    if (listening)
        assert_int_equal(listen(s, 1), 0);
    if (s != fd) {
        assert_int_equal(dup2(s, fd), fd);
        close(s);
    }
}

static int set_up(void **state) {
    (void)state;
    make_socket(PASSED, SOCK_STREAM, true);
    make_socket(PASSED + 1, SOCK_DGRAM, false);
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) < 0)
        return -1;
    assert_int_equal(dup2(pair[0], PASSED + 2), PASSED + 2);
    if (pair[0] != PASSED + 2)
        close(pair[0]);
    if (pair[1] != PASSED + 2)
        close(pair[1]);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    listen_env(NULL, NULL, NULL);
    close_range(PASSED, ~0U, 0);
    return 0;
}

static void test_passed(void **state) {
    (void)state;
    MpSocket s[8];
    listen_env("", "3", "web:time:chat");
    assert_int_equal(mp_sockets(s, ELEMENTS(s)), 3);
    const MpSocketKind kinds[] = {MP_SOCKET_LISTENER, MP_SOCKET_DATAGRAM, MP_SOCKET_CONNECTION};
    const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
    const char *const names[] = {"web", "time", "chat"};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(s[i].fd, PASSED + i);
        assert_int_equal(s[i].kind, kinds[i]);
        assert_int_equal(s[i].type, types[i]);
        assert_int_equal(s[i].family, AF_UNIX);
        assert_string_equal(s[i].name, names[i]);
        assert_true(fcntl(s[i].fd, F_GETFD) & FD_CLOEXEC);
    }
    /* Asking again gives the same, and the first names are still there. */
    MpSocket again[2];
    assert_int_equal(mp_sockets(again, 2), 3);
    assert_ptr_equal(again[0].name, s[0].name);
    assert_int_equal(mp_sockets(NULL, 0), 3);
}

static void test_wrong_names(void **state) {
    (void)state;
    const struct {
        const char *names;
        const char *expected[3];
    } cases[] = {
        {NULL, {"", "", ""}},
        {"", {"", "", ""}},
        {"a", {"a", "", ""}},
        {"a:b:c:d", {"a", "b", "c"}},
        {"::c", {"", "", "c"}},
        {"same:same:same", {"same", "same", "same"}},
        {"a:aa:aaa", {"a", "aa", "aaa"}},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        MpSocket s[3];
        listen_env("", "3", cases[i].names);
        assert_int_equal(mp_sockets(s, 3), 3);
        for (size_t k = 0; k < 3; k++)
            assert_string_equal(s[k].name, cases[i].expected[k]);
    }
}

static void test_nonsense(void **state) {
    (void)state;
    const struct {
        const char *pid, *fds;
        int expected;
    } cases[] = {
        {"", "0", -EINVAL},  {"", "-1", -EINVAL},         {"", "", -EINVAL},
        {"", "x", -EINVAL},  {"", "1x", -EINVAL},         {"", " 1", -EINVAL},
        {"", "+1", -EINVAL}, {"", "2147483647", -EINVAL}, {"", "99999999999999999999", -EINVAL},
        {"x", "1", -EINVAL}, {"0", "1", -EINVAL},         {"-5", "1", -EINVAL},
        {"", "4", -EBADF},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        MpSocket s[8];
        listen_env(cases[i].pid, cases[i].fds, NULL);
        if (mp_sockets(s, ELEMENTS(s)) != cases[i].expected)
            fail_msg("LISTEN_PID=%s LISTEN_FDS=%s", cases[i].pid, cases[i].fds);
    }
}

/* Variables that are meant for another process mean nothing. */
static void test_stdio(void **state) {
    (void)state;
    const struct {
        const char *pid, *fds;
    } cases[] = {{NULL, NULL}, {NULL, "1"}, {"1", "1"}, {"1", "x"}, {"", NULL}};
    int saved = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 100);
    make_socket(STDIN_FILENO, SOCK_DGRAM, false);
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        MpSocket s = {.fd = -1};
        listen_env(cases[i].pid, cases[i].fds, "a");
        assert_int_equal(mp_sockets(&s, 1), 1);
        assert_int_equal(s.fd, STDIN_FILENO);
        assert_int_equal(s.kind, MP_SOCKET_DATAGRAM);
        assert_string_equal(s.name, "");
        /* Standard input stays what children inherit. */
        assert_false(fcntl(s.fd, F_GETFD) & FD_CLOEXEC);
    }
    MpSocket s;
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    assert_int_equal(dup2(pipes[0], STDIN_FILENO), STDIN_FILENO);
    assert_int_equal(mp_sockets(&s, 1), 1);
    assert_int_equal(s.kind, MP_SOCKET_OTHER);
    assert_int_equal(s.family, AF_UNSPEC);
    assert_int_equal(s.type, 0);
    close(STDIN_FILENO);
    assert_int_equal(mp_sockets(&s, 1), -EBADF);
    if (saved >= 0)
        assert_int_equal(dup2(saved, STDIN_FILENO), STDIN_FILENO);
}

typedef struct Reader {
    int fd;
    size_t total;
} Reader;

static void *read_slowly(void *arg) {
    static char buf[1 << 16];
    Reader *reader = arg;
    ssize_t n;
    while ((n = read(reader->fd, buf, sizeof(buf))) > 0)
        reader->total += (size_t)n;
    return NULL;
}

static void test_write_all(void **state) {
    (void)state;
    static char data[4 << 20];
    int pair[2];
    /* Non-blocking, so that it is full many times. */
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    assert_int_equal(fcntl(pair[1], F_SETFL, 0), 0);
    Reader reader = {.fd = pair[1]};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, read_slowly, &reader), 0);
    assert_int_equal(mp_write_all(pair[0], data, sizeof(data)), 0);
    close(pair[0]);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(reader.total, sizeof(data));
    close(pair[1]);

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    close(pair[1]);
    assert_int_equal(mp_write_all(pair[0], "x", 1), -EPIPE);
    close(pair[0]);
    assert_int_equal(pipe(pair), 0);
    assert_int_equal(mp_write_all(pair[1], "pipe", 4), 0);
    char buf[8];
    assert_int_equal(read(pair[0], buf, sizeof(buf)), 4);
    close(pair[0]);
    close(pair[1]);
    assert_int_equal(mp_write_all(-1, "x", 1), -EBADF);
    assert_int_equal(mp_write_all(-1, "", 0), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_passed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_wrong_names, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nonsense, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_stdio, NULL, tear_down),
        cmocka_unit_test(test_write_all),
    };
    /* What the caller may have left open would stand where the sockets go. */
    close_range(PASSED, ~0U, 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

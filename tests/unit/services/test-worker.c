/* SPDX-License-Identifier: MIT */
/* mp_accept() in processes of their own: told to end at any moment they end, with all that they were passed.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

#include "daemon/base/cleanup.h"
#include "services/mp-service.h"

#define PASSED 10 /* away from what a test may have open */
#define ROUNDS 300
/* A process that hangs is killed by this and shows. */
#define SECONDS_MAX 60U

static void nap_usec(long usec) {
    struct timespec t = {.tv_nsec = usec * 1000};
    (void)nanosleep(&t, NULL);
}

/* The life of a worker: its exit status is how many connections it had, or 99. */
static void work(int socket, bool passing) {
    MpAcceptor *a = NULL;
    MpConnection c;
    char own[16];
    int n = 0, r;
    (void)alarm(SECONDS_MAX);
    if (passing) {
        (void)snprintf(own, sizeof(own), "%d", socket);
        setenv("MP_CONNECTION_FD", own, 1);
    } else {
        (void)snprintf(own, sizeof(own), "%d", getpid());
        setenv("LISTEN_PID", own, 1);
        setenv("LISTEN_FDS", "1", 1);
        if (dup2(socket, 3) < 0)
            _exit(99);
    }
    if (mp_acceptor_new(MP_ACCEPTOR_SIGNALS, &a) < 0)
        _exit(99);
    while ((r = mp_accept(a, &c)) > 0) {
        n++;
        mp_done(a, &c);
    }
    mp_acceptor_free(a);
    _exit(r < 0 ? 99 : n);
}

static int listen_somewhere(struct sockaddr_un *ret, socklen_t *ret_n) {
    const struct sockaddr_un any = {.sun_family = AF_UNIX};
    int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(s >= 0);
    assert_int_equal(bind(s, (const struct sockaddr *)&any, sizeof(sa_family_t)), 0);
    assert_int_equal(listen(s, 128), 0);
    *ret_n = sizeof(*ret);
    assert_int_equal(getsockname(s, (struct sockaddr *)ret, ret_n), 0);
    return s;
}

static int end_of(pid_t pid) {
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void test_listener_and_term(void **state) {
    (void)state;
    struct sockaddr_un at;
    socklen_t n = 0;
    for (unsigned round = 0; round < ROUNDS; round++) {
        int s = listen_somewhere(&at, &n);
        if (round % 3 == 2)
            assert_int_equal(fcntl(s, F_SETFL, O_NONBLOCK), 0);
        int ready[2];
        assert_int_equal(pipe(ready), 0);
        pid_t pid = fork();
        if (pid == 0) {
            /* Its status pipe: that it has begun is known. */
            (void)dup2(ready[1], PASSED);
            setenv("MP_STATUS_FD", "10", 1);
            work(s, false);
        }
        char c;
        assert_int_equal(read(ready[0], &c, 1), 1);
        CLEANUP_CLOSE int client = -EBADF;
        if (round % 2) {
            client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
            assert_int_equal(connect(client, (const struct sockaddr *)&at, n), 0);
            assert_int_equal(read(client, &c, 1), 0);
        }
        nap_usec(round * 7 % 300);
        assert_int_equal(kill(pid, SIGTERM), 0);
        assert_int_equal(end_of(pid), round % 2);
        close(ready[0]);
        close(ready[1]);
        close(s);
    }
}

static void pass(int socket, int fd) {
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    char text[] = "PROTO=TCP\n";
    struct iovec iov = {.iov_base = text, .iov_len = 10};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control.bytes,
                       .msg_controllen = sizeof(control.bytes)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &fd, sizeof(int));
    assert_int_equal(sendmsg(socket, &m, MSG_NOSIGNAL), 10);
}

/* Messages that lie in it. */
static unsigned count_left(int socket) {
    char text[64];
    unsigned n = 0;
    while (recv(socket, text, sizeof(text), MSG_DONTWAIT) > 0)
        n++;
    return n;
}

/* What it was passed before the signal it serves, whenever that comes. What it is passed afterwards it
 * serves, or leaves for others. */
static void test_passed_and_term(void **state) {
    (void)state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        int pair[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
        pid_t pid = fork();
        if (pid == 0) {
            close(pair[0]);
            work(pair[1], true);
        }
        unsigned before = round % 4, after = round % 3;
        for (unsigned i = 0; i < before; i++)
            pass(pair[0], pair[0]);
        nap_usec(round * 11 % 2000);
        bool told = round % 5 != 0;
        if (told)
            assert_int_equal(kill(pid, SIGTERM), 0);
        for (unsigned i = 0; told && i < after; i++)
            pass(pair[0], pair[0]);
        assert_int_equal(shutdown(pair[0], SHUT_WR), 0);
        int status = 0;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        /* The signal may come before it has arranged for it. */
        bool arranged = !WIFSIGNALED(status) || WTERMSIG(status) != SIGTERM;
        unsigned served = arranged ? (unsigned)WEXITSTATUS(status) : 0;
        assert_true(!arranged || served >= before);
        assert_int_equal(served + count_left(pair[1]), before + (told ? after : 0));
        close(pair[0]);
        close(pair[1]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_listener_and_term),
        cmocka_unit_test(test_passed_and_term),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

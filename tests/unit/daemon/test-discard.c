/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/passed.h"
#include "daemon/discard.h"

/* A pipe whose writing end is passed on; what has been passed is open as long as there is no end to read. */
typedef struct Passed {
    int read_fd, write_fd;
} Passed;

static Passed make_passed(void) {
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
    return (Passed){fds[0], fds[1]};
}

static bool is_open(const Passed *p) {
    char c;
    return read(p->read_fd, &c, 1) < 0;
}

static int send_with(int fd, const char *data, size_t n, int passed, int flags) {
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec iov = {.iov_base = (void *)(uintptr_t)data, .iov_len = n};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    if (passed >= 0) {
        m.msg_control = &control;
        m.msg_controllen = sizeof(control);
        *CMSG_FIRSTHDR(&m) = (struct cmsghdr){
            .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(CMSG_FIRSTHDR(&m)), &passed, sizeof(passed));
    }
    return sendmsg(fd, &m, flags | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static void make_pair(int type, bool credentials, int fds[static 2]) {
    int on = credentials;
    assert_int_equal(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds), 0);
    assert_int_equal(setsockopt(fds[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)), 0);
}

/* What comes before them is read, they are not, and nothing is installed. */
static void test_recv(void **state) {
    static const int types[] = {SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM};
    (void)state;
    for (size_t i = 0; i < 2 * ELEMENTS(types); i++) {
        int fds[2], type = types[i / 2];
        char data[100];
        Passed p = make_passed();
        make_pair(type, i % 2, fds);
        errno = 0;
        assert_int_equal(passed_recv(fds[0], data, sizeof(data)), -1);
        assert_int_equal(errno, EAGAIN);
        assert_int_equal(send_with(fds[1], "abc", 3, -1, 0), 0);
        assert_int_equal(passed_recv(fds[0], data, sizeof(data)), 3);
        assert_int_equal(send_with(fds[1], "def", 3, -1, 0), 0);
        assert_int_equal(send_with(fds[1], "x", 1, p.write_fd, 0), 0);
        (void)close(p.write_fd);
        int next = fcntl(fds[0], F_DUPFD, 0);
        (void)close(next);
        if (type != SOCK_STREAM)
            assert_int_equal(passed_recv(fds[0], data, sizeof(data)), 3);
        for (unsigned k = 0; k < 3; k++) {
            assert_int_equal(passed_recv(fds[0], data, sizeof(data)), -1);
            assert_int_equal(errno, EBADMSG);
        }
        assert_int_equal(fcntl(fds[0], F_DUPFD, 0), next);
        (void)close(next);
        assert_true(is_open(&p));
        (void)close(fds[0]);
        (void)close(fds[1]);
        assert_false(is_open(&p));
        (void)close(p.read_fd);
    }
}

/* A byte out of band would be dropped in passing, with what came along. */
static void test_out_of_band(void **state) {
    int fds[2];
    char data[100];
    Passed p = make_passed();
    (void)state;
    make_pair(SOCK_STREAM, false, fds);
    if (send_with(fds[1], "x", 1, p.write_fd, MSG_OOB) < 0)
        skip(); /* Linux before 5.15 */
    (void)close(p.write_fd);
    assert_int_equal(send_with(fds[1], "y", 1, -1, 0), 0);
    assert_int_equal(passed_recv(fds[0], data, sizeof(data)), -1);
    assert_int_equal(errno, EBADMSG);
    assert_true(is_open(&p));
    assert_false(passed_empty(fds[0]));
    assert_true(is_open(&p));
    (void)close(fds[0]);
    (void)close(fds[1]);
    (void)close(p.read_fd);
}

/* Bytes are thrown away, and the socket can be closed; with descriptors it cannot, not even if a packet is
 * empty. Nothing can be sent any more. */
static void test_empty(void **state) {
    static const struct {
        int type;
        size_t n_before, n;
        bool passes, is_empty;
    } cases[] = {
        {SOCK_STREAM, 0, 0, false, true},    {SOCK_STREAM, 5, 0, false, true},
        {SOCK_STREAM, 5, 1, true, false},    {SOCK_SEQPACKET, 0, 0, false, true},
        {SOCK_SEQPACKET, 5, 9, false, true}, {SOCK_SEQPACKET, 5, 0, true, false},
        {SOCK_DGRAM, 5, 9, false, true},     {SOCK_DGRAM, 5, 0, true, false},
    };
    (void)state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        int fds[2];
        Passed p = make_passed();
        make_pair(cases[i].type, false, fds);
        if (cases[i].n_before > 0)
            assert_int_equal(send_with(fds[1], "before", cases[i].n_before, -1, 0), 0);
        if (cases[i].type != SOCK_STREAM)
            assert_int_equal(send_with(fds[1], "", 0, -1, 0), 0);
        if (cases[i].n > 0 || cases[i].passes)
            assert_int_equal(
                send_with(fds[1], "some bytes", cases[i].n, cases[i].passes ? p.write_fd : -1, 0), 0);
        (void)close(p.write_fd);
        assert_int_equal(passed_empty(fds[0]), cases[i].is_empty);
        assert_int_equal(is_open(&p), cases[i].passes);
        assert_int_equal(send_with(fds[1], "x", 1, -1, 0), -EPIPE);
        (void)close(fds[0]);
        (void)close(fds[1]);
        (void)close(p.read_fd);
    }
}

/* Those with nothing in them are closed here; the others, all of them, by one process, in the next turn. */
static void test_process(void **state) {
    enum {
        N = 5
    };
    sd_event *loop = NULL;
    Errands errands = {0};
    Discard *d = NULL;
    Passed p[N];
    int ours[N];
    (void)state;
    assert_true(sd_event_new(&loop) >= 0);
    assert_int_equal(discard_new(loop, &errands, NULL, &d), 0);
    assert_int_equal(discard_socket(d, -EBADF), -EBADF);
    for (size_t i = 0; i < N; i++) {
        int fds[2];
        p[i] = make_passed();
        make_pair(SOCK_STREAM, false, fds);
        assert_int_equal(send_with(fds[1], "x", 1, i > 0 ? p[i].write_fd : -1, 0), 0);
        (void)close(p[i].write_fd);
        assert_int_equal(discard_socket(d, fds[0]), -EBADF);
        assert_int_equal(fcntl(fds[0], F_GETFD) < 0, i == 0);
        ours[i] = fds[1];
    }
    assert_int_equal(errands.n, 0);
    while (errands.n == 0)
        assert_true(sd_event_run(loop, UINT64_MAX) > 0);
    assert_int_equal(errands.n, 1);
    int status = 0;
    assert_int_equal(waitpid(errands.items[0].pid, &status, 0), errands.items[0].pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    for (size_t i = 0; i < N; i++) {
        assert_false(is_open(&p[i]));
        (void)close(p[i].read_fd);
        (void)close(ours[i]);
    }
    assert_true(discard_now(d));
    assert_true(discard_now(NULL));
    assert_int_equal(errands.n, 1);
    discard_free(d);
    errands_done(&errands);
    sd_event_unref(loop);
}

/* Of a socket that others have it is only looked at; where the look does not reach, something may be there.
 */
static void test_may_lie(void **state) {
    static const struct {
        int type, flags;
        size_t n;
        bool sends, passes, may;
    } cases[] = {
        {SOCK_STREAM, 0, 0, false, false, false},    {SOCK_STREAM, 0, 5, true, false, false},
        {SOCK_STREAM, 0, 5, true, true, true},       {SOCK_STREAM, 0, 20000, true, false, true},
        {SOCK_STREAM, MSG_OOB, 1, true, true, true}, {SOCK_SEQPACKET, 0, 0, false, false, false},
        {SOCK_SEQPACKET, 0, 0, true, false, true},   {SOCK_DGRAM, 0, 0, true, true, true},
    };
    static const char data[20000];
    (void)state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        int fds[2];
        Passed p = make_passed();
        make_pair(cases[i].type, false, fds);
        if (cases[i].sends)
            (void)send_with(fds[1], data, cases[i].n, cases[i].passes ? p.write_fd : -1, cases[i].flags);
        assert_int_equal(passed_may_lie(fds[0]), cases[i].may);
        assert_true(is_open(&p));
        /* Nothing has been ended or taken. */
        assert_int_equal(send_with(fds[0], "x", 1, -1, 0), 0);
        if (cases[i].n > 0 && !cases[i].flags)
            assert_int_equal(recv(fds[0], (char[20000]){0}, 20000, MSG_DONTWAIT), cases[i].n);
        (void)close(fds[0]);
        (void)close(fds[1]);
        (void)close(p.read_fd);
        (void)close(p.write_fd);
    }
    assert_false(passed_may_lie(STDIN_FILENO));
}

/* A copy whose close(2) could wait goes with a process as well; what can be closed is. */
static void test_copy(void **state) {
    const struct linger linger = {.l_onoff = 1, .l_linger = 60}, at_once = {.l_onoff = 1};
    sd_event *loop = NULL;
    Errands errands = {0};
    Discard *d = NULL;
    (void)state;
    assert_true(sd_event_new(&loop) >= 0);
    assert_int_equal(discard_new(loop, &errands, NULL, &d), 0);
    for (unsigned i = 0; i < 5; i++) {
        int fds[2], fd = -1, other;
        bool waits = i == 1 || i == 3;
        make_pair(SOCK_STREAM, false, fds);
        if (i < 3)
            fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        else
            fd = fcntl(fds[0], F_DUPFD_CLOEXEC, 0);
        assert_true(fd >= 0);
        if (i == 1 || i == 2)
            assert_int_equal(
                setsockopt(fd, SOL_SOCKET, SO_LINGER, i == 1 ? &linger : &at_once, sizeof(linger)), 0);
        other = i == 3 ? open("/dev/null", O_RDONLY | O_CLOEXEC) : -1;
        if (i >= 3)
            assert_int_equal(send_with(fds[1], "x", 1, other, 0), 0);
        assert_int_equal(discard_copy(d, fd), -EBADF);
        assert_int_equal(fcntl(fd, F_GETFD) >= 0, waits);
        assert_true(discard_now(d));
        assert_int_equal(fcntl(fd, F_GETFD), -1);
        /* Who else has it goes on. */
        assert_int_equal(send_with(fds[0], "x", 1, -1, 0), 0);
        (void)close(other);
        (void)close(fds[0]);
        (void)close(fds[1]);
    }
    assert_int_equal(errands.n, 2);
    for (size_t i = 0; i < errands.n; i++)
        assert_int_equal(waitpid(errands.items[i].pid, NULL, 0), errands.items[i].pid);
    discard_free(d);
    errands_done(&errands);
    sd_event_unref(loop);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recv),    cmocka_unit_test(test_out_of_band), cmocka_unit_test(test_empty),
        cmocka_unit_test(test_process), cmocka_unit_test(test_may_lie),     cmocka_unit_test(test_copy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

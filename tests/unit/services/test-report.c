/* SPDX-License-Identifier: MIT */
/* mp_report() on a real pipe, full and without a reader, and the pace of progress.h. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"
#include "services/mp-service.h"
#include "services/progress.h"

#define LINE 4096UL

typedef struct Pipe {
    int read_end, write_end;
} Pipe;

static void name_fd(const char *text, int fd) {
    char number[16];
    (void)snprintf(number, sizeof(number), "%d", fd);
    setenv("MP_STATUS_FD", text ? text : number, 1);
}

static int set_up(void **state) {
    static Pipe p;
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0)
        return -1;
    p = (Pipe){fds[0], fds[1]};
    assert_true(fcntl(p.read_end, F_SETFL, O_NONBLOCK) == 0);
    name_fd(NULL, p.write_end);
    *state = &p;
    return 0;
}

static int tear_down(void **state) {
    Pipe *p = *state;
    p->read_end = fd_close(p->read_end);
    p->write_end = fd_close(p->write_end);
    unsetenv("MP_STATUS_FD");
    return 0;
}

static void assert_read(const Pipe *p, const char *expected) {
    char buf[4 * LINE];
    ssize_t n = read(p->read_end, buf, sizeof(buf));
    assert_int_equal(n, strlen(expected));
    assert_memory_equal(buf, expected, strlen(expected));
}

static void test_lines(void **state) {
    Pipe *p = *state;
    assert_int_equal(mp_report("READY=1\n"), 1);
    assert_read(p, "READY=1\n");
    assert_int_equal(mp_report("READY=1\nSTATUS=warm"), 1);
    assert_read(p, "READY=1\nSTATUS=warm\n");
    assert_int_equal(mp_reportf("ACTIVE=%d\nREQUESTS=%d", 3, 4), 1);
    assert_read(p, "ACTIVE=3\nREQUESTS=4\n");
    assert_int_equal(mp_report(""), 1);
    char c;
    assert_int_equal(read(p->read_end, &c, 1), -1);
    assert_int_equal(errno, EAGAIN);
}

static void test_no_pipe(void **state) {
    (void)state;
    unsetenv("MP_STATUS_FD");
    assert_int_equal(mp_status_fd(), -1);
    assert_int_equal(mp_report("READY=1"), 0);
    assert_int_equal(mp_reportf("%s", "READY=1"), 0);
    const char *const wrong[] = {"", "x", "-1", " 3", "3x", "999999", "99999999999999999999"};
    for (size_t i = 0; i < ELEMENTS(wrong); i++) {
        name_fd(wrong[i], 0);
        assert_int_equal(mp_status_fd(), -1);
        assert_int_equal(mp_report("READY=1"), 0);
    }
}

static char *line_of(size_t n, char last) {
    char *s = malloc(n + 1);
    assert_non_null(s);
    memset(s, 'x', n);
    memcpy(s, "STATUS=", 7);
    s[n - 1] = last;
    s[n] = '\0';
    return s;
}

static void test_long_lines(void **state) {
    Pipe *p = *state;
    const struct {
        size_t n;
        char last;
        int expected;
        size_t arrives;
    } cases[] = {
        {LINE, '\n', 1, LINE},     {LINE - 1, 'x', 1, LINE}, /* and its newline */
        {LINE, 'x', -EMSGSIZE, 0}, {LINE + 1, '\n', -EMSGSIZE, 0}, {3 * LINE, '\n', -EMSGSIZE, 0},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        CLEANUP_FREE char *s = line_of(cases[i].n, cases[i].last);
        assert_int_equal(mp_report(s), cases[i].expected);
        char buf[4 * LINE];
        ssize_t n = read(p->read_end, buf, sizeof(buf));
        assert_int_equal(n < 0 ? 0 : n, cases[i].arrives);
        if (n > 0)
            assert_int_equal(buf[n - 1], '\n');
    }
}

/* More than one write's worth of lines goes out in several, each of whole lines. */
static void test_many_lines(void **state) {
    Pipe *p = *state;
    char lines[3 * LINE + 1], buf[4 * LINE];
    size_t n = 0;
    for (int i = 0; n + 16 < sizeof(lines); i++)
        n += (size_t)snprintf(lines + n, sizeof(lines) - n, "REQUESTS=%d\n", i);
    assert_int_equal(mp_report(lines), 1);
    assert_int_equal(read(p->read_end, buf, sizeof(buf)), n);
    assert_memory_equal(buf, lines, n);

    /* Exactly one write's worth, but for the last newline. */
    memset(lines, 'x', LINE);
    memcpy(lines, "A=", 2);
    lines[100] = '\n';
    lines[LINE] = '\0';
    assert_int_equal(mp_report(lines), 1);
    assert_int_equal(read(p->read_end, buf, sizeof(buf)), LINE + 1);
    assert_memory_equal(buf, lines, LINE);
    assert_int_equal(buf[LINE], '\n');
}

static size_t drain(const Pipe *p) {
    char buf[LINE];
    size_t total = 0;
    ssize_t n;
    while ((n = read(p->read_end, buf, sizeof(buf))) > 0)
        total += (size_t)n;
    return total;
}

static void test_full_pipe(void **state) {
    Pipe *p = *state;
    CLEANUP_FREE char *s = line_of(1000, '\n');
    size_t sent = 0;
    int r;
    while ((r = mp_report(s)) == 1)
        sent += 1000;
    assert_int_equal(r, -EAGAIN);
    assert_true(sent > LINE);
    /* Nothing of the last one is there: no half line. */
    assert_int_equal(drain(p), sent);
    assert_int_equal(mp_report("READY=1"), 1);
}

static volatile sig_atomic_t pipe_signals;

static void on_pipe(int signal) {
    (void)signal;
    pipe_signals++;
}

static void test_no_reader(void **state) {
    Pipe *p = *state;
    p->read_end = fd_close(p->read_end);
    const struct sigaction handler = {.sa_handler = on_pipe};
    struct sigaction before;
    assert_int_equal(sigaction(SIGPIPE, &handler, &before), 0);
    assert_int_equal(mp_report("READY=1"), -EPIPE);
    assert_int_equal(pipe_signals, 0);
    /* A SIGPIPE that somebody else's write left waiting is still there afterwards. */
    sigset_t set, old, pending;
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    assert_int_equal(pthread_sigmask(SIG_BLOCK, &set, &old), 0);
    assert_int_equal(raise(SIGPIPE), 0);
    assert_int_equal(mp_report("READY=1"), -EPIPE);
    assert_int_equal(sigpending(&pending), 0);
    assert_int_equal(sigismember(&pending, SIGPIPE), 1);
    assert_int_equal(pthread_sigmask(SIG_SETMASK, &old, NULL), 0);
    assert_int_equal(pipe_signals, 1);
    assert_int_equal(sigaction(SIGPIPE, &before, NULL), 0);
}

static void test_progress_pace(void **state) {
    Pipe *p = *state;
    Progress progress = {0};
    ProgressCount c = {.metrics = {{.name = "DATAGRAMS_REFUSED"}}};
    assert_int_equal(progress_due(&progress, &c), 0);
    progress_send(&progress, &c, 1000);
    assert_read(p, "ACTIVE=0\nREQUESTS=0\nX_DATAGRAMS_REFUSED=0\n");
    assert_true(progress_due(&progress, &c) == USEC_INFINITY);
    c.active = 2;
    c.requests = 5;
    c.metrics[0].value = 7;
    assert_int_equal(progress_due(&progress, &c), 1000 + PROGRESS_INTERVAL_USEC);
    progress_send(&progress, &c, 1000 + PROGRESS_INTERVAL_USEC - 1);
    assert_int_equal(drain(p), 0);
    progress_send(&progress, &c, 1000 + PROGRESS_INTERVAL_USEC);
    assert_read(p, "ACTIVE=2\nREQUESTS=5\nX_DATAGRAMS_REFUSED=7\n");
    assert_true(progress_due(&progress, &c) == USEC_INFINITY);
}

/* What a service with a queue and numbers of its own tells; each of them is news. */
static void test_progress_queue(void **state) {
    Pipe *p = *state;
    Progress progress = {0};
    ProgressCount c = {.has_queue = true, .metrics = {{"idle_threads", 4}, {"refused", 0}}};
    progress_send(&progress, &c, 1000);
    assert_read(p, "ACTIVE=0\nREQUESTS=0\nQUEUED=0\nX_idle_threads=4\nX_refused=0\n");
    assert_true(progress_due(&progress, &c) == USEC_INFINITY);
    c.queued = 1;
    assert_int_equal(progress_due(&progress, &c), 1000 + PROGRESS_INTERVAL_USEC);
    c.queued = 0;
    c.metrics[1].value = 3;
    assert_int_equal(progress_due(&progress, &c), 1000 + PROGRESS_INTERVAL_USEC);
    progress_send(&progress, &c, 1000 + PROGRESS_INTERVAL_USEC);
    assert_read(p, "ACTIVE=0\nREQUESTS=0\nQUEUED=0\nX_idle_threads=4\nX_refused=3\n");
}

/* A full pipe is tried again, and what arrives then is the newest. */
static void test_progress_full(void **state) {
    Pipe *p = *state;
    Progress progress = {0};
    ProgressCount c = {.active = 1};
    CLEANUP_FREE char *s = line_of(LINE, '\n');
    while (mp_report(s) == 1)
        continue;
    progress_send(&progress, &c, 10);
    assert_int_equal(progress_due(&progress, &c), 10 + PROGRESS_INTERVAL_USEC);
    assert_true(drain(p) % LINE == 0);
    c.active = 9;
    progress_send(&progress, &c, 10 + PROGRESS_INTERVAL_USEC);
    assert_read(p, "ACTIVE=9\nREQUESTS=0\n");
}

static void test_progress_silent(void **state) {
    (void)state;
    unsetenv("MP_STATUS_FD");
    Progress progress = {0};
    ProgressCount c = {.active = 1};
    progress_send(&progress, &c, 10);
    c.active = 2;
    assert_true(progress_due(&progress, &c) == USEC_INFINITY);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_lines, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_pipe, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_long_lines, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_many_lines, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_full_pipe, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_reader, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_progress_pace, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_progress_queue, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_progress_full, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_progress_silent, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

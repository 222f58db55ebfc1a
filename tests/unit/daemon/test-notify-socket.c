/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/lines.h"
#include "daemon/base/text.h"
#include "daemon/notify-socket.h"

/* Each line behind a bar, so that an empty one shows. */
static void collect(const char *line, size_t n, void *userdata) {
    Text *text = userdata;
    text_addc(text, '|');
    text_add_n(text, line, n);
}

#define DATA(s) (s), sizeof(s) - 1

static void test_lines(void **state) {
    static const struct {
        const char *data;
        size_t n;
        const char *lines;
    } cases[] = {
        {DATA("READY=1"), "|READY=1"},
        {DATA("READY=1\n"), "|READY=1"},
        {DATA("READY=1\nSTATUS=all = well\n"), "|READY=1|STATUS=all = well"},
        {DATA("\n\nREADY=1\n\n"), "|READY=1"},
        {DATA("MAINPID=1\nREADY=1"), "|READY=1"},
        {DATA("FDSTORE=1"), ""},
        {DATA("BARRIER=1"), ""},
        /* Malformed, whatever they are: each is counted where it arrives. */
        {DATA(""), "|"},
        {DATA("\n"), "|"},
        {DATA("\n\n\n"), "|"},
        {DATA("x"), "|x"},
        {DATA("READY"), "|READY"},
        {DATA("READY=0"), "|READY=0"},
        {DATA("=\n=1"), "|=|=1"},
    };
    (void)state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        Text text CLEANUP_TEXT = {0};
        /* A copy of its very length: a sanitizer sees what is read beyond. */
        char *copy CLEANUP_FREE = malloc(cases[i].n + (cases[i].n == 0));
        assert_non_null(copy);
        memcpy(copy, cases[i].data, cases[i].n);
        notify_datagram_lines(copy, cases[i].n, false, collect, &text);
        assert_string_equal(text.s ? text.s : "", cases[i].lines);
    }
}

static void count(const char *line, size_t n, void *userdata) {
    size_t *sums = userdata;
    (void)line;
    sums[n > 0] += n > 0 ? n : 1;
}

/* A line as on a status pipe, whatever it stands in; what came before one that is too long holds. */
static void test_long_lines(void **state) {
    static const struct {
        size_t first, second; /* how long, without the newline between */
        bool cut;
        size_t taken, malformed;
    } cases[] = {
        {LINE_MAX_BYTES, 10, false, LINE_MAX_BYTES + 10, 0},
        {LINE_MAX_BYTES + 1, 10, false, 10, 1},
        {10, LINE_MAX_BYTES, false, LINE_MAX_BYTES + 10, 0},
        {10, LINE_MAX_BYTES + 1, false, 10, 1},
        {10, LINE_MAX_BYTES, true, 10, 1},
        {10, 0, true, 10, 0},
    };
    (void)state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        size_t n = cases[i].first + 1 + cases[i].second, sums[2] = {0};
        char *data CLEANUP_FREE = malloc(n);
        assert_non_null(data);
        memset(data, 'x', n);
        data[cases[i].first] = '\n';
        notify_datagram_lines(data, n, cases[i].cut, count, sums);
        assert_int_equal(sums[0], cases[i].malformed);
        assert_int_equal(sums[1], cases[i].taken);
    }
}

static void send_to(const NotifySocket *n, const char *data, size_t length, int passed) {
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    const char *name = notify_socket_name(n);
    memcpy(sun.sun_path + 1, name + 1, strlen(name) - 1);
    CLEANUP_CLOSE int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec iov = {.iov_base = (void *)(uintptr_t)data, .iov_len = length};
    struct msghdr m = {.msg_name = &sun,
                       .msg_namelen = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name)),
                       .msg_iov = &iov,
                       .msg_iovlen = 1};
    if (passed >= 0) {
        m.msg_control = &control;
        m.msg_controllen = sizeof(control);
        *CMSG_FIRSTHDR(&m) = (struct cmsghdr){
            .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(CMSG_FIRSTHDR(&m)), &passed, sizeof(passed));
    }
    assert_int_equal(sendmsg(fd, &m, 0), length);
}

static bool may_all(const struct ucred *sender, void *userdata) {
    (void)userdata;
    return sender->pid == getpid() && sender->uid == getuid();
}

static bool may_none(const struct ucred *sender, void *userdata) {
    (void)sender;
    (void)userdata;
    return false;
}

static sd_event *new_loop(void) {
    sd_event *loop = NULL;
    assert_true(sd_event_new(&loop) >= 0);
    return loop;
}

static void test_datagrams(void **state) {
    sd_event *loop = new_loop();
    Text text CLEANUP_TEXT = {0};
    NotifySocket *n = NULL;
    char big[9000];
    (void)state;
    memset(big, 'x', sizeof(big));
    assert_int_equal(notify_socket_new(loop, NULL, may_all, collect, &text, &n), 0);
    assert_int_equal(notify_socket_name(n)[0], '@');
    send_to(n, DATA("READY=1\nSTATUS=on"), -1);
    send_to(n, DATA(""), -1);
    send_to(n, big, sizeof(big), -1); /* too long: none of it is taken */
    send_to(n, DATA("STOPPING=1"), -1);
    while (sd_event_run(loop, 0) > 0)
        continue;
    assert_string_equal(text.s, "|READY=1|STATUS=on|||STOPPING=1");
    notify_socket_free(n);
    sd_event_unref(loop);
}

static void test_strangers(void **state) {
    sd_event *loop = new_loop();
    Text text CLEANUP_TEXT = {0};
    NotifySocket *n = NULL;
    (void)state;
    assert_int_equal(notify_socket_new(loop, NULL, may_none, collect, &text, &n), 0);
    send_to(n, DATA("READY=1"), -1);
    notify_socket_drain(n);
    assert_string_equal(text.s, "|");
    notify_socket_free(n);
    sd_event_unref(loop);
}

/* Of what is passed nothing comes into this process, and nothing is kept: the pipe's end comes. */
static void test_passed_descriptors(void **state) {
    sd_event *loop = new_loop();
    Text text CLEANUP_TEXT = {0};
    Errands errands = {0};
    Discard *discard = NULL;
    NotifySocket *n = NULL;
    int ends[2], status = 0, free_fd = -EBADF;
    char c;
    (void)state;
    assert_int_equal(discard_new(loop, &errands, NULL, &discard), 0);
    assert_int_equal(notify_socket_new(loop, discard, may_all, collect, &text, &n), 0);
    assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    send_to(n, DATA("FDSTORE=1"), ends[1]);
    send_to(n, DATA("STATUS=a"), ends[1]);
    send_to(n, DATA("READY=1"), -1);
    free_fd = fcntl(ends[0], F_DUPFD, 0);
    (void)close(free_fd);
    /* Each in turn, and nothing is read before the one with descriptors is away. */
    for (size_t k = 0; k < 2; k++) {
        notify_socket_drain(n);
        notify_socket_drain(n);
        assert_int_equal(errands.n, 1);
        pid_t pid = errands.items[0].pid;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        assert_true(errands_on_end(&errands, pid));
    }
    notify_socket_drain(n);
    assert_string_equal(text.s, "|STATUS=a|READY=1");
    int next = fcntl(ends[0], F_DUPFD, 0);
    assert_int_equal(next, free_fd);
    (void)close(next);
    (void)close(ends[1]);
    assert_int_equal(read(ends[0], &c, 1), 0);
    (void)close(ends[0]);
    notify_socket_free(n);
    discard_free(discard);
    errands_done(&errands);
    sd_event_unref(loop);
}

/* They are told whatever has come along, and then all of it goes with a process. */
static void test_last_words(void **state) {
    sd_event *loop = new_loop();
    Text text CLEANUP_TEXT = {0};
    Errands errands = {0};
    Discard *discard = NULL;
    NotifySocket *n = NULL;
    int ends[2];
    char c, big[9000];
    (void)state;
    memset(big, 'x', sizeof(big));
    assert_int_equal(discard_new(loop, &errands, NULL, &discard), 0);
    assert_int_equal(notify_socket_new(loop, discard, may_all, collect, &text, &n), 0);
    assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    send_to(n, DATA("STATUS=a"), ends[1]);
    send_to(n, DATA(""), ends[1]);
    send_to(n, big, sizeof(big), -1);
    send_to(n, DATA("STATUS=b"), ends[1]);
    send_to(n, DATA("STATUS=c"), -1);
    (void)close(ends[1]);
    notify_socket_last_words(NULL);
    notify_socket_last_words(n);
    assert_string_equal(text.s, "|STATUS=a|||STATUS=b|STATUS=c");
    assert_int_equal(read(ends[0], &c, 1), -1);
    notify_socket_free(n);
    assert_true(discard_now(discard));
    assert_int_equal(errands.n, 1);
    assert_int_equal(waitpid(errands.items[0].pid, NULL, 0), errands.items[0].pid);
    assert_int_equal(read(ends[0], &c, 1), 0);
    (void)close(ends[0]);
    discard_free(discard);
    errands_done(&errands);
    sd_event_unref(loop);
}

/* One turn takes a bounded number. */
static void test_bound(void **state) {
    sd_event *loop = new_loop();
    Text text CLEANUP_TEXT = {0};
    NotifySocket *n = NULL;
    (void)state;
    assert_null(notify_socket_free(NULL));
    notify_socket_drain(NULL);
    assert_int_equal(notify_socket_new(loop, NULL, may_all, collect, &text, &n), 0);
    for (int i = 0; i < 8; i++)
        send_to(n, DATA("READY=1"), -1);
    assert_true(sd_event_run(loop, 0) > 0);
    assert_true(text.len > 0 && text.len <= 16 * strlen("|READY=1"));
    notify_socket_free(n);
    sd_event_unref(loop);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_long_lines),
        cmocka_unit_test(test_datagrams),
        cmocka_unit_test(test_strangers),
        cmocka_unit_test(test_passed_descriptors),
        cmocka_unit_test(test_last_words),
        cmocka_unit_test(test_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

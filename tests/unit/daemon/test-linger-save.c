/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/socket.h>

#include "daemon/base/clock.h"
#include "daemon/linger.h"
#include "tests/unit/blob.h"

/* One of its connections as an earlier program has it, which is gone: nothing is closed twice. */
static void put(BlobWriter *w, int fd, uint64_t until_usec, uint64_t taken) {
    const uint64_t numbers[] = {until_usec, taken};
    size_t at = blob_open(w, 1);
    blob_put_fd(w, 1, fd);
    blob_put_u64s(w, 2, numbers, ELEMENTS(numbers));
    blob_close(w, at);
}

static void make_pair(int fds[static 2]) {
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
}

static bool is_open(int fd) {
    return fcntl(fd, F_GETFD) >= 0;
}

/* They are told to the end: until they close, or their time is over; no longer than it would be here. */
static void test_goes_on(void **state) {
    (void)state;
    enum {
        N = 4
    };
    sd_event *loop = NULL;
    Linger *l = NULL;
    int fds[N][2];
    TestBlob b;
    uint64_t now = clock_monotonic_usec(), later = now + 900 * USEC_PER_MSEC;
    assert_true(sd_event_new(&loop) >= 0);
    assert_int_equal(linger_new(loop, NULL, &l), 0);
    test_blob_begin(&b);
    for (size_t i = 0; i < N; i++)
        make_pair(fds[i]);
    put(&b.w, fds[0][0], now - 1, 0);
    put(&b.w, fds[1][0], later, 0);
    put(&b.w, fds[2][0], later, 1U << 20);
    put(&b.w, fds[3][0], UINT64_MAX, 0);
    blob_put_str(&b.w, 99, "from the future");
    test_blob_end(&b);
    assert_int_equal(linger_restore(b.r, l), 0);
    test_blob_done(&b);
    /* What was said is not said again, and nothing is shut yet. */
    for (size_t i = 0; i < N; i++)
        assert_true(is_open(fds[i][0]));
    (void)close(fds[1][1]);
    assert_int_equal(send(fds[2][1], "more", 4, 0), 4);
    while (is_open(fds[0][0]) || is_open(fds[1][0]) || is_open(fds[2][0]))
        assert_true(sd_event_run(loop, 5 * USEC_PER_SEC) > 0);
    assert_true(is_open(fds[3][0]));
    /* Nobody stays for ever. */
    while (is_open(fds[3][0]))
        assert_true(sd_event_run(loop, 5 * USEC_PER_SEC) > 0);
    for (size_t i = 0; i < N; i++)
        if (i != 1)
            (void)close(fds[i][1]);
    linger_free(l);
    sd_event_unref(loop);
}

static void test_round_trip(void **state) {
    (void)state;
    sd_event *loop = NULL;
    Linger *l = NULL, *m = NULL;
    int fds[2];
    TestBlob b;
    assert_true(sd_event_new(&loop) >= 0);
    assert_int_equal(linger_new(loop, NULL, &l), 0);
    assert_int_equal(linger_new(loop, NULL, &m), 0);
    make_pair(fds);
    int number = fds[0];
    linger_add(l, fds[0]);
    test_blob_begin(&b);
    linger_save(&b.w, l);
    assert_int_equal(b.w.n_fds, 1);
    int kept = fcntl(number, F_DUPFD_CLOEXEC, 3);
    linger_free(l); /* and the number is free */
    assert_int_equal(dup3(kept, number, O_CLOEXEC), number);
    (void)close(kept);
    test_blob_end(&b);
    assert_int_equal(linger_restore(b.r, m), 0);
    test_blob_done(&b);
    assert_true(is_open(number));
    linger_free(m);
    assert_false(is_open(number));
    (void)close(fds[1]);
    sd_event_unref(loop);
}

/* More than there may be are closed. */
static void test_too_many(void **state) {
    (void)state;
    enum {
        N = LINGER_MAX + 3
    };
    sd_event *loop = NULL;
    Linger *l = NULL;
    int fds[N][2];
    TestBlob b;
    size_t n = 0;
    assert_true(sd_event_new(&loop) >= 0);
    assert_int_equal(linger_new(loop, NULL, &l), 0);
    test_blob_begin(&b);
    for (size_t i = 0; i < N; i++) {
        make_pair(fds[i]);
        put(&b.w, fds[i][0], UINT64_MAX, 0);
    }
    test_blob_end(&b);
    assert_int_equal(linger_restore(b.r, l), 0);
    test_blob_done(&b);
    for (size_t i = 0; i < N; i++) {
        n += is_open(fds[i][0]);
        (void)close(fds[i][1]);
    }
    assert_int_equal(n, LINGER_MAX);
    linger_free(l);
    sd_event_unref(loop);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_goes_on), cmocka_unit_test(test_round_trip),
                                       cmocka_unit_test(test_too_many)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include "daemon/pipe-reader.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>

#include <cmocka.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"

static const int ceiling = 1000;

#ifdef WITHOUT_NOWAIT
/* A kernel before 6.5, which is built into a test of its own. */
ssize_t __wrap_preadv64v2(int fd, const struct iovec *to, int n, off_t at, int flags);
ssize_t __wrap_preadv64v2(int fd, const struct iovec *to, int n, off_t at, int flags) {
    (void)fd;
    (void)to;
    (void)n;
    (void)at;
    (void)flags;
    errno = EOPNOTSUPP;
    return -1;
}
#endif

typedef struct Ends {
    sd_event *loop;
    LateReaders late;
    int write_fd;
    PipeReader *reader;
    uint64_t born_usec; /* at the latest */
    char heard[256];
} Ends;

static void on_line(const char *line, size_t n, bool truncated, void *userdata) {
    Ends *e = userdata;
    size_t at = strlen(e->heard);
    assert_false(truncated);
    (void)snprintf(e->heard + at, sizeof(e->heard) - at, "%.*s|", (int)n, line);
}

static void on_end(PipeReader *r, void *userdata) {
    Ends *e = userdata;
    assert_ptr_equal(r, e->reader);
    e->reader = pipe_reader_free(r);
    size_t at = strlen(e->heard);
    (void)snprintf(e->heard + at, sizeof(e->heard) - at, "end");
}

static void open_ends(Ends *e, sd_event *loop, LateReaders *late) {
    int fds[2];
    *e = (Ends){.loop = loop};
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_int_equal(pipe_reader_new(loop, late, fds[0], on_line, on_end, e, &e->reader), 0);
    e->write_fd = fds[1];
    e->born_usec = clock_monotonic_usec();
}

static void close_ends(Ends *e) {
    e->write_fd = fd_close(e->write_fd);
    e->reader = pipe_reader_free(e->reader);
}

static void say(const Ends *e, const char *text) {
    assert_int_equal(write(e->write_fd, text, strlen(text)), strlen(text));
}

static void run(sd_event *loop) {
    while (sd_event_run(loop, 0) > 0)
        continue;
}

static void test_watched_at_once(void **state) {
    (void)state;
    sd_event *loop = NULL;
    Ends e;
    assert_true(sd_event_new(&loop) >= 0);
    open_ends(&e, loop, NULL);
    say(&e, "one\ntw");
    run(loop);
    assert_string_equal(e.heard, "one|");
    /* A last line without its newline is one. */
    e.write_fd = fd_close(e.write_fd);
    run(loop);
    assert_string_equal(e.heard, "one|tw|end");
    close_ends(&e);
    sd_event_unref(loop);
}

/* Each is watched when it is due, and none before. */
static void test_watched_late(void **state) {
    (void)state;
    sd_event *loop = NULL;
    LateReaders late;
    Ends all[4];
    late_readers_init(&late, &ceiling);
    assert_int_equal(late_readers_due(&late), USEC_INFINITY);
    late_readers_look(&late, UINT64_MAX - 1);
    assert_true(sd_event_new(&loop) >= 0);
    for (size_t i = 0; i < ELEMENTS(all); i++) {
        open_ends(&all[i], loop, &late);
        say(&all[i], "here\n");
        while (clock_monotonic_usec() == all[i].born_usec)
            continue;
    }
    uint64_t first = late_readers_due(&late);
    assert_in_range(first, all[0].born_usec, all[0].born_usec + LATE_READER_USEC);
    late_readers_look(&late, first - 1);
    run(loop);
    for (size_t i = 0; i < ELEMENTS(all); i++)
        assert_string_equal(all[i].heard, "");
    late_readers_look(&late, first);
    run(loop);
    assert_string_equal(all[0].heard, "here|");
    assert_string_equal(all[1].heard, "");
    assert_true(late_readers_due(&late) > first);
    /* One that is gone by then keeps nobody. */
    close_ends(&all[1]);
    uint64_t third = late_readers_due(&late);
    assert_in_range(third, all[1].born_usec + 1, all[2].born_usec + LATE_READER_USEC);
    late_readers_look(&late, third);
    run(loop);
    assert_string_equal(all[2].heard, "here|");
    assert_string_equal(all[3].heard, "");
    late_readers_look(&late, all[3].born_usec + LATE_READER_USEC);
    assert_int_equal(late_readers_due(&late), USEC_INFINITY);
    run(loop);
    assert_string_equal(all[3].heard, "here|");
    for (size_t i = 0; i < ELEMENTS(all); i++)
        close_ends(&all[i]);
    sd_event_unref(loop);
}

/* A process that has ended: all that it has written, in order, without the loop; and the end, unless somebody
 * else can still write. */
static void test_drained_before(void **state) {
    (void)state;
    sd_event *loop = NULL;
    LateReaders late;
    Ends alone, held;
    late_readers_init(&late, &ceiling);
    assert_true(sd_event_new(&loop) >= 0);
    open_ends(&alone, loop, &late);
    open_ends(&held, loop, &late);
    say(&alone, "one\ntwo\nthree");
    alone.write_fd = fd_close(alone.write_fd);
    pipe_reader_drain(alone.reader);
    assert_string_equal(alone.heard, "one|two|three|end");
    say(&held, "mine\n");
    pipe_reader_drain(held.reader);
    pipe_reader_drain(held.reader);
    assert_string_equal(held.heard, "mine|");
    say(&held, "its child's\n");
    assert_true(late_readers_due(&late) < USEC_INFINITY);
    late_readers_look(&late, late_readers_due(&late));
    assert_int_equal(late_readers_due(&late), USEC_INFINITY);
    run(loop);
    assert_string_equal(held.heard, "mine|its child's|");
    held.write_fd = fd_close(held.write_fd);
    run(loop);
    assert_string_equal(held.heard, "mine|its child's|end");
    sd_event_unref(loop);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_watched_at_once),
        cmocka_unit_test(test_watched_late),
        cmocka_unit_test(test_drained_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/handover.h"

static void test_parse(void **state) {
    static const struct {
        const char *value;
        int fd;
    } table[] = {
        {"812:7", 7},
        {"812:3", 3},
        {"812:2", -EINVAL},
        {"812:0", -EINVAL},
        {"812:", -EINVAL},
        {"812", -EINVAL},
        {"", -EINVAL},
        {":7", -EINVAL},
        {"813:7", -EINVAL},
        {"812:7x", -EINVAL},
        {"812:-7", -EINVAL},
        {"-812:7", -EINVAL},
        {" 812:7", -EINVAL},
        {"812: 7", -EINVAL},
        {"812:7:8", -EINVAL},
        {"812:4294967303", -EINVAL},
        {"4294968108:7", -EINVAL},
        {"0x32c:7", -EINVAL},
        {"812:99999999999999999999", -EINVAL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        print_message("'%s'\n", table[i].value);
        assert_int_equal(handover_parse(table[i].value, 812), table[i].fd);
    }
}

/* It is taken out of the environment, whoever it is meant for. */
static void test_environment(void **state) {
    char value[64];
    int fd = memfd_create("test", 0);
    (void)state;
    assert_int_equal(handover_from_environment(), -ENOENT);
    (void)snprintf(value, sizeof(value), "%d:%d", (int)getpid(), fd);
    assert_int_equal(setenv(HANDOVER_VARIABLE, value, 1), 0);
    assert_int_equal(handover_from_environment(), fd);
    assert_null(getenv(HANDOVER_VARIABLE));
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    (void)snprintf(value, sizeof(value), "%d:%d", (int)getppid(), fd);
    assert_int_equal(setenv(HANDOVER_VARIABLE, value, 1), 0);
    assert_int_equal(handover_from_environment(), -ENOENT);
    assert_null(getenv(HANDOVER_VARIABLE));
    /* One that is closed. */
    assert_int_equal(close(fd), 0);
    (void)snprintf(value, sizeof(value), "%d:%d", (int)getpid(), fd);
    assert_int_equal(setenv(HANDOVER_VARIABLE, value, 1), 0);
    assert_int_equal(handover_from_environment(), -ENOENT);
}

static void put_state(BlobWriter *w, int fd) {
    blob_begin(w, BLOB_STATE);
    blob_put_str(w, STATE_VERSION, "1.2.3");
    blob_put_fd(w, 77, fd);
    assert_int_equal(blob_end(w), 0);
}

static void test_there_and_back(void **state) {
    CLEANUP_BLOB BlobWriter w = {0};
    CLEANUP_HANDOVER Handover h = {0};
    BlobField f;
    (void)state;
    int given = open("/dev/null", O_RDONLY | O_CLOEXEC);
    put_state(&w, given);
    int fd = handover_write(&w);
    assert_true(fd > STDERR_FILENO);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    /* Nobody can change it. */
    assert_int_equal(pwrite(fd, "x", 1, 40), -1);
    assert_int_equal(ftruncate(fd, 10), -1);
    assert_int_equal(handover_keep(w.fds, w.n_fds, true), 0);
    assert_int_equal(fcntl(given, F_GETFD), 0);
    assert_int_equal(handover_read(&h, fd, BLOB_STATE), 0);
    assert_int_equal(fcntl(given, F_GETFD), FD_CLOEXEC);
    assert_true(blob_next(&h.reader, &f));
    assert_int_equal(f.tag, STATE_VERSION);
    char *version = blob_str(&f);
    assert_string_equal(version, "1.2.3");
    free(version);
    /* What nobody has taken is closed. */
    handover_done(&h);
    assert_int_equal(fcntl(given, F_GETFD), -1);
    (void)close(fd);
}

/* One that cannot be kept is told of, and the others are done all the same. */
static void test_keep(void **state) {
    (void)state;
    int a = open("/dev/null", O_RDONLY | O_CLOEXEC), closed = dup(a),
        b = open("/dev/null", O_RDONLY | O_CLOEXEC);
    (void)close(closed);
    const int fds[] = {a, closed, b};
    assert_int_equal(handover_keep(fds, 3, true), -EBADF);
    assert_int_equal(fcntl(a, F_GETFD), 0);
    assert_int_equal(fcntl(b, F_GETFD), 0);
    assert_int_equal(handover_keep(fds, 3, false), -EBADF);
    assert_int_equal(fcntl(a, F_GETFD), FD_CLOEXEC);
    assert_int_equal(fcntl(b, F_GETFD), FD_CLOEXEC);
    (void)close(a);
    (void)close(b);
}

static void test_refused(void **state) {
    CLEANUP_BLOB BlobWriter w = {0};
    Handover h;
    int ends[2];
    (void)state;
    put_state(&w, -1);
    int fd = memfd_create("test", MFD_ALLOW_SEALING);
    assert_int_equal(handover_read(&h, fd, BLOB_STATE), -EBADMSG);
    assert_int_equal(write(fd, w.data, w.n), (ssize_t)w.n);
    assert_int_equal(handover_read(&h, fd, BLOB_STATE), -EBADMSG);
    assert_string_equal(h.source.why, "it is not sealed");
    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_WRITE), 0);
    assert_int_equal(handover_read(&h, fd, BLOB_STATE), 0);
    handover_done(&h);
    (void)close(fd);
    assert_int_equal(handover_read(&h, fd, BLOB_STATE), -EBADMSG);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(handover_read(&h, ends[0], BLOB_STATE), -EBADMSG);
    assert_string_equal(h.source.why, "it is no file of a state");
    handover_done(&h);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),          cmocka_unit_test(test_environment),
        cmocka_unit_test(test_there_and_back), cmocka_unit_test(test_keep),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

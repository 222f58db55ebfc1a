/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/errand.h"
#include "tests/unit/blob.h"

/* Each once, in whatever order they end. */
static void test_ends(void **state) {
    (void)state;
    Errands e = {0};
    for (pid_t pid = 10; pid < 30; pid++)
        errands_note(&e, pid);
    assert_int_equal(e.n, 20);
    assert_false(errands_on_end(&e, 9));
    for (pid_t pid = 10; pid < 30; pid += 2)
        assert_true(errands_on_end(&e, pid));
    for (pid_t pid = 29; pid >= 10; pid--)
        assert_int_equal(errands_on_end(&e, pid), pid % 2);
    assert_int_equal(e.n, 0);
    errands_note(&e, 10);
    assert_true(errands_on_end(&e, 10));
    errands_done(&e);
}

static void count(void *userdata) {
    ++*(unsigned *)userdata;
}

/* Who waits for one is told once, unless it has been forgotten. */
static void test_awaited(void **state) {
    (void)state;
    Errands e = {0};
    unsigned first = 0, second = 0;
    for (pid_t pid = 10; pid < 16; pid++) {
        assert_int_equal(errands_reserve(&e), 0);
        errands_await(&e, pid, count, pid < 13 ? &first : &second);
    }
    assert_true(errands_on_end(&e, 10));
    errands_forget(&e, &first);
    for (pid_t pid = 10; pid < 16; pid++)
        assert_int_equal(errands_on_end(&e, pid), pid > 10);
    assert_int_equal(first, 1);
    assert_int_equal(second, 3);
    errands_done(&e);
}

/* The next program knows them. */
static void test_outlive_an_upgrade(void **state) {
    (void)state;
    Errands from = {0}, to = {0};
    TestBlob b;
    BlobField f;
    errands_note(&from, 10);
    errands_note(&from, 20);
    test_blob_begin(&b);
    errands_save(&b.w, 7, &from);
    test_blob_end(&b);
    while (blob_next(&b.r, &f))
        errands_restore(&f, &to);
    test_blob_done(&b);
    assert_int_equal(to.n, 2);
    assert_true(errands_on_end(&to, 10));
    assert_true(errands_on_end(&to, 20));
    errands_done(&from);
    errands_done(&to);
}

static int forbid_close_range(void) {
    struct sock_filter lines[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_close_range, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog filter = {.len = sizeof(lines) / sizeof(lines[0]), .filter = lines};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0
               ? -1
               : prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0);
}

/* 0: what is to be closed is, and nothing else. */
static int close_in(bool forbidden) {
    const struct rlimit limit = {.rlim_cur = 200, .rlim_max = 200};
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0 || fcntl(0, F_DUPFD, 50) != 50 || fcntl(0, F_DUPFD, 51) != 51 ||
        fcntl(0, F_DUPFD, 199) != 199)
        return 1;
    if (forbidden && forbid_close_range() < 0)
        return 2;
    errand_close_from(51);
    return fcntl(50, F_GETFD) < 0 ? 3 : fcntl(51, F_GETFD) >= 0 ? 4 : fcntl(199, F_GETFD) >= 0 ? 5 : 0;
}

/* Also where there is no close_range(2). */
static void test_close(void **state) {
    (void)state;
    for (int forbidden = 0; forbidden < 2; forbidden++) {
        int status = -1;
        pid_t pid = fork();
        if (pid == 0)
            _exit(close_in(forbidden));
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_awaited),
        cmocka_unit_test(test_outlive_an_upgrade),
        cmocka_unit_test(test_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

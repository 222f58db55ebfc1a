/* SPDX-License-Identifier: MIT */
#include "daemon/rescue.h"

#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/base/cleanup.h"
#include "daemon/proof.h"

static int open_listener(int type) {
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001)};
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&any, sizeof(any)), 0);
    if (type == SOCK_STREAM)
        assert_int_equal(listen(fd, 1), 0);
    return fd;
}

/* Of all that is open those are kept that somebody connects or sends to. */
static void test_collect(void **state) {
    (void)state;
    CLEANUP_CLOSE int stream = open_listener(SOCK_STREAM), datagram = open_listener(SOCK_DGRAM);
    CLEANUP_CLOSE int alone = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int fds[] = {STDIN_FILENO, stream, -1, alone, datagram};
    CLEANUP_RESCUE Rescue known = {0}, all = {0};
    rescue_collect(&known, fds, ELEMENTS(fds));
    assert_int_equal(known.n, 2);
    rescue_collect(&all, NULL, 0);
    assert_true(all.n >= 2);
}

/* It says what was wrong, for who wants to know why nothing serves any more. */
static void test_not_executed(void **state) {
    (void)state;
    static char word[] = "x";
    char *const argv[] = {word, NULL};
    int none = -1, status = 0;
    Rescue closed = {.fds = &none, .n = 1}, nothing = {0};
    assert_int_equal(rescue_execute(&closed, "/bin/true", argv), -EBADF);
    assert_int_equal(rescue_execute(&nothing, "/no/such/program", argv), -ENOENT);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        CLEANUP_CLOSE int fd = open_listener(SOCK_STREAM);
        CLEANUP_RESCUE Rescue rescue = {0};
        rescue_collect(&rescue, &fd, 1);
        static char shell[] = "sh", option[] = "-c", script[] = "test $LISTEN_FDS = 1 -a $LISTEN_PID = $$";
        char *const words[] = {shell, option, script, NULL};
        _exit(-rescue_execute(&rescue, "/bin/sh", words));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

/* A program that is not there is no other one. */
static void test_file_of_a_program(void **state) {
    (void)state;
    ProofFile none = proof_file("/no/such/program"), one = proof_file("/bin/sh"),
              other = proof_file("/bin/cat");
    assert_false(proof_file_differs(&none, &one));
    assert_false(proof_file_differs(&one, &one));
    assert_true(proof_file_differs(&one, &other));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_collect),
        cmocka_unit_test(test_not_executed),
        cmocka_unit_test(test_file_of_a_program),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

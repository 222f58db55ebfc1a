/* SPDX-License-Identifier: MIT */
#include "daemon/rescue.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
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

/* Whatever asks for memory while this is set gets none. */
static bool no_memory;

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__real_reallocarray(void *p, size_t n, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);
void *__wrap_reallocarray(void *p, size_t n, size_t size);

void *__wrap_malloc(size_t size) {
    return no_memory ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size) {
    return no_memory ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size) {
    return no_memory ? NULL : __real_realloc(p, size);
}

void *__wrap_reallocarray(void *p, size_t n, size_t size) {
    return no_memory ? NULL : __real_reallocarray(p, n, size);
}

/* How many descriptors lead to the socket that @fd leads to. */
static unsigned copies_of(int fd) {
    struct stat wanted, st;
    unsigned n = 0;
    assert_int_equal(fstat(fd, &wanted), 0);
    for (int i = 0; i < 1024; i++)
        n += fstat(i, &st) == 0 && st.st_dev == wanted.st_dev && st.st_ino == wanted.st_ino;
    return n;
}

/* Of all that is open those are kept that somebody connects or sends to; also when memory has run out. */
static void check_collect(bool all, bool without_memory) {
    CLEANUP_CLOSE int stream = open_listener(SOCK_STREAM), datagram = open_listener(SOCK_DGRAM);
    CLEANUP_CLOSE int alone = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int fds[] = {STDIN_FILENO, stream, -1, alone, datagram};
    Rescue rescue = {0};
    no_memory = without_memory;
    rescue_collect(&rescue, all ? NULL : fds, all ? 0 : ELEMENTS(fds));
    no_memory = false;
    assert_int_equal(copies_of(stream), 2);
    assert_int_equal(copies_of(datagram), 2);
    assert_int_equal(copies_of(alone), 1);
    rescue_done(&rescue);
    assert_int_equal(copies_of(stream), 1);
    assert_int_equal(copies_of(datagram), 1);
}

static void test_collect(void **state) {
    (void)state;
    for (int i = 0; i < 4; i++)
        check_collect(i & 1, i & 2);
}

/* Restoring may make of a socket what nobody sends to; its copy goes all the same. */
static void test_done_with_what_is_no_listener(void **state) {
    (void)state;
    CLEANUP_CLOSE int fd = open_listener(SOCK_DGRAM), other = open_listener(SOCK_DGRAM);
    struct sockaddr_in to;
    socklen_t n = sizeof(to);
    Rescue rescue = {0};
    rescue_collect(&rescue, &fd, 1);
    assert_int_equal(copies_of(fd), 2);
    assert_int_equal(getsockname(other, (struct sockaddr *)&to, &n), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, n), 0);
    rescue_done(&rescue);
    assert_int_equal(copies_of(fd), 1);
}

/* What is run in a process of its own, with a listener that is kept; its wait status. */
static int run_with_listener(void (*f)(Rescue *rescue)) {
    int status = 0;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        CLEANUP_CLOSE int fd = open_listener(SOCK_STREAM);
        CLEANUP_RESCUE Rescue rescue = {0};
        rescue_collect(&rescue, &fd, 1);
        f(&rescue);
        _exit(1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static char shell[] = "sh", option[] = "-c";

/* The socket is there once, and below it nothing but the standard descriptors. */
static void execute(Rescue *rescue) {
    static char script[] = "test $LISTEN_FDS = 1 -a $LISTEN_PID = $$ && "
                           "test \"$(ls -l /proc/$$/fd | grep -c socket:)\" = 1 -a -S /proc/$$/fd/3";
    char *const words[] = {shell, option, script, NULL};
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        (void)dup2(open("/dev/null", O_RDWR | O_CLOEXEC), fd);
    (void)rescue_execute(rescue, "/bin/sh", words);
}

/* There is no such number as 3. */
static void test_no_place(void **state) {
    (void)state;
    char *const words[] = {shell, NULL};
    struct rlimit kept;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &kept), 0);
    const struct rlimit few = {3, kept.rlim_max};
    CLEANUP_CLOSE int fd = open_listener(SOCK_STREAM);
    CLEANUP_RESCUE Rescue rescue = {0};
    rescue_collect(&rescue, &fd, 1);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    int r = rescue_execute(&rescue, "/bin/true", words);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &kept), 0);
    assert_int_equal(r, -EBADF);
}

/* It says what was wrong, for who wants to know why nothing serves any more. */
static void test_execute(void **state) {
    (void)state;
    char *const words[] = {shell, NULL};
    Rescue nothing = {0};
    assert_int_equal(rescue_execute(&nothing, "/no/such/program", words), -ENOENT);
    assert_int_equal(run_with_listener(execute), 0);
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
        cmocka_unit_test(test_collect),           cmocka_unit_test(test_done_with_what_is_no_listener),
        cmocka_unit_test(test_execute),           cmocka_unit_test(test_no_place),
        cmocka_unit_test(test_file_of_a_program),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

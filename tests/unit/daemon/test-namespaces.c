/* SPDX-License-Identifier: MIT */
/* New namespaces are held only as long as the process that made them is there. This program is the one that
 * holds them, too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/base/cleanup.h"
#include "daemon/namespaces.h"

typedef struct Fixture {
    NamespaceMaker *maker;
    int user_fd, network_fd;
    bool of_network;
} Fixture;

/* Returns when it has made them, or cannot. */
static void begin(Fixture *x) {
    *x = (Fixture){.user_fd = -EBADF, .network_fd = -EBADF};
    bool is_root = geteuid() == 0;
    CLEANUP_CLOSE int self = open("/proc/self/exe", O_PATH | O_CLOEXEC);
    const NamespaceOrder order = {.users = true,
                                  .within = !is_root,
                                  .with_root = is_root,
                                  .uid = geteuid(),
                                  .gid = getegid(),
                                  .holder_fd = self};
    assert_true(self >= 0);
    assert_int_equal(namespaces_begin(&order, &x->maker), 0);
    struct pollfd p = {.fd = namespaces_fd(x->maker), .events = POLLIN};
    assert_int_equal(poll(&p, 1, -1), 1);
}

static void kill_and_reap(const Fixture *x) {
    pid_t pid = namespaces_pid(x->maker);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static int take(Fixture *x) {
    return namespaces_take(x->maker, &x->user_fd, &x->network_fd, &x->of_network);
}

static bool can_be_had(void) {
    Fixture x;
    begin(&x);
    int r = take(&x);
    assert_true(r < 0 || x.user_fd >= 0);
    (void)fd_close(x.user_fd);
    pid_t pid = namespaces_pid(x.maker);
    assert_null(namespaces_free(x.maker));
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    return r >= 0;
}

/* Its number may be another's by then: nothing is written there. */
static void test_one_that_has_ended(void **state) {
    Fixture x;
    (void)state;
    if (!can_be_had())
        skip();
    begin(&x);
    kill_and_reap(&x);
    assert_int_equal(take(&x), -ECHILD);
    assert_true(x.user_fd < 0 && x.network_fd < 0);
    assert_null(namespaces_free(x.maker));
}

/* As mp-init does it. */
static int hold(void) {
    if (write(0, "", 1) != 1)
        return 1;
    for (;;)
        (void)pause();
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_that_has_ended),
    };
    if (argc == 2 && strcmp(argv[1], "hold") == 0)
        return hold();
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "daemon/spare.h"
#include "daemon/spares.h"

static const ResourceConfig nothing = {0};
static const ResourceConfig own_memory = {.has_oom_score_adjust = true, .oom_score_adjust = 500};

/* A connection on 0 and 1, and a shell that says what it knows. */
static char *argv[] = {(char *)"sh", (char *)"-c", (char *)"read x; echo $BASE $MP_INSTANCE $x; exit 7",
                       NULL};
static char *base[] = {(char *)"BASE=base", NULL};

static ChildPlan plan_for(const char *program) {
    return (ChildPlan){.program = program,
                       .argv = argv,
                       .envp = base,
                       .resources = &nothing,
                       .first_closed = 2,
                       .wait = {.connection = {0, 1}, .n_connection = 2}};
}

static Spare *start(const ChildPlan *plan, pid_t *ret_pid) {
    Spare *s = NULL;
    SpawnStep step;
    assert_int_equal(spare_start(plan, &s, ret_pid, &step), 0);
    return s;
}

static SpareEnd wait_end(Spare *s) {
    struct pollfd p = {.fd = spare_fd(s), .events = POLLIN};
    SpareEnd end = spare_look(s);
    for (int i = 0; i < 100 && end.fate == SPARE_WAITS; i++) {
        (void)poll(&p, 1, 100);
        end = spare_look(s);
    }
    return end;
}

/* Gives it one end of a connection, and returns the other. */
static int give(Spare *s, EnvBuilder *env, int *ret) {
    static ChildEnv of = {.base = base, .n_base = 1};
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    assert_int_equal(env_builder_begin(env, &of), 0);
    assert_int_equal(env_builder_set_number(env, ENV_MP_INSTANCE, 42), 0);
    *ret = spare_give(s, fds[0], env);
    (void)fd_close(fds[0]);
    return fds[1];
}

static int reap(pid_t pid) {
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void serves(const ResourceConfig *resources) {
    static EnvBuilder env;
    ChildPlan plan = plan_for("/bin/sh");
    plan.resources = resources;
    pid_t pid = 0;
    int r = 0;
    char answer[64] = "";
    Spare *s = start(&plan, &pid);
    assert_int_equal(spare_look(s).fate, SPARE_WAITS);
    CLEANUP_CLOSE __attribute__((unused)) int fd = give(s, &env, &r);
    assert_int_equal(r, 0);
    assert_int_equal(wait_end(s).fate, SPARE_STARTED);
    assert_null(spare_free(s));
    assert_int_equal(write(fd, "word\n", 5), 5);
    assert_true(read(fd, answer, sizeof(answer) - 1) > 0);
    assert_string_equal(answer, "base 42 word\n");
    assert_int_equal(WEXITSTATUS(reap(pid)), 7);
    env_builder_done(&env);
}

static void test_serves(void **state) {
    (void)state;
    serves(&nothing);
}

static void test_serves_in_memory_of_its_own(void **state) {
    (void)state;
    serves(&own_memory);
}

static void test_exec_fails(void **state) {
    (void)state;
    static EnvBuilder env;
    ChildPlan plan = plan_for("/no/such/program");
    pid_t pid = 0;
    int r = 0;
    Spare *s = start(&plan, &pid);
    CLEANUP_CLOSE __attribute__((unused)) int fd = give(s, &env, &r);
    SpareEnd end = wait_end(s);
    assert_int_equal(end.fate, SPARE_FAILED);
    assert_int_equal(end.step, STEP_EXEC);
    assert_int_equal(end.error, ENOENT);
    (void)spare_free(s);
    assert_int_equal(WEXITSTATUS(reap(pid)), 127);
    env_builder_done(&env);
}

static void test_set_up_fails(void **state) {
    (void)state;
    ChildPlan plan = plan_for("/bin/sh");
    plan.working_directory = "/no/such/folder";
    pid_t pid = 0;
    Spare *s = start(&plan, &pid);
    SpareEnd end = wait_end(s);
    assert_int_equal(end.fate, SPARE_LOST);
    assert_int_equal(end.step, STEP_WORKING_DIRECTORY);
    assert_int_equal(end.error, ENOENT);
    (void)spare_free(s);
    (void)reap(pid);
}

/* Dead, whether that is known yet or not, it takes nothing. */
static void test_killed(void **state) {
    (void)state;
    static EnvBuilder env;
    ChildPlan plan = plan_for("/bin/sh");
    pid_t pid = 0;
    int r = 0;
    Spare *s = start(&plan, &pid);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_true(WIFSIGNALED(reap(pid)));
    CLEANUP_CLOSE __attribute__((unused)) int fd = give(s, &env, &r);
    assert_int_equal(r, -EPIPE);
    SpareEnd end = wait_end(s);
    assert_int_equal(end.fate, SPARE_LOST);
    assert_int_equal(end.error, 0);
    (void)spare_free(s);
    env_builder_done(&env);
}

static void test_not_needed(void **state) {
    (void)state;
    ChildPlan plan = plan_for("/bin/sh");
    pid_t pid = 0;
    (void)spare_free(start(&plan, &pid));
    assert_true(WIFSIGNALED(reap(pid)));
    assert_null(spare_free(NULL));
}

static void test_wanted(void **state) {
    (void)state;
    assert_int_equal(spares_wanted(true, 4, 1000), 4);
    assert_int_equal(spares_wanted(true, 4, 2), 2);
    assert_int_equal(spares_wanted(true, 0, 1000), 0);
    assert_int_equal(spares_wanted(false, 4, 1000), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_serves),     cmocka_unit_test(test_serves_in_memory_of_its_own),
        cmocka_unit_test(test_exec_fails), cmocka_unit_test(test_set_up_fails),
        cmocka_unit_test(test_killed),     cmocka_unit_test(test_not_needed),
        cmocka_unit_test(test_wanted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

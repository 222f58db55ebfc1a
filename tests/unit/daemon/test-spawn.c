/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/wait.h>

#include "daemon/spawn.h"

static const ResourceConfig nothing = {0};

static ChildPlan plan_for(const char *program, char *const *argv) {
    static char *empty[] = {NULL};
    return (ChildPlan){
        .program = program, .argv = argv, .envp = empty, .resources = &nothing, .first_closed = 3};
}

/* Runs it, waits, and returns the exit code, or the negative errno of the failed step in *ret_step. */
static int run(ChildPlan *plan, SpawnStep *ret_step) {
    Spawner *s = NULL;
    pid_t pid = 0;
    int status = 0;
    assert_int_equal(spawner_new(&s), 0);
    int r = spawner_start(s, plan, &pid);
    *ret_step = plan->step;
    if (pid > 0)
        assert_int_equal(waitpid(pid, &status, 0), pid);
    spawner_free(s);
    return r < 0 ? r : WEXITSTATUS(status);
}

static void test_came_to_exec(void **state) {
    (void)state;
    for (int execs = 0; execs < 2; execs++) {
        siginfo_t info;
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0 && execs)
            (void)execl("/bin/true", "true", (char *)NULL);
        if (pid == 0)
            _exit(0);
        assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
        assert_int_equal(spawn_came_to_exec(pid), execs);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        assert_true(spawn_came_to_exec(pid));
    }
}

static void test_starved(void **state) {
    (void)state;
    static const struct {
        SpawnStep step;
        int error;
        bool starved;
    } cases[] = {
        {STEP_LIMIT, EAGAIN, true}, {STEP_FORK, ENOMEM, true},     {STEP_FDS, EMFILE, true},
        {STEP_FDS, ENFILE, true},   {STEP_EXEC, EAGAIN, true},     {STEP_USER, EAGAIN, true},
        {STEP_EXEC, ENOENT, false}, {STEP_EXEC, ENOMEM, false},    {STEP_FORK, EPERM, false},
        {STEP_FDS, EBADF, false},   {STEP_RLIMITS, EMFILE, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(spawn_is_starved(cases[i].step, cases[i].error), cases[i].starved);
}

static void test_runs(void **state) {
    (void)state;
    char *argv[] = {(char *)"sh", (char *)"-c", (char *)"exit 7", NULL};
    ChildPlan p = plan_for("/bin/sh", argv);
    SpawnStep step;
    assert_int_equal(run(&p, &step), 7);
}

static void test_steps_fail(void **state) {
    (void)state;
    char *argv[] = {(char *)"x", NULL};
    SpawnStep step;
    ChildPlan p = plan_for("/no/such/program", argv);
    assert_int_equal(run(&p, &step), -ENOENT);
    assert_string_equal(spawn_step_to_string(step), "exec");
    p = plan_for("/", argv);
    assert_int_equal(run(&p, &step), -EACCES);
    assert_int_equal(step, STEP_EXEC);
    p = plan_for("/bin/true", argv);
    p.working_directory = "/no/such/folder";
    assert_int_equal(run(&p, &step), -ENOENT);
    assert_int_equal(step, STEP_WORKING_DIRECTORY);
    p = plan_for("/bin/true", argv);
    p.root_directory = "/no/such/folder";
    assert_true(run(&p, &step) < 0);
    assert_int_equal(step, STEP_ROOT_DIRECTORY);
    p = plan_for("/bin/true", argv);
    assert_int_equal(child_plan_move_fd(&p, 9999, 0), 0);
    assert_int_equal(run(&p, &step), -EBADF);
    assert_int_equal(step, STEP_FDS);
    ResourceConfig res = {.n_rlimits = 1, .rlimits = {{.resource = 9999}}};
    p = plan_for("/bin/true", argv);
    p.resources = &res;
    assert_int_equal(run(&p, &step), -EINVAL);
    assert_int_equal(step, STEP_RLIMITS);
}

static void test_descriptors(void **state) {
    (void)state;
    /* Two pipes whose ends are to change places, so that each move overwrites what another still needs. */
    int a[2], b[2];
    char buf[16] = {0};
    assert_int_equal(pipe2(a, O_CLOEXEC), 0);
    assert_int_equal(pipe2(b, O_CLOEXEC), 0);
    char *argv[] = {(char *)"sh", (char *)"-c", NULL, NULL};
    char script[128];
    (void)snprintf(script, sizeof(script), "echo A >&%d; echo B >&%d; ls /proc/self/fd | wc -l", b[1], a[1]);
    argv[2] = script;
    ChildPlan p = plan_for("/bin/sh", argv);
    char *env[] = {(char *)"PATH=/bin:/usr/bin", NULL};
    p.envp = env;
    assert_int_equal(child_plan_move_fd(&p, a[1], b[1]), 0);
    assert_int_equal(child_plan_move_fd(&p, b[1], a[1]), 0);
    SpawnStep step;
    /* Numbers above 9 are no redirections of every shell. */
    if (a[1] < 10 && b[1] < 10) {
        assert_int_equal(run(&p, &step), 0);
        assert_int_equal(read(a[0], buf, sizeof(buf)), 2);
        assert_string_equal(buf, "A\n");
        assert_int_equal(read(b[0], buf, sizeof(buf)), 2);
        assert_string_equal(buf, "B\n");
    }
    for (int i = 0; i < 2; i++) {
        (void)close(a[i]);
        (void)close(b[i]);
    }
}

static void test_too_many_descriptors(void **state) {
    (void)state;
    char *argv[] = {(char *)"x", NULL};
    ChildPlan p = plan_for("/bin/true", argv);
    for (int i = 0; i < CHILD_FDS_MAX; i++)
        assert_int_equal(child_plan_move_fd(&p, 0, i + 3), 0);
    assert_int_equal(child_plan_move_fd(&p, 0, 200), -E2BIG);
    assert_int_equal(p.first_closed, CHILD_FDS_MAX + 3);
}

static void test_listen_pid(void **state) {
    (void)state;
    char pid[] = "LISTEN_PID=0000000000";
    char *env[] = {pid, NULL};
    char *argv[] = {(char *)"sh", (char *)"-c", (char *)"test $LISTEN_PID = $$", NULL};
    ChildPlan p = plan_for("/bin/sh", argv);
    p.envp = env;
    p.listen_pid = pid + strlen("LISTEN_PID=");
    SpawnStep step;
    assert_int_equal(run(&p, &step), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_starved),     cmocka_unit_test(test_came_to_exec),
        cmocka_unit_test(test_runs),        cmocka_unit_test(test_steps_fail),
        cmocka_unit_test(test_descriptors), cmocka_unit_test(test_too_many_descriptors),
        cmocka_unit_test(test_listen_pid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/base/cleanup.h"
#include "daemon/rawcall.h"
#include "daemon/spawn.h"

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
        /* Of one that has ended nobody can tell any more. */
        assert_int_equal(spawn_program_of(pid), pid);
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
        {STEP_LIMIT, EAGAIN, true},      {STEP_FORK, ENOMEM, true},        {STEP_FDS, EMFILE, true},
        {STEP_FDS, ENFILE, true},        {STEP_EXEC, EAGAIN, true},        {STEP_USER, EAGAIN, true},
        {STEP_EXEC, ENOENT, false},      {STEP_EXEC, ENOMEM, false},       {STEP_FORK, EPERM, false},
        {STEP_FDS, EBADF, false},        {STEP_RLIMITS, EMFILE, false},    {STEP_NAMESPACES, EMFILE, true},
        {STEP_NAMESPACES, ENFILE, true}, {STEP_NAMESPACES, ENOMEM, true},  {STEP_NAMESPACES, ENOSPC, true},
        {STEP_NAMESPACES, EPERM, false}, {STEP_NAMESPACES, ENOENT, false}, {STEP_SANDBOX, ENOMEM, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(spawn_is_starved(cases[i].step, cases[i].error), cases[i].starved);
}

static void test_too_many_descriptors(void **state) {
    (void)state;
    ChildPlan p = {.first_closed = 3};
    for (int i = 0; i < CHILD_FDS_MAX; i++)
        assert_int_equal(child_plan_move_fd(&p, 0, i + 3), 0);
    assert_int_equal(child_plan_move_fd(&p, 0, 200), -E2BIG);
    assert_int_equal(p.first_closed, CHILD_FDS_MAX + 3);
}

static void test_unknown_mode(void **state) {
    static const struct {
        const char *variable, *unknown;
    } cases[] = {{"HOME=/", NULL},
                 {"MPINETD_SPAWN=files", NULL},
                 {"MPINETD_SPAWN=fork", "fork"},
                 {"MPINETD_SPAWN=", ""}};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char variable[32], *env[] = {variable, NULL};
        (void)snprintf(variable, sizeof(variable), "%s", cases[i].variable);
        const char *unknown = spawn_mode_unknown(env);
        assert_int_equal(unknown == NULL, cases[i].unknown == NULL);
        if (unknown)
            assert_string_equal(unknown, cases[i].unknown);
    }
}

static void test_mode(void **state) {
    (void)state;
    static const struct {
        const char *name, *variable;
        bool sanitized;
        SpawnMode mode;
    } cases[] = {
        {"as it is", "HOME=/", false, SPAWN_SHARED},
        {"a sanitizer", "HOME=/", true, SPAWN_VFORK},
        {"valgrind", "LD_PRELOAD=/usr/libexec/valgrind/vgpreload_core-amd64-linux.so", false, SPAWN_VFORK},
        {"something else is preloaded", "LD_PRELOAD=/usr/lib/libeatmydata.so", false, SPAWN_SHARED},
        {"chosen", "MPINETD_SPAWN=vfork", false, SPAWN_VFORK},
        {"chosen against what is usual", "MPINETD_SPAWN=shared", true, SPAWN_SHARED},
        {"with descriptors", "MPINETD_SPAWN=files", false, SPAWN_FILES},
        {"no such mode", "MPINETD_SPAWN=thread", false, SPAWN_SHARED},
        {"a longer name", "MPINETD_SPAWN_X=vfork", false, SPAWN_SHARED},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        char *env[] = {(char *)"PATH=/bin", (char *)cases[i].variable, NULL};
        SpawnMode expected = RAWCALL_IS_APART ? cases[i].mode : SPAWN_VFORK;
        if (spawn_mode_for(env, cases[i].sanitized) != expected)
            fail_msg("%s", cases[i].name);
    }
    assert_int_equal(spawn_mode_for(NULL, false), RAWCALL_IS_APART ? SPAWN_SHARED : SPAWN_VFORK);
}

static void test_ids(void **state) {
    (void)state;
    static gid_t none[1], own[] = {10}, some[] = {10, 20, 30}, same[] = {30, 20}, others[] = {20, 40};
    static const struct {
        const char *name;
        uid_t uid;
        gid_t gid;
        gid_t *has, *wants;
        size_t n_has, n_wants;
        bool several, same;
    } cases[] = {
        {"none", 1, 10, none, none, 0, 0, false, true},
        {"its own group is no group", 1, 10, none, own, 0, 1, false, true},
        {"the other way round", 1, 10, own, none, 1, 0, false, true},
        {"in another order", 1, 10, some, same, 3, 2, false, true},
        {"one more", 1, 10, none, some, 0, 3, false, false},
        {"one less", 1, 10, some, own, 3, 1, false, false},
        {"another", 1, 10, same, others, 2, 2, false, false},
        {"another user", 2, 10, none, none, 0, 0, false, false},
        {"another group", 1, 11, none, none, 0, 0, false, false},
        {"not all ids are one", 1, 10, none, none, 0, 0, true, false},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        Spawner s = {.has_one_id = !cases[i].several,
                     .uid = 1,
                     .gid = 10,
                     .groups = cases[i].has,
                     .n_groups = cases[i].n_has};
        if (spawner_has_ids(&s, cases[i].uid, cases[i].gid, cases[i].wants, cases[i].n_wants) !=
            cases[i].same)
            fail_msg("%s", cases[i].name);
    }
}

/* Without a descriptor for /proc nothing is known of the table, and it is not shared. */
static void test_size_of_the_table_is_unknown(void **state) {
    (void)state;
    Spawner s = {.mode = SPAWN_SHARED, .can_share = true};
    struct rlimit before, none;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    bool shares = spawner_shares_files(&s);
    assert_int_equal(spawn_parent_of(getpid()), 0);
    assert_true(spawn_came_to_exec(getpid()));
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_false(shares);
    assert_int_equal(spawn_parent_of(getpid()), getppid());
    s.mode = SPAWN_FILES;
    assert_true(spawner_shares_files(&s));
    s.can_share = false;
    assert_false(spawner_shares_files(&s));
}

static void test_step_of_clone(void **state) {
    (void)state;
    assert_int_equal(spawn_clone_step(EAGAIN, true), STEP_LIMIT);
    assert_int_equal(spawn_clone_step(ENODEV, true), STEP_CGROUP);
    assert_int_equal(spawn_clone_step(ENODEV, false), STEP_FORK);
    assert_int_equal(spawn_clone_step(ENOMEM, true), STEP_FORK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_starved),
        cmocka_unit_test(test_came_to_exec),
        cmocka_unit_test(test_too_many_descriptors),
        cmocka_unit_test(test_mode),
        cmocka_unit_test(test_unknown_mode),
        cmocka_unit_test(test_ids),
        cmocka_unit_test(test_size_of_the_table_is_unknown),
        cmocka_unit_test(test_step_of_clone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

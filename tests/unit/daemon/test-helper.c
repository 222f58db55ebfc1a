/* SPDX-License-Identifier: MIT */
#include "daemon/helper.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/base/clock.h"
#include "daemon/base/text.h"
#include "daemon/helper-child.h"

typedef struct Fixture {
    Helpers helpers;
    sd_event *loop;
    Helper *helper;
    unsigned told;
    char why[128], result[256];
    size_t n;
    bool too_late, keep;
    int error;
    const uint8_t *kept;
} Fixture;

static int on_child(sd_event_source *s, const struct signalfd_siginfo *si, void *userdata) {
    Fixture *f = userdata;
    int status;
    pid_t pid;
    (void)s;
    (void)si;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        assert_true(helpers_on_end(&f->helpers, pid, status));
    return 0;
}

static int setup(void **state) {
    Fixture *f = calloc(1, sizeof(*f));
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGCHLD);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    *state = f;
    return f && helper_init(&f->helpers) == 0 && sd_event_new(&f->loop) >= 0 &&
                   sd_event_add_signal(f->loop, NULL, SIGCHLD, on_child, f) >= 0
               ? 0
               : -1;
}

static int teardown(void **state) {
    Fixture *f = *state;
    helpers_done(&f->helpers);
    sd_event_unref(f->loop);
    free(f);
    return 0;
}

static void on_done(const HelperEnd *end, void *userdata) {
    Fixture *f = userdata;
    f->told++;
    f->helper = NULL;
    f->error = end->error;
    f->too_late = end->too_late;
    f->n = end->n < sizeof(f->result) ? end->n : sizeof(f->result) - 1;
    if (end->result)
        memcpy(f->result, end->result, f->n);
    f->result[f->n] = '\0';
    if (f->keep && end->result) {
        *end->kept = true;
        f->kept = end->result;
    }
    (void)helper_end_text(end, f->why, sizeof(f->why));
}

/* A shell with @script, in which $fd is the descriptor for the result. */
static int start(Fixture *f, const char *script, HelperPlan plan) {
    char text[512];
    (void)snprintf(text, sizeof(text), "for last; do :; done; fd=${last#--result-fd=}; %s", script);
    char *argv[] = {(char[]){"sh"}, (char[]){"-c"}, text, (char[]){"sh"}, NULL};
    plan.path = plan.path ? plan.path : "/bin/sh";
    plan.argv = argv;
    plan.environ = environ;
    f->told = 0;
    return helper_start(&f->helpers, f->loop, &plan, on_done, f, &f->helper);
}

static void wait_until_told(Fixture *f) {
    uint64_t end = clock_monotonic_usec() + 60 * USEC_PER_SEC;
    while (f->told == 0 && clock_monotonic_usec() < end)
        (void)sd_event_run(f->loop, USEC_PER_SEC / 10);
    assert_int_equal(f->told, 1);
}

static void run(Fixture *f, const char *script, HelperPlan plan) {
    assert_int_equal(start(f, script, plan), 0);
    wait_until_told(f);
}

static void test_ends(void **state) {
    Fixture *f = *state;
    static const struct {
        const char *script, *result, *why;
    } cases[] = {
        {"echo good >/proc/self/fd/$fd", "good\n", "ended with exit status 0"},
        {":", "", "ended with exit status 0"},
        {"echo half >/proc/self/fd/$fd; exit 3", "", "ended with exit status 3"},
        {"echo half >/proc/self/fd/$fd; kill -SEGV $$", "", "was killed by SIGSEGV"},
        {"kill -40 $$", "", "was killed by signal 40"},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        run(f, cases[i].script, (HelperPlan){0});
        assert_string_equal(f->result, cases[i].result);
        assert_string_equal(f->why, cases[i].why);
        assert_int_equal(f->error, 0);
    }
}

static void test_not_started(void **state) {
    Fixture *f = *state;
    run(f, "", (HelperPlan){.path = "/no/such/program"});
    assert_int_equal(f->error, -ENOENT);
    assert_string_equal(f->why, "cannot be run: No such file or directory");
    assert_int_equal(f->n, 0);
}

/* It ends as one that could not be started, and does not say why. */
static void test_not_started_without_a_word(void **state) {
    Fixture *f = *state;
    char script[32];
    (void)snprintf(script, sizeof(script), "exit %d", HELPER_NOT_STARTED);
    run(f, script, (HelperPlan){0});
    assert_int_equal(f->error, -EIO);
}

static void test_result_that_cannot_be_written(void **state) {
    (void)state;
    assert_int_equal(helper_write_result(-1, "x", 1), -EBADF);
    assert_int_equal(helper_write_result(-1, "x", 0), 0);
    assert_int_equal(helper_tell_unwritten(-1, -ENOSPC), HELPER_NOT_WRITTEN);
    CLEANUP_CLOSE int full = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_int_equal(fcntl(full, F_ADD_SEALS, F_SEAL_GROW), 0);
    assert_int_equal(helper_write_result(full, "x", 1), -EPERM);
}

/* Of one that was too long nothing is left in front of the word that it was. */
static void test_written_again(void **state) {
    (void)state;
    char text[64] = "";
    CLEANUP_CLOSE int fd = memfd_create("test", MFD_CLOEXEC);
    assert_int_equal(helper_write_result(fd, "half a result", 13), 0);
    assert_int_equal(helper_write_result(fd, "all", 3), 0);
    assert_int_equal(pread(fd, text, sizeof(text), 0), 3);
    assert_string_equal(text, "all");
}

/* The errno stands where its result would: what it had written of that is gone. */
static void test_tells_that_it_could_not_write(void **state) {
    (void)state;
    char text[64] = "";
    CLEANUP_CLOSE int fd = memfd_create("test", MFD_CLOEXEC);
    assert_int_equal(helper_write_result(fd, "half a result", 13), 0);
    assert_int_equal(helper_tell_unwritten(fd, -ENOSPC), HELPER_NOT_WRITTEN);
    int error = 0;
    assert_int_equal(pread(fd, text, sizeof(text), 0), sizeof(error));
    memcpy(&error, text, sizeof(error));
    assert_int_equal(error, ENOSPC);
}

static void test_unwritten(void **state) {
    Fixture *f = *state;
    char script[64];
    (void)snprintf(script, sizeof(script), "printf '\\%03o\\0\\0\\0' >/proc/self/fd/$fd; exit %d", ENOSPC,
                   HELPER_NOT_WRITTEN);
    run(f, script, (HelperPlan){0});
    assert_string_equal(f->why, "could not write what it found: No space left on device");
    assert_int_equal(f->error, 0);
    assert_int_equal(f->n, 0);
    (void)snprintf(script, sizeof(script), "exit %d", HELPER_NOT_WRITTEN);
    run(f, script, (HelperPlan){0});
    assert_string_equal(f->why, "could not write what it found");
}

/* From here on execveat(2) is not there, and nobody can tell what it may. */
static bool take_calls_away(void) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_execveat, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_capget, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {.len = ELEMENTS(code), .filter = code};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* What a helper that is this very program says when it cannot be run. */
static int error_of_child(const char *path, int exe_fd, bool old_kernel) {
    char *const argv[] = {(char[]){"x"}, NULL};
    int error = 0, status = 0, result_fd = memfd_create("x", MFD_CLOEXEC);
    const HelperPlan plan = {.argv = argv, .environ = environ, .drop_root = true};
    const HelperChild child = {.plan = &plan,
                               .exe_fd = exe_fd,
                               .path = path,
                               .argv = argv,
                               .fds = &result_fd,
                               .n_fds = 1,
                               .result_fd = result_fd,
                               .parent = getpid()};
    pid_t pid = fork();
    if (pid == 0 && old_kernel && !take_calls_away())
        _exit(0);
    if (pid == 0)
        helper_child_main(&child);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WEXITSTATUS(status) == 0)
        skip();
    assert_int_equal(WEXITSTATUS(status), HELPER_NOT_STARTED);
    assert_int_equal(pread(result_fd, &error, sizeof(error), 0), sizeof(error));
    (void)close(result_fd);
    return error;
}

static void test_own_program_is_gone(void **state) {
    (void)state;
    assert_int_equal(error_of_child(NULL, -1, false), EBADF);
    assert_int_equal(error_of_child("/no/such/program", -1, true), ENOENT);
    assert_int_equal(error_of_child(NULL, -1, true), ENOSYS);
}

static void test_too_late(void **state) {
    Fixture *f = *state;
    static const char *const scripts[] = {"exec sleep 1000", "kill -STOP $$",
                                          "trap : TERM; while :; do :; done"};
    for (size_t i = 0; i < ELEMENTS(scripts); i++) {
        run(f, scripts[i], (HelperPlan){.limits = {.time_usec = USEC_PER_SEC}});
        assert_true(f->too_late);
        assert_string_equal(f->why, "took longer than 1 s");
    }
    /* It is still to be reaped, and known. */
    uint64_t end = clock_monotonic_usec() + 60 * USEC_PER_SEC;
    while (!list_is_empty(&f->helpers.list) && clock_monotonic_usec() < end)
        (void)sd_event_run(f->loop, USEC_PER_SEC / 10);
    assert_true(list_is_empty(&f->helpers.list));
    assert_int_equal(f->told, 1);
}

/* Nobody is told of one that was given up. */
static void test_given_up(void **state) {
    Fixture *f = *state;
    assert_int_equal(start(f, "exec sleep 1000", (HelperPlan){0}), 0);
    f->helper = helper_free(f->helper);
    uint64_t end = clock_monotonic_usec() + 60 * USEC_PER_SEC;
    while (!list_is_empty(&f->helpers.list) && clock_monotonic_usec() < end)
        (void)sd_event_run(f->loop, USEC_PER_SEC / 10);
    assert_true(list_is_empty(&f->helpers.list));
    assert_int_equal(f->told, 0);
    assert_null(helper_free(NULL));
    assert_false(helpers_on_end(&f->helpers, 1, 0));
}

static void test_descriptors(void **state) {
    Fixture *f = *state;
    int high = fcntl(0, F_DUPFD, 300), low = fcntl(0, F_DUPFD_CLOEXEC, 3);
    int stray = fcntl(0, F_DUPFD, 310);
    int fds[] = {high, low, high};
    assert_true(high >= 300 && low >= 3 && stray >= 310);
    run(f, "cd /proc/$$/fd && for i in *; do [ $i = $fd ] || echo $i; done >/proc/self/fd/$fd",
        (HelperPlan){.fds = fds, .n_fds = ELEMENTS(fds)});
    char expected[64];
    (void)snprintf(expected, sizeof(expected), "%d\n", high);
    assert_non_null(strstr(f->result, expected));
    (void)snprintf(expected, sizeof(expected), "\n%d\n", low);
    assert_non_null(strstr(f->result, expected));
    (void)snprintf(expected, sizeof(expected), "%d\n", stray);
    assert_null(strstr(f->result, expected));
    (void)close(high);
    (void)close(low);
    (void)close(stray);
}

static void test_limits(void **state) {
    Fixture *f = *state;
    run(f, "{ ulimit -t; ulimit -f; ulimit -n; } >/proc/self/fd/$fd",
        (HelperPlan){.limits = {.cpu_seconds = 20, .file_size = 1 << 20, .descriptors = 40}});
    assert_string_equal(f->result, "20\n2048\n40\n");
    run(f, "while :; do :; done", (HelperPlan){.limits = {.cpu_seconds = 1}});
    assert_string_equal(f->why, "was killed by SIGXCPU");
    run(f, "head -c 70000 /dev/zero >/proc/self/fd/$fd || kill -XFSZ $$",
        (HelperPlan){.limits = {.file_size = 65536}});
    assert_string_equal(f->why, "was killed by SIGXFSZ");
}

/* Of root nothing is left but to read. */
static void test_drop_root(void **state) {
    Fixture *f = *state;
    if (geteuid() != 0)
        skip();
    char path[] = "/tmp/mpinetd-helper-XXXXXX", script[256];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "secret\n", 7), 7);
    (void)close(fd);
    (void)snprintf(script, sizeof(script),
                   "{ cat %s; true 2>/dev/null >>%s || echo readonly; id -u; id -G; "
                   "grep -E 'CapEff|CapBnd|NoNewPrivs' /proc/self/status; } >/proc/self/fd/$fd",
                   path, path);
    run(f, script, (HelperPlan){.drop_root = true});
    (void)unlink(path);
    assert_string_equal(f->result, "secret\nreadonly\n65534\n65534\n"
                                   "CapEff:\t0000000000000004\nCapBnd:\t0000000000000000\nNoNewPrivs:\t1\n");
}

static void test_keep(void **state) {
    Fixture *f = *state;
    f->keep = true;
    run(f, "echo kept >/proc/self/fd/$fd", (HelperPlan){0});
    assert_non_null(f->kept);
    assert_memory_equal(f->kept, "kept\n", 5);
    assert_int_equal(munmap((void *)(uintptr_t)f->kept, f->n), 0);
}

static void test_result_fd(void **state) {
    (void)state;
    static const struct {
        const char *word;
        int fd;
    } cases[] = {
        {"--result-fd=7", 7},
        {"--result-fd=", -EBADF},
        {"--result-fd=7x", -EBADF},
        {"--result-fd=1", -EBADF},
        {"--result-fd=-7", -EBADF},
        {"7", -EBADF},
        {"--result-fd=99999999999999999999", -EBADF},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        char *argv[] = {(char *)(uintptr_t)cases[i].word, NULL};
        assert_int_equal(helper_result_fd(1, argv), cases[i].fd);
    }
    assert_int_equal(helper_result_fd(0, NULL), -EBADF);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(test_not_started, setup, teardown),
        cmocka_unit_test_setup_teardown(test_not_started_without_a_word, setup, teardown),
        cmocka_unit_test(test_result_that_cannot_be_written),
        cmocka_unit_test(test_written_again),
        cmocka_unit_test(test_tells_that_it_could_not_write),
        cmocka_unit_test_setup_teardown(test_unwritten, setup, teardown),
        cmocka_unit_test(test_own_program_is_gone),
        cmocka_unit_test_setup_teardown(test_too_late, setup, teardown),
        cmocka_unit_test_setup_teardown(test_given_up, setup, teardown),
        cmocka_unit_test_setup_teardown(test_descriptors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_drop_root, setup, teardown),
        cmocka_unit_test_setup_teardown(test_keep, setup, teardown),
        cmocka_unit_test(test_result_fd),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

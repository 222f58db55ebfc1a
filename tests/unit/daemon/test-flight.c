/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "daemon/base/clock.h"
#include "daemon/flight.h"
#include "daemon/sandbox.h"
#include "daemon/spares.h"

#define LONG_USEC (20 * USEC_PER_SEC)

static const ResourceConfig nothing = {0};
static const ResourceConfig own_memory = {.has_oom_score_adjust = true, .oom_score_adjust = 500};

static char *base[] = {(char *)"BASE=base", (char *)"PATH=/bin:/usr/bin", NULL};
static char *true_argv[] = {(char *)"true", NULL};
/* A connection on 0 and 1, and a shell that says what it knows. */
static char *spare_argv[] = {(char *)"sh", (char *)"-c", (char *)"read x; echo $BASE $MP_INSTANCE $x; exit 7",
                             NULL};

int __real_nanosleep(const struct timespec *time, struct timespec *ret_left);
int __wrap_nanosleep(const struct timespec *time, struct timespec *ret_left);

static unsigned n_naps;

int __wrap_nanosleep(const struct timespec *time, struct timespec *ret_left) {
    n_naps++;
    return __real_nanosleep(time, ret_left);
}

/* Each mode has its own spawner; a test goes through all of them. */
typedef struct Fixture {
    Spawner *spawner;
    Recipe recipe;
} Fixture;

static void begin(Fixture *x, SpawnMode mode) {
    *x = (Fixture){.recipe = {.n_refs = 1, .env = {.base = base, .n_base = 2}}};
    assert_int_equal(spawner_new(NULL, &x->spawner), 0);
    x->spawner->mode = mode;
}

static void end(Fixture *x) {
    assert_int_equal(x->spawner->n_flying, 0);
    assert_null(spawner_free(x->spawner));
    assert_int_equal(x->recipe.n_refs, 1);
}

static Flight *flight_for(Fixture *x, const char *program, char *const *argv) {
    Flight *f = NULL;
    assert_int_equal(flight_new(x->spawner, &x->recipe, &f), 0);
    f->plan->program = program;
    f->plan->argv = argv;
    f->plan->resources = &nothing;
    f->plan->first_closed = 3;
    return f;
}

static int reap(pid_t pid) {
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

/* Runs it, waits for its end, and returns its exit code; or the negative errno of the step in *ret_step. */
static int run(Flight *f, SpawnStep *ret_step) {
    int r = flight_start(f, ret_step);
    if (r < 0) {
        flight_free(f);
        return r;
    }
    pid_t pid = f->pid;
    assert_true(flight_wait(f, LONG_USEC));
    FlightEnd fate = flight_look(f);
    *ret_step = fate.step;
    flight_free(f);
    int status = reap(pid);
    return fate.fate == FLIGHT_STARTED ? WEXITSTATUS(status) : -fate.error;
}

static void runs(Fixture *x) {
    char *argv[] = {(char *)"sh", (char *)"-c", (char *)"exit 7", NULL};
    SpawnStep step;
    for (int i = 0; i < 3 * FLIGHTS_OF_SERVICE_MAX; i++)
        assert_int_equal(run(flight_for(x, "/bin/sh", argv), &step), 7);
    assert_true(x->spawner->n_free <= 1);
}

static void steps_fail(Fixture *x) {
    SpawnStep step;
    Flight *f = flight_for(x, "/no/such/program", true_argv);
    assert_int_equal(run(f, &step), -ENOENT);
    assert_string_equal(spawn_step_to_string(step), "exec");
    assert_int_equal(run(flight_for(x, "/", true_argv), &step), -EACCES);
    assert_int_equal(step, STEP_EXEC);
    f = flight_for(x, "/bin/true", true_argv);
    f->plan->working_directory = "/no/such/folder";
    assert_int_equal(run(f, &step), -ENOENT);
    assert_int_equal(step, STEP_WORKING_DIRECTORY);
    f = flight_for(x, "/bin/true", true_argv);
    f->plan->root_directory = "/no/such/folder";
    assert_true(run(f, &step) < 0);
    assert_int_equal(step, STEP_ROOT_DIRECTORY);
    f = flight_for(x, "/bin/true", true_argv);
    assert_int_equal(child_plan_move_fd(f->plan, 9999, 0), 0);
    assert_int_equal(run(f, &step), -EBADF);
    assert_int_equal(step, STEP_FDS);
    ResourceConfig res = {.n_rlimits = 1, .rlimits = {{.resource = 9999}}};
    f = flight_for(x, "/bin/true", true_argv);
    f->plan->resources = &res;
    assert_int_equal(run(f, &step), -EINVAL);
    assert_int_equal(step, STEP_RLIMITS);
    /* What went wrong is no part of the next one. */
    assert_int_equal(run(flight_for(x, "/bin/true", true_argv), &step), 0);
}

static void descriptors(Fixture *x) {
    /* Two pipes whose ends are to change places, so that each move overwrites what another still needs. */
    int a[2], b[2];
    char buf[16] = {0};
    assert_int_equal(pipe2(a, O_CLOEXEC), 0);
    assert_int_equal(pipe2(b, O_CLOEXEC), 0);
    char script[128];
    (void)snprintf(script, sizeof(script), "echo A >&%d; echo B >&%d; ls /proc/self/fd | wc -l", b[1], a[1]);
    char *argv[] = {(char *)"sh", (char *)"-c", script, NULL};
    Flight *f = flight_for(x, "/bin/sh", argv);
    assert_int_equal(child_plan_move_fd(f->plan, a[1], b[1]), 0);
    assert_int_equal(child_plan_move_fd(f->plan, b[1], a[1]), 0);
    SpawnStep step;
    /* Numbers above 9 are no redirections of every shell. */
    if (a[1] < 10 && b[1] < 10) {
        assert_int_equal(run(f, &step), 0);
        assert_int_equal(read(a[0], buf, sizeof(buf)), 2);
        assert_string_equal(buf, "A\n");
        assert_int_equal(read(b[0], buf, sizeof(buf)), 2);
        assert_string_equal(buf, "B\n");
    } else {
        flight_free(f);
    }
    for (int i = 0; i < 2; i++) {
        (void)close(a[i]);
        (void)close(b[i]);
    }
}

/* What was handed over is closed when the process has descriptors of its own, and it has what it is to have.
 */
static void shares_files(Fixture *x) {
    int fds[2];
    char buf[16] = {0};
    SpawnStep step;
    char *argv[] = {(char *)"sh", (char *)"-c", (char *)"echo word; ls /proc/self/fd | wc -l >&2", NULL};
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    Flight *f = flight_for(x, "/bin/sh", argv);
    f->may_share_files = true;
    assert_int_equal(child_plan_move_fd(f->plan, fds[1], 1), 0);
    assert_int_equal(flight_start(f, &step), 0);
    assert_int_equal(f->plan->shares_files, x->spawner->mode == SPAWN_FILES && x->spawner->can_share);
    pid_t pid = f->pid;
    flight_keep(f, fds[1]);
    assert_int_equal(f->n_kept, f->plan->shares_files);
    assert_true(flight_wait(f, LONG_USEC));
    flight_let_go(f, NULL);
    assert_int_equal(f->n_kept, 0);
    assert_int_equal(fcntl(fds[1], F_GETFD), -1);
    assert_int_equal(flight_look(f).fate, FLIGHT_STARTED);
    flight_free(f);
    assert_int_equal(WEXITSTATUS(reap(pid)), 0);
    assert_int_equal(read(fds[0], buf, sizeof(buf)), 5);
    assert_string_equal(buf, "word\n");
    assert_int_equal(read(fds[0], buf, sizeof(buf)), 0);
    (void)close(fds[0]);
}

static void listen_pid(Fixture *x) {
    char *argv[] = {(char *)"sh", (char *)"-c", (char *)"test $LISTEN_PID = $$ -a $LISTEN_FDS = 2", NULL};
    Flight *f = flight_for(x, "/bin/sh", argv);
    assert_int_equal(env_builder_set_listen(f->env, 2, "x:y"), 0);
    SpawnStep step;
    assert_int_equal(run(f, &step), 0);
}

/* One that hangs on its way holds its place until it is ended; in the same memory the others go on. */
static void hangs(Fixture *x) {
    SpawnStep step;
    int fds[2];
    /* An open(2) for writing of a fifo that nobody reads would hang; execve(2) does not: a stopped process
     * does. */
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    if (x->spawner->mode == SPAWN_VFORK) {
        (void)close(fds[0]);
        (void)close(fds[1]);
        return;
    }
    Flight *f = flight_for(x, "/bin/true", true_argv);
    f->plan->wait = (ChildWait){.connection = {0, 1}, .n_connection = 2};
    assert_int_equal(flight_start(f, &step), 0);
    assert_int_equal(flight_look(f).fate, FLIGHT_UNDER_WAY);
    assert_int_equal(run(flight_for(x, "/bin/true", true_argv), &step), 0);
    pid_t pid = f->pid;
    assert_int_equal(kill(pid, SIGSTOP), 0);
    assert_int_equal(flight_give(f, fds[0]), 0);
    assert_int_equal(x->spawner->n_flying, 1);
    assert_false(flight_wait(f, 1000));
    const Spawner *spawner = x->spawner;
    const uint64_t first = flights_patience(spawner, false, f->began_usec);
    assert_true(first < flights_patience(spawner, false, f->began_usec + 5000));
    assert_true(first < flights_patience(spawner, true, f->began_usec));
    /* The time of the turn is older than the process. */
    assert_int_equal(flights_patience(spawner, false, f->began_usec - 10), first);
    flight_end_overdue(f);
    assert_int_equal(flights_patience(spawner, true, f->began_usec), UINT64_MAX);
    assert_int_equal(flight_look(f).fate, FLIGHT_LOST);
    flight_free(f);
    assert_true(WIFSIGNALED(reap(pid)));
    (void)close(fds[0]);
    (void)close(fds[1]);
}

/* Spares */

static Flight *spare_for(Fixture *x, const char *program) {
    Flight *f = flight_for(x, program, spare_argv);
    f->plan->first_closed = 2;
    f->plan->wait = (ChildWait){.connection = {0, 1}, .n_connection = 2};
    return f;
}

static pid_t start(Flight *f) {
    SpawnStep step;
    assert_int_equal(flight_start(f, &step), 0);
    return f->pid;
}

/* Gives it one end of a connection, and returns the other. */
static int give(Flight *f, int *ret) {
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    assert_int_equal(env_builder_begin(f->env, &f->recipe->env), 0);
    assert_int_equal(env_builder_set_number(f->env, ENV_MP_INSTANCE, 42), 0);
    *ret = flight_give(f, fds[0]);
    (void)fd_close(fds[0]);
    return fds[1];
}

/* Who is about to close a descriptor waits for those that may share it, and a second time for none. */
static void parts(Fixture *x) {
    static const struct timespec moment = {.tv_nsec = 1000000};
    Flight *f = spare_for(x, "/bin/sh");
    pid_t pid = start(f);
    while (!f->plan->apart)
        (void)nanosleep(&moment, NULL);
    flights_part(x->spawner);
    assert_false(f->unparted);
    f->plan->apart = false;
    flights_part(x->spawner);
    assert_true(f->unparted);
    assert_null(flight_free(f));
    assert_true(WIFSIGNALED(reap(pid)));
}

static void serves(Fixture *x, const ResourceConfig *resources) {
    Flight *f = spare_for(x, "/bin/sh");
    f->plan->resources = resources;
    pid_t pid = start(f);
    int r = 0;
    char answer[64] = "";
    assert_int_equal(flight_look(f).fate, FLIGHT_UNDER_WAY);
    CLEANUP_CLOSE __attribute__((unused)) int fd = give(f, &r);
    assert_int_equal(r, 0);
    assert_true(flight_wait(f, LONG_USEC));
    assert_int_equal(flight_look(f).fate, FLIGHT_STARTED);
    assert_null(flight_free(f));
    assert_int_equal(write(fd, "word\n", 5), 5);
    assert_true(read(fd, answer, sizeof(answer) - 1) > 0);
    assert_string_equal(answer, "base 42 word\n");
    assert_int_equal(WEXITSTATUS(reap(pid)), 7);
}

static void spare_serves(Fixture *x) {
    serves(x, &nothing);
    serves(x, &own_memory);
}

static void spare_fails(Fixture *x) {
    Flight *f = spare_for(x, "/no/such/program");
    pid_t pid = start(f);
    int r = 0;
    CLEANUP_CLOSE __attribute__((unused)) int fd = give(f, &r);
    assert_true(flight_wait(f, LONG_USEC));
    FlightEnd fate = flight_look(f);
    assert_int_equal(fate.fate, FLIGHT_FAILED);
    assert_int_equal(fate.step, STEP_EXEC);
    assert_int_equal(fate.error, ENOENT);
    (void)flight_free(f);
    assert_int_equal(WEXITSTATUS(reap(pid)), 127);
    f = spare_for(x, "/bin/sh");
    f->plan->working_directory = "/no/such/folder";
    pid = start(f);
    assert_true(flight_wait(f, LONG_USEC));
    fate = flight_look(f);
    assert_int_equal(fate.fate, FLIGHT_LOST);
    assert_int_equal(fate.step, STEP_WORKING_DIRECTORY);
    assert_int_equal(fate.error, ENOENT);
    (void)flight_free(f);
    (void)reap(pid);
}

/* Dead, whether that is known yet or not, it takes nothing. */
static void spare_killed(Fixture *x) {
    Flight *f = spare_for(x, "/bin/sh");
    pid_t pid = start(f);
    int r = 0;
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_true(WIFSIGNALED(reap(pid)));
    CLEANUP_CLOSE __attribute__((unused)) int fd = give(f, &r);
    assert_int_equal(r, -EPIPE);
    assert_true(flight_has_ended(f));
    FlightEnd fate = flight_look(f);
    assert_int_equal(fate.fate, FLIGHT_LOST);
    assert_int_equal(fate.error, 0);
    (void)flight_free(f);
}

static void spare_not_needed(Fixture *x) {
    Flight *f = spare_for(x, "/bin/sh");
    pid_t pid = start(f);
    assert_null(flight_free(f));
    assert_true(WIFSIGNALED(reap(pid)));
    assert_null(flight_free(NULL));
}

/* One connection each, and no more descriptors than there is room for in its plan. */
static void spare_is_given_twice(Fixture *x) {
    Flight *f = spare_for(x, "/bin/sh");
    pid_t pid = start(f);
    int r = 0;
    CLEANUP_CLOSE __attribute__((unused)) int fd = give(f, &r);
    assert_int_equal(r, 0);
    assert_int_equal(flight_give(f, fd), -EALREADY);
    assert_true(flight_wait(f, LONG_USEC));
    assert_null(flight_free(f));
    assert_int_equal(kill(pid, SIGKILL), 0);
    (void)reap(pid);
}

static void too_many_descriptors(Fixture *x) {
    const SandboxPlan sandbox = {.user_fd = 0, .network_fd = -EBADF, .init_fd = -EBADF};
    SpawnStep step = STEP_EXEC;
    Flight *f = flight_for(x, "/bin/true", true_argv);
    f->plan->sandbox.plan = &sandbox;
    while (child_plan_move_fd(f->plan, 0, f->plan->first_closed) == 0)
        continue;
    assert_int_equal(flight_start(f, &step), -E2BIG);
    assert_int_equal(step, STEP_FDS);
    assert_null(flight_free(f));
}

/* What is left of it when it has been reaped. The word is cleared only for one that shares its memory with
 * others that are still there. */
static void others_aboard(Fixture *x, bool lets_go) {
    int fds[2];
    Flight *f = flight_for(x, "/bin/true", true_argv);
    f->plan->resources = &own_memory;
    pid_t pid = start(f);
    assert_true(flight_wait(f, LONG_USEC));
    assert_int_equal(reap(pid), 0);
    f->ended = false;
    f->plan->sandbox.inner = 1;
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    (void)fd_close(f->tether);
    f->tether = fds[0];
    if (lets_go)
        fds[1] = fd_close(fds[1]);
    n_naps = 0;
    flight_on_reaped(f);
    assert_int_equal(n_naps == 0, lets_go);
    assert_int_equal(flight_look(f).fate, lets_go ? FLIGHT_STARTED : FLIGHT_FAILED);
    (void)flight_free(f);
    (void)fd_close(fds[1]);
}

static void reaped(Fixture *x) {
    others_aboard(x, true);
    others_aboard(x, false);
}

static void in_each_mode(void (*test)(Fixture *x)) {
    for (int mode = 0; mode < _SPAWN_MODE_MAX; mode++) {
        Fixture x;
        begin(&x, (SpawnMode)mode);
        test(&x);
        end(&x);
    }
}

#define IN_EACH_MODE(name)                                                                                   \
    static void test_##name(void **state) {                                                                  \
        (void)state;                                                                                         \
        in_each_mode(name);                                                                                  \
    }
IN_EACH_MODE(runs)
IN_EACH_MODE(steps_fail)
IN_EACH_MODE(descriptors)
IN_EACH_MODE(listen_pid)
IN_EACH_MODE(shares_files)
IN_EACH_MODE(hangs)
IN_EACH_MODE(parts)
IN_EACH_MODE(spare_serves)
IN_EACH_MODE(spare_fails)
IN_EACH_MODE(spare_killed)
IN_EACH_MODE(spare_not_needed)
IN_EACH_MODE(spare_is_given_twice)
IN_EACH_MODE(too_many_descriptors)
IN_EACH_MODE(reaped)

static void test_wanted(void **state) {
    (void)state;
    assert_int_equal(spares_wanted(true, 4, 1000), 4);
    assert_int_equal(spares_wanted(true, 4, 2), 2);
    assert_int_equal(spares_wanted(true, 0, 1000), 0);
    assert_int_equal(spares_wanted(false, 4, 1000), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_runs),
        cmocka_unit_test(test_steps_fail),
        cmocka_unit_test(test_descriptors),
        cmocka_unit_test(test_listen_pid),
        cmocka_unit_test(test_hangs),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_spare_serves),
        cmocka_unit_test(test_spare_fails),
        cmocka_unit_test(test_spare_killed),
        cmocka_unit_test(test_shares_files),
        cmocka_unit_test(test_spare_not_needed),
        cmocka_unit_test(test_wanted),
        cmocka_unit_test(test_spare_is_given_twice),
        cmocka_unit_test(test_too_many_descriptors),
        cmocka_unit_test(test_reaped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

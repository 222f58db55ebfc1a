/* SPDX-License-Identifier: MIT */
/* How long a service waits for what its processes need of the kernel, and for how long it is known that this
 * cannot be had. The makers are wrapped by the linker (meson.build), and the clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <time.h>

#include "conf/load.h"
#include "daemon/base/clock.h"
#include "tests/unit/daemon/fake-sandbox.h"

int __real_clock_gettime(clockid_t clock, struct timespec *ret);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret);
int __wrap_poll(struct pollfd *fds, nfds_t n, int msec);

/* What becomes of a sandbox, and how many there have been. */
static int sandbox_result;
static unsigned n_made;
/* It never comes to its end: so long that has been waited for, in time that passes by that alone. */
static bool takes_time;
static uint64_t waited_usec, passed_usec;

int __wrap_recipe_new(ServiceConfig *config, char *const *env, Recipe **ret) {
    (void)config;
    (void)env;
    *ret = fake_recipe();
    return 0;
}

int __wrap_sandbox_plan_new(const ServiceConfig *config, const SandboxContext *context, SandboxPlan **ret,
                            unsigned *ret_which) {
    (void)config;
    (void)context;
    *ret = fake_sandbox_plan(ret_which);
    n_made++;
    if (takes_time)
        (*ret)->user_fd = eventfd(0, EFD_CLOEXEC);
    return sandbox_result;
}

bool __wrap_sandbox_plan_is_under_way(const SandboxPlan *p) {
    (void)p;
    return takes_time;
}

int __wrap_sandbox_plan_fd(const SandboxPlan *p) {
    return p->user_fd;
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret) {
    static struct timespec begun;
    if (begun.tv_sec == 0 && __real_clock_gettime(clock, &begun) < 0)
        return -1;
    /* An hour later than it is: no timer of the loop is ever due. */
    const time_t later = 3600;
    uint64_t nsec = (uint64_t)begun.tv_nsec + passed_usec % USEC_PER_SEC * NSEC_PER_USEC;
    *ret = (struct timespec){.tv_sec = begun.tv_sec + later +
                                       (time_t)(passed_usec / USEC_PER_SEC + nsec / NSEC_PER_SEC),
                             .tv_nsec = (long)(nsec % NSEC_PER_SEC)};
    return 0;
}

int __wrap_poll(struct pollfd *fds, nfds_t n, int msec) {
    (void)fds;
    (void)n;
    uint64_t usec = (unsigned)msec * USEC_PER_MSEC;
    waited_usec += usec;
    passed_usec += usec;
    return 0;
}

/* A daemon with one service that is to be isolated, and copies of it. */
typedef struct Fixture {
    char word[4], *exec[2], *no_environ[1];
    SandboxConfig sandbox;
    ServiceConfig config;
    LoadContext load;
    Spawner spawner;
    Runtime rt;
    Service services[8];
} Fixture;

static void begin(Fixture *x) {
    *x = (Fixture){.word = "cat",
                   .sandbox = {.network = SANDBOX_NETWORK_NONE},
                   .load = {.libexecdir = "/nowhere"},
                   .spawner = {.uid = 1}};
    x->exec[0] = x->word;
    x->config = (ServiceConfig){.exec = x->exec, .sandbox = &x->sandbox};
    x->rt = (Runtime){.load = &x->load, .spawner = &x->spawner, .environ = x->no_environ};
    for (size_t i = 0; i < ELEMENTS(x->services); i++)
        x->services[i] = (Service){.rt = &x->rt, .config = &x->config};
    assert_true(sd_event_new(&x->rt.loop) >= 0);
    n_made = 0;
    waited_usec = 0;
}

static void end(Fixture *x) {
    for (size_t i = 0; i < ELEMENTS(x->services); i++)
        x->services[i].recipe = recipe_unref(x->services[i].recipe);
    errands_done(&x->rt.errands);
    sd_event_unref(x->rt.loop);
    takes_time = false;
    sandbox_result = 0;
}

/* However many there are for which it could. */
static void test_a_turn_waits_once(void **state) {
    const uint64_t most = 20 * USEC_PER_MSEC;
    Fixture x;
    (void)state;
    begin(&x);
    takes_time = true;
    for (size_t i = 0; i < ELEMENTS(x.services) - 1; i++)
        assert_false(launch_prepare(&x.services[i], true));
    assert_in_range(waited_usec, most, most + USEC_PER_MSEC);
    /* The next turn may do so again. */
    assert_true(sd_event_run(x.rt.loop, 0) >= 0);
    assert_false(launch_prepare(&x.services[ELEMENTS(x.services) - 1], true));
    assert_in_range(waited_usec, 2 * most, 2 * (most + USEC_PER_MSEC));
    end(&x);
}

/* Nobody is told of a failure that has nothing to do with him any more. */
static void test_a_failure_grows_old(void **state) {
    Fixture x;
    (void)state;
    begin(&x);
    const Service *s = &x.services[0];
    assert_false(launch_is_prepared(s));
    sandbox_result = -ECHILD;
    assert_true(launch_prepare(&x.services[0], false));
    passed_usec += USEC_PER_SEC / 2;
    assert_true(launch_prepare(&x.services[0], false));
    assert_true(launch_is_prepared(s));
    assert_int_equal(n_made, 1);
    assert_int_equal(s->recipe->error, -ECHILD);
    passed_usec += USEC_PER_SEC;
    assert_false(launch_is_prepared(s));
    sandbox_result = 0;
    assert_true(launch_prepare(&x.services[0], false));
    assert_int_equal(n_made, 2);
    assert_int_equal(s->recipe->error, 0);
    /* What could be had stays. */
    passed_usec += 60 * USEC_PER_SEC;
    assert_true(launch_prepare(&x.services[0], false));
    assert_int_equal(n_made, 2);
    end(&x);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_turn_waits_once),
        cmocka_unit_test(test_a_failure_grows_old),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* A service that is to be isolated has no process until all that this needs is there, whenever of it comes
 * late or not at all. The makers are wrapped by the linker (meson.build). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <errno.h>
#include <unistd.h>

#include "conf/load.h"
#include "tests/unit/daemon/fake-sandbox.h"

int __wrap_sandbox_plan_finish(SandboxPlan *p, unsigned *ret_which);

/* So often there is no memory for a recipe; and what becomes of its sandbox then. */
static unsigned n_fails;
static int sandbox_result;
/* By which it would be told of namespaces that are being made; -EBADF: none are. What of them there is then.
 */
static int making_fd = -EBADF, making_result;

int __wrap_recipe_new(ServiceConfig *config, char *const *env, Recipe **ret) {
    (void)config;
    (void)env;
    if (n_fails > 0) {
        n_fails--;
        return -ENOMEM;
    }
    *ret = fake_recipe();
    return 0;
}

int __wrap_sandbox_plan_new(const ServiceConfig *config, const SandboxContext *context, SandboxPlan **ret,
                            unsigned *ret_which) {
    (void)config;
    (void)context;
    *ret = fake_sandbox_plan(ret_which);
    return sandbox_result;
}

bool __wrap_sandbox_plan_is_under_way(const SandboxPlan *p) {
    (void)p;
    return making_fd >= 0;
}

int __wrap_sandbox_plan_fd(const SandboxPlan *p) {
    (void)p;
    return making_fd;
}

int __wrap_sandbox_plan_finish(SandboxPlan *p, unsigned *ret_which) {
    (void)p;
    *ret_which = 0;
    if (making_result != -EAGAIN)
        making_fd = -EBADF;
    return making_result;
}

/* Begun only with the process itself, as there was no memory before. */
static void test_not_made_yet(void **state) {
    char word[] = "cat", *exec[] = {word, NULL}, *no_environ[] = {NULL};
    SandboxConfig sandbox = {.network = SANDBOX_NETWORK_NONE};
    ServiceConfig config = {.exec = exec, .sandbox = &sandbox};
    LoadContext load = {.libexecdir = "/nowhere"};
    Spawner spawner = {.uid = 1};
    Runtime rt = {.load = &load, .spawner = &spawner, .environ = no_environ};
    Service s = {.rt = &rt, .config = &config};
    LaunchFault fault = LAUNCH_FAULT(STEP_FDS);
    int fds[2];
    (void)state;
    assert_int_equal(sd_event_new(&rt.loop), 0);
    assert_int_equal(pipe(fds), 0);
    n_fails = 1;
    sandbox_result = 0;
    making_fd = fds[0];
    assert_true(launch_prepare(&s, true));
    assert_null(s.recipe);
    assert_int_equal(launch_take_recipe(&s, &fault), -EAGAIN);
    assert_int_equal(fault.step, STEP_NAMESPACES);
    /* Woken, though it is not whole: that is waited for as before. */
    assert_int_equal(write(fds[1], "x", 1), 1);
    making_result = -EAGAIN;
    assert_int_equal(launch_take_recipe(&s, &fault), -EAGAIN);
    assert_true(launch_is_preparing(&s));
    making_result = 0;
    assert_int_equal(launch_take_recipe(&s, &fault), 0);
    assert_false(launch_is_preparing(&s));
    s.recipe = recipe_unref(s.recipe);
    sd_event_unref(rt.loop);
    errands_done(&rt.errands);
    (void)close(fds[0]);
    (void)close(fds[1]);
}

static void test_all_or_nothing(void **state) {
    static const int results[] = {0, -EPERM, -ENOMEM};
    char word[] = "cat", *exec[] = {word, NULL}, *no_environ[] = {NULL};
    SandboxConfig sandbox = {.network = SANDBOX_NETWORK_NONE};
    ServiceConfig config = {.exec = exec, .sandbox = &sandbox};
    LoadContext load = {.libexecdir = "/nowhere"};
    Spawner spawner = {.uid = 1};
    Runtime rt = {.load = &load, .spawner = &spawner, .environ = no_environ};
    (void)state;
    for (size_t i = 0; i < ELEMENTS(results); i++)
        for (unsigned fails = 0; fails < 4; fails++) {
            Service s = {.rt = &rt, .config = &config};
            LaunchFault fault = LAUNCH_FAULT(STEP_FDS);
            n_fails = fails;
            sandbox_result = results[i];
            (void)launch_prepare(&s, false);
            int r = launch_take_recipe(&s, &fault);
            if (r < 0) {
                assert_true(r == -ENOMEM || r == sandbox_result);
                assert_null(s.recipe);
            } else {
                assert_int_equal(sandbox_result, 0);
                assert_int_equal(s.recipe->error, 0);
            }
            s.recipe = recipe_unref(s.recipe);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_or_nothing),
        cmocka_unit_test(test_not_made_yet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

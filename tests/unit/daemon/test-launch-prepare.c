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

#include "conf/load.h"
#include "daemon/launch-private.h"
#include "daemon/recipe.h"

int __wrap_recipe_new(ServiceConfig *config, char *const *env, Recipe **ret);
int __wrap_sandbox_plan_new(const ServiceConfig *config, const SandboxContext *context, SandboxPlan **ret,
                            unsigned *ret_which);

/* So often there is no memory for a recipe; and what becomes of its sandbox then. */
static unsigned n_fails;
static int sandbox_result;

int __wrap_recipe_new(ServiceConfig *config, char *const *env, Recipe **ret) {
    (void)config;
    (void)env;
    if (n_fails > 0) {
        n_fails--;
        return -ENOMEM;
    }
    *ret = calloc(1, sizeof(**ret));
    assert_non_null(*ret);
    (*ret)->n_refs = 1;
    return 0;
}

int __wrap_sandbox_plan_new(const ServiceConfig *config, const SandboxContext *context, SandboxPlan **ret,
                            unsigned *ret_which) {
    (void)config;
    (void)context;
    *ret = calloc(1, sizeof(**ret));
    assert_non_null(*ret);
    (*ret)->user_fd = (*ret)->network_fd = (*ret)->init_fd = -EBADF;
    *ret_which = SANDBOX_WHICH(SANDBOX_PART_NETWORK, 0);
    return sandbox_result;
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

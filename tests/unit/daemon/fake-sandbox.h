/* SPDX-License-Identifier: MIT */
#pragma once
/* What launch-prepare.c has made for a service, wrapped by the linker (meson.build): empty ones, of which
 * each test says what becomes. To be included behind cmocka.h. */
#include "daemon/launch-private.h"
#include "daemon/recipe.h"

int __wrap_recipe_new(ServiceConfig *config, char *const *env, Recipe **ret);
int __wrap_sandbox_plan_new(const ServiceConfig *config, const SandboxContext *context, SandboxPlan **ret,
                            unsigned *ret_which);
bool __wrap_sandbox_plan_is_under_way(const SandboxPlan *p);
int __wrap_sandbox_plan_fd(const SandboxPlan *p);
pid_t __wrap_sandbox_plan_pid(const SandboxPlan *p);

static inline Recipe *fake_recipe(void) {
    Recipe *recipe = calloc(1, sizeof(*recipe));
    assert_non_null(recipe);
    recipe->n_refs = 1;
    return recipe;
}

static inline SandboxPlan *fake_sandbox_plan(unsigned *ret_which) {
    SandboxPlan *plan = calloc(1, sizeof(*plan));
    assert_non_null(plan);
    plan->user_fd = plan->network_fd = plan->init_fd = -EBADF;
    *ret_which = SANDBOX_WHICH(SANDBOX_PART_NETWORK, 0);
    return plan;
}

pid_t __wrap_sandbox_plan_pid(const SandboxPlan *p) {
    (void)p;
    return 1;
}

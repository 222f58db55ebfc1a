/* SPDX-License-Identifier: MIT */
#include "daemon/recipe.h"

#include <string.h>

#include "daemon/base/text.h"
#include "daemon/forward.h"

static int copy_argv(const ServiceConfig *c, char ***ret) {
    CLEANUP_STRV char **argv = strv_copy(c->exec);
    if (!argv)
        return -ENOMEM;
    if (c->argv0) {
        char *argv0 = strdup(c->argv0);
        if (!argv0)
            return -ENOMEM;
        free(argv[0]);
        argv[0] = argv0;
    }
    *ret = TAKE_PTR(argv);
    return 0;
}

static int make(Recipe *r, char *const *env) {
    const ServiceConfig *c = r->config;
    for (size_t i = 0; c->model == MODEL_FORWARD && i < ELEMENTS(r->forward_argv); i++) {
        r->forward_argv[i] = forward_argv(c, i == 1);
        if (!r->forward_argv[i])
            return -ENOMEM;
    }
    int result = c->exec ? copy_argv(c, &r->argv) : 0;
    return result < 0 ? result : child_env_init(&r->env, c, env);
}

int recipe_new(ServiceConfig *config, char *const *env, Recipe **ret) {
    CLEANUP(recipe_unrefp) Recipe *r = calloc(1, sizeof(*r));
    if (!r)
        return -ENOMEM;
    r->n_refs = 1;
    r->config = service_config_ref(config);
    int result = make(r, env);
    if (result < 0)
        return result;
    *ret = TAKE_PTR(r);
    return 0;
}

Recipe *recipe_ref(Recipe *r) {
    r->n_refs++;
    return r;
}

Recipe *recipe_unref(Recipe *r) {
    if (!r || --r->n_refs > 0)
        return NULL;
    for (size_t i = 0; i < ELEMENTS(r->forward_argv); i++)
        strv_free(r->forward_argv[i]);
    strv_free(r->argv);
    r->made = sd_event_source_disable_unref(r->made);
    r->late = sd_event_source_disable_unref(r->late);
    sandbox_plan_free(r->sandbox);
    child_env_done(&r->env);
    service_config_unref(r->config);
    free(r);
    return NULL;
}

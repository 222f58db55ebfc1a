/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/pool.h"

/* What of a reload leaves the workers as they are. */
static void test_keeps_workers(void **state) {
    (void)state;
    char name[] = "s", description[] = "x", other[] = "y", root[] = "/", variable[] = "A=1";
    ServiceTerms terms = {.pool = {1, 8, 1, 4, 0, POOL_HANDOFF_LISTENER}}, others = terms;
    ServiceConfig a = {.name = name, .description = description, .working_directory = root, .terms = &terms};
    ServiceConfig b = a;
    b.terms = &others;
    assert_true(pool_config_keeps_workers(&a, &b));
    b.description = other;
    others.pool = (PoolConfig){2, 16, 2, 8, 100, POOL_HANDOFF_LISTENER};
    others.limits.instances = 5;
    others.restart_delay_usec = 5;
    others.timeout_stop_usec = 5000000;
    assert_true(pool_config_keeps_workers(&a, &b));
    others.pool.handoff = POOL_HANDOFF_CONNECTION;
    assert_false(pool_config_keeps_workers(&a, &b));
    others.pool.handoff = POOL_HANDOFF_LISTENER;
    assert_true(pool_config_keeps_workers(&a, &b));
    b = a;
    b.umask = 077;
    assert_false(pool_config_keeps_workers(&a, &b));
    b = a;
    char *variables[] = {variable, NULL};
    b.environment = variables;
    assert_false(pool_config_keeps_workers(&a, &b));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_keeps_workers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

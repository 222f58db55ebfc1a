/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include <linux/capability.h>
#include <string.h>

#include "daemon/base/cleanup.h"
#include "daemon/capabilities.h"

#define BIT(n) ((uint64_t)1 << (n))

static void table(void **state) {
    (void)state;
    uint64_t set = 0;
    size_t n = 0;
    for (; capability_use(n); n++) {
        const CapabilityUse *use = capability_use(n);
        assert_true(use->number <= CAP_LAST_CAP);
        assert_false(set & BIT(use->number));
        set |= BIT(use->number);
        assert_memory_equal(use->name, "CAP_", 4);
        assert_true(strlen(use->use) > 0);
        /* In the order of their names. */
        assert_true(n == 0 || strcmp(capability_use(n - 1)->name, use->name) < 0);
    }
    assert_int_equal(set, capabilities_used());
    assert_null(capability_use(n));
}

static void trimmed(void **state) {
    static const struct {
        uint64_t before, after;
    } cases[] = {
        {0, 0},
        {BIT(CAP_SYS_MODULE), 0},
        {BIT(CAP_SYS_RAWIO) | BIT(CAP_SYS_BOOT) | BIT(CAP_SYS_TIME) | BIT(CAP_SYS_PTRACE), 0},
        {BIT(CAP_KILL), BIT(CAP_KILL)},
        {BIT(CAP_SETUID) | BIT(CAP_SYSLOG), BIT(CAP_SETUID)},
        {BIT(CAP_NET_BIND_SERVICE), BIT(CAP_NET_BIND_SERVICE)},
        /* One that there is not yet. */
        {BIT(63), 0},
    };
    (void)state;
    for (size_t i = 0; i < ELEMENTS(cases); i++)
        assert_int_equal(capabilities_trimmed(cases[i].before), cases[i].after);
    assert_int_equal(capabilities_trimmed(UINT64_MAX), capabilities_used());
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table),
        cmocka_unit_test(trimmed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/handoff.h"

static void test_load(void **state) {
    static const struct {
        const char *name;
        HandoffFacts facts;
        uint64_t outstanding, capacity;
    } cases[] = {
        {"has said nothing", {-1, 0, 0, -1}, 0, 1},
        {"has said nothing, and been passed one", {-1, 1, 1, -1}, 1, 1},
        {"has said nothing, and received it", {-1, 1, 0, -1}, 0, 1},
        {"idle", {0, 0, 0, -1}, 0, 1},
        {"idle when it last said so", {0, 1, 1, -1}, 1, 1},
        {"what it has received since then counts, too", {0, 1, 0, -1}, 1, 1},
        {"busy", {1, 0, 0, -1}, 1, 1},
        {"takes more at once", {3, 2, 1, 10}, 5, 10},
        {"takes nothing: it must take one", {0, 0, 0, 0}, 0, 1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        HandoffLoad l = handoff_load(&cases[i].facts);
        if (l.outstanding != cases[i].outstanding || l.capacity != cases[i].capacity)
            print_error("%s\n", cases[i].name);
        assert_int_equal(l.outstanding, cases[i].outstanding);
        assert_int_equal(l.capacity, cases[i].capacity);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_load)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

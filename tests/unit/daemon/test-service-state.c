/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/admission.h"
#include "daemon/service-state.h"
#include "daemon/slot.h"

typedef struct StateCase {
    const char *name;
    ServiceFacts facts;
    ServiceState state;
    bool polls;
} StateCase;

#define UP .enabled = true, .listeners = 2, .listeners_open = 2

static const StateCase cases[] = {
    {"at rest", {UP}, SERVICE_LISTENING, true},
    {"one of two listeners is enough",
     {.enabled = true, .listeners = 2, .listeners_open = 1},
     SERVICE_LISTENING,
     true},
    {"no listener", {.enabled = true, .listeners = 2}, SERVICE_FAILED, false},
    {"nothing to run", {UP, .has_problem = true}, SERVICE_FAILED, false},
    {"disabled", {.listeners = 2}, SERVICE_DISABLED, false},
    {"disabled, the old ones run on", {.listeners = 2, .instances = 1}, SERVICE_DRAINING, false},
    {"connections", {UP, .instances = 7}, SERVICE_LISTENING, true},
    {"at the limit", {UP, .instances = 7, .waiting = true}, SERVICE_FULL, false},
    {"on demand, idle", {UP, .model = MODEL_ON_DEMAND}, SERVICE_LISTENING, true},
    {"on demand, running", {UP, .model = MODEL_ON_DEMAND, .instances = 1}, SERVICE_ACTIVE, true},
    {"on demand, slowed", {UP, .model = MODEL_ON_DEMAND, .backoff = true}, SERVICE_BACKOFF, true},
    {"stop, some left", {UP, .order = ORDER_STOP, .instances = 1}, SERVICE_DRAINING, false},
    {"stopped", {UP, .order = ORDER_STOP}, SERVICE_STOPPED, false},
    {"stopped wins over failed",
     {.enabled = true, .order = ORDER_STOP, .has_problem = true},
     SERVICE_STOPPED,
     false},
    {"removed, some left", {UP, .removed = true, .instances = 3}, SERVICE_DRAINING, false},
    {"removed", {UP, .removed = true}, SERVICE_STOPPED, false},
};

static void test_states(void **state) {
    (void)state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        ServiceState s = service_state_of(&cases[i].facts);
        if (s != cases[i].state || service_state_polls(s) != cases[i].polls)
            fail_msg("%s: %s", cases[i].name, service_state_to_string(s));
    }
}

static void test_admission(void **state) {
    (void)state;
    LimitsConfig c = {.instances = 2};
    assert_int_equal(admission_of_service(&c, &(Usage){.instances = 1}).verdict, VERDICT_SERVE);
    assert_int_equal(admission_of_service(&c, &(Usage){.instances = 2}).verdict, VERDICT_WAIT);
    assert_int_equal(admission_of_service(&c, &(Usage){.instances = 9}).verdict, VERDICT_WAIT);
    c.when_full = WHEN_FULL_REFUSE;
    Admission a = admission_of_service(&c, &(Usage){.instances = 2});
    assert_int_equal(a.verdict, VERDICT_REFUSE);
    assert_int_equal(a.reason, REFUSE_INSTANCES);
}

static void test_slots(void **state) {
    (void)state;
    ServiceConfig c = {.model = MODEL_ON_DEMAND, .pass = HANDOFF_LISTEN_FDS};
    assert_int_equal(slot_count(&c, 4), 1);
    c.pass = HANDOFF_STDIO;
    assert_int_equal(slot_count(&c, 2), 2);
    c.model = MODEL_PER_CONNECTION;
    assert_int_equal(slot_count(&c, 2), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_states),
        cmocka_unit_test(test_admission),
        cmocka_unit_test(test_slots),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

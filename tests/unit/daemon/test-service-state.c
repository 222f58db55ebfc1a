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
    {"at its rate", {UP, .instances = 7, .waiting = true, .throttled = true}, SERVICE_THROTTLED, false},
    {"on demand, idle", {UP, .model = MODEL_ON_DEMAND}, SERVICE_LISTENING, true},
    {"on demand, running", {UP, .model = MODEL_ON_DEMAND, .instances = 1}, SERVICE_ACTIVE, true},
    {"on demand, not ready yet",
     {UP, .model = MODEL_ON_DEMAND, .instances = 1, .starting = 1},
     SERVICE_STARTING,
     true},
    {"on demand, one of two is ready",
     {UP, .model = MODEL_ON_DEMAND, .instances = 2, .starting = 1},
     SERVICE_ACTIVE,
     true},
    {"a connection that is not ready yet is none of the others' business",
     {UP, .instances = 1, .starting = 1},
     SERVICE_LISTENING,
     true},
    {"stopped while it starts",
     {UP, .order = ORDER_STOP, .model = MODEL_ON_DEMAND, .instances = 1, .starting = 1},
     SERVICE_DRAINING,
     false},
    {"paused while it starts",
     {UP, .order = ORDER_PAUSE, .model = MODEL_ON_DEMAND, .instances = 1, .starting = 1},
     SERVICE_PAUSED,
     false},
    {"forward, a connection",
     {UP, .model = MODEL_FORWARD, .accepts = true, .instances = 1},
     SERVICE_LISTENING,
     true},
    {"forward, its backend starts",
     {UP, .model = MODEL_FORWARD, .accepts = true, .instances = 2, .backends = 1, .starting = 1},
     SERVICE_STARTING,
     true},
    {"forward, its backend runs",
     {UP, .model = MODEL_FORWARD, .accepts = true, .instances = 1, .backends = 1},
     SERVICE_ACTIVE,
     true},
    {"forward, datagrams", {UP, .model = MODEL_FORWARD, .instances = 1}, SERVICE_ACTIVE, true},
    {"forward, at its limit",
     {UP, .model = MODEL_FORWARD, .accepts = true, .instances = 2, .backends = 1, .waiting = true},
     SERVICE_FULL,
     false},
    {"a tcpmux name that leads here", {.enabled = true, .reached = true}, SERVICE_LISTENING, true},
    {"a tcpmux name that nobody can ask for", {.enabled = true}, SERVICE_FAILED, false},
    {"the same, without its program",
     {.enabled = true, .reached = true, .has_problem = true},
     SERVICE_FAILED,
     false},
    {"the same, paused", {.enabled = true, .reached = true, .order = ORDER_PAUSE}, SERVICE_PAUSED, false},
    {"the same, at its limit", {.enabled = true, .reached = true, .waiting = true}, SERVICE_FULL, false},
    {"the same, drained", {.enabled = true, .reached = true, .order = ORDER_DRAIN}, SERVICE_STOPPED, false},
    {"drained but for one whose header is to come",
     {.enabled = true, .listeners = 2, .order = ORDER_DRAIN, .preludes = 1},
     SERVICE_DRAINING,
     true},
    {"removed but for one whose header is to come",
     {.removed = true, .preludes = 1},
     SERVICE_DRAINING,
     false},
    {"disabled but for one whose header is to come", {.preludes = 1}, SERVICE_DRAINING, false},
    {"on demand, slowed", {UP, .model = MODEL_ON_DEMAND, .backoff = true}, SERVICE_BACKOFF, true},
    {"stop, some left", {UP, .order = ORDER_STOP, .instances = 1}, SERVICE_DRAINING, false},
    {"stopped", {UP, .order = ORDER_STOP}, SERVICE_STOPPED, false},
    {"stopped wins over failed",
     {.enabled = true, .order = ORDER_STOP, .has_problem = true},
     SERVICE_STOPPED,
     false},
    {"removed, some left", {UP, .removed = true, .instances = 3}, SERVICE_DRAINING, false},
    {"removed", {UP, .removed = true}, SERVICE_STOPPED, false},
    {"paused", {UP, .order = ORDER_PAUSE}, SERVICE_PAUSED, false},
    {"paused, instances go on", {UP, .order = ORDER_PAUSE, .instances = 2}, SERVICE_PAUSED, false},
    {"paused, on demand",
     {UP, .order = ORDER_PAUSE, .model = MODEL_ON_DEMAND, .instances = 1},
     SERVICE_PAUSED,
     false},
    {"paused hides full", {UP, .order = ORDER_PAUSE, .waiting = true}, SERVICE_PAUSED, false},
    {"paused hides throttled", {UP, .order = ORDER_PAUSE, .throttled = true}, SERVICE_PAUSED, false},
    {"a delay hides throttled", {UP, .backoff = true, .throttled = true}, SERVICE_BACKOFF, true},
    {"stop hides throttled", {UP, .order = ORDER_STOP, .throttled = true}, SERVICE_STOPPED, false},
    {"paused hides backoff", {UP, .order = ORDER_PAUSE, .backoff = true}, SERVICE_PAUSED, false},
    {"paused, one of two listeners open",
     {.enabled = true, .order = ORDER_PAUSE, .listeners = 2, .listeners_open = 1},
     SERVICE_PAUSED,
     false},
    {"paused does not hide that nothing is open",
     {.enabled = true, .order = ORDER_PAUSE, .listeners = 2},
     SERVICE_FAILED,
     false},
    {"paused, then disabled", {.order = ORDER_PAUSE, .listeners = 2}, SERVICE_DISABLED, false},
    {"paused, then removed", {UP, .order = ORDER_PAUSE, .removed = true}, SERVICE_STOPPED, false},
    {"drain, queue left", {UP, .order = ORDER_DRAIN}, SERVICE_DRAINING, true},
    {"drain, full", {UP, .order = ORDER_DRAIN, .instances = 5, .waiting = true}, SERVICE_DRAINING, false},
    {"drain, closed, some left",
     {.enabled = true, .order = ORDER_DRAIN, .instances = 1},
     SERVICE_DRAINING,
     true},
    {"drained", {.enabled = true, .listeners = 2, .order = ORDER_DRAIN}, SERVICE_STOPPED, false},
    {"drain, on demand",
     {UP, .order = ORDER_DRAIN, .model = MODEL_ON_DEMAND, .instances = 1},
     SERVICE_DRAINING,
     true},
    {"drain hides failed",
     {.enabled = true, .order = ORDER_DRAIN, .has_problem = true},
     SERVICE_STOPPED,
     false},
    {"drain, then disabled", {.order = ORDER_DRAIN, .instances = 1}, SERVICE_DRAINING, false},
    {"drain, then removed",
     {UP, .order = ORDER_DRAIN, .removed = true, .instances = 1},
     SERVICE_DRAINING,
     false},
    {"drain, then stop", {UP, .order = ORDER_STOP, .instances = 1}, SERVICE_DRAINING, false},
};

static void test_states(void **state) {
    (void)state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        ServiceState s = service_state_of(&cases[i].facts);
        if (s != cases[i].state || service_facts_poll(&cases[i].facts) != cases[i].polls)
            fail_msg("%s: %s", cases[i].name, service_state_to_string(s));
    }
}

#define NO_MORE "it is no longer in the config"
#define DISABLED "it has 'enabled: false' in its config"
#define IS_STOPPED "it is stopped; start it instead"
#define IS_DRAINING "it is draining; start it instead"

/* Start, stop, restart, pause, resume, drain of a service with these facts: why not. */
static const struct {
    const char *name;
    ServiceFacts facts;
    const char *refusals[_SERVICE_VERB_MAX];
} refusals[] = {
    {"running", {UP}, {NULL}},
    {"full", {UP, .waiting = true, .instances = 1}, {NULL}},
    {"failed", {.enabled = true, .listeners = 2}, {NULL}},
    {"paused", {UP, .order = ORDER_PAUSE}, {NULL}},
    {"stopped",
     {.enabled = true, .order = ORDER_STOP},
     {[VERB_PAUSE] = IS_STOPPED, [VERB_RESUME] = IS_STOPPED}},
    {"stopping",
     {.enabled = true, .order = ORDER_STOP, .instances = 1},
     {[VERB_PAUSE] = IS_DRAINING, [VERB_RESUME] = IS_DRAINING}},
    {"draining", {UP, .order = ORDER_DRAIN}, {[VERB_PAUSE] = IS_DRAINING, [VERB_RESUME] = IS_DRAINING}},
    {"drained",
     {.enabled = true, .order = ORDER_DRAIN},
     {[VERB_PAUSE] = IS_STOPPED, [VERB_RESUME] = IS_STOPPED}},
    {"disabled",
     {.listeners = 1},
     {[VERB_START] = DISABLED, [VERB_RESTART] = DISABLED, [VERB_PAUSE] = DISABLED, [VERB_RESUME] = DISABLED}},
    {"removed",
     {UP, .removed = true, .instances = 1},
     {[VERB_START] = NO_MORE, [VERB_RESTART] = NO_MORE, [VERB_PAUSE] = NO_MORE, [VERB_RESUME] = NO_MORE}},
};

static void test_refusals(void **state) {
    (void)state;
    for (size_t i = 0; i < ELEMENTS(refusals); i++) {
        for (ServiceVerb v = 0; v < _SERVICE_VERB_MAX; v++) {
            const char *why = service_verb_refusal(v, &refusals[i].facts);
            if (!streq_null(why, refusals[i].refusals[v]))
                fail_msg("%s of a service that is %s: %s", service_verb_to_string(v), refusals[i].name,
                         why ? why : "done");
        }
    }
}

static void test_admission(void **state) {
    (void)state;
    LimitsConfig c = {.instances = 2};
    assert_int_equal(admission_of_service(&c, &(ServiceUsage){.instances = 1}).verdict, VERDICT_SERVE);
    assert_int_equal(admission_of_service(&c, &(ServiceUsage){.instances = 2}).verdict, VERDICT_WAIT);
    assert_int_equal(admission_of_service(&c, &(ServiceUsage){.instances = 9}).verdict, VERDICT_WAIT);
    c.when_full = WHEN_FULL_REFUSE;
    Admission a = admission_of_service(&c, &(ServiceUsage){.instances = 2});
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
    /* One for the process that has the datagram sockets, one for the backend. */
    char *exec[] = {NULL};
    ListenConfig stream = {.endpoint.kind = ENDPOINT_TCP}, datagram = {.endpoint.kind = ENDPOINT_UDP};
    c = (ServiceConfig){.model = MODEL_FORWARD, .listen = &stream, .n_listen = 1};
    assert_int_equal(slot_count(&c, 2), 0);
    c.exec = exec;
    assert_int_equal(slot_count(&c, 2), 1);
    c.listen = &datagram;
    assert_int_equal(slot_count(&c, 2), 2);
    c.exec = NULL;
    assert_int_equal(slot_count(&c, 2), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_states),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_admission),
        cmocka_unit_test(test_slots),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

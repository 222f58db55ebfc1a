/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <signal.h>
#include <stdlib.h>

#include "daemon/base/clock.h"
#include "daemon/base/text.h"
#include "daemon/ending.h"

#define EXITED(code) ((code) << 8)
#define BIT(fact) LOG_FACT_BIT(LOG_FACT_##fact)
#define ALL ((1U << _LOG_FACT_MAX) - 1)
#define KIB 1024ULL

static void test_message(void **state) {
    static const struct {
        Ending ending;
        bool has_bytes;
        Bytes bytes;
        const char *message;
    } cases[] = {
        {{.facts = LOG_FACTS_STANDARD, .lived_usec = 4100 * USEC_PER_MSEC},
         false,
         {0},
         "ended: exit 0 after 4.1 s"},
        {{.facts = LOG_FACTS_STANDARD, .status = EXITED(3), .lived_usec = 800},
         false,
         {0},
         "ended: exit 3 after 0.8 ms"},
        {{.facts = LOG_FACTS_STANDARD,
          .status = SIGKILL,
          .timed_out = TIMEOUT_IDLE,
          .lived_usec = 720 * USEC_PER_SEC},
         false,
         {0},
         "ended: killed by SIGKILL after 12.0 min (timeouts.idle)"},
        {{.facts = LOG_FACTS_STANDARD, .status = SIGTERM, .asked = true, .lived_usec = 11520 * USEC_PER_SEC},
         false,
         {0},
         "ended: killed by SIGTERM after 3.2 h (as asked)"},
        {{.facts = LOG_FACTS_STANDARD, .unready = true, .lived_usec = 1000},
         false,
         {0},
         "ended: exit 0 after 1.0 ms before it was ready"},
        {{.facts = BIT(EXIT), .status = EXITED(1), .timed_out = TIMEOUT_START},
         false,
         {0},
         "ended: exit 1 (timeouts.start)"},
        {{.facts = BIT(DURATION), .status = EXITED(1), .lived_usec = 2000}, false, {0}, "ended after 2.0 ms"},
        {{.facts = BIT(DURATION)}, false, {0}, "ended after 0.0 ms"},
        {{.facts = BIT(DURATION), .lived_usec = 49}, false, {0}, "ended after 0.0 ms"},
        {{.facts = BIT(DURATION), .lived_usec = 50}, false, {0}, "ended after 0.1 ms"},
        {{.facts = BIT(DURATION), .lived_usec = 1949}, false, {0}, "ended after 1.9 ms"},
        {{.facts = BIT(DURATION), .lived_usec = 999949}, false, {0}, "ended after 999.9 ms"},
        {{.facts = BIT(DURATION), .lived_usec = 999999}, false, {0}, "ended after 1000.0 ms"},
        {{.facts = BIT(DURATION), .lived_usec = USEC_PER_SEC}, false, {0}, "ended after 1.0 s"},
        {{.facts = BIT(DURATION), .lived_usec = 3600 * USEC_PER_SEC - 1}, false, {0}, "ended after 60.0 min"},
        {{.facts = BIT(DURATION), .lived_usec = UINT64_MAX}, false, {0}, "ended after 5124095576.0 h"},
        {{.facts = BIT(PID)}, false, {0}, "ended"},
        {{.facts = BIT(TRAFFIC), .counts_traffic = true},
         true,
         {1023, 1024},
         "ended, 1023 B in, 1.0 KiB out"},
        {{.facts = BIT(TRAFFIC), .counts_traffic = true},
         true,
         {12 * KIB + 100, 9 * KIB + 900},
         "ended, 12 KiB in, 9.9 KiB out"},
        {{.facts = BIT(TRAFFIC), .counts_traffic = true},
         true,
         {1023 * KIB + 800, UINT64_MAX},
         "ended, 1.0 MiB in, 16 EiB out"},
        {{.facts = BIT(TRAFFIC), .counts_traffic = true}, false, {0}, "ended, traffic unknown"},
        /* It has had no connection of its own. */
        {{.facts = BIT(TRAFFIC)}, false, {0}, "ended"},
        /* Known, but not wanted. */
        {{.facts = BIT(PID), .counts_traffic = true}, true, {1, 2}, "ended"},
        {{.facts = BIT(MEMORY), .memory = 3400 * KIB, .memory_at_most = true},
         false,
         {0},
         "ended, memory at most 3.3 MiB"},
        {{.facts = ALL,
          .lived_usec = 4100 * USEC_PER_MSEC,
          .counts_traffic = true,
          .cpu_usec = 12000,
          .memory = 34 * KIB * KIB,
          .user = "nobody"},
         true,
         {12 * KIB, 340},
         "ended: exit 0 after 4.1 s, 12 KiB in, 340 B out, cpu 12.0 ms, memory 34 MiB, user nobody"},
    };
    (void)state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        CLEANUP_TEXT Text text = {0};
        ending_format(&cases[i].ending, cases[i].has_bytes ? &cases[i].bytes : NULL, &text);
        assert_string_equal(text.s, cases[i].message);
    }
}

static void test_event(void **state) {
    Ending ending = {.facts = ALL,
                     .pid = 7,
                     .status = EXITED(2),
                     .result = EXIT_FAILED,
                     .cpu_usec = 5,
                     .memory = 6,
                     .user = "u"};
    Bytes bytes = {8, 9};
    ApiFacts facts;
    ApiEvent e = ending_event(&ending, &bytes, "s", "p", "m", &facts);
    (void)state;
    assert_ptr_equal(e.facts, &facts);
    assert_string_equal(e.event, "ended");
    assert_string_equal(e.reason, "failed");
    assert_int_equal(e.exit_code, 2);
    assert_int_equal(e.signal, 0);
    assert_int_equal(facts.bytes_in, 8);
    assert_int_equal(facts.bytes_out, 9);
    assert_int_equal(facts.cpu_usec, 5);
    assert_int_equal(facts.memory, 6);
    assert_string_equal(facts.user, "u");

    ending.facts = BIT(PID) | BIT(TRAFFIC);
    ending.status = SIGHUP;
    e = ending_event(&ending, NULL, "s", "p", "m", &facts);
    assert_int_equal(e.exit_code, -1);
    assert_int_equal(e.signal, SIGHUP);
    assert_true(facts.bytes_in == UINT64_MAX && facts.bytes_out == UINT64_MAX);
    assert_true(facts.cpu_usec == UINT64_MAX && facts.memory == UINT64_MAX);
    assert_null(facts.user);
    assert_int_equal(facts.logged, BIT(PID) | BIT(TRAFFIC));
}

static void test_wanted(void **state) {
    char *some[] = {(char *)"cpu", NULL}, *none[] = {NULL};
    LogFacts log = {0};
    (void)state;
    assert_int_equal(log_facts_wanted(&log, true), LOG_FACTS_STANDARD);
    assert_int_equal(log_facts_wanted(&log, false), LOG_FACTS_STANDARD);
    log = (LogFacts){.success = some, .success_facts = BIT(CPU), .failure = none};
    assert_int_equal(log_facts_wanted(&log, true), BIT(CPU));
    assert_int_equal(log_facts_wanted(&log, false), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_message),
        cmocka_unit_test(test_event),
        cmocka_unit_test(test_wanted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

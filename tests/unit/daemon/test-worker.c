/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/worker.h"

static void test_doing(void **state) {
    Report silent, ready, idle, busy, stopping;
    report_init(&silent);
    report_init(&ready);
    ready.ready = true;
    idle = busy = stopping = silent;
    idle.active = 0;
    busy.active = 2;
    stopping.active = 0;
    stopping.stopping = true;
    const struct {
        const char *name;
        WorkerFacts facts;
        WorkerDoing doing;
    } cases[] = {
        {"just started", {.report = &silent}, WORKER_STARTING},
        {"says nothing for long", {.report = &silent, .age_usec = WORKER_SILENT_USEC}, WORKER_SILENT},
        {"says no more than that it is ready",
         {.report = &ready, .age_usec = WORKER_SILENT_USEC},
         WORKER_SILENT},
        {"cannot report", {.report = NULL}, WORKER_SILENT},
        {"is to say that it is ready",
         {.unready = true, .report = &silent, .age_usec = 1000 * WORKER_SILENT_USEC},
         WORKER_STARTING},
        {"and has nothing in hand before it says so", {.unready = true, .report = &idle}, WORKER_STARTING},
        {"idle", {.report = &idle}, WORKER_IDLE},
        {"busy", {.report = &busy}, WORKER_BUSY},
        {"idle, and passed one", {.report = &idle, .passed = 1}, WORKER_BUSY},
        {"just started, and passed one", {.report = &silent, .passed = 1}, WORKER_BUSY},
        {"told to end", {.leaving = true, .report = &busy}, WORKER_LEAVING},
        {"ends by itself", {.report = &stopping}, WORKER_LEAVING},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (worker_doing(&cases[i].facts) != cases[i].doing)
            print_error("%s\n", cases[i].name);
        assert_int_equal(worker_doing(&cases[i].facts), cases[i].doing);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_doing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

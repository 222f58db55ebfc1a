/* SPDX-License-Identifier: MIT */
#include "services/client-tally.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/base/clock.h"

static const TallyFacts facts = {
    .endpoint = "tcp:7", .address = "127.0.0.1:7", .at_once = 8, .requests = 1, .size = 64};

/* One of the tests at a time. */
static Tally *fresh(void) {
    static Tally t;
    t = (Tally){
        .begun = 10, .answered = 10, .most_open = 8, .begin_usec = 5, .end_usec = 5 + 2 * USEC_PER_SEC};
    t.requests = 10;
    t.sent = t.received = 640;
    return &t;
}

static void assert_says(const Tally *t, const TallyFacts *f, const char *text, const char *json) {
    CLEANUP_TEXT Text out = {0};
    CLEANUP_TEXT Text document = {0};
    tally_text(t, f, &out);
    tally_json(t, f, &document);
    if (!strstr(out.s, text) || !strstr(document.s, json))
        fail_msg("'%s' not in:\n%sor '%s' not in:\n%s", text, out.s, json, document.s);
}

static void test_well(void **state) {
    (void)state;
    Tally *t = fresh();
    latency_add(&t->connect, 100);
    latency_add(&t->whole, 1500000);
    assert_says(t, &facts, "tcp:7 (127.0.0.1:7): 10 connections, 8 at once, 1 request of 64 bytes each\n",
                "{\"endpoint\": \"tcp:7\", \"address\": \"127.0.0.1:7\", \"at_once\": 8");
    assert_says(t, &facts, "rate         5.0 connections/s\n", "\"seconds\": 2.000000, \"rate\": 5.0,");
    assert_says(t, &facts, "connect            0.100", "\"connect\": {\"p50\": 100, ");
    assert_says(t, &facts, "1500.000\n", "\"max\": 1500000, ");
    assert_says(t, &facts, "failures     none\n", "\"failures\": [], \"cpu_percent\": 0, \"notes\": []}\n");
}

static void test_failures(void **state) {
    (void)state;
    Tally *t = fresh();
    assert_int_equal(tally_failures(t), 0);
    tally_fail(t, FAILURE_CONNECT, ECONNREFUSED);
    tally_fail(t, FAILURE_CONNECT, ECONNREFUSED);
    tally_fail(t, FAILURE_CONNECT, ENETUNREACH);
    tally_fail(t, FAILURE_WRONG, 0);
    tally_fail(t, FAILURE_BROKEN, 100000);
    assert_int_equal(tally_failures(t), 5);
    assert_says(t, &facts, "2 not connected: Connection refused\n",
                "{\"kind\": \"connect\", \"count\": 2, \"errno\": \"ECONNREFUSED\"}");
    assert_says(t, &facts, "1 not connected: Network is unreachable\n", "\"ENETUNREACH\"}");
    assert_says(t, &facts, "1 answered with wrong bytes\n",
                "{\"kind\": \"wrong\", \"count\": 1, \"errno\": null}");
    assert_says(t, &facts, "1 broken off", "{\"kind\": \"broken\", \"count\": 1, \"errno\": null}");
}

/* What the figures are worth is told with them. */
static void test_notes(void **state) {
    (void)state;
    Tally *t = fresh();
    tally_fail(t, FAILURE_LOCAL, EADDRNOTAVAIL);
    assert_says(t, &facts, "ran out of free ports", "ran out of free ports");
    t = fresh();
    t->cpu_usec = 1900000;
    assert_says(t, &facts, "busy 95 % of the time", "\"cpu_percent\": 95");
    t = fresh();
    t->most_open = 3;
    assert_says(t, &facts, "never more than 3 connections", "never more than 3 connections");
    t = fresh();
    t->interrupted = 4;
    assert_says(t, &facts, "4 connections under way", "\"interrupted\": 4");
}

static void test_errnos(void **state) {
    (void)state;
    assert_true(tally_errno_is_local(EADDRNOTAVAIL));
    assert_true(tally_errno_is_local(EMFILE));
    assert_false(tally_errno_is_local(ECONNREFUSED));
    assert_false(tally_errno_is_local(ETIMEDOUT));
}

static void test_progress(void **state) {
    (void)state;
    CLEANUP_TEXT Text out = {0};
    Tally *t = fresh();
    tally_progress(t, 100, 8, t->begin_usec + USEC_PER_SEC, &out);
    assert_string_equal(out.s, "10 of 100 connections in 1.0 s, 10/s, 8 open");
    text_reset(&out);
    tally_fail(t, FAILURE_SHORT, 0);
    tally_progress(t, UINT64_MAX, 8, t->begin_usec, &out);
    assert_string_equal(out.s, "11 connections in 0.0 s, 0/s, 8 open, 1 FAILED");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_well),   cmocka_unit_test(test_failures), cmocka_unit_test(test_notes),
        cmocka_unit_test(test_errnos), cmocka_unit_test(test_progress),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

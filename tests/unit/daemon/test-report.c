/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/base/cleanup.h"
#include "daemon/report.h"

typedef struct LineCase {
    const char *line;
    ReportKind kind;
} LineCase;

static const LineCase cases[] = {
    {"READY=1", REPORT_READY},
    {"READY=0", REPORT_MALFORMED},
    {"READY=", REPORT_MALFORMED},
    {"READY", REPORT_MALFORMED},
    {"", REPORT_MALFORMED},
    {"=", REPORT_MALFORMED},
    {"=1", REPORT_MALFORMED},
    {"ready=1", REPORT_MALFORMED},
    {"READY=1 ", REPORT_MALFORMED},
    {"STOPPING=1", REPORT_STOPPING},
    {"RELOADING=1", REPORT_RELOADING},
    {"WATCHDOG=1", REPORT_WATCHDOG},
    {"WATCHDOG=trigger", REPORT_TRIGGER},
    {"WATCHDOG=0", REPORT_MALFORMED},
    {"WATCHDOG=triggers", REPORT_MALFORMED},
    {"BAN=1", REPORT_BAN},
    {"STATUS=", REPORT_STATUS},
    {"STATUS=warm = good", REPORT_STATUS},
    {"STATUS=\xff", REPORT_MALFORMED},
    {"ERRNO=2", REPORT_ERRNO},
    {"ERRNO=-2", REPORT_MALFORMED},
    {"ERRNO=5000", REPORT_MALFORMED},
    {"ACTIVE=0", REPORT_ACTIVE},
    {"ACTIVE=9223372036854775807", REPORT_ACTIVE},
    {"ACTIVE=9223372036854775808", REPORT_MALFORMED},
    {"ACTIVE=1e3", REPORT_MALFORMED},
    {"REQUESTS=17", REPORT_REQUESTS},
    {"QUEUED=3", REPORT_QUEUED},
    {"CAPACITY=16", REPORT_CAPACITY},
    {"CAPACITY=0", REPORT_MALFORMED},
    {"CAPACITY=x", REPORT_MALFORMED},
    {"X_HITS=1.5", REPORT_METRIC},
    {"X_HITS=-2", REPORT_METRIC},
    {"X_=1", REPORT_MALFORMED},
    {"X_1=1", REPORT_MALFORMED},
    {"X_HITS=nan", REPORT_MALFORMED},
    {"X_HITS=inf", REPORT_MALFORMED},
    {"X_HITS=1e999", REPORT_MALFORMED},
    {"X_HITS=0x10z", REPORT_MALFORMED},
    {"X_NAME_THAT_IS_MUCH_TOO_LONG_FOR_ITS_PLACE=1", REPORT_MALFORMED},
    {"MAINPID=1", REPORT_MALFORMED},
    {"{\"event\":\"x\"}", REPORT_MALFORMED},
};

static void test_lines(void **state) {
    (void)state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        Report r;
        report_init(&r);
        ReportKind kind = report_line(&r, cases[i].line, strlen(cases[i].line));
        if (kind != cases[i].kind)
            fail_msg("'%s' is %d, not %d", cases[i].line, kind, cases[i].kind);
        assert_int_equal(r.malformed, kind == REPORT_MALFORMED);
        assert_int_equal(r.lines, 1);
        report_done(&r);
    }
}

/* What sd_notify(3) may send besides is no mistake of the sender. */
static void test_foreign(void **state) {
    static const struct {
        const char *line;
        bool foreign;
    } lines[] = {
        {"MAINPID=1", true},
        {"FDSTORE=1", true},
        {"FDNAME=a=b", true},
        {"BARRIER=1", true},
        {"EXTEND_TIMEOUT_USEC=5", true},
        {"X=1", true},
        {"NEW_WORD_2=", true},
        {"READY=1", false},
        {"READY=0", false},
        {"WATCHDOG=1", false},
        {"X_HITS=no", false},
        {"", false},
        {"=", false},
        {"=1", false},
        {"MAINPID", false},
        {"mainpid=1", false},
        {"2WORD=1", false},
        {"MAIN PID=1", false},
        {"{\"event\":\"x\"}", false},
    };
    (void)state;
    for (size_t i = 0; i < ELEMENTS(lines); i++)
        if (report_is_foreign(lines[i].line, strlen(lines[i].line)) != lines[i].foreign)
            fail_msg("'%s'", lines[i].line);
}

static void test_values(void **state) {
    (void)state;
    Report r;
    report_init(&r);
    assert_int_equal(r.active, -1);
    (void)report_line(&r, "ACTIVE=12", 9);
    (void)report_line(&r, "ACTIVE=x", 8);
    assert_int_equal(r.active, 12);
    (void)report_line(&r, "STATUS=one", 10);
    (void)report_line(&r, "STATUS=two", 10);
    assert_string_equal(r.status, "two");
    (void)report_line(&r, "RELOADING=1", 11);
    assert_true(r.reloading);
    (void)report_line(&r, "READY=1", 7);
    assert_true(r.ready && !r.reloading);
    report_done(&r);
}

static void test_bounds(void **state) {
    (void)state;
    static const char euro[] = {'\xe2', '\x82', '\xac'};
    Report r;
    char line[5000] = "STATUS=";
    report_init(&r);
    memset(line + 7, 'x', sizeof(line) - 7);
    assert_int_equal(report_line(&r, line, sizeof(line)), REPORT_STATUS);
    assert_int_equal(strlen(r.status), REPORT_STATUS_MAX);
    /* A text is cut between characters. */
    for (size_t i = 7; i + 2 < sizeof(line); i += 3)
        memcpy(line + i, euro, sizeof(euro));
    assert_int_equal(report_line(&r, line, 7 + 3 * 1000), REPORT_STATUS);
    assert_int_equal(strlen(r.status) % 3, 0);
    for (int i = 0; i < 100; i++) {
        char metric[32];
        int n = snprintf(metric, sizeof(metric), "X_M%d=%d", i, i);
        assert_int_equal(report_line(&r, metric, (size_t)n),
                         i < REPORT_METRICS_MAX ? REPORT_METRIC : REPORT_MALFORMED);
    }
    assert_int_equal(r.n_metrics, REPORT_METRICS_MAX);
    report_done(&r);
}

static void test_any_bytes(void **state) {
    static const char alphabet[] = "XREADYSTU=_19.\n\0\xff";
    (void)state;
    Report r;
    uint64_t seed = 99;
    report_init(&r);
    for (int i = 0; i < 20000; i++) {
        char line[64];
        size_t n = 0;
        for (; n < sizeof(line); n++) {
            seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
            line[n] = alphabet[(seed >> 40) % (sizeof(alphabet) - 1)];
        }
        (void)report_line(&r, line, (size_t)(seed >> 50) % sizeof(line));
    }
    assert_int_equal(r.lines, 20000);
    report_done(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),  cmocka_unit_test(test_foreign),   cmocka_unit_test(test_values),
        cmocka_unit_test(test_bounds), cmocka_unit_test(test_any_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include "conf/value.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/base/clock.h"

#define SEC USEC_PER_SEC
#define MINUTE (60 * SEC)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)

/* An error says something; its texts end within their room. */
static void check_error(const char *in, int r, const ValueError *error) {
    if (r != -EINVAL && r != -ERANGE)
        fail_msg("'%s': result %d", in, r);
    if (!*error->why)
        fail_msg("'%s': no reason", in);
    assert_true(strlen(error->why) < sizeof(error->why));
    assert_true(strlen(error->hint) < sizeof(error->hint));
}

static void test_bool(void **state) {
    (void)state;
    static const struct {
        const char *in;
        int value; /* -1: refused */
    } cases[] = {
        {"true", 1},   {"false", 0},  {"yes", 1}, {"no", 0},       {"on", 1}, {"off", 0},
        {"True", -1},  {"YES", -1},   {"1", -1},  {"0", -1},       {"", -1},  {"y", -1},
        {"true ", -1}, {" true", -1}, {"n", -1},  {"enabled", -1},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        bool value = true;
        ValueError error = {0};
        int r = value_bool(cases[i].in, &value, &error);
        if (cases[i].value < 0)
            check_error(cases[i].in, r, &error);
        else
            assert_int_equal(r, 0);
        assert_int_equal(value, cases[i].value != 0);
    }
    assert_int_equal(value_bool("x", &(bool){false}, NULL), -EINVAL);
}

typedef struct NumberCase {
    const char *in;
    int result;
    int64_t value;
    const char *why, *hint; /* NULL: any */
} NumberCase;

static void test_unsigned(void **state) {
    (void)state;
    static const NumberCase cases[] = {
        {"1", 0, 1, NULL, NULL},
        {"10", 0, 10, NULL, NULL},
        {"100", 0, 100, NULL, NULL},
        {"0", -ERANGE, 0, "'0' is out of range", "1 to 100"},
        {"101", -ERANGE, 0, "'101' is out of range", "1 to 100"},
        {"-1", -ERANGE, 0, "'-1' is out of range", "1 to 100"},
        {"18446744073709551615", -ERANGE, 0, NULL, "1 to 100"},
        {"18446744073709551616", -ERANGE, 0, NULL, "1 to 100"},
        {"99999999999999999999999999", -ERANGE, 0, NULL, NULL},
        {"010", -EINVAL, 0, "'010' has a leading zero", "numbers are decimal: write 10"},
        {"00", -EINVAL, 0, "'00' has a leading zero", "numbers are decimal: write 0"},
        {"", -EINVAL, 0, "nothing is not a whole number", NULL},
        {"x", -EINVAL, 0, "'x' is not a whole number", NULL},
        {"5x", -EINVAL, 0, NULL, NULL},
        {"5 ", -EINVAL, 0, NULL, NULL},
        {" 5", -EINVAL, 0, NULL, NULL},
        {"+5", -EINVAL, 0, NULL, NULL},
        {"-", -EINVAL, 0, NULL, NULL},
        {"-x", -EINVAL, 0, NULL, NULL},
        {"0x10", -EINVAL, 0, NULL, NULL},
        {"1e3", -EINVAL, 0, NULL, NULL},
        {"1_000", -EINVAL, 0, NULL, NULL},
        {"5.0", -EINVAL, 0, NULL, NULL},
        {"\x1b[2J", -EINVAL, 0, "'\\x1b[2J' is not a whole number", NULL},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        uint64_t value = 0;
        ValueError error = {0};
        int r = value_unsigned(cases[i].in, 1, 100, &value, &error);
        assert_int_equal(r, cases[i].result);
        assert_int_equal(value, cases[i].value);
        if (r < 0)
            check_error(cases[i].in, r, &error);
        if (cases[i].why)
            assert_string_equal(error.why, cases[i].why);
        if (cases[i].hint)
            assert_string_equal(error.hint, cases[i].hint);
    }
    uint64_t value = 0;
    ValueError error;
    assert_int_equal(value_unsigned("18446744073709551615", 0, UINT64_MAX, &value, &error), 0);
    assert_true(value == UINT64_MAX);
    assert_int_equal(value_unsigned("4", 5, UINT64_MAX, &value, &error), -ERANGE);
    assert_string_equal(error.hint, "at least 5");
}

static void test_signed(void **state) {
    (void)state;
    static const NumberCase cases[] = {
        {"-20", 0, -20, NULL, NULL},
        {"19", 0, 19, NULL, NULL},
        {"0", 0, 0, NULL, NULL},
        {"-0", 0, 0, NULL, NULL},
        {"20", -ERANGE, 0, "'20' is out of range", "-20 to 19"},
        {"-21", -ERANGE, 0, NULL, "-20 to 19"},
        {"-9223372036854775808", -ERANGE, 0, NULL, NULL},
        {"-9223372036854775809", -ERANGE, 0, NULL, NULL},
        {"9223372036854775808", -ERANGE, 0, NULL, NULL},
        {"99999999999999999999", -ERANGE, 0, NULL, NULL},
        {"-05", -EINVAL, 0, "'-05' has a leading zero", NULL},
        {"--5", -EINVAL, 0, NULL, NULL},
        {"-", -EINVAL, 0, NULL, NULL},
        {"", -EINVAL, 0, NULL, NULL},
        {"5.", -EINVAL, 0, NULL, NULL},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        int64_t value = 0;
        ValueError error = {0};
        int r = value_signed(cases[i].in, -20, 19, &value, &error);
        assert_int_equal(r, cases[i].result);
        assert_int_equal(value, cases[i].value);
        if (r < 0)
            check_error(cases[i].in, r, &error);
        if (cases[i].why)
            assert_string_equal(error.why, cases[i].why);
        if (cases[i].hint)
            assert_string_equal(error.hint, cases[i].hint);
    }
    int64_t value = 0;
    assert_int_equal(value_signed("-9223372036854775808", INT64_MIN, INT64_MAX, &value, NULL), 0);
    assert_true(value == INT64_MIN);
    assert_int_equal(value_signed("9223372036854775807", INT64_MIN, INT64_MAX, &value, NULL), 0);
    assert_true(value == INT64_MAX);
}

static void test_number(void **state) {
    (void)state;
    static const struct {
        const char *in;
        int result;
        uint64_t millionths;
        const char *shown;
    } cases[] = {
        {"8", 0, 8000000, "8"},
        {"8.0", 0, 8000000, "8"},
        {"0.5", 0, 500000, "0.5"},
        {"8.000001", 0, 8000001, "8.000001"},
        {"0", 0, 0, "0"},
        {"100", 0, 100000000, "100"},
        {"100.5", -ERANGE, 0, NULL},
        {"101", -ERANGE, 0, NULL},
        {"8.0000001", -EINVAL, 0, NULL},
        {"8.", -EINVAL, 0, NULL},
        {".5", -EINVAL, 0, NULL},
        {"08.5", -EINVAL, 0, NULL},
        {"8,5", -EINVAL, 0, NULL},
        {"-1", -EINVAL, 0, NULL},
        {"", -EINVAL, 0, NULL},
        {"nan", -EINVAL, 0, NULL},
        {"1e1", -EINVAL, 0, NULL},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        uint64_t value = 0;
        ValueError error = {0};
        assert_int_equal(value_number(cases[i].in, 100, &value, &error), cases[i].result);
        assert_int_equal(value, cases[i].millionths);
        if (cases[i].result < 0) {
            check_error(cases[i].in, cases[i].result, &error);
            continue;
        }
        CLEANUP_TEXT Text out = {0};
        value_number_format(value, &out);
        assert_string_equal(out.s, cases[i].shown);
    }
}

static void test_mode(void **state) {
    (void)state;
    static const struct {
        const char *in;
        int result;
        mode_t value;
    } cases[] = {
        {"0660", 0, 0660},     {"660", 0, 0660},
        {"0o660", 0, 0660},    {"0", 0, 0},
        {"7777", 0, 07777},    {"0000", 0, 0},
        {"17777", -ERANGE, 0}, {"77777777777777777777777", -ERANGE, 0},
        {"0680", -EINVAL, 0},  {"", -EINVAL, 0},
        {"0o", -EINVAL, 0},    {"rw-rw----", -EINVAL, 0},
        {"0x1b0", -EINVAL, 0}, {"660 ", -EINVAL, 0},
        {"-660", -EINVAL, 0},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        mode_t value = 0;
        ValueError error = {0};
        int r = value_mode(cases[i].in, 07777, &value, &error);
        assert_int_equal(r, cases[i].result);
        assert_int_equal(value, cases[i].value);
        if (r < 0)
            check_error(cases[i].in, r, &error);
    }
    assert_int_equal(value_mode("1000", 0777, &(mode_t){0}, NULL), -ERANGE);
    for (mode_t mode = 0; mode <= 07777; mode++) {
        CLEANUP_TEXT Text out = {0};
        mode_t back = 0;
        value_mode_format(mode, &out);
        assert_int_equal(value_mode(out.s, 07777, &back, NULL), 0);
        assert_int_equal(back, mode);
    }
}

static void test_duration(void **state) {
    (void)state;
    static const struct {
        const char *in;
        uint64_t usec;
    } cases[] = {
        {"500ms", 500 * USEC_PER_MSEC},
        {"10s", 10 * SEC},
        {"5m", 5 * MINUTE},
        {"2h", 2 * HOUR},
        {"1d", DAY},
        {"1m30s", 90 * SEC},
        {"0", 0},
        {"0s", 0},
        {"90", 90 * SEC},
        {"5min", 5 * MINUTE},
        {"5 min", 5 * MINUTE},
        {"2 min 200ms", 2 * MINUTE + 200000},
        {"1hr", HOUR},
        {"1hour", HOUR},
        {"2hours", 2 * HOUR},
        {"3sec", 3 * SEC},
        {"3second", 3 * SEC},
        {"3seconds", 3 * SEC},
        {"7us", 7},
        {"7usec", 7},
        {"7µs", 7},
        {"7μs", 7},
        {"7msec", 7000},
        {"1minute", MINUTE},
        {"2minutes", 2 * MINUTE},
        {"1day", DAY},
        {"2days", 2 * DAY},
        {"1w", 7 * DAY},
        {"1week", 7 * DAY},
        {"2weeks", 14 * DAY},
        {"1d2h3m4s5ms6us", DAY + 2 * HOUR + 3 * MINUTE + 4 * SEC + 5006},
        {"30s1m", 90 * SEC},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        uint64_t value = 1;
        ValueError error = {0};
        if (value_duration(cases[i].in, 0, USEC_INFINITY, false, &value, &error) != 0)
            fail_msg("'%s': %s", cases[i].in, error.why);
        assert_true(value == cases[i].usec);
    }
}

static void test_duration_refused(void **state) {
    (void)state;
    static const struct {
        const char *in;
        int result;
        const char *why, *hint;
    } cases[] = {
        {"5M", -EINVAL, "'5M' is not a duration", "for minutes write 5m"},
        {"5S", -EINVAL, NULL, "units are in lower case: 5s"},
        {"5MIN", -EINVAL, NULL, "units are in lower case: 5min"},
        {"1.5s", -EINVAL, NULL, "whole numbers only: 1500ms for 1.5s"},
        {"1y", -EINVAL, NULL, NULL},
        {"1month", -EINVAL, NULL, NULL},
        {"5ns", -EINVAL, NULL, NULL},
        {"5x", -EINVAL, "'5x' is not a duration", NULL},
        {"", -EINVAL, "nothing is not a duration", NULL},
        {"s", -EINVAL, NULL, NULL},
        {"1m30", -EINVAL, NULL, NULL},
        {"30 1m", -EINVAL, NULL, NULL},
        {"5 5", -EINVAL, NULL, NULL},
        {" 5s", -EINVAL, NULL, NULL},
        {"-", -EINVAL, NULL, NULL},
        {"+5s", -EINVAL, NULL, NULL},
        {"05s", -EINVAL, "'05s' has a leading zero", "numbers are decimal: write 5"},
        {"1m05s", -EINVAL, NULL, "numbers are decimal: write 5"},
        {"-5s", -ERANGE, "'-5s' is out of range", "1s to 1h"},
        {"500ms", -ERANGE, NULL, "1s to 1h"},
        {"61m", -ERANGE, "'61m' is out of range", "1s to 1h"},
        {"18446744073709551616us", -ERANGE, NULL, NULL},
        {"18446744073709551615us", -ERANGE, NULL, NULL},
        {"99999999999999999d", -ERANGE, "'99999999999999999d' is too large", NULL},
        {"213503982334d213503982334d", -ERANGE, NULL, NULL},
        {"infinity", -EINVAL, NULL, NULL},
        {"none", -EINVAL, NULL, NULL},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        uint64_t value = 7;
        ValueError error = {0};
        int r = value_duration(cases[i].in, SEC, HOUR, false, &value, &error);
        if (r != cases[i].result)
            fail_msg("'%s': %d", cases[i].in, r);
        assert_int_equal(value, 7);
        check_error(cases[i].in, r, &error);
        if (cases[i].why)
            assert_string_equal(error.why, cases[i].why);
        if (cases[i].hint)
            assert_string_equal(error.hint, cases[i].hint);
    }
    uint64_t value = 0;
    assert_int_equal(value_duration("infinity", SEC, HOUR, true, &value, NULL), 0);
    assert_true(value == USEC_INFINITY);
}

static void check_duration(uint64_t usec, const char *shown) {
    CLEANUP_TEXT Text out = {0};
    value_duration_format(usec, &out);
    if (shown)
        assert_string_equal(out.s, shown);
    uint64_t back = 0;
    assert_int_equal(value_duration(out.s, 0, USEC_INFINITY, true, &back, NULL), 0);
    assert_true(back == usec);
}

/* xorshift64: a fixed sequence of numbers of all lengths. */
static uint64_t next_random(uint64_t *x) {
    *x ^= *x << 13;
    *x ^= *x >> 7;
    *x ^= *x << 17;
    return *x >> (*x % 61);
}

static void test_duration_format(void **state) {
    (void)state;
    static const struct {
        uint64_t usec;
        const char *shown;
    } cases[] = {
        {0, "0s"},
        {1, "1us"},
        {1000, "1ms"},
        {1500, "1ms500us"},
        {SEC, "1s"},
        {90 * SEC, "1m30s"},
        {60 * SEC, "1m"},
        {HOUR, "1h"},
        {25 * HOUR, "1d1h"},
        {100 * USEC_PER_MSEC, "100ms"},
        {DAY, "1d"},
        {365 * DAY, "365d"},
        {USEC_INFINITY, "infinity"},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++)
        check_duration(cases[i].usec, cases[i].shown);
    uint64_t seed = 42;
    for (size_t i = 0; i < 2000; i++)
        check_duration(next_random(&seed), NULL);
    check_duration(USEC_INFINITY - 1, NULL);
}

static void test_size(void **state) {
    (void)state;
    static const struct {
        const char *in;
        int result;
        uint64_t bytes;
        const char *hint;
    } cases[] = {
        {"0", 0, 0, NULL},
        {"4096", 0, 4096, NULL},
        {"4096B", 0, 4096, NULL},
        {"64K", 0, 65536, NULL},
        {"64KiB", 0, 65536, NULL},
        {"64M", 0, 67108864, NULL},
        {"64MiB", 0, 67108864, NULL},
        {"2G", 0, 2147483648, NULL},
        {"2GiB", 0, 2147483648, NULL},
        {"1T", 0, 1099511627776, NULL},
        {"1TiB", 0, 1099511627776, NULL},
        {"16777215T", 0, 18446742974197923840ULL, NULL},
        {"16777216T", -ERANGE, 0, NULL},
        {"18446744073709551616", -ERANGE, 0, NULL},
        {"-1", -ERANGE, 0, NULL},
        {"64MB", -EINVAL, 0, "write 64M (= 67108864 bytes)"},
        {"64m", -EINVAL, 0, "write 64M (= 67108864 bytes)"},
        {"64Mi", -EINVAL, 0, "write 64M (= 67108864 bytes)"},
        {"1kB", -EINVAL, 0, "write 1K (= 1024 bytes)"},
        {"1gb", -EINVAL, 0, "write 1G (= 1073741824 bytes)"},
        {"99999999999TB", -EINVAL, 0, NULL},
        {"64 M", -EINVAL, 0, NULL},
        {"064M", -EINVAL, 0, "numbers are decimal: write 64"},
        {"1.5G", -EINVAL, 0, NULL},
        {"M", -EINVAL, 0, NULL},
        {"", -EINVAL, 0, NULL},
        {"1P", -EINVAL, 0, NULL},
        {"50%", -EINVAL, 0, NULL},
        {"infinity", -EINVAL, 0, NULL},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        uint64_t value = 0;
        ValueError error = {0};
        int r = value_size(cases[i].in, 0, UINT64_MAX, &value, &error);
        if (r != cases[i].result)
            fail_msg("'%s': %d", cases[i].in, r);
        assert_true(value == cases[i].bytes);
        if (r < 0)
            check_error(cases[i].in, r, &error);
        if (cases[i].hint)
            assert_string_equal(error.hint, cases[i].hint);
    }
    ValueError error = {0};
    uint64_t value = 0;
    assert_int_equal(value_size("2M", 1024, 1048576, &value, &error), -ERANGE);
    assert_string_equal(error.hint, "1K to 1M");
}

static void test_size_format(void **state) {
    (void)state;
    static const struct {
        uint64_t bytes;
        const char *shown;
    } cases[] = {
        {0, "0"},       {1, "1"},          {1023, "1023"},        {1024, "1K"},
        {1536, "1536"}, {67108864, "64M"}, {1099511627776, "1T"}, {1073741824, "1G"},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        CLEANUP_TEXT Text out = {0};
        value_size_format(cases[i].bytes, &out);
        assert_string_equal(out.s, cases[i].shown);
    }
    uint64_t seed = 7;
    for (size_t i = 0; i < 2000; i++) {
        uint64_t bytes = next_random(&seed) << (i % 40), back = 0;
        CLEANUP_TEXT Text out = {0};
        value_size_format(bytes, &out);
        assert_int_equal(value_size(out.s, 0, UINT64_MAX, &back, NULL), 0);
        assert_true(back == bytes);
    }
}

static void test_rate(void **state) {
    (void)state;
    static const struct {
        const char *in;
        int result;
        Rate rate;
        const char *shown; /* NULL: as it is written */
        const char *hint;
    } cases[] = {
        {"50/s", 0, {50, SEC, 50}, NULL, NULL},
        {"100/m", 0, {100, MINUTE, 100}, NULL, NULL},
        {"10/10s", 0, {10, 10 * SEC, 10}, NULL, NULL},
        {"50/s burst 100", 0, {50, SEC, 100}, NULL, NULL},
        {"50/s  burst\t100", 0, {50, SEC, 100}, "50/s burst 100", NULL},
        {"5/1m", 0, {5, MINUTE, 5}, "5/m", NULL},
        {"5/min", 0, {5, MINUTE, 5}, "5/m", NULL},
        {"5/1m30s", 0, {5, 90 * SEC, 5}, NULL, NULL},
        {"5/h", 0, {5, HOUR, 5}, NULL, NULL},
        {"5/d", 0, {5, DAY, 5}, NULL, NULL},
        {"5/2d", 0, {5, 2 * DAY, 5}, NULL, NULL},
        {"5/10", 0, {5, 10 * SEC, 5}, "5/10s", NULL},
        {"5/s burst 1", 0, {5, SEC, 1}, NULL, NULL},
        {"5/1ms", 0, {5, 1000, 5}, NULL, NULL},
        {"1000000000/366d", 0, {1000000000, 366 * DAY, 1000000000}, NULL, NULL},
        {"5/us", -ERANGE, {0}, NULL, NULL},
        {"5/\316\274s", -ERANGE, {0}, NULL, NULL},
        {"5/1us", -ERANGE, {0}, NULL, NULL},
        {"5/367d", -ERANGE, {0}, NULL, NULL},
        {"50", -EINVAL, {0}, NULL, "in what time? For each second write 50/s"},
        {"50/", -EINVAL, {0}, NULL, NULL},
        {"/s", -EINVAL, {0}, NULL, NULL},
        {"50 /s", -EINVAL, {0}, NULL, NULL},
        {"50/ s", -EINVAL, {0}, NULL, NULL},
        {"50/x", -EINVAL, {0}, NULL, NULL},
        {"50/M", -EINVAL, {0}, NULL, NULL},
        {"50/s 100", -EINVAL, {0}, NULL, NULL},
        {"50/s burst", -EINVAL, {0}, NULL, NULL},
        {"50/s burst ", -EINVAL, {0}, NULL, NULL},
        {"50/s burst x", -EINVAL, {0}, NULL, NULL},
        {"50/s burst 100 x", -EINVAL, {0}, NULL, NULL},
        {"50/s burst100", -EINVAL, {0}, NULL, NULL},
        {"50/sburst 100", -EINVAL, {0}, NULL, NULL},
        {"050/s", -EINVAL, {0}, NULL, NULL},
        {"", -EINVAL, {0}, NULL, NULL},
        {"-5/s", -EINVAL, {0}, NULL, NULL},
        {"50 10", -EINVAL, {0}, NULL, NULL},
        {"0/s", -ERANGE, {0}, NULL, NULL},
        {"5/0s", -ERANGE, {0}, NULL, NULL},
        {"5/1us", -ERANGE, {0}, NULL, NULL},
        {"5/367d", -ERANGE, {0}, NULL, NULL},
        {"5/99999999999999999d", -ERANGE, {0}, NULL, NULL},
        {"1000000001/s", -ERANGE, {0}, NULL, NULL},
        {"5/s burst 0", -ERANGE, {0}, NULL, NULL},
        {"99999999999999999999999/s", -ERANGE, {0}, NULL, NULL},
        {"5/999999999999999999999999999999999999999999999s", -EINVAL, {0}, NULL, NULL},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        Rate rate = {0};
        ValueError error = {0};
        int r = value_rate(cases[i].in, &rate, &error);
        if (r != cases[i].result)
            fail_msg("'%s': %d", cases[i].in, r);
        assert_true(rate.count == cases[i].rate.count && rate.per_usec == cases[i].rate.per_usec &&
                    rate.burst == cases[i].rate.burst);
        if (r < 0) {
            check_error(cases[i].in, r, &error);
            if (cases[i].hint)
                assert_string_equal(error.hint, cases[i].hint);
            continue;
        }
        CLEANUP_TEXT Text out = {0};
        value_rate_format(&rate, &out);
        assert_string_equal(out.s, cases[i].shown ? cases[i].shown : cases[i].in);
    }
    CLEANUP_TEXT Text out = {0};
    value_rate_format(&(Rate){0}, &out);
    assert_string_equal(out.s, "none");
}

static void test_signal(void **state) {
    (void)state;
    static const struct {
        const char *in;
        int number;
        const char *hint;
    } cases[] = {
        {"TERM", SIGTERM, NULL},
        {"SIGTERM", SIGTERM, NULL},
        {"sigterm", SIGTERM, NULL},
        {"hup", SIGHUP, NULL},
        {"9", 9, NULL},
        {"IO", SIGIO, NULL},
        {"USR1", SIGUSR1, NULL},
        {"0", 0, NULL},
        {"65", 0, NULL},
        {"-9", 0, NULL},
        {"", 0, NULL},
        {"SIG", 0, NULL},
        {"TREM", 0, "did you mean 'SIGTERM'?"},
        {"09", 0, NULL},
        {"KILLL", 0, "did you mean 'SIGKILL'?"},
        {"RTMIN+999", 0, NULL},
        {"RTMIN-1", 0, NULL},
        {"RTMINX", 0, NULL},
        {"RTMIN+", 0, NULL},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        int number = 0;
        ValueError error = {0};
        int r = value_signal(cases[i].in, &number, &error);
        assert_int_equal(number, cases[i].number);
        if (cases[i].number > 0)
            assert_int_equal(r, 0);
        else
            check_error(cases[i].in, r, &error);
        if (cases[i].hint)
            assert_string_equal(error.hint, cases[i].hint);
    }
    for (int number = 1; number <= SIGRTMAX; number++) {
        CLEANUP_TEXT Text out = {0};
        int back = 0;
        value_signal_format(number, &out);
        assert_int_equal(value_signal(out.s, &back, NULL), 0);
        assert_int_equal(back, number);
    }
    int number = 0;
    assert_int_equal(value_signal("SIGRTMAX-1", &number, NULL), 0);
    assert_int_equal(number, SIGRTMAX - 1);
}

static void test_io_priority(void **state) {
    (void)state;
    static const struct {
        const char *in;
        int value; /* -1: refused */
        const char *shown;
    } cases[] = {
        {"realtime:0", 1 << 13, NULL},
        {"realtime:7", (1 << 13) | 7, NULL},
        {"realtime", (1 << 13) | 4, "realtime:4"},
        {"best-effort:4", (2 << 13) | 4, NULL},
        {"best-effort", (2 << 13) | 4, "best-effort:4"},
        {"idle", 3 << 13, NULL},
        {"idle:0", -1, NULL},
        {"best-effort:8", -1, NULL},
        {"best-effort:", -1, NULL},
        {"best-effort:04", -1, NULL},
        {"best", -1, NULL},
        {"", -1, NULL},
        {"7", -1, NULL},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        int value = -1;
        ValueError error = {0};
        int r = value_io_priority(cases[i].in, &value, &error);
        assert_int_equal(value, cases[i].value);
        if (r < 0) {
            check_error(cases[i].in, r, &error);
            continue;
        }
        CLEANUP_TEXT Text out = {0};
        value_io_priority_format(value, &out);
        assert_string_equal(out.s, cases[i].shown ? cases[i].shown : cases[i].in);
    }
}

static void test_cpus(void **state) {
    (void)state;
    static const struct {
        const char *in, *shown; /* NULL: refused */
    } cases[] = {
        {"0", "0"},
        {"0-3,8", "0-3,8"},
        {"8,0-3", "0-3,8"},
        {"1,2,3", "1-3"},
        {"1, 2", "1-2"},
        {"5-5", "5"},
        {"63-64", "63-64"},
        {"1023", "1023"},
        {"0-1023", "0-1023"},
        {"1,1", "1"},
        {"1024", NULL},
        {"0-1024", NULL},
        {"99999999999999999999", NULL},
        {"3-1", NULL},
        {"", NULL},
        {",", NULL},
        {"1,", NULL},
        {"1-", NULL},
        {"-1", NULL},
        {"1 2", NULL},
        {"01", NULL},
        {"a", NULL},
        {"1-2-3", NULL},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        uint64_t cpus[VALUE_CPUS_MAX / 64] = {0};
        ValueError error = {0};
        int r = value_cpus(cases[i].in, cpus, &error);
        CLEANUP_TEXT Text out = {0};
        value_cpus_format(cpus, &out);
        assert_int_equal(r == 0, cases[i].shown != NULL);
        if (r < 0)
            check_error(cases[i].in, r, &error);
        assert_string_equal(out.s ? out.s : "", cases[i].shown ? cases[i].shown : "");
    }
}

static void test_exit_codes(void **state) {
    (void)state;
    static const struct {
        const char *in;
        unsigned first, last; /* 0: refused */
        const char *why, *hint;
    } cases[] = {
        {"1", 1, 1, "", ""},
        {"255", 255, 255, "", ""},
        {"64-78", 64, 78, "", ""},
        {"5-5", 5, 5, "", ""},
        {"1-255", 1, 255, "", ""},
        {"0", 0, 0, "'0' is out of range", "0 is no failure"},
        {"256", 0, 0, "'256' is out of range", "1 to 255"},
        {"-1", 0, 0, "'-1' is out of range", "1 to 255"},
        {"3-1", 0, 0, "the range 3-1 runs backwards", "write 1-3"},
        {"0-5", 0, 0, "'0-5' is out of range", "1 to 255"},
        {"1-256", 0, 0, "'1-256' is out of range", "1 to 255"},
        {"300-1", 0, 0, "'300-1' is out of range", "1 to 255"},
        {"99999999999999999999-1", 0, 0, "'99999999999999999999-1' is out of range", "1 to 255"},
        {"1-99999999999999999999", 0, 0, "'1-99999999999999999999' is out of range", "1 to 255"},
        {"", 0, 0, "nothing is not a whole number", "1 to 255"},
        {"-", 0, 0, "'-' is not a whole number", "1 to 255"},
        {"one", 0, 0, "'one' is not a whole number", "1 to 255"},
        {"1-", 0, 0, "'1-' is not a range of exit codes", "1 to 255"},
        {"1--3", 0, 0, "'1--3' is not a range of exit codes", "1 to 255"},
        {"1-2-3", 0, 0, "'1-2-3' is not a range of exit codes", "1 to 255"},
        {"1 - 3", 0, 0, "'1 - 3' is not a range of exit codes", "1 to 255"},
        {"x-1", 0, 0, "'x-1' is not a range of exit codes", "1 to 255"},
        {"01", 0, 0, "'01' has a leading zero", "1 to 255"},
        {"3-03", 0, 0, "'3-03' has a leading zero", "1 to 255"},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        uint64_t first = 0, last = 0;
        ValueError error = {0};
        int r = value_exit_codes(cases[i].in, &first, &last, &error);
        if (first != cases[i].first || last != cases[i].last || (r == 0) != (cases[i].first > 0))
            fail_msg("%s: %d, %u to %u", cases[i].in, r, (unsigned)first, (unsigned)last);
        if (r == 0)
            continue;
        check_error(cases[i].in, r, &error);
        assert_string_equal(error.why, cases[i].why);
        if (!strstr(error.hint, cases[i].hint))
            fail_msg("%s: %s", cases[i].in, error.hint);
        assert_int_equal(value_exit_codes(cases[i].in, &first, &last, NULL), r);
    }
}

static void test_words(void **state) {
    (void)state;
    static const struct {
        const char *in;
        const char *words[6];
    } cases[] = {
        {"cat", {"cat"}},
        {"  cat  -n\t-v\n", {"cat", "-n", "-v"}},
        {"rsync --daemon --no-detach", {"rsync", "--daemon", "--no-detach"}},
        {"a 'b c' \"d e\"", {"a", "b c", "d e"}},
        {"a'b'\"c\"d", {"abcd"}},
        {"a ''", {"a", ""}},
        {"a \"\" b", {"a", "", "b"}},
        {"a '\\n\"$x`'", {"a", "\\n\"$x`"}},
        {"a \"\\n\\\"\\\\\\$\\`\"", {"a", "\\n\"\\$`"}},
        {"a\\ b c\\'", {"a b", "c'"}},
        {"a \\\n b", {"a", "b"}},
        {"a\\\nb", {"ab"}},
        {"a \"b\\\nc\"", {"a", "bc"}},
        {"\\\na", {"a"}},
        {"a $HOME *.c ; | > & # ~ (x)", {NULL}},
        {"sh -c 'echo $HOME; ls | wc'", {"sh", "-c", "echo $HOME; ls | wc"}},
        {"ü 'ß'", {"ü", "ß"}},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        CLEANUP_STRV char **words = NULL;
        ValueError error = {0};
        if (value_words(cases[i].in, &words, &error) != 0)
            fail_msg("%s: %s", cases[i].in, error.why);
        if (!cases[i].words[0]) {
            assert_int_equal(strv_length(words), 10);
            assert_string_equal(words[1], "$HOME");
            continue;
        }
        size_t n = 0;
        for (; cases[i].words[n]; n++)
            assert_string_equal(words[n] ? words[n] : "(none)", cases[i].words[n]);
        assert_int_equal(strv_length(words), n);
        CLEANUP_TEXT Text out = {0};
        CLEANUP_STRV char **back = NULL;
        value_words_format(words, &out);
        assert_int_equal(value_words(out.s, &back, NULL), 0);
        assert_true(strv_equal(words, back));
    }
}

static void test_words_refused(void **state) {
    (void)state;
    static const struct {
        const char *in, *why;
    } cases[] = {
        {"", "there are no words in it"},
        {" \n\t", "there are no words in it"},
        {"'' a", "the first word, the program, is empty"},
        {"a 'b", "the ' at character 3 is never closed"},
        {"a \"b", "the \" at character 3 is never closed"},
        {"a \"b\\\"", "the \" at character 3 is never closed"},
        {"ü 'b", "the ' at character 3 is never closed"},
        {"a\\", "the backslash at the end quotes nothing"},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        char **words = NULL;
        ValueError error = {0};
        assert_int_equal(value_words(cases[i].in, &words, &error), -EINVAL);
        assert_null(words);
        assert_string_equal(error.why, cases[i].why);
    }
    CLEANUP_TEXT Text many = {0};
    for (size_t i = 0; i < VALUE_WORDS_MAX; i++)
        text_add(&many, "x ");
    CLEANUP_STRV char **words = NULL;
    assert_int_equal(value_words(many.s, &words, NULL), 0);
    assert_int_equal(strv_length(words), VALUE_WORDS_MAX);
    text_add(&many, "x");
    char **more = NULL;
    assert_int_equal(value_words(many.s, &more, NULL), -ERANGE);
}

/* What is long or wild is cut and escaped in messages. */
static void test_messages(void **state) {
    (void)state;
    char in[2000];
    for (size_t i = 0; i < sizeof(in) - 1; i++)
        in[i] = (char)(1 + i % 255);
    in[sizeof(in) - 1] = '\0';
    ValueError error = {0};
    assert_int_equal(value_bool(in, &(bool){false}, &error), -EINVAL);
    for (const char *p = error.why; *p; p++)
        assert_true((unsigned char)*p >= 0x20 && *p != 0x7f);
    assert_true(utf8_valid(error.why, strlen(error.why)));
    assert_non_null(strstr(error.why, "…' is neither"));
    memset(in, '5', sizeof(in) - 1);
    assert_int_equal(value_rate(in, &(Rate){0}, &error), -ERANGE);
    assert_int_equal(value_duration(in, 0, 1, false, &(uint64_t){0}, &error), -ERANGE);
    assert_int_equal(value_unsigned(in, 0, 1, &(uint64_t){0}, &error), -ERANGE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bool),
        cmocka_unit_test(test_unsigned),
        cmocka_unit_test(test_signed),
        cmocka_unit_test(test_number),
        cmocka_unit_test(test_mode),
        cmocka_unit_test(test_duration),
        cmocka_unit_test(test_duration_refused),
        cmocka_unit_test(test_duration_format),
        cmocka_unit_test(test_size),
        cmocka_unit_test(test_size_format),
        cmocka_unit_test(test_rate),
        cmocka_unit_test(test_signal),
        cmocka_unit_test(test_io_priority),
        cmocka_unit_test(test_cpus),
        cmocka_unit_test(test_exit_codes),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_words_refused),
        cmocka_unit_test(test_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

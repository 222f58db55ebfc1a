/* SPDX-License-Identifier: MIT */
#include "services/replies.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/base/cleanup.h"

static void test_chargen_lines(void **state) {
    (void)state;
    unsigned char buf[3 * CHARGEN_LINE];
    chargen_fill(0, buf, sizeof(buf));
    assert_memory_equal(buf, " !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefg\r\n",
                        CHARGEN_LINE);
    assert_memory_equal(buf + CHARGEN_LINE,
                        "!\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefgh\r\n",
                        CHARGEN_LINE);
    /* '~' is the last one, and ' ' follows it. */
    unsigned char wrapped[CHARGEN_LINE];
    chargen_fill(94ULL * CHARGEN_LINE, wrapped, sizeof(wrapped));
    assert_memory_equal(wrapped, "~ !\"", 4);
    assert_memory_equal(wrapped + 72, "\r\n", 2);
}

/* However it is cut into pieces, it is one pattern, that begins anew after 95 lines. */
static void test_chargen_pieces(void **state) {
    (void)state;
    enum {
        PERIOD = 95 * CHARGEN_LINE
    };
    static unsigned char whole[2 * PERIOD], pieces[2 * PERIOD];
    chargen_fill(0, whole, sizeof(whole));
    assert_memory_equal(whole, whole + PERIOD, PERIOD);
    static const size_t sizes[] = {1, 2, 71, 72, 73, 74, 75, 512, 4096};
    for (size_t s = 0; s < ELEMENTS(sizes); s++) {
        memset(pieces, 0, sizeof(pieces));
        for (size_t at = 0; at < sizeof(pieces); at += sizes[s]) {
            size_t left = sizeof(pieces) - at;
            chargen_fill(at, pieces + at, left < sizes[s] ? left : sizes[s]);
        }
        assert_memory_equal(pieces, whole, sizeof(whole));
    }
    for (size_t i = 0; i < PERIOD; i++)
        assert_true((whole[i] >= ' ' && whole[i] <= '~') || whole[i] == '\r' || whole[i] == '\n');
}

static void test_chargen_far(void **state) {
    (void)state;
    unsigned char far[CHARGEN_LINE], near[CHARGEN_LINE];
    uint64_t period = 95ULL * CHARGEN_LINE;
    uint64_t offset = UINT64_MAX / period * period - period;
    chargen_fill(offset, far, sizeof(far));
    chargen_fill(0, near, sizeof(near));
    assert_memory_equal(far, near, sizeof(near));
    unsigned char untouched = 'x';
    chargen_fill(3, &untouched, 0);
    assert_int_equal(untouched, 'x');
}

typedef struct DaytimeCase {
    struct tm tm;
    const char *expected;
} DaytimeCase;

static const DaytimeCase daytimes[] = {
    {{.tm_year = 126, .tm_mon = 10, .tm_mday = 21, .tm_wday = 6, .tm_hour = 4, .tm_min = 5, .tm_sec = 6},
     "Sat Nov 21 04:05:06 2026\r\n"},
    {{.tm_year = 70, .tm_mon = 0, .tm_mday = 1, .tm_wday = 4}, "Thu Jan  1 00:00:00 1970\r\n"},
    {{.tm_year = 116, .tm_mon = 11, .tm_mday = 31, .tm_wday = 6, .tm_hour = 23, .tm_min = 59, .tm_sec = 60},
     "Sat Dec 31 23:59:60 2016\r\n"},
    {{.tm_year = 10000 - 1900, .tm_mon = 1, .tm_mday = 29, .tm_wday = 2}, "Tue Feb 29 00:00:00 10000\r\n"},
};

static void test_daytime(void **state) {
    (void)state;
    for (size_t i = 0; i < ELEMENTS(daytimes); i++) {
        char buf[DAYTIME_MAX];
        size_t n = daytime_format(&daytimes[i].tm, buf);
        assert_int_equal(n, strlen(daytimes[i].expected));
        assert_memory_equal(buf, daytimes[i].expected, n);
    }
}

typedef struct TimeCase {
    time_t now;
    unsigned char expected[TIME_LENGTH];
} TimeCase;

/* The first three are RFC 868's own examples: 1970-01-01, 1976-01-01, 1980-01-01. */
static const TimeCase times[] = {
    {0, {0x83, 0xaa, 0x7e, 0x80}},          {189302400, {0x8e, 0xf3, 0x05, 0x00}},
    {315532800, {0x96, 0x79, 0x24, 0x80}},  {-2208988800, {0, 0, 0, 0}},
    {2085978495, {0xff, 0xff, 0xff, 0xff}}, {2085978496, {0, 0, 0, 0}},
};

static void test_time(void **state) {
    (void)state;
    for (size_t i = 0; i < ELEMENTS(times); i++) {
        unsigned char buf[TIME_LENGTH];
        time_encode(times[i].now, buf);
        assert_memory_equal(buf, times[i].expected, TIME_LENGTH);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chargen_lines), cmocka_unit_test(test_chargen_pieces),
        cmocka_unit_test(test_chargen_far),   cmocka_unit_test(test_daytime),
        cmocka_unit_test(test_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Values with units: durations, sizes, rates. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "conf/value-scan.h"
#include "conf/value.h"
#include "daemon/base/clock.h"

#define MINUTE (60 * USEC_PER_SEC)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)

static const struct {
    const char *name;
    uint64_t usec;
} time_units[] = {
    {"us", 1},
    {"usec", 1},
    {"µs", 1}, /* U+00B5 */
    {"μs", 1}, /* U+03BC */
    {"ms", USEC_PER_MSEC},
    {"msec", USEC_PER_MSEC},
    {"s", USEC_PER_SEC},
    {"sec", USEC_PER_SEC},
    {"second", USEC_PER_SEC},
    {"seconds", USEC_PER_SEC},
    {"m", MINUTE},
    {"min", MINUTE},
    {"minute", MINUTE},
    {"minutes", MINUTE},
    {"h", HOUR},
    {"hr", HOUR},
    {"hour", HOUR},
    {"hours", HOUR},
    {"d", DAY},
    {"day", DAY},
    {"days", DAY},
    {"w", 7 * DAY},
    {"week", 7 * DAY},
    {"weeks", 7 * DAY},
};

uint64_t value_time_unit(const char *s, size_t n) {
    for (size_t i = 0; i < ELEMENTS(time_units); i++)
        if (strlen(time_units[i].name) == n && memcmp(time_units[i].name, s, n) == 0)
            return time_units[i].usec;
    return 0;
}

static const char duration_hint[] = "such as 500ms, 10s, 5m, 2h, 1d or 1m30s";

static bool is_blank(char c) {
    return c == ' ' || c == '\t';
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* Length of the unit at @s: up to a digit, a blank or the end. */
static size_t unit_length(const char *s) {
    size_t n = 0;
    while (s[n] && !is_digit(s[n]) && !is_blank(s[n]))
        n++;
    return n;
}

static int fail_unit(ValueError *error, const char *s, uint64_t number, const char *unit, size_t n) {
    char quoted[VALUE_QUOTE_MAX], lower[16];
    value_fail(error, -EINVAL, duration_hint, "%s is not a duration", value_quote(s, quoted));
    if (n == 1 && *unit == 'M') {
        value_hint(error, "for minutes write %" PRIu64 "m", number);
    } else if (n >= 1 && (*unit == '.' || *unit == ',')) {
        value_hint(error, "whole numbers only: 1500ms for 1.5s");
    } else if (n < sizeof(lower)) {
        for (size_t i = 0; i < n; i++)
            lower[i] = unit[i] >= 'A' && unit[i] <= 'Z' ? (char)(unit[i] - 'A' + 'a') : unit[i];
        if (value_time_unit(lower, n) > 0)
            value_hint(error, "units are in lower case: %" PRIu64 "%.*s", number, (int)n, lower);
    }
    return -EINVAL;
}

/* One "5m" of a duration: adds it to @sum. @alone: nothing came before it, so a bare number is seconds. */
static int scan_part(const char **p, const char *s, bool alone, uint64_t *sum, ValueError *error) {
    const char *digits = *p;
    uint64_t number = 0;
    int r = value_scan(p, &number);
    if (r < 0)
        return value_fail_scan(error, r, s, digits, "a duration", duration_hint);
    while (is_blank(**p))
        (*p)++;
    size_t n = unit_length(*p);
    uint64_t unit = n == 0 && **p == '\0' && alone ? USEC_PER_SEC : value_time_unit(*p, n);
    if (unit == 0)
        return fail_unit(error, s, number, *p, n);
    *p += n;
    if (__builtin_mul_overflow(number, unit, &number) || __builtin_add_overflow(*sum, number, sum) ||
        *sum == USEC_INFINITY)
        return value_fail_scan(error, -ERANGE, s, digits, "a duration", NULL);
    while (is_blank(**p))
        (*p)++;
    return 0;
}

static int fail_duration_range(ValueError *error, const char *s, uint64_t min, uint64_t max) {
    CLEANUP_TEXT Text low = {0}, high = {0};
    value_duration_format(min, &low);
    value_duration_format(max, &high);
    if (!text_ok(&low) || !text_ok(&high))
        return value_fail_range(error, s, "", NULL);
    return value_fail_range(error, s, low.s, max == USEC_INFINITY ? NULL : high.s);
}

int value_duration(const char *s, uint64_t min_usec, uint64_t max_usec, bool infinity, uint64_t *ret_usec,
                   ValueError *error) {
    if (streq(s, "infinity")) {
        if (!infinity)
            return value_fail(error, -EINVAL, duration_hint, "there must be an end: 'infinity' does not fit");
        *ret_usec = USEC_INFINITY;
        return 0;
    }
    if (*s == '-' && is_digit(s[1]))
        return fail_duration_range(error, s, min_usec, max_usec);
    const char *p = s;
    uint64_t sum = 0;
    do {
        int r = scan_part(&p, s, p == s, &sum, error);
        if (r < 0)
            return r;
    } while (*p);
    if (sum < min_usec || sum > max_usec)
        return fail_duration_range(error, s, min_usec, max_usec);
    *ret_usec = sum;
    return 0;
}

void value_duration_format(uint64_t usec, Text *out) {
    static const struct {
        const char *name;
        uint64_t usec;
    } units[] = {{"d", DAY},          {"h", HOUR},           {"m", MINUTE},
                 {"s", USEC_PER_SEC}, {"ms", USEC_PER_MSEC}, {"us", 1}};
    if (usec == USEC_INFINITY) {
        text_add(out, "infinity");
        return;
    }
    if (usec == 0)
        text_add(out, "0s");
    for (size_t i = 0; i < ELEMENTS(units); i++) {
        if (usec >= units[i].usec)
            text_addf(out, "%" PRIu64 "%s", usec / units[i].usec, units[i].name);
        usec %= units[i].usec;
    }
}

#define KIB ((uint64_t)1 << 10)
#define MIB ((uint64_t)1 << 20)
#define GIB ((uint64_t)1 << 30)
#define TIB ((uint64_t)1 << 40)

/* What is taken, and what is refused with the right spelling: 64MB may mean either, 64m and 64Mi are other
 * programs'. */
static const struct {
    const char *name;
    uint64_t bytes;
    const char *instead;
} size_units[] = {
    {"", 1, NULL},      {"B", 1, NULL},    {"K", KIB, NULL},   {"KiB", KIB, NULL}, {"M", MIB, NULL},
    {"MiB", MIB, NULL}, {"G", GIB, NULL},  {"GiB", GIB, NULL}, {"T", TIB, NULL},   {"TiB", TIB, NULL},
    {"KB", KIB, "K"},   {"kB", KIB, "K"},  {"MB", MIB, "M"},   {"GB", GIB, "G"},   {"TB", TIB, "T"},
    {"k", KIB, "K"},    {"m", MIB, "M"},   {"g", GIB, "G"},    {"t", TIB, "T"},    {"Ki", KIB, "K"},
    {"Mi", MIB, "M"},   {"Gi", GIB, "G"},  {"Ti", TIB, "T"},   {"kb", KIB, "K"},   {"mb", MIB, "M"},
    {"gb", GIB, "G"},   {"tb", TIB, "T"},  {"b", 1, "B"},      {"kib", KIB, "K"},  {"mib", MIB, "M"},
    {"gib", GIB, "G"},  {"tib", TIB, "T"},
};

static const char size_hint[] = "such as 4096, 64K, 1M or 2G";

static int fail_size_range(ValueError *error, const char *s, uint64_t min, uint64_t max) {
    CLEANUP_TEXT Text low = {0}, high = {0};
    value_size_format(min, &low);
    value_size_format(max, &high);
    if (!text_ok(&low) || !text_ok(&high))
        return value_fail_range(error, s, "", NULL);
    return value_fail_range(error, s, low.s, max == UINT64_MAX ? NULL : high.s);
}

int value_size(const char *s, uint64_t min, uint64_t max, uint64_t *ret, ValueError *error) {
    char quoted[VALUE_QUOTE_MAX];
    const char *p = s;
    uint64_t number = 0, bytes = 0;
    if (*s == '-' && is_digit(s[1]))
        return fail_size_range(error, s, min, max);
    int r = value_scan(&p, &number);
    if (r < 0)
        return value_fail_scan(error, r, s, s, "a size", size_hint);
    for (size_t i = 0; i < ELEMENTS(size_units); i++) {
        if (!streq(size_units[i].name, p))
            continue;
        bool overflow = __builtin_mul_overflow(number, size_units[i].bytes, &bytes);
        if (size_units[i].instead) {
            value_fail(error, -EINVAL, NULL, "%s is not a size: units are K M G T, powers of 1024",
                       value_quote(s, quoted));
            if (!overflow)
                value_hint(error, "write %" PRIu64 "%s (= %" PRIu64 " bytes)", number, size_units[i].instead,
                           bytes);
            return -EINVAL;
        }
        if (overflow)
            return value_fail_scan(error, -ERANGE, s, s, "a size", NULL);
        if (bytes < min || bytes > max)
            return fail_size_range(error, s, min, max);
        *ret = bytes;
        return 0;
    }
    return value_fail_scan(error, -EINVAL, s, s, "a size", size_hint);
}

void value_size_format(uint64_t bytes, Text *out) {
    static const struct {
        const char *name;
        uint64_t bytes;
    } units[] = {{"T", TIB}, {"G", GIB}, {"M", MIB}, {"K", KIB}, {"", 1}};
    size_t i = 0;
    while (units[i].bytes > 1 && (bytes == 0 || bytes % units[i].bytes != 0))
        i++;
    text_addf(out, "%" PRIu64 "%s", bytes / units[i].bytes, units[i].name);
}

static const char rate_hint[] = "such as 50/s, 100/m, 10/10s or 50/s burst 100";

static int fail_rate(ValueError *error, const char *s) {
    char quoted[VALUE_QUOTE_MAX];
    value_fail(error, -EINVAL, rate_hint, "%s is not a rate", value_quote(s, quoted));
    if (*s && s[strspn(s, "0123456789")] == '\0')
        value_hint(error, "in what time? For each second write %.20s/s", s);
    return -EINVAL;
}

/* The "10s" or "m" of a rate. */
static int scan_period(const char *s, const char *period, size_t n, uint64_t *ret, ValueError *error) {
    char copy[32];
    if (n == 0 || n >= sizeof(copy))
        return fail_rate(error, s);
    memcpy(copy, period, n);
    copy[n] = '\0';
    uint64_t usec = is_digit(copy[0]) ? 0 : value_time_unit(copy, n);
    if (usec == 0) {
        ValueError ignored;
        int r = value_duration(copy, 0, USEC_INFINITY - 1, false, &usec, &ignored);
        if (r == -EINVAL)
            return fail_rate(error, s);
        if (r < 0)
            usec = 0; /* past all bounds */
    }
    if (usec < VALUE_RATE_PERIOD_MIN || usec > VALUE_RATE_PERIOD_MAX)
        return value_fail(error, -ERANGE, "a time from 1ms to 366d", "the time of this rate is out of range");
    *ret = usec;
    return 0;
}

/* A count of a rate, at *@p. */
static int scan_count(const char **p, const char *s, uint64_t *ret, ValueError *error) {
    const char *digits = *p;
    uint64_t count = 0;
    int r = value_scan(p, &count);
    if (r == -EINVAL)
        return fail_rate(error, s);
    if (r == -EDOM)
        return value_fail_scan(error, r, s, digits, "a rate", rate_hint);
    if (r < 0 || count < 1 || count > VALUE_RATE_COUNT_MAX)
        return value_fail(error, -ERANGE, "1 to 1000000000", "'%.24s' is out of range in a rate", digits);
    *ret = count;
    return 0;
}

static const char *skip_blanks(const char *p) {
    while (is_blank(*p))
        p++;
    return p;
}

int value_rate(const char *s, Rate *ret, ValueError *error) {
    Rate rate = {0};
    const char *p = s;
    int r = scan_count(&p, s, &rate.count, error);
    if (r < 0)
        return r;
    if (*p != '/')
        return fail_rate(error, s);
    p++;
    size_t n = strcspn(p, " \t");
    r = scan_period(s, p, n, &rate.per_usec, error);
    if (r < 0)
        return r;
    p = skip_blanks(p + n);
    rate.burst = rate.count;
    if (*p) {
        if (!starts_with(p, "burst") || !is_blank(p[5]))
            return fail_rate(error, s);
        p = skip_blanks(p + 5);
        r = scan_count(&p, s, &rate.burst, error);
        if (r < 0)
            return r;
        if (*p)
            return fail_rate(error, s);
    }
    *ret = rate;
    return 0;
}

void value_rate_format(const Rate *rate, Text *out) {
    if (rate->count == 0) {
        text_add(out, "none");
        return;
    }
    text_addf(out, "%" PRIu64 "/", rate->count);
    if (rate->per_usec == USEC_PER_SEC)
        text_add(out, "s");
    else if (rate->per_usec == MINUTE)
        text_add(out, "m");
    else if (rate->per_usec == HOUR)
        text_add(out, "h");
    else if (rate->per_usec == DAY)
        text_add(out, "d");
    else
        value_duration_format(rate->per_usec, out);
    if (rate->burst != rate->count)
        text_addf(out, " burst %" PRIu64, rate->burst);
}

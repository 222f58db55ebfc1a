/* SPDX-License-Identifier: MIT */
#include "conf/value.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "conf/value-scan.h"

const char *value_quote(const char *s, char buf[static VALUE_QUOTE_MAX]) {
    CLEANUP_TEXT Text shown = {0};
    size_t n = strlen(s);
    size_t kept = 0;
    /* 40 characters show what is meant; an escape takes four, so 80 bytes of text are the most that fit. */
    for (size_t characters = 0; kept < n && characters < 40 && shown.len < 80 && text_ok(&shown);
         characters++) {
        size_t len = utf8_next(s + kept, n - kept, NULL);
        len = len ? len : 1;
        text_add_escaped(&shown, s + kept, len);
        kept += len;
    }
    (void)snprintf(buf, VALUE_QUOTE_MAX, "'%s%s'", shown.s && text_ok(&shown) ? shown.s : "",
                   kept < n ? "…" : "");
    return buf;
}

int value_fail(ValueError *error, int result, const char *hint, const char *format, ...) {
    if (!error)
        return result;
    va_list ap;
    va_start(ap, format);
    (void)vsnprintf(error->why, sizeof(error->why), format, ap);
    va_end(ap);
    (void)snprintf(error->hint, sizeof(error->hint), "%s", hint ? hint : "");
    return result;
}

void value_hint(ValueError *error, const char *format, ...) {
    if (!error)
        return;
    va_list ap;
    va_start(ap, format);
    (void)vsnprintf(error->hint, sizeof(error->hint), format, ap);
    va_end(ap);
}

int value_fail_range(ValueError *error, const char *s, const char *min, const char *max) {
    char quoted[VALUE_QUOTE_MAX];
    value_fail(error, -ERANGE, NULL, "%s is out of range", value_quote(s, quoted));
    if (max)
        value_hint(error, "%s to %s", min, max);
    else
        value_hint(error, "at least %s", min);
    return -ERANGE;
}

int value_scan(const char **p, uint64_t *ret) {
    const char *s = *p;
    if (*s < '0' || *s > '9')
        return -EINVAL;
    if (*s == '0' && s[1] >= '0' && s[1] <= '9')
        return -EDOM;
    uint64_t value = 0;
    bool overflow = false;
    for (; *s >= '0' && *s <= '9'; s++)
        overflow = overflow || __builtin_mul_overflow(value, 10, &value) ||
                   __builtin_add_overflow(value, (uint64_t)(*s - '0'), &value);
    *p = s;
    if (overflow)
        return -ERANGE;
    *ret = value;
    return 0;
}

int value_fail_scan(ValueError *error, int r, const char *s, const char *digits, const char *what,
                    const char *hint) {
    char quoted[VALUE_QUOTE_MAX];
    value_quote(s, quoted);
    if (r == -EDOM) {
        value_fail(error, -EINVAL, NULL, "%s has a leading zero", quoted);
        while (*digits == '0' && digits[1] >= '0' && digits[1] <= '9')
            digits++;
        value_hint(error, "numbers are decimal: write %.*s", (int)strspn(digits, "0123456789"), digits);
        return -EINVAL;
    }
    if (r == -ERANGE)
        return value_fail(error, -ERANGE, hint, "%s is too large", quoted);
    if (*s == '\0')
        return value_fail(error, -EINVAL, hint, "nothing is not %s", what);
    return value_fail(error, -EINVAL, hint, "%s is not %s", quoted, what);
}

int value_bool(const char *s, bool *ret, ValueError *error) {
    static const struct {
        const char *word;
        bool value;
    } words[] = {{"true", true}, {"false", false}, {"yes", true},
                 {"no", false},  {"on", true},     {"off", false}};
    for (size_t i = 0; i < ELEMENTS(words); i++) {
        if (streq(s, words[i].word)) {
            *ret = words[i].value;
            return 0;
        }
    }
    char quoted[VALUE_QUOTE_MAX];
    return value_fail(error, -EINVAL, "write true or false", "%s is neither true nor false",
                      value_quote(s, quoted));
}

static const char whole_number[] = "a whole number";
static const char whole_number_hint[] = "write it in decimal digits";

int value_unsigned(const char *s, uint64_t min, uint64_t max, uint64_t *ret, ValueError *error) {
    char low[24], high[24];
    (void)snprintf(low, sizeof(low), "%" PRIu64, min);
    (void)snprintf(high, sizeof(high), "%" PRIu64, max);
    const char *bound = max == UINT64_MAX ? NULL : high;
    const char *p = s;
    uint64_t value = 0;
    if (*p == '-' && p[1] >= '0' && p[1] <= '9' && p[1 + strspn(p + 1, "0123456789")] == '\0')
        return value_fail_range(error, s, low, bound);
    int r = value_scan(&p, &value);
    if (r == 0 && *p != '\0')
        r = -EINVAL;
    if (r == -ERANGE && *p == '\0')
        return value_fail_range(error, s, low, high);
    if (r < 0)
        return value_fail_scan(error, r == -ERANGE ? -EINVAL : r, s, s, whole_number, whole_number_hint);
    if (value < min || value > max)
        return value_fail_range(error, s, low, bound);
    *ret = value;
    return 0;
}

int value_signed(const char *s, int64_t min, int64_t max, int64_t *ret, ValueError *error) {
    char low[24], high[24];
    (void)snprintf(low, sizeof(low), "%" PRId64, min);
    (void)snprintf(high, sizeof(high), "%" PRId64, max);
    bool negative = *s == '-';
    const char *p = s + (negative ? 1 : 0);
    uint64_t size = 0;
    int r = value_scan(&p, &size);
    if (r == -EDOM || r == -EINVAL || *p != '\0')
        return value_fail_scan(error, r == -EDOM ? r : -EINVAL, s, s + (negative ? 1 : 0), whole_number,
                               whole_number_hint);
    /* The least number has no positive counterpart. */
    uint64_t most = negative ? (uint64_t)INT64_MAX + 1 : (uint64_t)INT64_MAX;
    if (r == -ERANGE || size > most)
        return value_fail_range(error, s, low, high);
    int64_t value = negative ? (int64_t)(-size) : (int64_t)size;
    if (value < min || value > max)
        return value_fail_range(error, s, low, high);
    *ret = value;
    return 0;
}

#define MILLION 1000000U

int value_number(const char *s, uint64_t max, uint64_t *ret_millionths, ValueError *error) {
    static const char hint[] = "such as 8 or 8.5";
    const char *p = s;
    uint64_t value = 0, fraction = 0;
    int r = value_scan(&p, &value);
    if (r == 0 && *p == '.') {
        uint64_t unit = MILLION;
        for (p++; *p >= '0' && *p <= '9' && unit > 1; p++) {
            unit /= 10;
            fraction += (uint64_t)(*p - '0') * unit;
        }
        r = unit == MILLION ? -EINVAL : 0;
    }
    if (r == 0 && *p != '\0')
        r = -EINVAL;
    if (r < 0)
        return value_fail_scan(error, r, s, s, "a number", hint);
    uint64_t millionths;
    if (__builtin_mul_overflow(value, (uint64_t)MILLION, &millionths) ||
        __builtin_add_overflow(millionths, fraction, &millionths) || value > max ||
        (value == max && fraction > 0)) {
        char high[24];
        (void)snprintf(high, sizeof(high), "%" PRIu64, max);
        return value_fail_range(error, s, "0", high);
    }
    *ret_millionths = millionths;
    return 0;
}

void value_number_format(uint64_t millionths, Text *out) {
    char fraction[8];
    int n = snprintf(fraction, sizeof(fraction), "%06u", (unsigned)(millionths % MILLION));
    while (n > 0 && fraction[n - 1] == '0')
        fraction[--n] = '\0';
    text_addf(out, "%" PRIu64 "%s%s", millionths / MILLION, n > 0 ? "." : "", fraction);
}

int value_mode(const char *s, mode_t max, mode_t *ret, ValueError *error) {
    char quoted[VALUE_QUOTE_MAX];
    const char *digits = starts_with(s, "0o") ? s + 2 : s;
    size_t n = strspn(digits, "01234567");
    if (n == 0 || digits[n] != '\0')
        return value_fail(error, -EINVAL, "four octal digits in quotes, such as \"0660\"",
                          "%s is not a mode in octal", value_quote(s, quoted));
    mode_t value = 0;
    for (const char *p = digits; *p && value <= max; p++)
        value = value * 8 + (mode_t)(*p - '0');
    if (value > max) {
        char high[16];
        (void)snprintf(high, sizeof(high), "%04o", (unsigned)max);
        return value_fail_range(error, s, "0000", high);
    }
    *ret = value;
    return 0;
}

void value_mode_format(mode_t mode, Text *out) {
    text_addf(out, "%04o", (unsigned)mode);
}

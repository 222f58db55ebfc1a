/* SPDX-License-Identifier: MIT */
#pragma once
/* What the decoders of conf/value.h share: scanning digits, and writing down what is wrong. */
#include <stddef.h>
#include <stdint.h>

#include "conf/value.h"

#define VALUE_QUOTE_MAX 100

/* @s in quotes, escaped and cut to what fits a message: 'abc…'. Returns @buf. */
const char *value_quote(const char *s, char buf[static VALUE_QUOTE_MAX]);
/* Fills @error (may be NULL) and returns @result. @hint may be NULL. */
int value_fail(ValueError *error, int result, const char *hint, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* The same with a hint that is put together. */
void value_hint(ValueError *error, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* value_fail(-ERANGE) for @s, with the bounds as text. */
int value_fail_range(ValueError *error, const char *s, const char *min, const char *max);

/* Reads the digits at *@p and moves *@p behind them. Returns 0; -EINVAL when there are none, -EDOM for a
 * leading zero (*@p stays), -ERANGE past 64 bits. */
int value_scan(const char **p, uint64_t *ret);
/* value_fail() for what value_scan() returned on the way through @s. @what: "a whole number". */
int value_fail_scan(ValueError *error, int r, const char *s, const char *digits, const char *what,
                    const char *hint);

/* Microseconds of a unit of time named by the @n bytes at @s ("s", "min"), or 0. */
uint64_t value_time_unit(const char *s, size_t n);

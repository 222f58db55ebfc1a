/* SPDX-License-Identifier: MIT */
#pragma once
/* Values as text, and back: durations, sizes, rates and the like as people write them in a config. Pure;
 * every decoder reads all of @s, never guesses and never rounds. They return 0; or -EINVAL when @s is no such
 * value and -ERANGE when it is one out of bounds, with the reason in @error (may be NULL) and *@ret
 * untouched. Formatters append text that decodes to the same value. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "conf/config.h"
#include "daemon/base/text.h"

/* What is wrong, as a message without the key ("'5M' is not a duration"), and what to write instead ("for 5
 * minutes write 5m", or ""). Already escaped for showing. */
typedef struct ValueError {
    char why[192];
    char hint[192];
} ValueError;

/* true false yes no on off, in lower case. */
int value_bool(const char *s, bool *ret, ValueError *error);
/* Decimal numbers without a leading zero, from @min to @max. */
int value_unsigned(const char *s, uint64_t min, uint64_t max, uint64_t *ret, ValueError *error);
int value_signed(const char *s, int64_t min, int64_t max, int64_t *ret, ValueError *error);
/* A decimal number with at most six digits after the point, "8" or "8.5", from 0 to @max; in millionths. */
int value_number(const char *s, uint64_t max, uint64_t *ret_millionths, ValueError *error);
/* Octal: "0660", "660", "0o660", up to @max (07777, 0777). */
int value_mode(const char *s, mode_t max, mode_t *ret, ValueError *error);

/* Microseconds. "500ms", "1m30s", "2 min", a bare number is seconds. "infinity" gives USEC_INFINITY if
 * @infinity, whatever the bounds; what takes other words for it ("none") looks for them first. */
int value_duration(const char *s, uint64_t min_usec, uint64_t max_usec, bool infinity, uint64_t *ret_usec,
                   ValueError *error);
/* Bytes: "4096", "64K", "64KiB", up to T. */
int value_size(const char *s, uint64_t min, uint64_t max, uint64_t *ret, ValueError *error);
#define VALUE_RATE_COUNT_MAX 1000000000U
#define VALUE_RATE_PERIOD_MIN 1000U                              /* 1ms */
#define VALUE_RATE_PERIOD_MAX ((uint64_t)366 * 86400 * 1000000U) /* 366d */
/* "50/s", "100/m", "10/10s", "50/s burst 100"; without a burst it is the count. The counts are 1 at least. */
int value_rate(const char *s, Rate *ret, ValueError *error);

/* "TERM", "SIGTERM", "sigterm", "15", "RTMIN+3": 1 to SIGRTMAX. */
int value_signal(const char *s, int *ret, ValueError *error);
/* "realtime:0".."realtime:7", "best-effort:0"…, "best-effort" (4), "idle"; as ioprio_set(2) takes it. */
int value_io_priority(const char *s, int *ret, ValueError *error);
#define VALUE_CPUS_MAX 1024
/* "0-3,8": processors below VALUE_CPUS_MAX, at least one. */
int value_cpus(const char *s, uint64_t ret[static VALUE_CPUS_MAX / 64], ValueError *error);

/* "1" or "64-78": exit codes that are failures, 1 to 255. */
int value_exit_codes(const char *s, uint64_t *ret_first, uint64_t *ret_last, ValueError *error);

/* "50%" of one processor, or a number of them, "1.5", from @min to @max; in thousandths of one, as fine as a
 * tenth of a percent. */
int value_processors(const char *s, uint64_t min, uint64_t max, uint64_t *ret, ValueError *error);

#define VALUE_WORDS_MAX 4096
/* Splits @s into words as a shell would: blanks separate, '…' holds anything, in "…" a backslash quotes " \ $
 * ` and a newline, elsewhere any character. Nothing else means anything. The caller frees with strv_free().
 * No words, or an empty first one, are an error. Also -ENOMEM. */
int value_words(const char *s, char ***ret, ValueError *error);

void value_duration_format(uint64_t usec, Text *out); /* "1m30s", "0s", "infinity" */
void value_size_format(uint64_t bytes, Text *out);    /* "64M" */
void value_rate_format(const Rate *rate, Text *out);  /* "50/s burst 100"; count 0: "none" */
void value_mode_format(mode_t mode, Text *out);       /* "0660", without quotes */
void value_number_format(uint64_t millionths, Text *out);
void value_signal_format(int number, Text *out); /* "SIGTERM" */
void value_io_priority_format(int value, Text *out);
void value_cpus_format(const uint64_t cpus[static VALUE_CPUS_MAX / 64], Text *out);
void value_processors_format(uint64_t thousandths, Text *out); /* "150%" */
/* One string that value_words() splits into @words again. */
void value_words_format(char *const *words, Text *out);

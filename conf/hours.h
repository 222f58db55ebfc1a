/* SPDX-License-Identifier: MIT */
#pragma once
/* Hours of the week, in local time: "Mon-Fri 08:00-18:00", "22:00-06:00" (over midnight, belonging to the day
 * on which it begins), "Sat,Sun", "Mon 00:00-24:00". The end is not part of it. What the clock shows counts:
 * an hour that summer time leaves out is not there, one that comes twice counts twice. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define HOURS_MINUTES_A_WEEK (7 * 24 * 60)

typedef struct Hours {
    uint64_t open[(HOURS_MINUTES_A_WEEK + 63) / 64]; /* a bit for each minute from Monday 00:00 */
} Hours;

/* Adds what @s says. 0, or -EINVAL with @ret_why, a static text. */
int hours_add(Hours *h, const char *s, const char **ret_why);
/* Whether it is always open. */
bool hours_always(const Hours *h);
/* By the local time zone, localtime_r(3). NULL: always. */
bool hours_open_at(const Hours *h, time_t t);
/* When it opens or closes next after @t; (time_t)-1 when it never does. */
time_t hours_next_change(const Hours *h, time_t t);

/* SPDX-License-Identifier: MIT */
#include "conf/hours.h"

#include <errno.h>
#include <strings.h>

#include "daemon/base/text.h"

#define MINUTES_A_DAY (24 * 60)
#define SECONDS_A_DAY ((time_t)86400)
/* A change may fall into an hour that summer time leaves out, and come a week later. */
#define SEARCH_DAYS 22

static const char *const days[] = {"monday", "tuesday",  "wednesday", "thursday",
                                   "friday", "saturday", "sunday"};

static void skip_blanks(const char **s) {
    while (**s == ' ' || **s == '\t')
        (*s)++;
}

/* "Mon", "monday". The day from 0 on, or -EINVAL. */
static int scan_day(const char **s) {
    size_t n = 0;
    while (((*s)[n] >= 'a' && (*s)[n] <= 'z') || ((*s)[n] >= 'A' && (*s)[n] <= 'Z'))
        n++;
    for (int i = 0; i < (int)ELEMENTS(days) && n >= 3; i++) {
        bool whole = n > 3;
        if (strncasecmp(*s, days[i], n) != 0 || (whole && days[i][n] != '\0'))
            continue;
        *s += n;
        return i;
    }
    return -EINVAL;
}

/* "Mon-Fri,Sun": a bit for each day. */
static int scan_days(const char **s, unsigned *ret, const char **ret_why) {
    unsigned set = 0;
    for (;;) {
        skip_blanks(s);
        int first = scan_day(s), last = first;
        if (first >= 0 && **s == '-') {
            (*s)++;
            last = scan_day(s);
        }
        if (first < 0 || last < 0) {
            *ret_why = "days are Mon, Tue, Wed, Thu, Fri, Sat and Sun";
            return -EINVAL;
        }
        for (int day = first;; day = (day + 1) % 7) {
            set |= 1U << day;
            if (day == last)
                break;
        }
        skip_blanks(s);
        if (**s != ',')
            break;
        (*s)++;
    }
    *ret = set;
    return 0;
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* "08:00", up to "24:00": minutes, or -EINVAL. */
static int scan_time(const char **s) {
    int hour = 0, n = 0;
    for (; n < 2 && is_digit(**s); n++)
        hour = hour * 10 + (*(*s)++ - '0');
    if (n == 0 || **s != ':' || !is_digit((*s)[1]) || !is_digit((*s)[2]) || is_digit((*s)[3]))
        return -EINVAL;
    int minute = ((*s)[1] - '0') * 10 + ((*s)[2] - '0');
    *s += 3;
    if (minute > 59 || hour * 60 + minute > MINUTES_A_DAY)
        return -EINVAL;
    return hour * 60 + minute;
}

/* "08:00-18:00"; the end is later than the beginning, by going on to the next day if need be. */
static int scan_span(const char **s, int *ret_from, int *ret_to, const char **ret_why) {
    int from = scan_time(s), to = -1;
    skip_blanks(s);
    if (from >= 0 && **s == '-') {
        (*s)++;
        skip_blanks(s);
        to = scan_time(s);
    }
    if (from < 0 || to < 0) {
        *ret_why = "times are from and to, as in 08:00-18:00, up to 24:00";
        return -EINVAL;
    }
    if (from == to || from == MINUTES_A_DAY) {
        *ret_why = "it has no beginning before its end; for the whole day write 00:00-24:00";
        return -EINVAL;
    }
    *ret_from = from;
    *ret_to = to > from ? to : to + MINUTES_A_DAY;
    return 0;
}

int hours_add(Hours *h, const char *s, const char **ret_why) {
    unsigned set = 0x7f;
    int from = 0, to = MINUTES_A_DAY;
    skip_blanks(&s);
    bool has_days = !is_digit(*s);
    if (has_days && scan_days(&s, &set, ret_why) < 0)
        return -EINVAL;
    skip_blanks(&s);
    if ((*s || !has_days) && scan_span(&s, &from, &to, ret_why) < 0)
        return -EINVAL;
    skip_blanks(&s);
    if (*s) {
        *ret_why = "one span of time in each item of the list";
        return -EINVAL;
    }
    for (int day = 0; day < 7; day++) {
        for (int i = from; i < to && (set & 1U << day) != 0; i++) {
            unsigned minute = (unsigned)(day * MINUTES_A_DAY + i) % HOURS_MINUTES_A_WEEK;
            h->open[minute / 64] |= (uint64_t)1 << (minute % 64);
        }
    }
    return 0;
}

/* East of Greenwich, in seconds. */
static time_t offset_at(time_t t) {
    struct tm tm;
    return localtime_r(&t, &tm) ? tm.tm_gmtoff : 0;
}

/* Where the second @t of a clock @offset seconds ahead of UTC lies in its week: seconds from Monday 00:00. */
static time_t second_of_week(time_t t, time_t offset) {
    const time_t week = 7 * SECONDS_A_DAY;
    /* 1970 began on a Thursday. */
    time_t second = (t % week + offset + 3 * SECONDS_A_DAY) % week;
    return second < 0 ? second + week : second;
}

static bool is_open(const Hours *h, time_t minute) {
    return (h->open[minute / 64] >> (minute % 64) & 1) != 0;
}

static bool open_with(const Hours *h, time_t t, time_t offset) {
    return is_open(h, second_of_week(t, offset) / 60);
}

bool hours_always(const Hours *h) {
    for (int minute = 0; minute < HOURS_MINUTES_A_WEEK; minute++)
        if (!is_open(h, minute))
            return false;
    return true;
}

bool hours_open_at(const Hours *h, time_t t) {
    return !h || open_with(h, t, offset_at(t));
}

/* The first second of (@from, @to] with another offset than @from has, given that @to has one. */
static time_t find_jump(time_t from, time_t to, time_t offset) {
    while (to - from > 1) {
        time_t middle = from + (to - from) / 2;
        if (offset_at(middle) == offset)
            from = middle;
        else
            to = middle;
    }
    return to;
}

/* The first minute of (@from, @to] that is not as @open says, by a clock of one offset; behind @to when there
 * is none. */
static time_t find_change(const Hours *h, time_t from, time_t to, time_t offset, bool open) {
    time_t t = from + 60 - second_of_week(from, offset) % 60;
    while (t <= to && open_with(h, t, offset) == open)
        t += 60;
    return t;
}

time_t hours_next_change(const Hours *h, time_t t) {
    if (!h)
        return (time_t)-1;
    bool open = hours_open_at(h, t);
    const time_t end = t + SEARCH_DAYS * SECONDS_A_DAY;
    while (t < end) {
        /* Offsets do not change twice in six hours. */
        time_t offset = offset_at(t), next = t + SECONDS_A_DAY / 4;
        bool jumps = offset_at(next) != offset;
        if (jumps)
            next = find_jump(t, next, offset);
        time_t last = jumps ? next - 1 : next, change = find_change(h, t, last, offset, open);
        if (change <= last)
            return change;
        if (jumps && hours_open_at(h, next) != open)
            return next;
        t = next;
    }
    return (time_t)-1;
}

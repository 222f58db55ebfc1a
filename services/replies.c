/* SPDX-License-Identifier: MIT */
#include "services/replies.h"

#include <stdio.h>

#define FIRST_PRINTABLE ' '
#define PRINTABLES 95U
#define LINE_CHARS 72U
/* From 1900-01-01 to 1970-01-01, RFC 868. */
#define SECONDS_1900_TO_1970 2208988800ULL

void chargen_fill(uint64_t offset, unsigned char *buf, size_t n) {
    uint64_t line = offset / CHARGEN_LINE;
    unsigned column = (unsigned)(offset % CHARGEN_LINE);
    unsigned first = (unsigned)(line % PRINTABLES);
    for (size_t i = 0; i < n; i++) {
        if (column < LINE_CHARS)
            buf[i] = (unsigned char)(FIRST_PRINTABLE + (first + column) % PRINTABLES);
        else
            buf[i] = column == LINE_CHARS ? '\r' : '\n';
        if (++column == CHARGEN_LINE) {
            column = 0;
            first = (first + 1) % PRINTABLES;
        }
    }
}

size_t daytime_format(const struct tm *tm, char buf[static DAYTIME_MAX]) {
    static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    /* By hand, as strftime(3) speaks the locale's language and asctime(3) overflows beyond the year 9999. */
    int n = snprintf(buf, DAYTIME_MAX, "%s %s %2d %.2d:%.2d:%.2d %d\r\n", days[(unsigned)tm->tm_wday % 7],
                     months[(unsigned)tm->tm_mon % 12], tm->tm_mday, tm->tm_hour, tm->tm_min, tm->tm_sec,
                     tm->tm_year + 1900);
    return n < 0 ? 0 : (size_t)n;
}

void time_encode(time_t now, unsigned char buf[static TIME_LENGTH]) {
    uint32_t seconds = (uint32_t)((uint64_t)now + SECONDS_1900_TO_1970);
    for (unsigned i = 0; i < TIME_LENGTH; i++)
        buf[i] = (unsigned char)(seconds >> (24 - 8 * i));
}

/* SPDX-License-Identifier: MIT */
/* Hours of the week, over midnight and where the clock is put forward or back. */
#include "conf/hours.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/base/text.h"

/* The zones of the test, and their rules for where the data base of zones is not installed. */
static const struct {
    const char *name, *rules;
} zones[] = {
    {"UTC", "UTC0"},
    {"Europe/Berlin", "CET-1CEST,M3.5.0,M10.5.0/3"},
    {"America/New_York", "EST5EDT,M3.2.0,M11.1.0"},
    {"Australia/Lord_Howe", "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0"},
    {"Asia/Kathmandu", "<+0545>-5:45"},
};

static void set_zone(const char *zone) {
    char path[128];
    (void)snprintf(path, sizeof(path), "/usr/share/zoneinfo/%s", zone);
    for (size_t i = 0; i < ELEMENTS(zones) && access(path, R_OK) < 0; i++)
        if (streq(zones[i].name, zone))
            zone = zones[i].rules;
    assert_int_equal(setenv("TZ", zone, 1), 0);
    tzset();
}

/* "Mon-Fri 08:00-18:00; Sat". */
static Hours hours_of(const char *items) {
    Hours h = {0};
    char buf[256], *save = NULL;
    (void)snprintf(buf, sizeof(buf), "%s", items);
    for (char *item = strtok_r(buf, ";", &save); item; item = strtok_r(NULL, ";", &save)) {
        const char *why = NULL;
        if (hours_add(&h, item, &why) < 0)
            fail_msg("'%s': %s", item, why);
    }
    return h;
}

/* "2024-03-31 02:30" UTC. */
static time_t utc(const char *s) {
    struct tm tm = {0};
    const char *end = strptime(s, "%Y-%m-%d %H:%M:%S", &tm);
    if (!end || *end)
        fail_msg("'%s' is not a time", s);
    return timegm(&tm);
}

static void test_refused(void **state) {
    static const char *const items[] = {
        "",
        " ",
        "Mo",
        "Mond",
        "Mon-",
        "-Mon",
        "Mon,",
        "Mon Tue",
        "Mon:Fri",
        "Mon-Fri-Sat",
        "Funday",
        "8-18",
        "08:00",
        "08:00-",
        "08:00-18",
        "08:0-18:00",
        "008:00-18:00",
        "08:00-18:000",
        "08:60-18:00",
        "08:00-24:01",
        "24:00-25:00",
        "24:00-06:00",
        "08:00-08:00",
        "00:00-00:00",
        "24:00-24:00",
        "08:00-12:00,13:00-18:00",
        "08:00-12:00 13:00-18:00",
        "Mon 8am-6pm",
        "08:00-18:00 Mon",
        "-1:00-02:00",
        "08.00-18.00",
    };
    (void)state;
    for (size_t i = 0; i < ELEMENTS(items); i++) {
        Hours h = {0};
        const Hours none = {0};
        const char *why = NULL;
        if (hours_add(&h, items[i], &why) == 0 || !why)
            fail_msg("'%s' is taken", items[i]);
        assert_memory_equal(&h, &none, sizeof(h));
    }
}

/* Which minutes of the week @h is open, "Mon 08:00-18:00 Tue …", a span for each day. */
static void spans(const Hours *h, Text *out) {
    static const char *const names[] = {"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"};
    time_t monday = utc("2024-01-01 00:00:00");
    set_zone("UTC");
    for (int day = 0; day < 7; day++) {
        int from = -1;
        for (int minute = 0; minute <= 1440; minute++) {
            bool open = minute < 1440 && hours_open_at(h, monday + (time_t)(day * 1440 + minute) * 60);
            if (open && from < 0)
                from = minute;
            if (open || from < 0)
                continue;
            text_addf(out, "%s %02d:%02d-%02d:%02d ", names[day], from / 60, from % 60, minute / 60,
                      minute % 60);
            from = -1;
        }
    }
}

static void test_taken(void **state) {
    static const struct {
        const char *items, *spans;
    } weeks[] = {
        {"Mon 08:00-18:00", "Mon 08:00-18:00 "},
        {"mon 8:00 - 18:00", "Mon 08:00-18:00 "},
        {" Monday\t08:00-18:00 ", "Mon 08:00-18:00 "},
        {"Sat", "Sat 00:00-24:00 "},
        {"Sat,Sun 10:00-14:00", "Sat 10:00-14:00 Sun 10:00-14:00 "},
        {"Sat , Sun", "Sat 00:00-24:00 Sun 00:00-24:00 "},
        {"Wed-Fri 00:00-00:01", "Wed 00:00-00:01 Thu 00:00-00:01 Fri 00:00-00:01 "},
        {"Sat-Mon 23:59-24:00", "Mon 23:59-24:00 Sat 23:59-24:00 Sun 23:59-24:00 "},
        {"Mon-Tue,Thu 12:00-13:00", "Mon 12:00-13:00 Tue 12:00-13:00 Thu 12:00-13:00 "},
        /* Over midnight it belongs to the day on which it begins. */
        {"Fri 22:00-06:00", "Fri 22:00-24:00 Sat 00:00-06:00 "},
        {"Sun 22:00-06:00", "Mon 00:00-06:00 Sun 22:00-24:00 "},
        {"Tue 22:00-00:00", "Tue 22:00-24:00 "},
        {"Fri,Sat 22:00-06:00", "Fri 22:00-24:00 Sat 00:00-06:00 Sat 22:00-24:00 Sun 00:00-06:00 "},
        /* Together they are open while one of them is. */
        {"Mon 08:00-12:00;Mon 11:00-13:00", "Mon 08:00-13:00 "},
        {"Mon 08:00-12:00;Mon 13:00-14:00", "Mon 08:00-12:00 Mon 13:00-14:00 "},
        {"Sat;Sat 10:00-11:00", "Sat 00:00-24:00 "},
    };
    (void)state;
    for (size_t i = 0; i < ELEMENTS(weeks); i++) {
        CLEANUP_TEXT Text text = {0};
        const Hours h = hours_of(weeks[i].items);
        spans(&h, &text);
        if (!text.s || !streq(text.s, weeks[i].spans))
            fail_msg("'%s' is %s", weeks[i].items, text.s ? text.s : "never");
    }
}

static void test_always(void **state) {
    const Hours always = hours_of("00:00-24:00"), week = hours_of("Sun-Sat"),
                but_one = hours_of("00:01-24:00"), never = {0}, two = hours_of("06:00-22:00;22:00-06:00");
    (void)state;
    set_zone("Europe/Berlin");
    assert_true(hours_always(&always));
    assert_true(hours_always(&week));
    assert_true(hours_always(&two));
    assert_false(hours_always(&but_one));
    assert_false(hours_always(&never));
    assert_true(hours_open_at(NULL, 0));
    assert_int_equal(hours_next_change(NULL, 0), -1);
    assert_int_equal(hours_next_change(&always, utc("2024-03-30 12:00:00")), -1);
    assert_int_equal(hours_next_change(&never, utc("2024-03-30 12:00:00")), -1);
    assert_false(hours_open_at(&never, utc("2024-03-30 12:00:00")));
}

/* All times are UTC; `change` is the first second after `at` that is otherwise. */
static const struct {
    const char *zone, *items, *at;
    bool open;
    const char *change;
} changes[] = {
    {"UTC", "Mon-Fri 08:00-18:00", "2024-01-01 07:59:59", false, "2024-01-01 08:00:00"},
    {"UTC", "Mon-Fri 08:00-18:00", "2024-01-01 08:00:00", true, "2024-01-01 18:00:00"},
    {"UTC", "Mon-Fri 08:00-18:00", "2024-01-05 18:00:00", false, "2024-01-08 08:00:00"},
    {"UTC", "22:00-06:00", "2024-01-01 23:30:30", true, "2024-01-02 06:00:00"},
    {"UTC", "Sat,Sun", "2024-01-06 12:00:00", true, "2024-01-08 00:00:00"},
    {"UTC", "Mon 00:00-00:01", "2024-01-01 00:01:00", false, "2024-01-08 00:00:00"},
    {"UTC", "Thu", "1970-01-01 00:00:00", true, "1970-01-02 00:00:00"},
    {"UTC", "Wed", "1969-12-31 23:59:00", true, "1970-01-01 00:00:00"},
    /* Winter and summer. */
    {"Europe/Berlin", "08:00-18:00", "2024-01-01 06:59:59", false, "2024-01-01 07:00:00"},
    {"Europe/Berlin", "08:00-18:00", "2024-07-01 06:00:00", true, "2024-07-01 16:00:00"},
    /* 2024-03-31 01:00 UTC: 02:00 becomes 03:00. */
    {"Europe/Berlin", "08:00-18:00", "2024-03-30 17:00:00", false, "2024-03-31 06:00:00"},
    {"Europe/Berlin", "01:30-03:30", "2024-03-31 00:30:00", true, "2024-03-31 01:30:00"},
    {"Europe/Berlin", "01:00-02:30", "2024-03-31 00:59:59", true, "2024-03-31 01:00:00"},
    {"Europe/Berlin", "02:30-04:00", "2024-03-31 00:59:59", false, "2024-03-31 01:00:00"},
    {"Europe/Berlin", "Sun 02:00-03:00", "2024-03-31 00:59:59", false, "2024-04-07 00:00:00"},
    {"Europe/Berlin", "Sun 02:00-03:00", "2024-03-24 02:00:00", false, "2024-04-07 00:00:00"},
    {"Europe/Berlin", "Mon-Sat;Sun 00:00-02:00;Sun 03:00-24:00", "2024-03-30 12:00:00", true,
     "2024-04-07 00:00:00"},
    /* 2024-10-27 01:00 UTC: 03:00 becomes 02:00. */
    {"Europe/Berlin", "02:00-03:00", "2024-10-27 00:00:00", true, "2024-10-27 02:00:00"},
    {"Europe/Berlin", "02:00-02:30", "2024-10-27 00:00:00", true, "2024-10-27 00:30:00"},
    {"Europe/Berlin", "02:00-02:30", "2024-10-27 00:30:00", false, "2024-10-27 01:00:00"},
    {"Europe/Berlin", "02:00-02:30", "2024-10-27 01:00:00", true, "2024-10-27 01:30:00"},
    {"Europe/Berlin", "02:30-04:00", "2024-10-27 00:59:59", true, "2024-10-27 01:00:00"},
    {"Europe/Berlin", "02:30-04:00", "2024-10-27 01:00:00", false, "2024-10-27 01:30:00"},
    {"Europe/Berlin", "22:00-06:00", "2024-10-26 20:00:00", true, "2024-10-27 05:00:00"},
    {"Europe/Berlin", "Sun", "2024-10-26 22:00:00", true, "2024-10-27 23:00:00"},
    /* West of Greenwich; 2024-03-10 07:00 UTC, 2024-11-03 06:00 UTC. */
    {"America/New_York", "08:00-18:00", "2024-03-10 00:00:00", false, "2024-03-10 12:00:00"},
    {"America/New_York", "Sun", "2024-03-10 05:00:00", true, "2024-03-11 04:00:00"},
    {"America/New_York", "Sun", "2024-11-03 04:00:00", true, "2024-11-04 05:00:00"},
    {"America/New_York", "01:00-02:00", "2024-11-03 05:00:00", true, "2024-11-03 07:00:00"},
    {"America/New_York", "02:15-02:45", "2024-03-10 06:59:00", false, "2024-03-11 06:15:00"},
    /* Half an hour: 2024-10-05 15:30 UTC 02:00 becomes 02:30, 2024-04-06 15:00 UTC 02:00 becomes 01:30. */
    {"Australia/Lord_Howe", "02:15-03:00", "2024-10-05 15:29:59", false, "2024-10-05 15:30:00"},
    {"Australia/Lord_Howe", "02:00-02:30", "2024-10-05 15:00:00", false, "2024-10-06 15:00:00"},
    {"Australia/Lord_Howe", "01:30-02:00", "2024-04-06 14:30:00", true, "2024-04-06 15:30:00"},
    {"Australia/Lord_Howe", "01:45-02:00", "2024-04-06 14:45:00", true, "2024-04-06 15:00:00"},
    {"Australia/Lord_Howe", "01:45-02:00", "2024-04-06 15:00:00", false, "2024-04-06 15:15:00"},
    /* No whole hours from Greenwich. */
    {"Asia/Kathmandu", "08:00-18:00", "2024-01-01 00:00:00", false, "2024-01-01 02:15:00"},
};

static void test_changes(void **state) {
    (void)state;
    for (size_t i = 0; i < ELEMENTS(changes); i++) {
        const Hours h = hours_of(changes[i].items);
        set_zone(changes[i].zone);
        time_t at = utc(changes[i].at), next = hours_next_change(&h, at);
        char text[32] = "never";
        struct tm tm;
        (void)strftime(text, sizeof(text), "%F %T", gmtime_r(&next, &tm));
        if (hours_open_at(&h, at) != changes[i].open || next != utc(changes[i].change))
            fail_msg("%s '%s' at %s: %s until %s", changes[i].zone, changes[i].items, changes[i].at,
                     hours_open_at(&h, at) ? "open" : "closed", text);
    }
}

/* Minute by minute through a year, as localtime(3) has it. */
static void test_a_year(void **state) {
    const Hours h = hours_of("Mon-Fri 08:00-18:00;Sat,Sun 01:45-02:20;22:30-00:15");
    (void)state;
    for (size_t i = 0; i < ELEMENTS(zones); i++) {
        set_zone(zones[i].name);
        time_t t = utc("2024-01-01 00:00:00"), end = utc("2025-01-01 00:00:00"), next = 0;
        bool was = !hours_open_at(&h, t);
        for (; t < end; t += 60) {
            struct tm tm;
            assert_non_null(localtime_r(&t, &tm));
            int minute = tm.tm_hour * 60 + tm.tm_min, day = tm.tm_wday;
            bool working = day >= 1 && day <= 5 && minute >= 480 && minute < 1080;
            bool weekend = (day == 0 || day == 6) && minute >= 105 && minute < 140;
            bool open = working || weekend || minute >= 1350 || minute < 15;
            if (open != hours_open_at(&h, t))
                fail_msg("%s at %lld", zones[i].name, (long long)t);
            if (open != was && next != 0 && t != next)
                fail_msg("%s changes at %lld, not at %lld", zones[i].name, (long long)t, (long long)next);
            if (open != was)
                next = hours_next_change(&h, t);
            was = open;
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused), cmocka_unit_test(test_taken),  cmocka_unit_test(test_always),
        cmocka_unit_test(test_changes), cmocka_unit_test(test_a_year),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

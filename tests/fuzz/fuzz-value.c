/* SPDX-License-Identifier: MIT */
/* Any text as a value of each kind and as an endpoint: what is taken is written so that it is taken again,
 * the same. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "conf/endpoint.h"
#include "conf/expand.h"
#include "conf/hours.h"
#include "conf/prefix.h"
#include "conf/suggest.h"
#include "conf/value.h"
#include "daemon/base/clock.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool held) {
    if (!held)
        abort();
}

static void try_units(const char *s) {
    ValueError error;
    uint64_t value = 0, back = 0;
    if (value_duration(s, 0, USEC_INFINITY, true, &value, &error) == 0) {
        CLEANUP_TEXT Text out = {0};
        value_duration_format(value, &out);
        check(value_duration(out.s, 0, USEC_INFINITY, true, &back, NULL) == 0 && back == value);
    }
    if (value_size(s, 0, UINT64_MAX, &value, &error) == 0) {
        CLEANUP_TEXT Text out = {0};
        value_size_format(value, &out);
        check(value_size(out.s, 0, UINT64_MAX, &back, NULL) == 0 && back == value);
    }
    if (value_number(s, UINT32_MAX, &value, &error) == 0) {
        CLEANUP_TEXT Text out = {0};
        value_number_format(value, &out);
        check(value_number(out.s, UINT32_MAX, &back, NULL) == 0 && back == value);
    }
    Rate rate = {0}, again = {0};
    if (value_rate(s, &rate, &error) == 0) {
        CLEANUP_TEXT Text out = {0};
        value_rate_format(&rate, &out);
        check(value_rate(out.s, &again, NULL) == 0);
        check(rate.count == again.count && rate.per_usec == again.per_usec && rate.burst == again.burst);
    }
}

static void try_sets(const char *s) {
    ValueError error;
    uint64_t cpus[VALUE_CPUS_MAX / 64] = {0}, back[VALUE_CPUS_MAX / 64] = {0};
    if (value_cpus(s, cpus, &error) == 0) {
        CLEANUP_TEXT Text out = {0};
        value_cpus_format(cpus, &out);
        check(value_cpus(out.s, back, NULL) == 0 && memcmp(cpus, back, sizeof(cpus)) == 0);
    }
    int number = 0, again = 0;
    if (value_signal(s, &number, &error) == 0) {
        CLEANUP_TEXT Text out = {0};
        value_signal_format(number, &out);
        check(value_signal(out.s, &again, NULL) == 0 && again == number);
    }
    if (value_io_priority(s, &number, &error) == 0) {
        CLEANUP_TEXT Text out = {0};
        value_io_priority_format(number, &out);
        check(value_io_priority(out.s, &again, NULL) == 0 && again == number);
    }
    CLEANUP_STRV char **words = NULL, **words_again = NULL;
    if (value_words(s, &words, &error) == 0) {
        CLEANUP_TEXT Text out = {0};
        value_words_format(words, &out);
        check(value_words(out.s, &words_again, NULL) == 0 && strv_equal(words, words_again));
    }
}

static void try_places_and_times(const char *s) {
    Prefix prefix = {0}, again = {0};
    if (prefix_parse(s, &prefix) == 0) {
        CLEANUP_TEXT Text out = {0};
        prefix_format(&prefix, &out);
        check(text_ok(&out) && prefix_parse(out.s, &again) == 0 && prefix_equal(&prefix, &again));
        Peer first = prefix_first(&prefix);
        check(prefix_has(&prefix, &first));
    }
    Hours h = {0};
    const char *why = NULL;
    if (hours_add(&h, s, &why) < 0) {
        check(why != NULL);
        return;
    }
    const time_t now = 1711843200;
    time_t change = hours_next_change(&h, now);
    check(hours_always(&h) == (change == (time_t)-1));
    if (change != (time_t)-1)
        check(change > now && hours_open_at(&h, change) != hours_open_at(&h, now));
}

static const char *lookup(const char *name, void *userdata) {
    (void)userdata;
    return name[0] == 'A' ? "value" : NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *s = strndup((const char *)data, size);
    if (!s)
        return 0;
    ValueError error;
    (void)value_bool(s, &(bool){false}, &error);
    (void)value_unsigned(s, 1, 100, &(uint64_t){0}, &error);
    (void)value_signed(s, -20, 19, &(int64_t){0}, &error);
    (void)value_mode(s, 07777, &(mode_t){0}, &error);
    try_units(s);
    try_sets(s);
    try_places_and_times(s);
    Endpoint e;
    if (endpoint_parse(s, &e, NULL, NULL) == 0) {
        check(streq(e.text, s));
        (void)endpoint_conflicts(&e, &e);
    }
    CLEANUP_TEXT Text out = {0};
    ExpandError why;
    if (expand(s, lookup, NULL, &out, &why) < 0)
        check(why.begin <= why.end && why.end <= strlen(s));
    (void)suggest_distance(s, "per_source");
    free(s);
    return 0;
}

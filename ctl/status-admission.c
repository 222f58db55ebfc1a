/* SPDX-License-Identifier: MIT */
#include "ctl/status-admission.h"

#include "ctl/fields.h"
#include "ctl/proto/api.h"
#include "ctl/refusals.h"

void format_moment(const Style *s, Text *out, uint64_t time_usec) {
    format_time(s, out, time_usec);
    text_add(out, ", ");
    format_age(out, s->now_usec > time_usec ? s->now_usec - time_usec : 0);
    text_add(out, " ago");
}

void format_until(const Style *s, Text *out, uint64_t time_usec) {
    if (time_usec <= s->now_usec) {
        text_add(out, "now");
        return;
    }
    format_time(s, out, time_usec);
    text_add(out, ", in ");
    api_add_duration(out, time_usec - s->now_usec);
}

static double field_real(const json_t *object, const char *key) {
    return json_number_value(json_object_get(object, key));
}

void waiting_format(const Style *s, const json_t *service, const json_t *limits, Text *out) {
    const json_t *waiting = json_object_get(service, "waiting");
    const char *reason = field_text(waiting, "reason");
    uint64_t until = field_count(waiting, "until_usec");
    if (streq(field_text(service, "state"), "full")) {
        text_addf(out, " (%llu of %llu instances)", (unsigned long long)field_count(service, "active"),
                  (unsigned long long)field_count(service, "instances_limit"));
        return;
    }
    if (!json_is_object(waiting) || !streq(field_text(service, "state"), "throttled"))
        return;
    text_add(out, " (");
    field_show(out, waiting, "reason");
    if (streq(reason, "load") && field_given(limits, "load"))
        text_addf(out, " over %.2f", field_real(limits, "load"));
    if (streq(reason, "rate") && field_given(limits, "rate")) {
        text_addc(out, ' ');
        field_show(out, limits, "rate");
    }
    if (until > 0) {
        text_add(out, ", until ");
        format_until(s, out, until);
    }
    text_addc(out, ')');
}

void waiting_brief(const json_t *service, Text *out) {
    const json_t *waiting = json_object_get(service, "waiting");
    if (!json_is_object(waiting) || !streq(field_text(service, "state"), "throttled"))
        return;
    text_add(out, "by ");
    field_show(out, waiting, "reason");
}

static void add_limit(Text *out, const json_t *limits, const char *key) {
    const json_t *value = json_object_get(limits, key);
    if (!value || json_is_null(value))
        return;
    text_addf(out, ", %s ", key);
    if (json_is_string(value))
        field_show(out, limits, key);
    else if (json_is_integer(value))
        text_addf(out, "%llu", (unsigned long long)field_count(limits, key));
    else
        text_addf(out, "%.2f", json_number_value(value));
}

void limits_format(const json_t *description, Text *out) {
    const json_t *limits = json_object_get(description, "limits"),
                 *prefix = json_object_get(limits, "source_prefix");
    text_addf(out, "instances %llu (%llu in use)", (unsigned long long)field_count(limits, "instances"),
              (unsigned long long)field_count(json_object_get(description, "service"), "active"));
    add_limit(out, limits, "per_source");
    add_limit(out, limits, "rate");
    add_limit(out, limits, "rate_per_source");
    if (field_given(limits, "per_source") || field_given(limits, "rate_per_source"))
        text_addf(out, ", a source is a /%llu or /%llu", (unsigned long long)field_count(prefix, "ipv4"),
                  (unsigned long long)field_count(prefix, "ipv6"));
    add_limit(out, limits, "load");
    if (field_given(description, "load"))
        text_addf(out, " (now %.2f)", field_real(description, "load"));
    text_add(out, ", when full ");
    field_show(out, limits, "when_full");
    text_add(out, ", refuse with ");
    field_show(out, limits, "refuse_with");
}

static void add_item(Text *out, const char *s) {
    text_add(out, out->len > 0 ? "; " : "");
    text_add(out, s);
}

void access_format(const Style *s, const json_t *description, Text *out) {
    const json_t *hours = json_object_get(description, "hours");
    uint64_t rules = field_count(description, "access_rules"), bans = field_count(description, "bans");
    if (rules > 0) {
        format_number(out, rules);
        text_add(out, rules == 1 ? " rule" : " rules");
    }
    if (json_is_object(hours)) {
        add_item(out, json_is_true(json_object_get(hours, "open")) ? "open" : "closed by access.hours");
        if (field_given(hours, "until_usec")) {
            text_add(out, " until ");
            format_until(s, out, field_count(hours, "until_usec"));
        }
    }
    if (bans > 0) {
        add_item(out, "");
        format_number(out, bans);
        text_add(out, bans == 1 ? " ban (mpctl bans)" : " bans (mpctl bans)");
    }
}

/* Sources. */

static void format_count(Text *out, const json_t *object, const char *key) {
    if (json_is_integer(json_object_get(object, key)))
        format_number(out, field_count(object, key));
    else
        field_show(out, object, key);
}

static size_t shown_columns(const json_t *object, const char *key) {
    CLEANUP_TEXT Text text = {0};
    format_count(&text, object, key);
    return text.s ? utf8_columns(text.s) : 0;
}

static size_t widest(const json_t *const *rows, size_t n, const char *key) {
    size_t width = 0;
    for (size_t i = 0; i < n; i++) {
        size_t columns = shown_columns(rows[i], key);
        width = columns > width ? columns : width;
    }
    return width;
}

/* Numbers stand at the right. */
static void add_cell(Text *out, const json_t *const *rows, size_t n, const json_t *row, const char *key) {
    bool number = json_is_integer(json_object_get(row, key));
    int pad = (int)(widest(rows, n, key) - shown_columns(row, key));
    text_addf(out, "%*s", number ? pad : 0, "");
    format_count(out, row, key);
    text_addf(out, "%*s", number ? 0 : pad, "");
}

/* "banned until 17:02:09, in 3h 0m; last by access at 11:10:41, 3h 0m ago", and when it would be served. */
static void add_why(const Style *s, Text *out, const json_t *source) {
    uint64_t until = field_count(source, "until_usec");
    bool banned = json_is_true(json_object_get(source, "banned"));
    if (banned) {
        text_add(out, "banned until ");
        format_until(s, out, until);
        text_add(out, "; ");
    }
    text_add(out, "last by ");
    field_show(out, source, "reason");
    text_add(out, " at ");
    format_moment(s, out, field_count(source, "last_time_usec"));
    if (!banned && until > s->now_usec) {
        text_add(out, "; served again at ");
        format_until(s, out, until);
    }
}

size_t sources_refused(const Style *s, const json_t *sources, Text lines[static SOURCE_LINES_MAX]) {
    const json_t *rows[SOURCE_LINES_MAX];
    size_t n = 0;
    for (size_t i = 0; i < json_array_size(sources) && n < SOURCE_LINES_MAX; i++)
        if (field_given(json_array_get(sources, i), "reason"))
            rows[n++] = json_array_get(sources, i);
    for (size_t i = 0; i < n; i++) {
        add_cell(&lines[i], rows, n, rows[i], "source");
        text_add(&lines[i], "  ");
        add_cell(&lines[i], rows, n, rows[i], "refused");
        text_add(&lines[i], "  ");
        add_why(s, &lines[i], rows[i]);
    }
    return n;
}

static int compare_accepted(const void *a, const void *b) {
    const json_t *const *x = a, *const *y = b;
    uint64_t m = field_count(*x, "accepted"), n = field_count(*y, "accepted");
    return m < n ? 1 : m > n ? -1 : 0;
}

size_t sources_seen(const Style *s, const json_t *sources, Text lines[static SOURCE_LINES_MAX]) {
    size_t n = 0, most = json_array_size(sources);
    const json_t **rows CLEANUP_FREE = (const json_t **)calloc(most + 1, sizeof(json_t *));
    for (size_t i = 0; rows && i < most; i++)
        if (field_count(json_array_get(sources, i), "accepted") > 0 &&
            field_given(json_array_get(sources, i), "first_time_usec"))
            rows[n++] = json_array_get(sources, i);
    if (n > 1)
        qsort((void *)rows, n, sizeof(json_t *), compare_accepted);
    n = n < SOURCE_LINES_MAX ? n : SOURCE_LINES_MAX;
    for (size_t i = 0; i < n; i++) {
        uint64_t first = field_count(rows[i], "first_time_usec");
        add_cell(&lines[i], rows, n, rows[i], "source");
        text_add(&lines[i], "  ");
        add_cell(&lines[i], rows, n, rows[i], "active");
        text_add(&lines[i], " now, ");
        add_cell(&lines[i], rows, n, rows[i], "accepted");
        text_add(&lines[i], " accepted in ");
        format_age(&lines[i], s->now_usec > first ? s->now_usec - first : 0);
        text_add(&lines[i], ", the last at ");
        format_moment(s, &lines[i], field_count(rows[i], "newest_time_usec"));
    }
    return n;
}

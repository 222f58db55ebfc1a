/* SPDX-License-Identifier: MIT */
#include "ctl/event-line.h"

#include <string.h>

#include "conf/value.h"
#include "ctl/fields.h"
#include "ctl/proto/api.h"

static const char *null_if_empty(const char *s) {
    return *s ? s : NULL;
}

/* The facts that api_event_what() looks at; borrowed from @event. */
static ApiEvent decode(const json_t *event) {
    int signal = 0;
    if (field_given(event, "signal"))
        (void)value_signal(field_text(event, "signal"), &signal, NULL);
    return (ApiEvent){
        .event = field_text(event, "event"),
        .reason = null_if_empty(field_text(event, "reason")),
        .step = null_if_empty(field_text(event, "step")),
        .error = (int)field_number(event, "errno"),
        .exit_code = field_given(event, "exit_code") ? (int)field_number(event, "exit_code") : -1,
        .signal = signal,
        .duration_usec =
            field_given(event, "duration_usec") ? field_count(event, "duration_usec") : UINT64_MAX,
        .message = null_if_empty(field_text(event, "message")),
    };
}

static Color level_color(const char *level) {
    return streq(level, "error") ? COLOR_RED : streq(level, "warning") ? COLOR_YELLOW : COLOR_NONE;
}

void event_line(const Style *s, const json_t *event, Text *out) {
    ApiEvent e = decode(event);
    CLEANUP_TEXT Text what = {0};
    format_time(s, out, field_count(event, "time_usec"));
    text_addc(out, ' ');
    if (field_given(event, "service"))
        field_show(out, event, "service");
    else
        text_add(out, "mpinetd");
    if (field_given(event, "pid"))
        text_addf(out, "[%lld]", (long long)field_number(event, "pid"));
    text_add(out, field_given(event, "peer") ? " " : ":");
    field_show(out, event, "peer");
    text_addc(out, ' ');
    api_event_what(&what, &e);
    style_add(s, out, level_color(field_text(event, "level")), what.s ? what.s : "");
    text_addc(out, '\n');
}

void event_line_log(const Style *s, const json_t *event, Text *out) {
    ApiEvent e = decode(event);
    CLEANUP_TEXT Text what = {0};
    Color color = level_color(field_text(event, "level"));
    bool is_stderr = streq(e.event, "stderr");
    format_time(s, out, field_count(event, "time_usec"));
    text_addc(out, ' ');
    if (field_given(event, "pid"))
        text_addf(out, "[%lld] ", (long long)field_number(event, "pid"));
    if (!is_stderr && field_given(event, "peer")) {
        field_show(&what, event, "peer");
        text_addc(&what, ' ');
    }
    api_event_what(&what, &e);
    style_add(s, out, !is_stderr && color == COLOR_NONE ? COLOR_GREY : color, what.s ? what.s : "");
    text_addc(out, '\n');
}

static void add_word(Text *out, const json_t *event, const char *key) {
    text_addc(out, '\t');
    if (*field_text(event, key))
        field_show(out, event, key);
    else
        text_addc(out, '-');
}

void event_line_plain(const json_t *event, Text *out) {
    ApiEvent e = decode(event);
    api_add_time(out, field_count(event, "time_usec"));
    add_word(out, event, "level");
    add_word(out, event, "event");
    add_word(out, event, "service");
    text_addc(out, '\t');
    if (field_given(event, "pid"))
        text_addf(out, "%lld", (long long)field_number(event, "pid"));
    else
        text_addc(out, '-');
    add_word(out, event, "peer");
    text_addc(out, '\t');
    api_event_what(out, &e);
    text_addc(out, '\n');
}

/* SPDX-License-Identifier: MIT */
/* An event in words, for people, and as a line of JSON, for the log. */
#include <string.h>
#include <time.h>

#include "conf/value.h"
#include "ctl/proto/api.h"
#include "ctl/proto/json-writer.h"
#include "daemon/base/clock.h"

void api_add_duration(Text *out, uint64_t usec) {
    uint64_t sec = usec / USEC_PER_SEC;
    if (usec < 10 * USEC_PER_MSEC)
        text_addf(out, "%.1f ms", (double)usec / (double)USEC_PER_MSEC);
    else if (usec < USEC_PER_SEC)
        text_addf(out, "%llu ms", (unsigned long long)(usec / USEC_PER_MSEC));
    else if (sec < 60)
        text_addf(out, "%llu.%llu s", (unsigned long long)sec,
                  (unsigned long long)(usec % USEC_PER_SEC / 100000));
    else if (sec < 3600)
        text_addf(out, "%llum %llus", (unsigned long long)(sec / 60), (unsigned long long)(sec % 60));
    else if (sec < 86400)
        text_addf(out, "%lluh %llum", (unsigned long long)(sec / 3600),
                  (unsigned long long)(sec % 3600 / 60));
    else
        text_addf(out, "%llud %lluh", (unsigned long long)(sec / 86400),
                  (unsigned long long)(sec % 86400 / 3600));
}

/* The facts come after a colon, then after commas. */
static void add_separator(Text *out, bool *any) {
    text_add(out, *any ? ", " : ": ");
    *any = true;
}

static void add_fact(Text *out, bool *any, const char *s) {
    if (!s || !*s)
        return;
    add_separator(out, any);
    text_add_escaped(out, s, strlen(s));
}

/* "spawn_failed: exec: No such file or directory" */
static void add_error(Text *out, bool *any, const ApiEvent *e) {
    add_fact(out, any, e->step);
    if (e->error == 0)
        return;
    text_add(out, ": ");
    text_add(out, api_errno_text(e->error));
}

void api_event_what(Text *out, const ApiEvent *e) {
    bool any = false;
    if (e->message && *e->message) {
        text_add_escaped(out, e->message, strlen(e->message));
        return;
    }
    text_add_escaped(out, e->event, strlen(e->event));
    if (e->exit_code >= 0) {
        add_separator(out, &any);
        text_addf(out, "exit %d", e->exit_code);
    }
    if (e->signal != 0) {
        add_separator(out, &any);
        value_signal_format(e->signal, out);
    }
    if (e->duration_usec != UINT64_MAX) {
        text_add(out, " after ");
        api_add_duration(out, e->duration_usec);
    }
    add_fact(out, &any, e->reason);
    add_error(out, &any, e);
}

void api_add_time(Text *out, uint64_t time_usec) {
    time_t seconds = (time_t)(time_usec / USEC_PER_SEC);
    struct tm tm = {0};
    (void)gmtime_r(&seconds, &tm);
    text_add_u64_padded(out, (uint64_t)tm.tm_year + 1900, 4);
    const struct {
        char before;
        int n;
    } parts[] = {
        {'-', tm.tm_mon + 1}, {'-', tm.tm_mday}, {'T', tm.tm_hour}, {':', tm.tm_min}, {':', tm.tm_sec}};
    for (size_t i = 0; i < ELEMENTS(parts); i++) {
        text_addc(out, parts[i].before);
        text_add_u64_padded(out, (uint64_t)parts[i].n, 2);
    }
    text_addc(out, '.');
    text_add_u64_padded(out, time_usec % USEC_PER_SEC, 6);
    text_addc(out, 'Z');
}

static void add_given(JsonWriter *w, const char *key, const char *s) {
    if (s)
        json_add_string(w, key, s);
}

static void add_known(JsonWriter *w, const char *key, uint64_t value) {
    if (value != UINT64_MAX)
        json_add_uint(w, key, value);
}

static void add_facts(JsonWriter *w, const ApiFacts *f) {
    add_known(w, "bytes_in", f->bytes_in);
    add_known(w, "bytes_out", f->bytes_out);
    add_known(w, "cpu_usec", f->cpu_usec);
    add_known(w, "memory", f->memory);
    add_given(w, "user", f->user);
}

void api_event_to_json_line(Text *out, const ApiEvent *e) {
    JsonWriter w = {.out = out};
    json_open_object(&w, NULL);
    text_add(out, "\"time\":\"");
    api_add_time(out, e->time_usec);
    text_addc(out, '"');
    w.comma = true;
    add_given(&w, "level", e->level);
    add_given(&w, "event", e->event);
    add_given(&w, "service", e->service);
    if (e->instance != 0)
        json_add_uint(&w, "instance", e->instance);
    if (e->pid != 0)
        json_add_int(&w, "pid", e->pid);
    add_given(&w, "peer", e->peer);
    add_given(&w, "reason", e->reason);
    add_given(&w, "step", e->step);
    if (e->error != 0) {
        json_add_int(&w, "errno", e->error);
        json_add_string(&w, "error", api_errno_text(e->error));
    }
    if (e->exit_code >= 0)
        json_add_int(&w, "exit_code", e->exit_code);
    if (e->signal != 0)
        json_add_signal(&w, "signal", e->signal);
    add_known(&w, "duration_usec", e->duration_usec);
    if (e->facts)
        add_facts(&w, e->facts);
    add_given(&w, "message", e->message);
    json_close_object(&w);
}

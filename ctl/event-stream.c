/* SPDX-License-Identifier: MIT */
#include "ctl/event-stream.h"

#include <fnmatch.h>
#include <string.h>

#include "conf/suggest.h"
#include "ctl/event-line.h"
#include "ctl/event-words.h"
#include "ctl/fields.h"
#include "daemon/base/clock.h"

/* More than any daemon keeps. */
#define EVENTS_ALL 1000000
#define ANSWER_TIMEOUT_USEC (30 * USEC_PER_SEC)

static int find_word(const char *word) {
    for (size_t i = 0; i < EVENT_WORDS_MAX && event_word(i); i++)
        if (streq(event_word(i)->word, word))
            return (int)i;
    return -ENOENT;
}

static int fail_kind(const EventStream *stream, Ctl *c, const char *word) {
    CLEANUP_TEXT Text shown = {0}, all = {0};
    Suggestion s = {.word = word};
    for (size_t i = 0; event_word(i); i++) {
        if (!stream->stderr_lines && streq(event_word(i)->word, "stderr"))
            continue;
        suggestion_offer(&s, event_word(i)->word);
        text_addf(&all, "%s%s", i > 0 ? ", " : "", event_word(i)->word);
    }
    text_add_escaped(&shown, word, strlen(word));
    if (s.best)
        return ctl_fail(c, CTL_USAGE, NULL, "no event '%s'; did you mean '%s'?", shown.s ? shown.s : "",
                        s.best);
    return ctl_fail(c, CTL_USAGE, all.s, "no event '%s'", shown.s ? shown.s : "");
}

int event_stream_take_kinds(EventStream *s, Ctl *c, const char *list) {
    while (*list) {
        size_t len = strcspn(list, ",");
        CLEANUP_FREE char *word = strndup(list, len);
        if (!word)
            return ctl_fail(c, CTL_FAILED, NULL, "out of memory");
        int i = len > 0 ? find_word(word) : 0;
        if (i < 0)
            return fail_kind(s, c, word);
        if (streq(word, "stderr") && !s->stderr_lines)
            return ctl_fail(c, CTL_USAGE, "'mpctl logs NAME' shows it", "'events' has no stderr of services");
        if (len > 0)
            s->kinds[i] = s->any_kind = true;
        list += len;
        list += *list == ',';
    }
    return s->any_kind ? CTL_DONE : ctl_fail(c, CTL_USAGE, NULL, "--kind names no event");
}

void event_stream_take_past(EventStream *s, const Ctl *c, size_t lines) {
    const Options *o = &c->options;
    bool since = o->since_usec != USEC_INFINITY;
    s->keep = o->lines >= 0 ? (size_t)o->lines : since ? SIZE_MAX : lines;
    if (since)
        s->not_before_usec = c->style.now_usec > o->since_usec ? c->style.now_usec - o->since_usec : 0;
}

static bool is_wanted(const EventStream *s, const json_t *event) {
    const char *word = field_text(event, "event");
    int kind = find_word(word);
    if (s->any_kind && (kind < 0 || !s->kinds[kind]))
        return false;
    if (!s->stderr_lines && streq(word, "stderr"))
        return false;
    if (field_count(event, "time_usec") < s->not_before_usec)
        return false;
    return !s->pattern || fnmatch(s->pattern, field_text(event, "service"), 0) == 0;
}

static void show(const EventStream *s, Ctl *c, const json_t *event) {
    if (c->options.format == OUTPUT_JSON)
        ctl_add_json(c, event);
    else if (c->options.format == OUTPUT_PLAIN)
        event_line_plain(event, &c->out);
    else
        s->format(&c->style, event, &c->out);
}

/* A hole is told where it is, and is no event. */
static void tell_missed(Ctl *c, uint64_t n) {
    if (n == 0 || options_has(&c->options, OPTION(QUIET)))
        return;
    (void)ctl_flush(c);
    (void)fprintf(stderr, "mpctl: %llu event%s not read in time and %s left out\n", (unsigned long long)n,
                  n == 1 ? " was" : "s were", n == 1 ? "is" : "are");
}

/* The newest of what is wanted. */
static void show_past(const EventStream *s, Ctl *c, const json_t *past) {
    size_t n = json_array_size(past), first = n;
    for (size_t left = s->keep; left > 0 && first > 0;)
        left -= is_wanted(s, json_array_get(past, --first));
    for (; first < n; first++)
        if (is_wanted(s, json_array_get(past, first)))
            show(s, c, json_array_get(past, first));
}

static int fail_follow(Ctl *c, int r, const Reply *reply) {
    if (r == -ECONNRESET)
        return ctl_fail(c, CTL_NO_DAEMON, "it has ended, or we did not read in time; 'mpctl ping' tells",
                        "mpinetd has closed the connection");
    return ctl_fail_reply(c, METHOD_EVENTS, r, reply);
}

static int follow(const EventStream *s, Ctl *c) {
    for (;;) {
        CLEANUP_REPLY Reply reply = {0};
        int r = client_receive(c->client, USEC_INFINITY, &reply);
        if (r < 0 || reply.error)
            return fail_follow(c, r, &reply);
        const json_t *events = json_object_get(reply.parameters, "events");
        c->style.now_usec = clock_realtime_usec();
        tell_missed(c, field_count(reply.parameters, "missed"));
        for (size_t i = 0; i < json_array_size(events); i++)
            if (is_wanted(s, json_array_get(events, i)))
                show(s, c, json_array_get(events, i));
        /* Whoever reads along sees each event when it comes. */
        int status = ctl_flush(c);
        if (status != 0 || !reply.continues)
            return status;
    }
}

int event_stream_show(const EventStream *s, Ctl *c) {
    bool follows = options_has(&c->options, OPTION(FOLLOW));
    /* Where some are left out here, all are asked for. */
    bool all = s->any_kind || s->pattern || s->not_before_usec > 0 || (s->service && !s->stderr_lines);
    size_t last = (all && s->keep > 0) || s->keep > EVENTS_ALL ? EVENTS_ALL : s->keep;
    json_t *parameters = json_pack("{s:s*, s:I}", "service", s->service, "last", (json_int_t)last);
    CLEANUP_REPLY Reply reply = {0};
    int status = ctl_send(c, METHOD_EVENTS, parameters, follows);
    if (status == 0)
        status = ctl_receive(c, METHOD_EVENTS, ANSWER_TIMEOUT_USEC, &reply);
    if (status != 0)
        return status;
    tell_missed(c, field_count(reply.parameters, "missed"));
    show_past(s, c, json_object_get(reply.parameters, "events"));
    status = ctl_flush(c);
    return status != 0 || !reply.continues ? status : follow(s, c);
}

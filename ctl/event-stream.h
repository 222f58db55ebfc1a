/* SPDX-License-Identifier: MIT */
#pragma once
/* Events as the daemon sends them: those of the past, the newest @keep of what is wanted, and then, with
 * --follow, each as it comes. */
#include "ctl/ctl.h"

#define EVENT_WORDS_MAX 32

typedef struct EventStream {
    const char *service;         /* as the daemon is asked for; NULL: all */
    const char *pattern;         /* a glob that the service must match; NULL: any */
    bool kinds[EVENT_WORDS_MAX]; /* by event_word(); only with any_kind */
    bool any_kind;
    bool stderr_lines;        /* what services write to stderr, too */
    uint64_t not_before_usec; /* since 1970 */
    size_t keep;              /* of the past; SIZE_MAX: all that there are */
    /* Appends one event for people. */
    void (*format)(const Style *s, const json_t *event, Text *out);
} EventStream;

/* The kinds of --kind, "refused,gone". Returns 0 or the exit status. */
int event_stream_take_kinds(EventStream *s, Ctl *c, const char *list);
/* Fills `keep` and `not_before_usec` from -n and --since; @lines are shown where neither is given. */
void event_stream_take_past(EventStream *s, const Ctl *c, size_t lines);
/* Asks, and shows until the end. Returns the exit status. */
int event_stream_show(const EventStream *s, Ctl *c);

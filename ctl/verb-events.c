/* SPDX-License-Identifier: MIT */
/* mpctl events, logs: what happened, and goes on to happen. */
#include <string.h>

#include "ctl/event-line.h"
#include "ctl/event-stream.h"
#include "ctl/fields.h"
#include "ctl/names.h"
#include "ctl/verbs.h"

/* How many of the past are shown unless -n says more. */
#define EVENTS_DEFAULT 20
#define LOGS_DEFAULT 50

/* The services that @pattern matches: a list of names, which the caller gives back, or the exit status. */
static int match_services(Ctl *c, const char *pattern, json_t **ret) {
    char *const patterns[] = {(char *)pattern, NULL};
    json_t *document = NULL;
    int status = names_require(c, patterns, &document);
    const json_t *services = json_object_get(document, "services");
    json_t *names = json_array();
    for (size_t i = 0; i < json_array_size(services); i++)
        (void)json_array_append(names, json_object_get(json_array_get(services, i), "name"));
    json_decref(document);
    if (status == 0)
        *ret = names;
    else
        json_decref(names);
    return status;
}

int verb_events(Ctl *c, char *const *args) {
    const char *pattern = c->options.values[OPTION_SERVICE], *kinds = c->options.values[OPTION_KIND];
    EventStream stream = {.format = event_line};
    json_t *names = NULL;
    (void)args;
    event_stream_take_past(&stream, c, EVENTS_DEFAULT);
    int status = kinds ? event_stream_take_kinds(&stream, c, kinds) : CTL_DONE;
    if (status == 0 && pattern)
        status = match_services(c, pattern, &names);
    if (status != 0)
        return status;
    /* Of one service the daemon keeps more than it does among those of all. */
    if (json_array_size(names) == 1)
        stream.service = json_string_value(json_array_get(names, 0));
    else
        stream.pattern = pattern;
    status = event_stream_show(&stream, c);
    json_decref(names);
    return status;
}

int verb_logs(Ctl *c, char *const *args) {
    EventStream stream = {.format = event_line_log, .stderr_lines = true};
    json_t *names = NULL;
    event_stream_take_past(&stream, c, LOGS_DEFAULT);
    int status = match_services(c, args[0], &names);
    if (status != 0)
        return status;
    if (json_array_size(names) == 1) {
        stream.service = json_string_value(json_array_get(names, 0));
        status = event_stream_show(&stream, c);
    } else {
        CLEANUP_TEXT Text shown = {0};
        text_add_escaped(&shown, args[0], strlen(args[0]));
        status = ctl_fail(c, CTL_USAGE, "'mpctl events --service' takes a glob",
                          "'logs' shows one service, and '%s' matches %zu", shown.s, json_array_size(names));
    }
    json_decref(names);
    return status;
}

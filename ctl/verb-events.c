/* SPDX-License-Identifier: MIT */
/* mpctl events: what happened, and goes on to happen. */
#include "ctl/event-line.h"
#include "ctl/fields.h"
#include "ctl/names.h"
#include "ctl/verbs.h"
#include "daemon/base/clock.h"

#define EVENTS_DEFAULT 20
#define ANSWER_TIMEOUT_USEC (30 * USEC_PER_SEC)

/* Shows those of @events whose service matches @pattern (NULL: all). */
static void show(Ctl *c, const json_t *events, char *const *pattern) {
    for (size_t i = 0; i < json_array_size(events); i++) {
        const json_t *event = json_array_get(events, i);
        if (!names_match(pattern, field_text(event, "service")))
            continue;
        if (c->options.format == OUTPUT_JSON)
            ctl_add_json(c, event);
        else if (c->options.format == OUTPUT_PLAIN)
            event_line_plain(event, &c->out);
        else
            event_line(&c->style, event, &c->out);
    }
}

static int follow_events(Ctl *c, char *const *pattern, bool follow) {
    for (;;) {
        CLEANUP_REPLY Reply reply = {0};
        int status = ctl_receive(c, METHOD_EVENTS, follow ? USEC_INFINITY : ANSWER_TIMEOUT_USEC, &reply);
        if (status != 0)
            return status;
        c->style.now_usec = clock_realtime_usec();
        show(c, json_object_get(reply.parameters, "events"), pattern);
        /* Whoever reads along sees each event when it comes. */
        status = ctl_flush(c);
        if (status != 0 || !reply.continues)
            return status;
    }
}

/* The one service that --service names, as a new string; NULL for none, or for a glob. */
static int name_service(Ctl *c, char *const *pattern, json_t **ret) {
    json_t *document = NULL;
    int status = names_status(c, pattern, &document);
    const json_t *services = json_object_get(document, "services");
    for (size_t i = 0; i < json_array_size(services); i++)
        if (streq(field_text(json_array_get(services, i), "name"), *pattern))
            *ret = json_string(*pattern);
    json_decref(document);
    return status;
}

int verb_events(Ctl *c, char *const *args) {
    char *pattern[] = {(char *)c->options.values[OPTION_SERVICE], NULL};
    bool follow = options_has(&c->options, OPTION(FOLLOW));
    int64_t last = c->options.lines >= 0 ? c->options.lines : EVENTS_DEFAULT;
    json_t *service = NULL;
    (void)args;
    int status = *pattern ? name_service(c, pattern, &service) : CTL_DONE;
    if (status != 0)
        return status;
    json_t *parameters = json_pack("{s:o*, s:I}", "service", service, "last", (json_int_t)last);
    status = ctl_send(c, METHOD_EVENTS, parameters, follow);
    return status != 0 ? status : follow_events(c, pattern, follow);
}

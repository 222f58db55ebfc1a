/* SPDX-License-Identifier: MIT */
#include "ctl/status-hints.h"

#include <string.h>

#include "ctl/fields.h"
#include "ctl/proto/api.h"
#include "ctl/refusals.h"

void status_hints_done(StatusHints *h) {
    for (size_t i = 0; i < h->n; i++)
        text_done(&h->lines[i]);
    h->n = 0;
}

void last_error_what(const json_t *error, Text *out) {
    const char *step = field_text(error, "step"), *message = field_text(error, "message");
    size_t n = strlen(step);
    /* Most messages name the step by themselves. */
    if (n > 0 && !(strncmp(message, step, n) == 0 && message[n] == ':')) {
        field_show(out, error, "step");
        text_add(out, ": ");
    }
    field_show(out, error, "message");
}

void last_error_format(const json_t *error, Text *out) {
    if (!json_is_object(error))
        return;
    last_error_what(error, out);
    if (!field_given(error, "file"))
        return;
    text_add(out, " (");
    field_show(out, error, "file");
    if (field_given(error, "line"))
        text_addf(out, ":%llu", (unsigned long long)field_count(error, "line"));
    text_addc(out, ')');
}

void last_error_advice(const json_t *service, Text *out) {
    bool config = field_given(json_object_get(service, "last_error"), "file");
    text_add(out, config ? "mend it or correct the config, then: mpctl reload, or mpctl start "
                         : "mend it, then: mpctl start ");
    field_show(out, service, "name");
}

/* The next line, or NULL when there are enough. */
static Text *new_line(StatusHints *h) {
    if (h->n == STATUS_HINTS_MAX)
        return NULL;
    h->lines[h->n] = (Text){0};
    return &h->lines[h->n++];
}

static void add_file(Text *out, const json_t *d) {
    if (field_given(d, "file"))
        field_show(out, d, "file");
    else
        text_add(out, "the config");
}

/* "mpctl set git limits.instances=100": twice of what there is; where that is not known, a number to choose.
 */
static void add_set(Text *out, const json_t *d, const char *set) {
    const json_t *service = json_object_get(d, "service");
    text_add(out, "mpctl set ");
    field_show(out, service, "name");
    if (starts_with(set, "limits.instances="))
        text_addf(out, " limits.instances=%llu",
                  2 * (unsigned long long)field_count(service, "instances_limit"));
    else
        text_addf(out, " %s", set);
}

typedef struct StateHint {
    ServiceState state;
    const char *before, *after; /* around the name, or where @file, around the config's file */
    bool file;
} StateHint;

static const StateHint state_hints[] = {
    {SERVICE_PAUSED, "what has come waits; to go on: mpctl resume ", "", false},
    {SERVICE_STOPPED, "to listen again: mpctl start ", "", false},
    {SERVICE_DISABLED, "to listen: 'enabled: true' in ", ", then: mpctl reload", true},
    {SERVICE_BACKOFF, "what it says: mpctl logs ", "; it is tried again, each time later", false},
    {SERVICE_DRAINING, "who is still connected: mpctl ps ", "", false},
};

static void add_state(StatusHints *h, const json_t *d, const char *state) {
    const json_t *service = json_object_get(d, "service");
    for (size_t i = 0; i < ELEMENTS(state_hints); i++) {
        const StateHint *hint = &state_hints[i];
        Text *line = streq(service_state_to_string(hint->state), state) ? new_line(h) : NULL;
        if (!line)
            continue;
        text_add(line, hint->before);
        if (hint->file)
            add_file(line, d);
        else
            field_show(line, service, "name");
        text_add(line, hint->after);
    }
    if (streq(state, "failed") && json_is_object(json_object_get(service, "last_error"))) {
        Text *line = new_line(h);
        if (line)
            last_error_advice(service, line);
    }
}

/* What holds new connections up, as a RefuseReason; -EINVAL: nothing that is known. */
static int waits_for(const json_t *service) {
    const char *state = field_text(service, "state");
    if (streq(state, "full"))
        return REFUSE_INSTANCES;
    if (!streq(state, "throttled"))
        return -EINVAL;
    return refuse_reason_from_string(field_text(json_object_get(service, "waiting"), "reason"));
}

static void add_waiting(StatusHints *h, const json_t *d) {
    const json_t *service = json_object_get(d, "service");
    int reason = waits_for(service);
    const char *set = reason >= 0 ? refusal((size_t)reason)->set : NULL;
    Text *line = set ? new_line(h) : NULL;
    if (!line)
        return;
    if (reason != REFUSE_INSTANCES)
        text_addf(line, "%s, and what has come waits; ", refusal((size_t)reason)->meaning);
    text_add(line, "to let more in now: ");
    add_set(line, d, set);
    if (reason != REFUSE_INSTANCES)
        return;
    text_add(line, "; who is connected: mpctl ps ");
    field_show(line, service, "name");
}

/* One reason: which key says so, and how it is changed. */
static void add_reason(StatusHints *h, const json_t *d, RefuseReason reason) {
    const Refusal *r = refusal(reason);
    const char *name = refuse_reason_to_string(reason);
    Text *line = new_line(h);
    if (!line)
        return;
    bool tcpmux = streq(field_text(json_object_get(d, "service"), "model"), "tcpmux");
    text_addf(line, "refused by %s: %s%s (%s); ", name, r->meaning,
              tcpmux && reason == REFUSE_ACCESS ? ", or no service has the tcpmux name" : "", r->keys);
    if (reason == REFUSE_BANNED) {
        text_add(line, "who, and until when: mpctl bans; to let one in now: mpctl unban PREFIX");
    } else if (r->set) {
        text_add(line, "to change it now: ");
        add_set(line, d, r->set);
    } else {
        text_add(line, "change it in ");
        add_file(line, d);
        text_add(line, ", then: mpctl reload");
    }
}

/* Somebody has changed one of @keys already. */
static bool is_set(const json_t *d, const char *keys) {
    const json_t *set = json_object_get(d, "set");
    for (size_t i = 0; i < json_array_size(set); i++)
        if (streq(field_text(json_array_get(set, i), "key"), keys))
            return true;
    return false;
}

void status_hints_find(StatusHints *h, const json_t *description) {
    const json_t *service = json_object_get(description, "service"),
                 *refused = json_object_get(service, "refused");
    const char *state = field_text(service, "state");
    *h = (StatusHints){0};
    add_state(h, description, state);
    add_waiting(h, description);
    for (size_t i = 0; i < _REFUSE_REASON_MAX; i++) {
        /* Said, or dealt with. */
        if ((int)i == waits_for(service) || is_set(description, refusal(i)->keys))
            continue;
        if (field_count(refused, refuse_reason_to_string((RefuseReason)i)) > 0)
            add_reason(h, description, (RefuseReason)i);
    }
}

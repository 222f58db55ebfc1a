/* SPDX-License-Identifier: MIT */
/* mpctl status: the table of all services; and is-active. */
#include <string.h>

#include "ctl/fields.h"
#include "ctl/names.h"
#include "ctl/refusals.h"
#include "ctl/status-hints.h"
#include "ctl/status-long.h"
#include "ctl/status-table.h"
#include "ctl/verbs.h"

static bool is_running(const json_t *service) {
    int state = service_state_from_string(field_text(service, "state"));
    return state >= 0 && service_state_is_running((ServiceState)state);
}

static int running_status(const json_t *services) {
    for (size_t i = 0; i < json_array_size(services); i++)
        if (!is_running(json_array_get(services, i)))
            return CTL_NOT_RUNNING;
    return CTL_DONE;
}

/* "(7 services: 5 ok, 1 full, 1 failed)" */
static void add_summary(const json_t *services, Text *out) {
    size_t counts[_SERVICE_STATE_MAX] = {0}, n = json_array_size(services);
    for (size_t i = 0; i < n; i++) {
        int state = service_state_from_string(field_text(json_array_get(services, i), "state"));
        if (state >= 0)
            counts[state == SERVICE_ACTIVE ? SERVICE_LISTENING : state]++;
    }
    text_addf(out, "(%zu service%s", n, n == 1 ? "" : "s");
    const char *separator = ": ";
    for (size_t i = 0; i < _SERVICE_STATE_MAX; i++) {
        /* The well ones come first and are "ok". */
        size_t state = i == 0 ? (size_t)SERVICE_LISTENING : i == SERVICE_LISTENING ? 0 : i;
        if (counts[state] == 0)
            continue;
        text_addf(out, "%s%zu %s", separator, counts[state],
                  state == SERVICE_LISTENING ? "ok" : service_state_to_string((ServiceState)state));
        separator = ", ";
    }
    text_addc(out, ')');
}

static void add_header(Ctl *c, const json_t *status) {
    const json_t *daemon = json_object_get(status, "daemon"),
                 *reload = json_object_get(daemon, "last_reload");
    CLEANUP_TEXT Text line = {0}, error = {0};
    text_add(&line, "mpinetd ");
    field_show(&line, daemon, "version");
    if (!streq(field_text(daemon, "state"), "running")) {
        text_add(&line, "  ");
        field_show(&line, daemon, "state");
    }
    text_addf(&line, "  pid %lld  up ", (long long)field_number(daemon, "pid"));
    format_age(&line, field_count(daemon, "uptime_usec"));
    text_addf(&line, "  generation %llu  ", (unsigned long long)field_count(daemon, "generation"));
    field_show(&line, daemon, "config");
    text_add(&line, field_given(daemon, "config") ? "  " : "");
    add_summary(json_object_get(status, "services"), &line);
    style_add_wrapped(&c->style, &c->out, line.s ? line.s : "", 0);
    text_addc(&c->out, '\n');
    if (!json_is_false(json_object_get(reload, "ok")))
        return;
    text_add(&error, "last reload failed: ");
    field_show(&error, reload, "error");
    text_addf(&error, "; generation %llu stays in force",
              (unsigned long long)field_count(daemon, "generation"));
    text_add(&error, " (all errors: mpctl reload --dry-run)");
    style_add(&c->style, &c->out, COLOR_RED, error.s ? error.s : "");
    text_addc(&c->out, '\n');
}

/* Failed services past these are left to --failed. */
#define ADVICE_MAX 5

/* For each failed service, what is wrong, where, and what mends it. */
static void add_advice(Ctl *c, const json_t *services) {
    size_t n = 0, most = options_has(&c->options, OPTION(FAILED)) ? SIZE_MAX : ADVICE_MAX;
    for (size_t i = 0; i < json_array_size(services); i++) {
        const json_t *service = json_array_get(services, i), *error = json_object_get(service, "last_error");
        CLEANUP_TEXT Text line = {0};
        if (!streq(field_text(service, "state"), "failed") || !json_is_object(error) || n++ >= most)
            continue;
        field_show(&line, service, "name");
        text_add(&line, ": ");
        last_error_format(error, &line);
        text_add(&line, "; ");
        last_error_advice(service, &line);
        text_add(&c->out, n == 1 ? "\n" : "");
        style_add_wrapped(&c->style, &c->out, line.s ? line.s : "", 0);
        text_addc(&c->out, '\n');
    }
    if (n > most)
        text_addf(&c->out, "and %zu more are failed: mpctl status --failed\n", n - most);
}

/* What the letters behind REFUSED stand for, and where to look further. */
static void add_legend(Ctl *c, const View *view, const json_t *services) {
    bool used[_REFUSE_REASON_MAX] = {false}, any = false;
    CLEANUP_TEXT Text line = {0};
    if (!view_shows(view, c, "REFUSED"))
        return;
    for (size_t i = 0; i < json_array_size(services); i++) {
        int most = refusals_most(json_object_get(json_array_get(services, i), "refused"));
        if (most >= 0)
            used[most] = true;
    }
    text_add(&line, "refused: ");
    for (size_t i = 0; i < _REFUSE_REASON_MAX; i++) {
        if (!used[i])
            continue;
        text_addf(&line, "%s%c %s (%s)", any ? ", " : "", refusal(i)->letter,
                  refuse_reason_to_string((RefuseReason)i), refusal(i)->meaning);
        any = true;
    }
    if (!any)
        return;
    text_add(&line, "; 'mpctl status NAME' tells who, and what to do");
    text_addc(&c->out, '\n');
    style_add_wrapped(&c->style, &c->out, line.s ? line.s : "", 0);
    text_addc(&c->out, '\n');
}

/* In place of an empty table. */
static void add_nothing(Ctl *c, const json_t *status) {
    const json_t *daemon = json_object_get(status, "daemon");
    if (options_has(&c->options, OPTION(FAILED))) {
        text_add(&c->out, "no service is failed\n");
        return;
    }
    text_add(&c->out, "no services yet: add one to ");
    if (field_given(daemon, "config"))
        field_show(&c->out, daemon, "config");
    else
        text_add(&c->out, "the config");
    text_add(&c->out, " ('mpctl explain' tells the keys), then: mpctl reload\n");
}

static int show_table(Ctl *c, const json_t *status) {
    const json_t *services = json_object_get(status, "services");
    bool text = c->options.format == OUTPUT_TEXT;
    CLEANUP_VIEW View view;
    int result = status_table_init(&view, c);
    if (result != 0)
        return result < 0 ? CTL_DONE : result;
    for (size_t i = 0; i < json_array_size(services); i++)
        status_table_add(&view, c, json_array_get(services, i));
    if (text)
        add_header(c, status);
    if (text && view.table.n_rows == 0) {
        add_nothing(c, status);
        return CTL_DONE;
    }
    text_add(&c->out, text ? "\n" : "");
    view_format(&view, c, &c->out);
    if (text) {
        add_legend(c, &view, services);
        add_advice(c, services);
    }
    return CTL_DONE;
}

static void keep_failed(json_t *status) {
    const json_t *services = json_object_get(status, "services");
    json_t *failed = json_array();
    for (size_t i = 0; i < json_array_size(services); i++)
        if (streq(field_text(json_array_get(services, i), "state"), "failed"))
            (void)json_array_append(failed, json_array_get(services, i));
    (void)json_object_set_new(status, "services", failed);
}

int verb_status(Ctl *c, char *const *args) {
    json_t *status = NULL;
    /* Lists the columns without asking anybody. */
    const char *list = c->options.values[OPTION_COLUMNS];
    if (list && streq(list, "help"))
        return show_table(c, NULL);
    int result = names_status(c, args, &status);
    if (!status)
        return result;
    int running = *args ? running_status(json_object_get(status, "services")) : CTL_DONE;
    if (options_has(&c->options, OPTION(FAILED)))
        keep_failed(status);
    const json_t *services = json_object_get(status, "services");
    int shown = CTL_DONE;
    if (ctl_wants_json(c))
        ctl_add_json(c, status);
    else if (*args && c->options.format == OUTPUT_TEXT && !list)
        shown = status_long(c, services);
    else if (!*args || json_array_size(services) > 0)
        shown = show_table(c, status);
    json_decref(status);
    return result != 0 ? result : shown != 0 ? shown : running;
}

int verb_is_active(Ctl *c, char *const *args) {
    json_t *status = NULL;
    int result = names_status(c, args, &status);
    if (!status)
        return result;
    if (ctl_wants_json(c))
        ctl_add_json(c, status);
    if (result == 0)
        result = running_status(json_object_get(status, "services"));
    json_decref(status);
    return result;
}

/* SPDX-License-Identifier: MIT */
#include "ctl/diagnostics.h"

#include "conf/diag.h"
#include "ctl/fields.h"

static const char *null_if_empty(const char *s) {
    return *s ? s : NULL;
}

static void add_diagnostic(DiagList *list, const json_t *d) {
    int severity = diag_severity_from_string(field_text(d, "severity"));
    int code = diag_code_from_string(field_text(d, "code"));
    DiagPos pos = {
        .file = field_text(d, "file"),
        .line = (unsigned)field_count(d, "line"),
        .column = (unsigned)field_count(d, "column"),
        .end_column = (unsigned)field_count(d, "end_column"),
    };
    diag_add(list, severity < 0 ? DIAG_ERROR : (DiagSeverity)severity,
             code < 0 ? DIAG_BAD_VALUE : (DiagCode)code, &pos, null_if_empty(field_text(d, "excerpt")),
             null_if_empty(field_text(d, "hint")), "%s", field_text(d, "message"));
}

void diagnostics_format(const json_t *parameters, const char *tail, Text *out) {
    CLEANUP_DIAGS DiagList list = {0};
    const json_t *array = json_object_get(parameters, "diagnostics");
    for (size_t i = 0; i < json_array_size(array); i++)
        add_diagnostic(&list, json_array_get(array, i));
    diag_list_format(&list, tail, out);
}

/* What a value of the command line is refused for: no file, and so no list of places. */
static int report_values(Ctl *c, const json_t *array) {
    for (size_t i = 0; i < json_array_size(array); i++) {
        const json_t *d = json_array_get(array, i);
        CLEANUP_TEXT Text message = {0}, hint = {0};
        field_show(&message, d, "message");
        field_show(&hint, d, "hint");
        (void)ctl_fail(c, CTL_FAILED, hint.len > 0 ? hint.s : NULL, "%s", message.s ? message.s : "");
    }
    return CTL_FAILED;
}

/* None of them stands in a file. */
static bool are_values(const json_t *array) {
    for (size_t i = 0; i < json_array_size(array); i++)
        if (*field_text(json_array_get(array, i), "file"))
            return false;
    return json_array_size(array) > 0;
}

int diagnostics_report_refusal(Ctl *c, const json_t *parameters) {
    CLEANUP_TEXT Text text = {0}, tail = {0};
    uint64_t generation = field_count(parameters, "generation");
    if (are_values(json_object_get(parameters, "diagnostics")))
        return report_values(c, json_object_get(parameters, "diagnostics"));
    if (generation > 0)
        text_addf(&tail, "generation %llu stays in force", (unsigned long long)generation);
    diagnostics_format(parameters, tail.s, &text);
    if (ctl_wants_json(c))
        return ctl_fail(c, CTL_FAILED, NULL, "the config has errors");
    (void)ctl_flush(c);
    (void)fputs(text.s ? text.s : "mpctl: the config has errors\n", stderr);
    return CTL_FAILED;
}

static void add_value(const json_t *change, const char *name, Text *out) {
    if (*field_text(change, name))
        field_show(out, change, name);
    else
        text_add(out, "none");
}

void change_add_values(const Style *style, const json_t *change, Text *out) {
    add_value(change, "from", out);
    text_addf(out, " %s ", style_arrow(style));
    add_value(change, "to", out);
}

static void add_change(const Style *style, const json_t *change, Text *out) {
    const char *action = field_text(change, "action");
    char mark = streq(action, "add") ? '+' : streq(action, "remove") ? '-' : '~';
    Color color = mark == '+' ? COLOR_GREEN : mark == '-' ? COLOR_RED : COLOR_YELLOW;
    text_add(out, "  ");
    style_add(style, out, color, (char[]){mark, '\0'});
    text_addc(out, ' ');
    if (field_given(change, "service"))
        field_show(out, change, "service");
    else
        text_add(out, "mpinetd");
    if (mark == '~') {
        text_add(out, "  ");
        field_show(out, change, "key");
        text_addc(out, ' ');
        change_add_values(style, change, out);
    } else if (mark == '+' && *field_text(change, "to")) {
        text_add(out, "  new: ");
        field_show(out, change, "to");
    }
    text_addc(out, '\n');
}

void changes_format(const Ctl *c, const json_t *parameters, Text *out) {
    const json_t *changes = json_object_get(parameters, "changes");
    for (size_t i = 0; i < json_array_size(changes); i++)
        add_change(&c->style, json_array_get(changes, i), out);
}

void plan_format(const json_t *parameters, Text *out) {
    const json_t *plan = json_object_get(parameters, "plan");
    for (size_t i = 0; i < json_array_size(plan); i++) {
        const json_t *item = json_array_get(plan, i);
        if (streq(field_text(item, "object"), "service"))
            continue;
        text_add(out, "    ");
        field_show(out, item, "service");
        text_addc(out, ' ');
        field_show(out, item, field_given(item, "endpoint") ? "endpoint" : "object");
        text_add(out, ": ");
        field_show(out, item, "action");
        if (field_given(item, "detail")) {
            text_add(out, ", ");
            field_show(out, item, "detail");
        }
        text_addc(out, '\n');
    }
}

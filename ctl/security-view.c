/* SPDX-License-Identifier: MIT */
#include "ctl/security-view.h"

#include <stdlib.h>
#include <string.h>

#include "conf/security.h"
#include "ctl/columns.h"
#include "ctl/fields.h"
#include "ctl/names.h"

const ApiField security_document[] = {
    {"services", "[]object",
     "the most exposed first: each with name, exposure (0 to 10), rating (safe, fair, exposed, unsafe) and "
     "findings: each with check, exposure (what it adds), meaning, mend (what to write)",
     0},
    {"daemon", "[]object", "what is to be said of the daemon itself: each with meaning, mend", 0},
    {NULL, NULL, NULL, 0},
};

/* Findings of a sandbox from which on its presets are the shorter way. */
#define PRESET_FINDINGS 4

static json_t *finding_row(const SecurityFinding *f) {
    return json_pack("{s:s, s:f, s:s, s:s}", "check", f->check, "exposure", f->exposure / 1000.0, "meaning",
                     f->meaning, "mend", f->mend);
}

static json_t *service_row(const ServiceConfig *s) {
    SecurityReport report;
    security_judge(s, &report);
    json_t *findings = json_array();
    for (size_t i = 0; i < report.n; i++)
        (void)json_array_append_new(findings, finding_row(&report.findings[i]));
    return json_pack("{s:s, s:f, s:s, s:o}", "name", s->name, "exposure", report.exposure / 1000.0, "rating",
                     security_rating_to_string(report.rating), "findings", findings);
}

static int compare_exposure(const void *a, const void *b) {
    json_t *const *x = a, *const *y = b;
    double m = json_real_value(json_object_get(*x, "exposure"));
    double n = json_real_value(json_object_get(*y, "exposure"));
    return m != n ? (m > n ? -1 : 1) : strcmp(field_text(*x, "name"), field_text(*y, "name"));
}

/* The document of --json; NULL: no memory. */
static json_t *make_document(const Config *config) {
    json_t **rows CLEANUP_FREE = (json_t **)calloc(config->n_services + 1, sizeof(json_t *));
    json_t *services = json_array(), *daemon = json_array();
    const char *mend, *meaning = security_daemon(config, &mend);
    if (!rows)
        return NULL;
    for (size_t i = 0; i < config->n_services; i++)
        rows[i] = service_row(config->services[i]);
    qsort((void *)rows, config->n_services, sizeof(json_t *), compare_exposure);
    for (size_t i = 0; i < config->n_services; i++)
        (void)json_array_append_new(services, rows[i]);
    if (meaning)
        (void)json_array_append_new(daemon, json_pack("{s:s, s:s}", "meaning", meaning, "mend", mend));
    return json_pack("{s:o, s:o}", "services", services, "daemon", daemon);
}

static void add_exposure(const json_t *row, Text *out) {
    text_addf(out, "%.1f", json_real_value(json_object_get(row, "exposure")));
}

static Color rating_color(const json_t *row) {
    static const Color colors[_SECURITY_RATING_MAX] = {
        [SECURITY_SAFE] = COLOR_GREEN,
        [SECURITY_FAIR] = COLOR_NONE,
        [SECURITY_EXPOSED] = COLOR_YELLOW,
        [SECURITY_UNSAFE] = COLOR_RED,
    };
    int rating = security_rating_from_string(field_text(row, "rating"));
    return rating < 0 ? COLOR_NONE : colors[rating];
}

static void fill_name(const Ctl *c, const json_t *row, TableCell *cell) {
    (void)c;
    field_show(&cell->full, row, "name");
}

static void fill_exposure(const Ctl *c, const json_t *row, TableCell *cell) {
    (void)c;
    add_exposure(row, &cell->full);
}

static void fill_rating(const Ctl *c, const json_t *row, TableCell *cell) {
    (void)c;
    field_show(&cell->full, row, "rating");
    cell->color = rating_color(row);
}

static void fill_first(const Ctl *c, const json_t *row, TableCell *cell) {
    (void)c;
    field_show(&cell->full, json_array_get(json_object_get(row, "findings"), 0), "meaning");
}

static const Column columns[] = {
    {{"SERVICE", 0, false, true, false}, "SERVICE", "its name", true, fill_name},
    {{"EXPOSURE", 0, true, true, false}, "EXPOSURE", "from 0 to 10", true, fill_exposure},
    {{"RATING", 0, false, true, false}, "RATING", "the same as a word", true, fill_rating},
    {{"MOSTLY", 1, false, false, true}, "MOSTLY", "what adds most", true, fill_first},
};

/* "  2.6  it runs as root", and below it what to write. */
static void add_finding(const Ctl *c, const json_t *finding, Text *out) {
    text_add(out, "  ");
    add_exposure(finding, out);
    text_add(out, "  ");
    style_add_wrapped(&c->style, out, field_text(finding, "meaning"), 7);
    text_add(out, "\n       ");
    style_add(&c->style, out, COLOR_BOLD, field_text(finding, "mend"));
    text_addc(out, '\n');
}

static void add_service(const Ctl *c, const json_t *row, Text *out) {
    const json_t *findings = json_object_get(row, "findings"), *finding;
    size_t i, sandbox = 0;
    text_addc(out, '\n');
    field_show(out, row, "name");
    text_add(out, ": ");
    add_exposure(row, out);
    text_add(out, " of 10, ");
    style_add(&c->style, out, rating_color(row), field_text(row, "rating"));
    text_addc(out, '\n');
    json_array_foreach(findings, i, finding) {
        add_finding(c, finding, out);
        sandbox += starts_with(field_text(finding, "mend"), "sandbox:");
    }
    if (sandbox >= PRESET_FINDINGS)
        text_add(out, "most of a sandbox at once: sandbox: {preset: strict}, or basic\n");
}

static size_t add_named(const Ctl *c, const json_t *services, char *const *names, Text *out) {
    const json_t *row;
    size_t i, n = 0;
    json_array_foreach(services, i, row) {
        if (*names ? !names_match(names, field_text(row, "name")) : i > 0)
            continue;
        if (c->options.format == OUTPUT_TEXT)
            add_service(c, row, out);
        n++;
    }
    return n;
}

static void add_daemon(const Ctl *c, const json_t *daemon, Text *out) {
    const json_t *finding;
    size_t i;
    json_array_foreach(daemon, i, finding) {
        text_addf(out, "\nof the daemon: %s\n       ", field_text(finding, "meaning"));
        style_add(&c->style, out, COLOR_BOLD, field_text(finding, "mend"));
        text_addc(out, '\n');
    }
}

static int show_text(Ctl *c, const json_t *document, char *const *names) {
    const json_t *services = json_object_get(document, "services"), *row;
    CLEANUP_VIEW View view;
    CLEANUP_TEXT Text details = {0};
    size_t i;
    int result = view_init(&view, c, columns, ELEMENTS(columns));
    if (result != 0)
        return result < 0 ? CTL_DONE : result;
    if (add_named(c, services, names, &details) == 0 && *names)
        return ctl_fail(c, CTL_NO_SERVICE, NULL, "the config has no such service");
    json_array_foreach(services, i, row) {
        view_add(&view, c, row, "", COLOR_NONE);
    }
    if (c->options.format == OUTPUT_TEXT && view.table.n_rows == 0)
        text_add(&c->out, "no services\n");
    else
        view_format(&view, c, &c->out);
    text_add(&c->out, details.s ? details.s : "");
    if (c->options.format == OUTPUT_TEXT)
        add_daemon(c, json_object_get(document, "daemon"), &c->out);
    return CTL_DONE;
}

int security_show(Ctl *c, const Config *config, char *const *names) {
    json_t *document = make_document(config);
    int status = CTL_DONE;
    if (!document)
        return ctl_fail(c, CTL_FAILED, NULL, "out of memory");
    if (ctl_wants_json(c))
        ctl_add_json(c, document);
    else
        status = show_text(c, document, names);
    json_decref(document);
    return status;
}

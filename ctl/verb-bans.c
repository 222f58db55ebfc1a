/* SPDX-License-Identifier: MIT */
/* mpctl bans and unban: who is banned, and how that ends. */
#include <string.h>

#include "ctl/columns.h"
#include "ctl/fields.h"
#include "ctl/verbs.h"
#include "daemon/base/clock.h"

/* Parts of a long list come one after the other; this is the longest silence between two. */
#define PART_TIMEOUT_USEC (30 * USEC_PER_SEC)
#define ANSWER_TIMEOUT_USEC (30 * USEC_PER_SEC)

static void fill_source(const Ctl *c, const json_t *row, TableCell *cell) {
    (void)c;
    field_show(&cell->full, row, "prefix");
}

/* No service has this name. */
static void fill_service(const Ctl *c, const json_t *row, TableCell *cell) {
    (void)c;
    if (field_given(row, "service"))
        field_show(&cell->full, row, "service");
    else
        text_add(&cell->full, "(all)");
}

static void fill_by(const Ctl *c, const json_t *row, TableCell *cell) {
    (void)c;
    field_show(&cell->full, row, "by");
}

static const char *const causes[_BAN_CAUSE_MAX] = {
    [BAN_REFUSALS] = "refused too often",
    [BAN_FAILURES] = "its processes failed",
    [BAN_REPORTED] = "a process asked for it",
    [BAN_SENSOR] = "touched a sensor",
};

static void fill_why(const Ctl *c, const json_t *row, TableCell *cell) {
    int cause = ban_cause_from_string(field_text(row, "cause"));
    if (cause >= 0 && c->options.format == OUTPUT_TEXT) {
        text_add(&cell->full, causes[cause]);
        text_add(&cell->brief, ban_cause_to_string((BanCause)cause));
    } else {
        field_show(&cell->full, row, "cause");
    }
}

static void fill_age(const Ctl *c, uint64_t usec, TableCell *cell) {
    if (c->options.format == OUTPUT_PLAIN)
        text_addf(&cell->full, "%llu", (unsigned long long)(usec / USEC_PER_SEC));
    else
        format_age(&cell->full, usec);
}

static void fill_since(const Ctl *c, const json_t *row, TableCell *cell) {
    uint64_t since = field_count(row, "since_usec"), now = c->style.now_usec;
    fill_age(c, now > since ? now - since : 0, cell);
}

static void fill_left(const Ctl *c, const json_t *row, TableCell *cell) {
    fill_age(c, field_count(row, "remaining_usec"), cell);
}

static void fill_until(const Ctl *c, const json_t *row, TableCell *cell) {
    if (c->options.format == OUTPUT_PLAIN)
        api_add_time(&cell->full, field_count(row, "until_usec"));
    else
        format_time(&c->style, &cell->full, field_count(row, "until_usec"));
}

static const Column columns[] = {
    {{"SOURCE", 0, false, true, false}, "SOURCE", "who is banned: a prefix, or uid:N", true, fill_source},
    {{"SERVICE", 2, false, false, false}, "SERVICE", "which service does not serve it", true, fill_service},
    {{"BY", 3, false, false, false}, "BY", "the service that has banned it", true, fill_by},
    {{"WHY", 1, false, true, false}, "WHY", "what for", true, fill_why},
    {{"SINCE", 5, true, false, false}, "SINCE", "how long ago", true, fill_since},
    {{"LEFT", 0, true, true, false}, "LEFT", "how long it still holds", true, fill_left},
    {{"UNTIL", 4, false, false, false}, "UNTIL", "when it ends", true, fill_until},
};

/* All parts of the answer, as one list. */
static int receive(Ctl *c, json_t *bans) {
    for (;;) {
        CLEANUP_REPLY Reply reply = {0};
        int status = ctl_receive(c, METHOD_BANS, PART_TIMEOUT_USEC, &reply);
        if (status != 0)
            return status;
        (void)json_array_extend(bans, json_object_get(reply.parameters, "bans"));
        if (!reply.continues)
            return CTL_DONE;
    }
}

/* Those that end first first; of equal ones, as they came. */
static int compare_ends(const void *a, const void *b) {
    const json_t *const *x = a, *const *y = b;
    uint64_t m = field_count(*x, "until_usec"), n = field_count(*y, "until_usec");
    if (m != n)
        return m < n ? -1 : 1;
    m = field_count(*x, "since_usec");
    n = field_count(*y, "since_usec");
    return m < n ? -1 : m > n ? 1 : 0;
}

static int show(Ctl *c, const json_t *bans) {
    CLEANUP_VIEW View view;
    int result = view_init(&view, c, columns, ELEMENTS(columns));
    if (result != 0)
        return result < 0 ? CTL_DONE : result;
    size_t n = json_array_size(bans);
    const json_t **rows CLEANUP_FREE = (const json_t **)calloc(n + 1, sizeof(json_t *));
    if (!rows)
        return ctl_fail(c, CTL_FAILED, NULL, "out of memory");
    for (size_t i = 0; i < n; i++)
        rows[i] = json_array_get(bans, i);
    qsort((void *)rows, n, sizeof(json_t *), compare_ends);
    for (size_t i = 0; i < n; i++)
        view_add(&view, c, rows[i], "", COLOR_NONE);
    if (c->options.format == OUTPUT_TEXT && view.table.n_rows == 0)
        text_add(&c->out, "nobody is banned\n");
    else
        view_format(&view, c, &c->out);
    return CTL_DONE;
}

int verb_bans(Ctl *c, char *const *args) {
    const char *list = c->options.values[OPTION_COLUMNS];
    (void)args;
    if (list && streq(list, "help"))
        return show(c, NULL);
    json_t *document = json_pack("{s:[]}", "bans");
    int status = ctl_send(c, METHOD_BANS, NULL, true);
    if (status == 0)
        status = receive(c, json_object_get(document, "bans"));
    if (status == 0 && ctl_wants_json(c))
        ctl_add_json(c, document);
    else if (status == 0)
        status = show(c, json_object_get(document, "bans"));
    json_decref(document);
    return status;
}

static bool is_about(const Reply *reply, ApiError error, const char *parameter) {
    return reply->error && streq(reply->error, api_error(error)->name) &&
           streq(field_text(reply->parameters, "parameter"), parameter);
}

/* One prefix; how many bans were lifted is added to *@lifted, which is negative before the first answer. */
static int unban(Ctl *c, const char *prefix, int64_t *lifted) {
    CLEANUP_TEXT Text shown = {0};
    CLEANUP_REPLY Reply reply = {0};
    text_add_escaped(&shown, prefix, strlen(prefix));
    const char *what = shown.s ? shown.s : "";
    if (!utf8_valid(prefix, strlen(prefix)))
        return ctl_fail(c, CTL_USAGE, NULL, "'%s' is not UTF-8", what);
    int status = ctl_send(c, METHOD_UNBAN, json_pack("{s:s}", "prefix", prefix), false);
    if (status != 0)
        return status;
    int r = client_receive(c->client, ANSWER_TIMEOUT_USEC, &reply);
    if (r == 0 && is_about(&reply, API_INVALID_PARAMETER, "prefix")) {
        if (ctl_wants_json(c))
            ctl_add_error(c, &reply);
        return ctl_fail(c, CTL_USAGE, "for example 203.0.113.7, 2001:db8::/48, uid:1000, or any",
                        "'%s' is no address or prefix", what);
    }
    if (r < 0 || reply.error)
        return ctl_fail_reply(c, METHOD_UNBAN, r, &reply);
    uint64_t n = field_count(reply.parameters, "lifted");
    *lifted = (*lifted > 0 ? *lifted : 0) + (int64_t)n;
    if (n == 0)
        return ctl_fail(c, CTL_FAILED, "'mpctl bans' lists who is", "%s: nobody is banned there", what);
    if (!ctl_wants_json(c))
        text_addf(&c->out, "%s: %llu ban%s lifted\n", what, (unsigned long long)n, n == 1 ? "" : "s");
    return CTL_DONE;
}

int verb_unban(Ctl *c, char *const *args) {
    int64_t lifted = -1;
    int status = CTL_DONE, one = CTL_DONE;
    ctl_begin_parts(c);
    /* What goes wrong with one says so, and the others are lifted all the same. */
    for (; *args && one != CTL_NOT_ALLOWED && one != CTL_NO_DAEMON; args++) {
        one = unban(c, *args, &lifted);
        status = status != 0 ? status : one;
    }
    json_t *document = lifted >= 0 ? json_pack("{s:I}", "lifted", (json_int_t)lifted) : NULL;
    ctl_end_parts(c, document);
    json_decref(document);
    return status;
}

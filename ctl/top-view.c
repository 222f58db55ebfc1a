/* SPDX-License-Identifier: MIT */
#include "ctl/top-view.h"

#include <stdarg.h>
#include <string.h>

#include "conf/value.h"
#include "ctl/fields.h"
#include "ctl/top-keys.h"
#include "ctl/top-table.h"

/* From so many lines on there is room for each thing. */
#define HEIGHT_FOR_RATES 5
#define WIDTH_FOR_WORDS 30
#define HEIGHT_FOR_KEYS 8
#define HEIGHT_FOR_NOTICE 10
#define HEIGHT_FOR_INSTANCES 14
/* Below these, nothing that is shown would help. */
#define HEIGHT_MIN 3
#define WIDTH_MIN 12
#define HELP_WIDTH_MIN 24

void top_screen_done(TopScreen *s) {
    for (size_t i = 0; s->lines && i <= s->height; i++)
        text_done(&s->lines[i].text);
    free(s->lines);
    *s = (TopScreen){0};
}

static int screen_begin(TopScreen *s, size_t height) {
    top_screen_done(s);
    s->lines = (TopLine *)calloc(height + 1, sizeof(*s->lines));
    if (!s->lines)
        return -ENOMEM;
    s->height = height;
    return 0;
}

/* The next line; past the last one, a line that nobody sees. */
static TopLine *screen_line(TopScreen *s) {
    if (s->n_lines < s->height)
        return &s->lines[s->n_lines++];
    text_reset(&s->lines[s->height].text);
    return &s->lines[s->height];
}

/* As much of @s as fits into @room; where not even the ellipsis does, nothing. */
static void add_cut(const Style *style, Text *out, Color color, const char *s, size_t room) {
    CLEANUP_TEXT Text cut = {0};
    style_add_cut(style, &cut, s, room);
    if (cut.s && utf8_columns(cut.s) <= room)
        style_add(style, out, color, cut.s);
}

/* A line of things of which those are left out that do not fit. */
typedef struct Parts {
    const Style *style;
    Text *out;
    size_t used;
} Parts;

static bool parts_add(Parts *p, const char *separator, Color color, const char *s) {
    size_t gap = p->used > 0 ? strlen(separator) : 0, columns = utf8_columns(s);
    if (p->used == 0 && columns > p->style->width) {
        add_cut(p->style, p->out, color, s, p->style->width);
        p->used = p->style->width;
        return true;
    }
    if (p->used + gap + columns > p->style->width)
        return false;
    text_add(p->out, gap > 0 ? separator : "");
    style_add(p->style, p->out, color, s);
    p->used += gap + columns;
    return true;
}

static bool parts_addf(Parts *p, const char *separator, Color color, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
static bool parts_addf(Parts *p, const char *separator, Color color, const char *format, ...) {
    char s[256];
    va_list ap;
    va_start(ap, format);
    (void)vsnprintf(s, sizeof(s), format, ap);
    va_end(ap);
    return parts_add(p, separator, color, s);
}

/* The header. */

static size_t count_failed(const TopModel *m) {
    size_t n = 0;
    for (size_t i = 0; i < m->n_services; i++)
        n += streq(m->services[i].state, "failed");
    return n;
}

static void add_daemon(const TopModel *m, const TopLook *look, const Style *style, Text *out) {
    const json_t *daemon = json_object_get(m->status, "daemon");
    Parts p = {style, out, 0};
    CLEANUP_TEXT Text version = {0};
    CLEANUP_TEXT Text state = {0};
    CLEANUP_TEXT Text up = {0};
    CLEANUP_TEXT Text delay = {0};
    if (!m->status) {
        (void)parts_add(&p, "", COLOR_BOLD, "mpinetd");
        return;
    }
    text_add(&version, "mpinetd ");
    field_show(&version, daemon, "version");
    (void)parts_add(&p, "  ", COLOR_BOLD, version.s ? version.s : "");
    field_show(&state, daemon, "state");
    if (state.s && !streq(state.s, "running"))
        (void)parts_add(&p, "  ", COLOR_YELLOW, state.s);
    (void)parts_addf(&p, "  ", COLOR_NONE, "pid %lld", (long long)field_number(daemon, "pid"));
    text_add(&up, "up ");
    format_age(&up, field_count(daemon, "uptime_usec"));
    (void)parts_add(&p, "  ", COLOR_NONE, up.s ? up.s : "");
    bool counted =
        parts_addf(&p, "  ", COLOR_NONE, "%zu service%s", m->n_services, m->n_services == 1 ? "" : "s");
    size_t failed = count_failed(m);
    if (failed > 0)
        (void)parts_addf(&p, counted ? ", " : "  ", COLOR_RED, "%zu failed", failed);
    (void)parts_addf(&p, "  ", COLOR_NONE, "generation %llu",
                     (unsigned long long)field_count(daemon, "generation"));
    text_add(&delay, "every ");
    value_duration_format(look->delay_usec, &delay);
    (void)parts_add(&p, "  ", COLOR_GREY, delay.s ? delay.s : "");
}

static void add_rate(const TopModel *m, const Style *style, const char *what, double rate, Text *out) {
    text_addf(out, "%s ", what);
    if (m->rated)
        top_add_rate(out, rate);
    else
        text_add(out, style->utf8 ? "–" : "-");
}

/* The reason of most refusals that is not @done yet, or _REFUSE_REASON_MAX. */
static size_t next_reason(const TopRates *t, const bool *done) {
    size_t most = _REFUSE_REASON_MAX;
    for (size_t i = 0; i < _REFUSE_REASON_MAX; i++)
        if (!done[i] && t->refused_by[i] > 0 &&
            (most == _REFUSE_REASON_MAX || t->refused_by[i] > t->refused_by[most]))
            most = i;
    return most;
}

/* " (rate 3.0, access 1.0)", as many as have room. */
static void add_reasons(const TopModel *m, const Style *style, size_t room, Text *out) {
    bool done[_REFUSE_REASON_MAX] = {0};
    size_t used = 2;
    for (size_t n = 0, i; (i = next_reason(&m->total, done)) < _REFUSE_REASON_MAX; n++) {
        CLEANUP_TEXT Text reason = {0};
        add_rate(m, style, refuse_reason_to_string((RefuseReason)i), m->total.refused_by[i], &reason);
        done[i] = true;
        if (used + 2 + reason.len > room)
            break;
        text_add(out, n == 0 ? " (" : ", ");
        text_add(out, reason.s);
        used += 2 + reason.len;
    }
    text_add(out, out->len > 0 ? ")" : "");
}

static void add_rates(const TopModel *m, const Style *style, Text *out) {
    const TopRates *t = &m->total;
    CLEANUP_TEXT Text accept = {0};
    CLEANUP_TEXT Text refuse = {0};
    CLEANUP_TEXT Text reasons = {0};
    CLEANUP_TEXT Text spawn = {0};
    CLEANUP_TEXT Text exit = {0};
    Parts p = {style, out, 0};
    add_rate(m, style, style->width < WIDTH_FOR_WORDS ? "accept/s" : "per second: accept", t->accepted,
             &accept);
    add_rate(m, style, "refuse", t->refused, &refuse);
    add_rate(m, style, "spawn", t->spawned, &spawn);
    add_rate(m, style, "exit", t->exited, &exit);
    size_t others = accept.len + refuse.len + spawn.len + exit.len + 6;
    if (style->width > others && t->refused > 0)
        add_reasons(m, style, style->width - others, &reasons);
    (void)parts_add(&p, "", COLOR_NONE, accept.s ? accept.s : "");
    (void)parts_add(&p, "  ", t->refused > 0 ? COLOR_YELLOW : COLOR_NONE, refuse.s ? refuse.s : "");
    if (reasons.len > 0)
        (void)parts_add(&p, "", COLOR_YELLOW, reasons.s);
    (void)parts_add(&p, "  ", COLOR_NONE, spawn.s ? spawn.s : "");
    (void)parts_add(&p, "  ", COLOR_NONE, exit.s ? exit.s : "");
}

static void add_notice(const TopModel *m, const TopLook *look, const Style *style, size_t rows, Text *out) {
    const json_t *reload = json_object_get(json_object_get(m->status, "daemon"), "last_reload");
    Parts p = {style, out, 0};
    if (look->notice)
        (void)parts_add(&p, "", look->notice_bad ? COLOR_RED : COLOR_BOLD, look->notice);
    if (look->paused)
        (void)parts_add(&p, "; ", COLOR_YELLOW, "paused (space goes on)");
    if (m->filter.len > 0) {
        CLEANUP_TEXT Text s = {0};
        text_add(&s, m->by_peer ? "peers with '" : "filter '");
        text_add_escaped(&s, m->filter.s, m->filter.len);
        text_add(&s, "' (Esc: all)");
        (void)parts_add(&p, "; ", COLOR_YELLOW, s.s ? s.s : "");
    }
    if (m->only_failed)
        (void)parts_add(&p, "; ", COLOR_YELLOW, "only failed (f: all)");
    if (json_is_false(json_object_get(reload, "ok")))
        (void)parts_add(&p, "; ", COLOR_RED, "the last reload failed ('mpctl reload' says why)");
    if (m->n_shown > rows && rows > 0)
        (void)parts_addf(&p, "; ", COLOR_GREY, "rows %zu to %zu of %zu", look->first_service + 1,
                         look->first_service + rows, m->n_shown);
}

static bool has_notice(const TopModel *m, const TopLook *look) {
    return look->notice || look->paused || m->filter.len > 0 || m->only_failed;
}

/* The bottom. */

static void add_keys(const Style *style, Text *out) {
    Parts p = {style, out, 0};
    for (TopAction a = 0; a < _TOP_ACTION_MAX; a++) {
        const TopKeyRow *row = top_key_row(a);
        if (row->hint)
            (void)parts_addf(&p, "  ", COLOR_GREY, "%s %s", row->label, row->hint);
    }
}

/* The lists. */

/* The first row that is shown, so that @row is, and the window is full if it can be. */
static size_t scroll(size_t first, size_t row, size_t visible, size_t n) {
    if (row < first)
        first = row;
    if (visible > 0 && row >= first + visible)
        first = row + 1 - visible;
    if (n <= visible)
        return 0;
    return first + visible > n ? n - visible : first;
}

/* One line of a table's text, cut where the columns that always stay are too wide. */
static void add_table_line(const Style *style, TopScreen *screen, const char *s, size_t n, bool selected) {
    TopLine *line = screen_line(screen);
    const char *text;
    size_t len, taken, used = 0;
    Color color;
    line->selected = selected;
    while (n > 0 && (taken = style_next_run(s, n, &text, &len, &color)) > 0) {
        CLEANUP_TEXT Text run = {0};
        text_add_n(&run, text, len);
        size_t columns = run.s ? utf8_columns(run.s) : 0;
        add_cut(style, &line->text, color, run.s ? run.s : "", style->width - used);
        if (used + columns > style->width)
            return;
        used += columns;
        s += taken;
        n -= taken;
    }
}

/* The title and @visible rows of a table from @first on. */
static void add_table(const Style *style, TopScreen *screen, const Text *table, size_t first, size_t visible,
                      size_t selected) {
    const char *s = table->s ? table->s : "", *end;
    for (size_t i = 0; (end = strchr(s, '\n')); i++, s = end + 1)
        if (i == 0 || (i - 1 >= first && i - 1 < first + visible))
            add_table_line(style, screen, s, (size_t)(end - s), i > 0 && i - 1 == selected);
}

static void add_no_service(const TopModel *m, const Style *style, TopScreen *screen) {
    Parts p = {style, &screen_line(screen)->text, 0};
    if (!m->status)
        return;
    if (m->n_services == 0)
        (void)parts_add(&p, "", COLOR_NONE, "no services yet: add one to the config, then: mpctl reload");
    else if (m->filter.len > 0)
        (void)parts_add(&p, "", COLOR_NONE, "no service or peer matches");
    else
        (void)parts_add(&p, "", COLOR_NONE, "no service is failed");
}

static void add_services(const TopModel *m, TopLook *look, const Style *style, size_t visible,
                         TopScreen *screen) {
    CLEANUP_TEXT Text text = {0};
    if (m->n_shown == 0) {
        add_no_service(m, style, screen);
        return;
    }
    top_services_format(m, style, &text);
    size_t selected = look->focus_instances ? SIZE_MAX : m->selected_row;
    add_table(style, screen, &text, look->first_service, visible, selected);
}

static void add_instances(const TopModel *m, TopLook *look, const Style *style, size_t height,
                          TopScreen *screen) {
    CLEANUP_TEXT Text title = {0};
    CLEANUP_TEXT Text text = {0};
    size_t n = m->n_shown_instances, visible = height > 2 ? height - 2 : 0;
    look->first_instance = scroll(look->first_instance, m->selected_instance_row, visible, n);
    const TopService *service = top_model_selected(m);
    text_add_escaped(&title, service->name, strlen(service->name));
    if (service->active == 0 && n == 0)
        text_add(&title, ": no instances");
    else if (n > visible && visible > 0)
        text_addf(&title, ": instances %zu to %zu of %zu", look->first_instance + 1,
                  look->first_instance + visible, n);
    else
        text_addf(&title, ": %zu instance%s", n, n == 1 ? "" : "s");
    Parts p = {style, &screen_line(screen)->text, 0};
    (void)parts_add(&p, "", COLOR_BOLD, title.s ? title.s : "");
    if (n == 0 || visible == 0)
        return;
    size_t last = look->first_instance + visible;
    top_instances_format(m, look->first_instance, last < n ? last : n, style, &text);
    add_table(style, screen, &text, 0, visible,
              look->focus_instances ? m->selected_instance_row - look->first_instance : SIZE_MAX);
}

/* How many of @room lines the instances get, a blank line before them included; 0: none. */
static size_t room_for_instances(const TopModel *m, const TopLook *look, size_t height, size_t room) {
    if (!look->instances || height < HEIGHT_FOR_INSTANCES || m->n_shown == 0)
        return 0;
    size_t want = 2 + (m->n_shown_instances > 0 ? 1 + m->n_shown_instances : 0), services = 1 + m->n_shown;
    size_t least = look->focus_instances ? room / 2 : room / 3;
    if (services + want <= room)
        return want;
    size_t left = room > services ? room - services : 0;
    size_t get = left > least ? left : least;
    return want < get ? want : get;
}

static void view_lists(const TopModel *m, TopLook *look, const Style *style, size_t height,
                       TopScreen *screen) {
    bool keys = look->prompt || height >= HEIGHT_FOR_KEYS;
    bool notice = height >= HEIGHT_FOR_NOTICE || has_notice(m, look);
    size_t rows = height - (height >= HEIGHT_FOR_RATES ? 2 : 1) - notice - keys;
    size_t instances = room_for_instances(m, look, height, rows), services = rows - instances;
    size_t visible = services > 1 ? services - 1 : 0;
    look->first_service = scroll(look->first_service, m->selected_row, visible, m->n_shown);
    look->page = look->focus_instances && instances > 3 ? instances - 3 : visible;
    add_daemon(m, look, style, &screen_line(screen)->text);
    if (height >= HEIGHT_FOR_RATES)
        add_rates(m, style, &screen_line(screen)->text);
    if (notice)
        add_notice(m, look, style, visible, &screen_line(screen)->text);
    size_t start = screen->n_lines;
    add_services(m, look, style, visible, screen);
    if (instances > 0) {
        /* Below the services, where they take less than they could. */
        (void)screen_line(screen);
        add_instances(m, look, style, instances - 1, screen);
    }
    while (screen->n_lines < start + rows)
        (void)screen_line(screen);
    if (look->prompt) {
        Parts p = {style, &screen_line(screen)->text, 0};
        (void)parts_add(&p, "", COLOR_BOLD, look->prompt);
    } else if (keys) {
        add_keys(style, &screen_line(screen)->text);
    }
}

static void view_help(const Style *style, size_t height, TopScreen *screen) {
    size_t rows = height > 2 ? height - 2 : 1, blocks = (_TOP_ACTION_MAX + rows - 1) / rows,
           most = style->width / HELP_WIDTH_MIN;
    /* In a window too small for all, the last ones are not there. */
    if (blocks > most)
        blocks = most > 0 ? most : 1;
    size_t width = style->width / blocks;
    Parts title = {style, &screen_line(screen)->text, 0};
    (void)parts_add(&title, "", COLOR_BOLD, "mpctl top: keys");
    for (size_t row = 0; row < rows; row++) {
        Text *out = &screen_line(screen)->text;
        for (size_t block = 0; block < blocks && row + block * rows < _TOP_ACTION_MAX; block++) {
            const TopKeyRow *key = top_key_row((TopAction)(row + block * rows));
            CLEANUP_TEXT Text item = {0};
            text_addf(&item, "%-8s %s", key->label, key->help);
            for (size_t at = utf8_columns(out->s ? out->s : ""); at < block * width; at++)
                text_addc(out, ' ');
            add_cut(style, out, COLOR_NONE, item.s ? item.s : "", width - 1);
        }
    }
    Parts bottom = {style, &screen_line(screen)->text, 0};
    (void)parts_add(&bottom, "", COLOR_GREY, "any key: back");
}

int top_view(const TopModel *m, TopLook *look, const Style *style, size_t height, TopScreen *screen) {
    int r = screen_begin(screen, height);
    if (r < 0 || height == 0)
        return r;
    if (height < HEIGHT_MIN || style->width < WIDTH_MIN) {
        Parts p = {style, &screen_line(screen)->text, 0};
        (void)parts_add(&p, "", COLOR_NONE, "too small");
    } else if (look->help) {
        view_help(style, height, screen);
    } else {
        view_lists(m, look, style, height, screen);
    }
    return 0;
}

/* SPDX-License-Identifier: MIT */
#include "ctl/style.h"

#include <langinfo.h>
#include <pwd.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

#include "ctl/proto/api.h"
#include "daemon/base/clock.h"

static bool wants_color(ColorWhen when) {
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    switch (when) {
    case COLOR_ALWAYS:
        return true;
    case COLOR_NEVER:
        return false;
    case COLOR_AUTO:
        break;
    }
    return isatty(STDOUT_FILENO) && !(no_color && *no_color) && !(term && streq(term, "dumb"));
}

/* COLUMNS speaks for itself, a terminal is asked, and a pipe has no bound. */
static size_t width_of_output(void) {
    const char *columns = getenv("COLUMNS");
    char *end = NULL;
    unsigned long n = columns && *columns ? strtoul(columns, &end, 10) : 0;
    if (n > 0 && n < 10000 && end && !*end)
        return n;
    struct winsize size;
    if (isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return size.ws_col;
    return 0;
}

void style_init(Style *s, ColorWhen when) {
    *s = (Style){
        .color = wants_color(when),
        .utf8 = streq(nl_langinfo(CODESET), "UTF-8"),
        .width = width_of_output(),
        .now_usec = clock_realtime_usec(),
    };
}

/* The eight colours that every terminal has; grey is "faint". */
static const char *const codes[_COLOR_MAX] = {
    [COLOR_GREEN] = "\033[32m", [COLOR_YELLOW] = "\033[33m", [COLOR_RED] = "\033[31m",
    [COLOR_GREY] = "\033[2m",   [COLOR_BOLD] = "\033[1m",
};
static const char reset_code[] = "\033[0m";

void style_add(const Style *s, Text *out, Color color, const char *text) {
    bool colored = s->color && codes[color] && *text;
    if (colored)
        text_add(out, codes[color]);
    text_add(out, text);
    if (colored)
        text_add(out, reset_code);
}

/* The length of the code of a colour at @s, or 0. */
static size_t code_at(const char *s, size_t n, Color *ret) {
    for (size_t i = 0; i < _COLOR_MAX; i++) {
        size_t len = codes[i] ? strlen(codes[i]) : 0;
        if (len > 0 && len <= n && memcmp(s, codes[i], len) == 0) {
            *ret = (Color)i;
            return len;
        }
    }
    return 0;
}

size_t style_next_run(const char *s, size_t n, const char **ret_text, size_t *ret_n, Color *ret_color) {
    Color color = COLOR_NONE;
    size_t start = code_at(s, n, &color);
    const char *end = (const char *)memchr(s + start, '\033', n - start);
    size_t stop = end ? (size_t)(end - s) : n;
    *ret_text = s + start;
    *ret_n = stop - start;
    *ret_color = color;
    if (n - stop >= strlen(reset_code) && memcmp(s + stop, reset_code, strlen(reset_code)) == 0)
        stop += strlen(reset_code);
    return stop;
}

typedef struct Mark {
    const char *utf8, *ascii;
    Color color;
} Mark;

static const Mark mark_well = {"●", "*", COLOR_GREEN};
static const Mark mark_busy = {"●", "*", COLOR_YELLOW};
static const Mark mark_paused = {"‖", "=", COLOR_YELLOW};
static const Mark mark_failed = {"×", "x", COLOR_RED};
static const Mark mark_off = {"○", "o", COLOR_GREY};

static const Mark *const marks[_SERVICE_STATE_MAX] = {
    [SERVICE_DISABLED] = &mark_off,  [SERVICE_LISTENING] = &mark_well, [SERVICE_PAUSED] = &mark_paused,
    [SERVICE_ACTIVE] = &mark_well,   [SERVICE_FULL] = &mark_busy,      [SERVICE_THROTTLED] = &mark_busy,
    [SERVICE_STARTING] = &mark_busy, [SERVICE_DRAINING] = &mark_busy,  [SERVICE_BACKOFF] = &mark_busy,
    [SERVICE_FAILED] = &mark_failed, [SERVICE_STOPPED] = &mark_off,
};

const char *style_mark(const Style *s, const char *state, Color *ret_color) {
    int i = service_state_from_string(state);
    const Mark *mark = i < 0 ? &mark_off : marks[i];
    *ret_color = mark->color;
    return s->utf8 ? mark->utf8 : mark->ascii;
}

const char *style_ellipsis(const Style *s) {
    return s->utf8 ? "…" : "...";
}

const char *style_arrow(const Style *s) {
    return s->utf8 ? "→" : "->";
}

void style_add_cut(const Style *style, Text *out, const char *s, size_t width) {
    if (utf8_columns(s) <= width) {
        text_add(out, s);
        return;
    }
    const char *ellipsis = style_ellipsis(style);
    size_t room = width > utf8_columns(ellipsis) ? width - utf8_columns(ellipsis) : 0, used = 0,
           n = strlen(s);
    while (n > 0) {
        char one[8] = {0};
        size_t len = utf8_next(s, n, NULL);
        len = len > 0 ? len : 1;
        memcpy(one, s, len);
        if (used + utf8_columns(one) > room)
            break;
        used += utf8_columns(one);
        text_add_n(out, s, len);
        s += len;
        n -= len;
    }
    text_add(out, ellipsis);
}

/* Bytes of a colour at the start of @s, "\033[32m". */
static size_t color_length(const char *s) {
    return s[0] == '\033' ? strcspn(s, "m") + 1 : 0;
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* Up to a blank, but for the one within a number. */
static size_t word_length(const char *s) {
    size_t len = strcspn(s, " ");
    while (len > 0 && is_digit(s[len - 1]) && s[len] && is_digit(s[len + 1]))
        len += 1 + strcspn(s + len + 1, " ");
    return len;
}

/* The columns of the first word of @s, and its bytes. */
static size_t word_columns(const char *s, size_t *ret_len) {
    CLEANUP_TEXT Text word = {0};
    size_t len = word_length(s);
    for (size_t i = 0; i < len;) {
        size_t skip = color_length(s + i);
        if (skip == 0)
            text_addc(&word, s[i]);
        i += skip > 0 ? skip : 1;
    }
    *ret_len = len;
    return word.s ? utf8_columns(word.s) : 0;
}

void style_add_wrapped(const Style *style, Text *out, const char *text, size_t indent) {
    size_t column = indent;
    while (*text) {
        size_t blanks = strspn(text, " "), len, columns = word_columns(text + blanks, &len);
        text += blanks;
        if (style->width > 0 && column > indent && column + blanks + columns > style->width) {
            text_addf(out, "\n%*s", (int)indent, "");
            column = indent;
            blanks = 0;
        }
        text_addf(out, "%*s", (int)blanks, "");
        text_add_n(out, text, len);
        column += blanks + columns;
        text += len;
    }
}

void format_age(Text *out, uint64_t usec) {
    unsigned long long sec = usec / USEC_PER_SEC;
    if (sec < 60)
        text_addf(out, "%llus", sec);
    else if (sec < 3600)
        text_addf(out, "%llum", sec / 60);
    else if (sec < 86400)
        text_addf(out, "%lluh %llum", sec / 3600, sec % 3600 / 60);
    else
        text_addf(out, "%llud %lluh", sec / 86400, sec % 86400 / 3600);
}

void format_number(Text *out, uint64_t n) {
    char digits[24];
    int len = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)n);
    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0)
            text_addc(out, ' ');
        text_addc(out, digits[i]);
    }
}

void format_size(Text *out, uint64_t bytes) {
    static const char units[] = "BKMGTPE";
    double n = (double)bytes;
    size_t i = 0;
    while (n >= 1000 && i + 2 < sizeof(units)) {
        n /= 1024;
        i++;
    }
    text_addf(out, i == 0 || n >= 10 ? "%.0f%c" : "%.1f%c", n, units[i]);
}

void format_user(Text *out, uid_t uid) {
    const struct passwd *user = getpwuid(uid);
    if (user && *user->pw_name)
        text_add_escaped(out, user->pw_name, strlen(user->pw_name));
    else
        text_addf(out, "uid %u", (unsigned)uid);
}

void format_time(const Style *s, Text *out, uint64_t time_usec) {
    time_t then = (time_t)(time_usec / USEC_PER_SEC), now = (time_t)(s->now_usec / USEC_PER_SEC);
    struct tm tm = {0}, today = {0};
    char text[64];
    (void)localtime_r(&then, &tm);
    (void)localtime_r(&now, &today);
    bool same_day = tm.tm_year == today.tm_year && tm.tm_yday == today.tm_yday;
    (void)strftime(text, sizeof(text), same_day ? "%H:%M:%S" : "%Y-%m-%d %H:%M:%S", &tm);
    text_add(out, text);
}

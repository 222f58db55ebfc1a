/* SPDX-License-Identifier: MIT */
#pragma once
/* How things are shown: colour, marks, width, and numbers and times as people read them. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "ctl/options.h"
#include "daemon/base/text.h"

typedef enum Color {
    COLOR_NONE,
    COLOR_GREEN,
    COLOR_YELLOW,
    COLOR_RED,
    COLOR_GREY,
    COLOR_BOLD,
    _COLOR_MAX,
} Color;

typedef struct Style {
    bool color;
    bool utf8;
    size_t width;      /* columns; 0: no bound */
    uint64_t now_usec; /* since 1970 */
} Style;

/* What the terminal, the environment (NO_COLOR, TERM, COLUMNS) and the options ask for. */
void style_init(Style *s, ColorWhen when);

/* Appends @text in @color, where colour is wanted. */
void style_add(const Style *s, Text *out, Color color, const char *text);
/* Takes apart what style_add() and escaped text have made: the first run in one colour of the @n bytes at @s.
 * Returns how many bytes it took, its codes included; 0 at the end. */
size_t style_next_run(const char *s, size_t n, const char **ret_text, size_t *ret_n, Color *ret_color);

/* The mark of a service's state, and its colour. Static. */
const char *style_mark(const Style *s, const char *state, Color *ret_color);
/* "…" or "...". */
const char *style_ellipsis(const Style *s);
/* "→" or "->". */
const char *style_arrow(const Style *s);
/* As much of @s as fits into @width columns, and the ellipsis if that is not all. */
void style_add_cut(const Style *style, Text *out, const char *s, size_t width);

/* Words of @text on lines of at most style->width, the first of which starts at column @indent already and
 * the others after as many blanks. A word is never cut; colours take no room. */
void style_add_wrapped(const Style *style, Text *out, const char *text, size_t indent);

/* "3d 4h", "8m", "40s". */
void format_age(Text *out, uint64_t usec);
/* 48211 as "48 211". */
void format_number(Text *out, uint64_t n);
/* "9.8M" */
void format_size(Text *out, uint64_t bytes);
/* "root"; a uid without a name as a number. */
void format_user(Text *out, uid_t uid);
/* "14:02:11" for today, else "2026-11-21 14:02:11"; local time. */
void format_time(const Style *s, Text *out, uint64_t time_usec);

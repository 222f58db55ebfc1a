/* SPDX-License-Identifier: MIT */
#pragma once
/* What top puts on the screen: lines of text in colours, for a window of a given size. Pure. Everything that
 * comes from outside is escaped here. */
#include "ctl/style.h"
#include "ctl/top-model.h"

/* What the user has set beside the model. */
typedef struct TopLook {
    bool help; /* in place of all else */
    bool paused;
    bool instances;       /* are shown */
    bool focus_instances; /* the arrows move there */
    uint64_t delay_usec;
    const char *notice; /* escaped already; NULL: nothing is to be said */
    bool notice_bad;
    const char *prompt; /* the same; stands at the bottom in place of the keys */
    /* Kept by the view: rows scrolled past, and how many rows a page has. */
    size_t first_service, first_instance;
    size_t page;
} TopLook;

typedef struct TopLine {
    Text text; /* colours as style_add() writes them */
    bool selected;
} TopLine;

typedef struct TopScreen {
    TopLine *lines;
    size_t n_lines, height;
} TopScreen;

/* A window of style->width columns and @height lines; no line is wider. What @screen holds is made anew. */
int top_view(const TopModel *m, TopLook *look, const Style *style, size_t height, TopScreen *screen);
void top_screen_done(TopScreen *s);
#define CLEANUP_TOP_SCREEN CLEANUP(top_screen_done)

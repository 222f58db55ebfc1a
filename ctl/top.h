/* SPDX-License-Identifier: MIT */
#pragma once
/* A run of mpctl top: what there is to show, how, and what keys do to it. */
#include "ctl/top-daemon.h"
#include "ctl/top-view.h"

/* What keys go to. */
typedef enum TopMode {
    TOP_MODE_LISTS,
    TOP_MODE_FILTER, /* it is being typed */
    TOP_MODE_KILL,   /* y or n */
} TopMode;

typedef struct Top {
    TopModel model;
    TopLook look;
    TopScreen screen;
    TopDaemon daemon;
    Style style;
    TopMode mode;
    Text prompt;
    char *kill_service; /* what the question is about */
    int64_t kill_pid;
    bool changed; /* the screen is to be made anew */
    bool ended;
    int signal; /* that ended it; 0: none did */
} Top;

/* A key that was pressed: a code point or a TopKey. */
void top_on_key(Top *t, uint32_t key, uint64_t now_usec);

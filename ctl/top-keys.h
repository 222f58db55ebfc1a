/* SPDX-License-Identifier: MIT */
#pragma once
/* The keys of top: one table gives what each does, the help, and the line at the bottom of the screen. */
#include <stddef.h>
#include <stdint.h>

/* Keys that are no characters; past the last code point. */
typedef enum TopKey {
    TOP_KEY_UP = 0x110000,
    TOP_KEY_DOWN,
    TOP_KEY_PAGE_UP,
    TOP_KEY_PAGE_DOWN,
    TOP_KEY_HOME,
    TOP_KEY_END,
    TOP_KEY_ENTER,
    TOP_KEY_BACKSPACE,
    TOP_KEY_TAB,
    TOP_KEY_ESCAPE,
} TopKey;

typedef enum TopAction {
    TOP_QUIT,
    TOP_HELP,
    TOP_UP,
    TOP_DOWN,
    TOP_PAGE_UP,
    TOP_PAGE_DOWN,
    TOP_FIRST,
    TOP_LAST,
    TOP_FOCUS,
    TOP_SORT,
    TOP_REVERSE,
    TOP_FILTER,
    TOP_CLEAR,
    TOP_FAILED,
    TOP_INSTANCES,
    TOP_PAUSE,
    TOP_SLOWER,
    TOP_FASTER,
    TOP_KILL,
    _TOP_ACTION_MAX,
} TopAction;

typedef struct TopKeyRow {
    uint32_t keys[3];  /* code points or TopKey; 0: no more */
    const char *label; /* "j, down" */
    const char *help;
    const char *hint; /* for the line at the bottom; NULL: not there */
} TopKeyRow;

const TopKeyRow *top_key_row(TopAction action);
/* What @key does, or -ENOENT. */
int top_key_action(uint32_t key);
/* The next longer or shorter time between two looks. */
uint64_t top_delay_step(uint64_t delay_usec, int direction);

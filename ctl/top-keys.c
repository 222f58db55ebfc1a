/* SPDX-License-Identifier: MIT */
#include "ctl/top-keys.h"

#include <errno.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"

static const TopKeyRow rows[_TOP_ACTION_MAX] = {
    [TOP_QUIT] = {{'q'}, "q", "quit", "quit"},
    [TOP_HELP] = {{'?', 'h'}, "?", "this help", "help"},
    [TOP_UP] = {{TOP_KEY_UP, 'k'}, "k, up", "the service before", NULL},
    [TOP_DOWN] = {{TOP_KEY_DOWN, 'j'}, "j, down", "the service after", NULL},
    [TOP_PAGE_UP] = {{TOP_KEY_PAGE_UP}, "PgUp", "a page up", NULL},
    [TOP_PAGE_DOWN] = {{TOP_KEY_PAGE_DOWN}, "PgDn", "a page down", NULL},
    [TOP_FIRST] = {{TOP_KEY_HOME, 'g'}, "g, Home", "the first one", NULL},
    [TOP_LAST] = {{TOP_KEY_END, 'G'}, "G, End", "the last one", NULL},
    [TOP_FOCUS] = {{TOP_KEY_TAB, TOP_KEY_ENTER}, "Tab", "between services and instances", NULL},
    [TOP_SORT] = {{'s'}, "s", "sort by the next column", "sort"},
    [TOP_REVERSE] = {{'r'}, "r", "the other direction", NULL},
    [TOP_FILTER] = {{'/'}, "/", "filter by name, state or peer", "filter"},
    [TOP_CLEAR] = {{TOP_KEY_ESCAPE}, "Esc", "no filter any more", NULL},
    [TOP_FAILED] = {{'f'}, "f", "only failed services, or all", "failed"},
    [TOP_INSTANCES] = {{'i'}, "i", "hide the instances, or show them", "instances"},
    [TOP_PAUSE] = {{' '}, "space", "hold the picture, go on", "pause"},
    [TOP_SLOWER] = {{'+'}, "+", "look less often", NULL},
    [TOP_FASTER] = {{'-'}, "-", "look more often", NULL},
    [TOP_KILL] = {{'K'}, "K", "send TERM to what is selected", "kill"},
};

const TopKeyRow *top_key_row(TopAction action) {
    return &rows[action];
}

int top_key_action(uint32_t key) {
    for (size_t i = 0; i < ELEMENTS(rows); i++)
        for (size_t k = 0; k < ELEMENTS(rows[i].keys); k++)
            if (rows[i].keys[k] == key && key != 0)
                return (int)i;
    return -ENOENT;
}

uint64_t top_delay_step(uint64_t delay_usec, int direction) {
    static const uint64_t steps[] = {
        100 * USEC_PER_MSEC, 200 * USEC_PER_MSEC, 500 * USEC_PER_MSEC, 1 * USEC_PER_SEC,  2 * USEC_PER_SEC,
        5 * USEC_PER_SEC,    10 * USEC_PER_SEC,   30 * USEC_PER_SEC,   60 * USEC_PER_SEC,
    };
    if (direction > 0) {
        for (size_t i = 0; i < ELEMENTS(steps); i++)
            if (steps[i] > delay_usec)
                return steps[i];
    } else {
        for (size_t i = ELEMENTS(steps); i-- > 0;)
            if (steps[i] < delay_usec)
                return steps[i];
    }
    return delay_usec;
}

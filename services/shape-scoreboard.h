/* SPDX-License-Identifier: MIT */
#pragma once
/* A scoreboard: memory that a parent shares with its workers, a cache line for each, so that no two write to
 * the same one. What a worker says of itself is one 64-bit word, written and read at once: whoever reads sees
 * a state that there was, never half of one and half of the next. */
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "services/shape-bell.h"

#define SCOREBOARD_LINE 64

typedef struct ScoreboardSlot {
    /* Requests done, times two, and one more while one is being served. */
    _Alignas(SCOREBOARD_LINE) _Atomic uint64_t word;
} ScoreboardSlot;
_Static_assert(sizeof(ScoreboardSlot) == SCOREBOARD_LINE, "a slot is a cache line");

typedef struct Scoreboard {
    Bell bell; /* rung when a slot has changed */
    _Alignas(SCOREBOARD_LINE) ScoreboardSlot slots[];
} Scoreboard;

typedef struct Score {
    bool busy;
    uint64_t requests;
} Score;

/* For @n workers, all idle; shared with every process that is forked afterwards. NULL and errno when it
 * cannot be had. */
Scoreboard *scoreboard_new(size_t n);
Scoreboard *scoreboard_free(Scoreboard *s, size_t n);
/* By the worker of the slot only. */
void scoreboard_begin(Scoreboard *s, size_t slot);
void scoreboard_end(Scoreboard *s, size_t slot);
/* By anybody. */
Score scoreboard_read(const Scoreboard *s, size_t slot);
/* By the parent, when the slot's worker is no more. */
void scoreboard_clear(Scoreboard *s, size_t slot);

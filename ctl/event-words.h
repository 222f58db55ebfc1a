/* SPDX-License-Identifier: MIT */
#pragma once
/* The words that an event can be, and what each tells: for --kind, for completion and for the manual. */
#include <stdbool.h>
#include <stddef.h>

typedef struct EventWord {
    const char *word;
    const char *help; /* a phrase, without a full stop */
    bool logs_only;   /* `mpctl logs` shows it, `mpctl events` does not */
} EventWord;

/* The @i-th, NULL past the last. */
const EventWord *event_word(size_t i);

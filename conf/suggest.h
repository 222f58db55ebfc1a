/* SPDX-License-Identifier: MIT */
#pragma once
/* "Did you mean": the nearest of the words that would have been right. Pure. */
#include <stddef.h>

/* The edits (insert, delete, replace, swap two neighbours) that turn @a into @b, upper and lower case being
 * one; SIZE_MAX when either is longer than 64 bytes. */
size_t suggest_distance(const char *a, const char *b);

/* Words may be offered one by one: start with {.word = what was written}, read `best`. */
typedef struct Suggestion {
    const char *word;
    const char *best; /* the nearest so far, the first of equals; NULL: none is near enough */
    size_t distance;  /* of best */
} Suggestion;

/* Near enough is a distance of at most a third of the word's length, and 1 at least. Keeps @candidate. */
void suggestion_offer(Suggestion *s, const char *candidate);

/* The nearest of @n @candidates (NULL among them is skipped), or NULL. */
const char *suggest(const char *word, const char *const *candidates, size_t n);

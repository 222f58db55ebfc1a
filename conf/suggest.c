/* SPDX-License-Identifier: MIT */
#include "conf/suggest.h"

#include <stdint.h>
#include <string.h>

#include "daemon/base/cleanup.h"

/* The longest key is some twenty characters long; a bound keeps the work of a hostile one small. */
#define WORD_MAX 64

static char lower(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

/* Damerau-Levenshtein in its restricted form: a swapped pair is not edited again. */
size_t suggest_distance(const char *a, const char *b) {
    size_t n = strnlen(a, WORD_MAX + 1), m = strnlen(b, WORD_MAX + 1);
    if (n > WORD_MAX || m > WORD_MAX)
        return SIZE_MAX;
    size_t rows[3][WORD_MAX + 1];
    size_t *before = rows[0], *last = rows[1], *now = rows[2];
    for (size_t j = 0; j <= m; j++) {
        before[j] = 0;
        last[j] = j;
    }
    for (size_t i = 1; i <= n; i++) {
        now[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t cost = lower(a[i - 1]) == lower(b[j - 1]) ? 0 : 1;
            now[j] = least(least(last[j], now[j - 1]) + 1, last[j - 1] + cost);
            if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) && lower(a[i - 2]) == lower(b[j - 1]))
                now[j] = least(now[j], before[j - 2] + 1);
        }
        size_t *spare = before;
        before = last;
        last = now;
        now = spare;
    }
    return last[m];
}

void suggestion_offer(Suggestion *s, const char *candidate) {
    size_t n = strlen(s->word), m = strlen(candidate);
    size_t near = n / 3 > 1 ? n / 3 : 1;
    /* The lengths alone may tell. */
    if ((n > m ? n - m : m - n) > near)
        return;
    size_t distance = suggest_distance(s->word, candidate);
    /* A word of which no character stayed is not a misspelling of the other. */
    if (distance > near || distance >= (n > m ? n : m))
        return;
    if (s->best && distance >= s->distance)
        return;
    s->best = candidate;
    s->distance = distance;
}

const char *suggest(const char *word, const char *const *candidates, size_t n) {
    Suggestion s = {.word = word};
    for (size_t i = 0; i < n; i++)
        if (candidates[i])
            suggestion_offer(&s, candidates[i]);
    return s.best;
}

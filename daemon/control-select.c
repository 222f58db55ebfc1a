/* SPDX-License-Identifier: MIT */
#include "daemon/control-select.h"

#include <fnmatch.h>
#include <string.h>

static bool is_glob(const char *s) {
    return strpbrk(s, "*?[\\") != NULL;
}

int selection_init(Selection *s, char *const *patterns) {
    size_t globs = 0;
    *s = (Selection){.patterns = patterns};
    for (char *const *p = patterns; p && *p; p++) {
        globs += is_glob(*p);
        if (globs > GLOBS_MAX || (is_glob(*p) && strlen(*p) > GLOB_LENGTH_MAX))
            return -E2BIG;
    }
    return 0;
}

void selection_done(Selection *s) {
    free(s->selected);
    *s = (Selection){0};
}

static int begin(Selection *s, const ServiceSet *set, uint64_t generation) {
    bool *selected = calloc(set->n + 1, sizeof(bool));
    if (!selected)
        return -ENOMEM;
    memset(selected, !s->patterns, set->n);
    free(s->selected);
    s->selected = selected;
    s->next = s->next_item = 0;
    s->found = false;
    s->n = set->n;
    s->generation = generation;
    return 0;
}

/* Goes on with the pattern that is a glob; whether it is through. */
static bool match_some(Selection *s, const ServiceSet *set, size_t *budget) {
    for (; s->next_item<set->n && * budget> 0; s->next_item++, (*budget)--)
        if (fnmatch(s->patterns[s->next], set->items[s->next_item]->name, 0) == 0)
            s->found = s->selected[s->next_item] = true;
    return s->next_item == set->n;
}

int selection_step(Selection *s, const ServiceSet *set, uint64_t generation, size_t budget) {
    /* A set of the same generation only ever loses services. */
    if (!s->selected || s->n != set->n || s->generation != generation) {
        int r = begin(s, set, generation);
        if (r < 0)
            return r;
    }
    for (; s->patterns && s->patterns[s->next]; s->next++) {
        if (budget == 0)
            return 0;
        size_t i = service_set_index(set, s->patterns[s->next]);
        if (i < set->n) {
            s->selected[i] = true;
            budget--;
            continue;
        }
        if (is_glob(s->patterns[s->next]) && !match_some(s, set, &budget))
            return 0;
        if (!s->found)
            return -ENOENT;
        s->found = false;
        s->next_item = 0;
    }
    return 1;
}

char **selection_names(const Selection *s, const ServiceSet *set) {
    char **names CLEANUP_STRV = calloc(set->n + 1, sizeof(char *));
    for (size_t i = 0, n = 0; names && i < set->n; i++) {
        if (!s->selected[i])
            continue;
        names[n] = strdup(set->items[i]->name);
        if (!names[n++])
            return NULL;
    }
    return TAKE_PTR(names);
}

/* SPDX-License-Identifier: MIT */
#pragma once
/* What may come next on a command line of mpctl: one answer for all shells, out of the tables of verbs and
 * options, and with live names where a daemon answers. */
#include "ctl/verbs.h"

/* The last of the words, and what stands before it. Borrows the words. */
typedef struct CompletePlace {
    const Verb *verb;   /* NULL: none is named yet */
    bool unknown_verb;  /* one is named that is not there */
    char **args;        /* of the verb, without the last word; NULL-terminated */
    OptionSet given;    /* without the last word */
    const char *socket; /* the newest -s, or NULL */
    bool operands_only; /* "--" has been given */
    int waiting;        /* the last word is, or has, the argument of this option; -EINVAL: of none */
    const char *word;   /* the last word */
    const char *part;   /* what of it is to be completed: behind "--color=" and "A,B," */
} CompletePlace;

/* Reads @words (NULL-terminated, behind "mpctl"; the last one is being typed). Pure. Returns 0 or -ENOMEM. */
int complete_find_place(char *const *words, CompletePlace *ret);
void complete_place_done(CompletePlace *p);
#define CLEANUP_PLACE CLEANUP(complete_place_done)

/* One candidate as a line VALUE TAB DESCRIPTION, if it goes on from what is typed. */
void complete_offer(const CompletePlace *p, Text *out, const char *value, const char *description);
/* Whether @word is among the arguments before the last word. */
bool complete_is_given(const CompletePlace *p, const char *word);

/* All candidates for @p, into @c's output; a line TAB "files" says that the shell is to offer files. Never
 * fails, and says nothing: where no daemon answers within a second there are no live names. */
void complete_add(Ctl *c, const CompletePlace *p);

/* Names of services with their states, and with @pids the processes with their peers. */
void complete_add_live(Ctl *c, const CompletePlace *p, bool pids);
/* Prefixes that are banned, with why and by whom. */
void complete_add_bans(Ctl *c, const CompletePlace *p);

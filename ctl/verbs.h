/* SPDX-License-Identifier: MIT */
#pragma once
/* The table of verbs. Dispatch, the list of `mpctl --help`, the help of each verb and the verb part of
 * mpctl(1) all read it. */
#include "ctl/ctl.h"

/* Runs with the words behind the verb (NULL-terminated). Returns the exit status. */
typedef int (*VerbRun)(Ctl *c, char *const *args);

typedef enum VerbGroup {
    GROUP_LOOK,
    GROUP_ACT,
    GROUP_CONFIG,
    GROUP_DAEMON,
    GROUP_HIDDEN, /* in no list */
} VerbGroup;

typedef struct VerbExample {
    const char *command; /* without "mpctl " */
    const char *meaning;
} VerbExample;

#define VERB_EXAMPLES_MAX 3
#define VERB_ANY_ARGS SIZE_MAX

typedef struct Verb {
    const char *name;
    const char *arguments; /* "NAME..."; "" for none */
    const char *summary;   /* one line, without a full stop */
    const char *details;   /* whole sentences for its help and the manual */
    VerbRun run;           /* NULL: known, and not in this version */
    size_t min_args, max_args;
    VerbExample examples[VERB_EXAMPLES_MAX + 1];
    OptionSet options; /* its own; the global ones go with every verb */
    VerbGroup group;
    Completes
        completes[2];   /* its first argument, and the further ones; these are like the first if not set */
    bool columns;       /* it takes -o; its `-o help` asks no daemon */
    const char *prints; /* what --json prints: the reply of this method of dev.mpinetd.Control */
    const char *prints_each;       /* or on each line an object of this type */
    const ApiField *prints_fields; /* or a document of its own */
} Verb;

const Verb *verb_find(const char *name);
/* The @i-th, NULL past the last. */
const Verb *verb_get(size_t i);
const char *verb_group_title(VerbGroup group);

int verb_status(Ctl *c, char *const *args);
int verb_is_active(Ctl *c, char *const *args);
int verb_ps(Ctl *c, char *const *args);
int verb_events(Ctl *c, char *const *args);
int verb_top(Ctl *c, char *const *args);
int verb_logs(Ctl *c, char *const *args);
int verb_bans(Ctl *c, char *const *args);
int verb_unban(Ctl *c, char *const *args);
int verb_metrics(Ctl *c, char *const *args);
int verb_start(Ctl *c, char *const *args);
int verb_stop(Ctl *c, char *const *args);
int verb_restart(Ctl *c, char *const *args);
int verb_pause(Ctl *c, char *const *args);
int verb_resume(Ctl *c, char *const *args);
int verb_drain(Ctl *c, char *const *args);
int verb_kill(Ctl *c, char *const *args);
int verb_set(Ctl *c, char *const *args);
int verb_reload(Ctl *c, char *const *args);
int verb_config(Ctl *c, char *const *args);
int verb_check(Ctl *c, char *const *args);
int verb_explain(Ctl *c, char *const *args);
int verb_schema(Ctl *c, char *const *args);
int verb_ping(Ctl *c, char *const *args);
int verb_version(Ctl *c, char *const *args);
int verb_upgrade(Ctl *c, char *const *args);
int verb_shutdown(Ctl *c, char *const *args);
int verb_help(Ctl *c, char *const *args);
int verb_complete(Ctl *c, char *const *args);
int verb_man(Ctl *c, char *const *args);

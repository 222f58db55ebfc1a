/* SPDX-License-Identifier: MIT */
#pragma once
/* The command line: one table of options, and what was given. Options may stand before or after the verb. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/base/text.h"

typedef enum OptionId {
    OPTION_SOCKET,
    OPTION_JSON,
    OPTION_PLAIN,
    OPTION_COLUMNS,
    OPTION_COLOR,
    OPTION_QUIET,
    OPTION_HELP,
    OPTION_VERSION,
    _OPTION_GLOBAL_MAX, /* those before go with every verb */
    OPTION_FAILED = _OPTION_GLOBAL_MAX,
    OPTION_FOLLOW,
    OPTION_LINES,
    OPTION_SERVICE,
    OPTION_DRY_RUN,
    OPTION_NO_WAIT,
    OPTION_TIMEOUT,
    OPTION_KIND,
    OPTION_SINCE,
    OPTION_SIGNAL,
    OPTION_SOURCE,
    OPTION_ORIGIN,
    OPTION_CONFIG,
    OPTION_DELAY,
    OPTION_SORT,
    OPTION_SECURITY,
    _OPTION_MAX,
} OptionId;

/* What a word of the command line is, for completion. */
typedef enum Completes {
    COMPLETES_NOTHING, /* of what nothing can be known */
    COMPLETES_SERVICES,
    COMPLETES_INSTANCES, /* services, or pids */
    COMPLETES_BANS,      /* prefixes that are banned */
    COMPLETES_LIMITS,    /* KEY=VALUE as `set` takes it */
    COMPLETES_KEYS,      /* of the config */
    COMPLETES_FILES,
    COMPLETES_VERBS,
    COMPLETES_WORDS,   /* those of the verb's `arguments`: "[config|replies]" */
    COMPLETES_COLUMNS, /* of the verb's table, a list */
    COMPLETES_COLUMN,
    COMPLETES_EVENTS, /* their words, a list */
    COMPLETES_SIGNALS,
    COMPLETES_COLORS,
    _COMPLETES_MAX,
} Completes;

typedef struct OptionRow {
    const char *name;     /* long, without dashes */
    char letter;          /* '\0': none; 's' behind `kill` is --signal, elsewhere --socket */
    const char *argument; /* NULL: takes none */
    const char *help;
    Completes completes; /* its argument */
} OptionRow;

/* A set of options. */
typedef uint32_t OptionSet;
#define OPTION(id) ((OptionSet)1 << OPTION_##id)

typedef enum OutputFormat {
    OUTPUT_TEXT,
    OUTPUT_JSON,
    OUTPUT_PLAIN,
} OutputFormat;

typedef enum ColorWhen {
    COLOR_AUTO,
    COLOR_ALWAYS,
    COLOR_NEVER,
} ColorWhen;

/* Everything is borrowed from argv. */
typedef struct Options {
    OptionSet given;
    const char *values[_OPTION_MAX]; /* of options with an argument */
    const char *verb;                /* NULL: none was named */
    char **args;                     /* what follows the verb, NULL-terminated */
    OutputFormat format;
    ColorWhen color;
    int64_t lines;         /* -1: not given */
    uint64_t timeout_usec; /* USEC_INFINITY: not given */
    uint64_t since_usec;   /* how long ago; USEC_INFINITY: not given */
    uint64_t delay_usec;   /* USEC_INFINITY: not given */
} Options;

const OptionRow *option_row(OptionId id);
/* The option of a letter, which may depend on the verb (NULL: not named yet), or -EINVAL. */
int option_by_letter(int letter, const char *verb);
/* The word of --color, NULL past the last. */
const char *color_word(size_t i);
static inline bool options_has(const Options *o, OptionSet set) {
    return (o->given & set) != 0;
}

/* Reads @argv. Returns 0, or -EINVAL with what is wrong in @error, without "mpctl: " and newline. `verb` and
 * `args` are set either way, as far as it came. */
int options_parse(int argc, char **argv, Options *ret, Text *error);
void options_done(Options *o);

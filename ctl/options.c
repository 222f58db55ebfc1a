/* SPDX-License-Identifier: MIT */
#include "ctl/options.h"

#include <getopt.h>
#include <string.h>

#include "conf/suggest.h"
#include "conf/value.h"
#include "daemon/base/clock.h"

#define DELAY_MIN_USEC (100 * USEC_PER_MSEC)
#define DELAY_MAX_USEC (3600 * USEC_PER_SEC)

static const OptionRow rows[_OPTION_MAX] = {
    [OPTION_SOCKET] = {"socket", 's', "SOCKET", "the daemon's control socket", COMPLETES_FILES},
    [OPTION_JSON] = {"json", '\0', NULL, "one JSON document, as the daemon's interface has it"},
    [OPTION_PLAIN] = {"plain", '\0', NULL, "tab separated, no header, nothing cut: for scripts"},
    [OPTION_COLUMNS] = {"columns", 'o', "COLUMNS", "choose columns: A,B, or +A,B to add; help lists them",
                        COMPLETES_COLUMNS},
    [OPTION_COLOR] = {"color", '\0', "WHEN", "colour: auto (on a terminal), always or never",
                      COMPLETES_COLORS},
    [OPTION_QUIET] = {"quiet", 'q', NULL, "print errors only"},
    [OPTION_HELP] = {"help", 'h', NULL, "show help, of the verb if one is given"},
    [OPTION_VERSION] = {"version", '\0', NULL, "show the version of mpctl"},
    [OPTION_FAILED] = {"failed", '\0', NULL, "only services in state failed"},
    [OPTION_FOLLOW] = {"follow", 'f', NULL, "go on as things happen"},
    [OPTION_LINES] = {"lines", 'n', "N", "how many of the past to show first"},
    [OPTION_SERVICE] = {"service", '\0', "NAME", "only those of this service", COMPLETES_SERVICES},
    [OPTION_DRY_RUN] = {"dry-run", '\0', NULL, "only say what would change"},
    [OPTION_NO_WAIT] = {"no-wait", '\0', NULL, "do not wait until it is done"},
    [OPTION_TIMEOUT] = {"timeout", '\0', "TIME", "wait no longer than this: 30s, 2m"},
    [OPTION_KIND] = {"kind", 'k', "EVENT,...", "only these: started, ended, refused, ...", COMPLETES_EVENTS},
    [OPTION_SINCE] = {"since", '\0', "TIME", "only what is not older than this: 10m, 2h"},
    [OPTION_SIGNAL] = {"signal", 's', "SIGNAL", "a name or a number; TERM if none is given",
                       COMPLETES_SIGNALS},
    [OPTION_SOURCE] = {"source", '\0', "PREFIX", "instances with a peer in this prefix, of all services"},
    [OPTION_ORIGIN] = {"origin", '\0', NULL, "where each value came from"},
    [OPTION_CONFIG] = {"config", 'c', "FILE", "of this file, without asking the daemon", COMPLETES_FILES},
    [OPTION_DELAY] = {"delay", 'd', "TIME", "time between two looks: 1s, 500ms"},
    [OPTION_SORT] = {"sort", 'S', "COLUMN", "sort by this column", COMPLETES_COLUMN},
    [OPTION_SECURITY] = {"security", '\0', NULL, "how exposed each service is, and what would mend it"},
};

const OptionRow *option_row(OptionId id) {
    return &rows[id];
}

/* getopt's value of an option without a letter. */
#define LONG_ONLY 256

typedef struct GetoptTables {
    char letters[2 * _OPTION_MAX + 4];
    struct option longs[_OPTION_MAX + 1];
} GetoptTables;

/* "-": operands come in their place, as value 1; ":": a missing argument is told from an unknown option. */
static void make_tables(GetoptTables *t) {
    size_t n = 0;
    *t = (GetoptTables){0};
    t->letters[n++] = '-';
    t->letters[n++] = ':';
    for (size_t i = 0; i < _OPTION_MAX; i++) {
        const OptionRow *row = &rows[i];
        t->longs[i] = (struct option){row->name, row->argument ? required_argument : no_argument, NULL,
                                      LONG_ONLY + (int)i};
        if (!row->letter)
            continue;
        /* -s stands for two options, both with an argument. */
        if (memchr(t->letters, row->letter, n))
            continue;
        t->letters[n++] = row->letter;
        if (row->argument)
            t->letters[n++] = ':';
    }
}

int option_by_letter(int letter, const char *verb) {
    /* As with kill(1): before the verb -s still is the socket. */
    if (letter == 's' && verb && streq(verb, "kill"))
        return OPTION_SIGNAL;
    for (size_t i = 0; i < _OPTION_MAX; i++)
        if (rows[i].letter == letter)
            return (int)i;
    return -EINVAL;
}

/* @verb is what has been named so far, or NULL. */
static int option_of(int value, const char *verb) {
    return value >= LONG_ONLY ? value - LONG_ONLY : option_by_letter(value, verb);
}

static int fail(Text *error, const char *what, const char *value) {
    text_addf(error, "%s '", what);
    text_add_escaped(error, value, strlen(value));
    text_addc(error, '\'');
    return -EINVAL;
}

/* A long option that is none: what was meant, if that can be told. */
static void add_suggestion(const char *word, Text *error) {
    CLEANUP_FREE char *name = strndup(word + 2, strcspn(word + 2, "="));
    Suggestion s = {.word = name ? name : ""};
    for (size_t i = 0; i < _OPTION_MAX; i++)
        suggestion_offer(&s, rows[i].name);
    if (s.best)
        text_addf(error, "; did you mean '--%s'?", s.best);
}

/* What getopt did not like; the word stands before optind, unless it is within a group of letters. */
static int fail_getopt(int value, char *const *argv, Text *error) {
    const char *word = argv[optind - 1];
    const char *what = value == ':' ? "an argument is missing after" : "unknown option";
    char letter[3] = {'-', (char)optopt, '\0'};
    if (optopt > 0 && optopt < LONG_ONLY)
        return fail(error, what, letter);
    if (value == '?' && optopt >= LONG_ONLY)
        what = "no argument goes with";
    (void)fail(error, what, word);
    if (value == '?' && optopt == 0 && starts_with(word, "--"))
        add_suggestion(word, error);
    return -EINVAL;
}

const char *color_word(size_t i) {
    static const char *const words[] = {
        [COLOR_AUTO] = "auto", [COLOR_ALWAYS] = "always", [COLOR_NEVER] = "never"};
    return i < ELEMENTS(words) ? words[i] : NULL;
}

static int decode_color(const char *s, ColorWhen *ret) {
    const char *word;
    for (size_t i = 0; (word = color_word(i)); i++)
        if (streq(word, s)) {
            *ret = (ColorWhen)i;
            return 0;
        }
    return -EINVAL;
}

static int decode_count(const char *s, int64_t *ret) {
    char *end;
    if (*s < '0' || *s > '9')
        return -EINVAL;
    errno = 0;
    long n = strtol(s, &end, 10);
    if (*end || errno != 0)
        return -EINVAL;
    *ret = n;
    return 0;
}

/* What comes of a variable that is not set, and would be taken for an option that is not given. */
static int refuse_empty(const Options *o, Text *error) {
    for (size_t i = 0; i < _OPTION_MAX; i++) {
        if (!o->values[i] || *o->values[i])
            continue;
        text_addf(error, "the value of --%s is empty", rows[i].name);
        return -EINVAL;
    }
    return 0;
}

/* The values of those options that are not just text. */
static int decode(Options *o, Text *error) {
    const char *color = o->values[OPTION_COLOR], *lines = o->values[OPTION_LINES],
               *timeout = o->values[OPTION_TIMEOUT], *since = o->values[OPTION_SINCE],
               *delay = o->values[OPTION_DELAY];
    if (options_has(o, OPTION(JSON)) && options_has(o, OPTION(PLAIN) | OPTION(COLUMNS))) {
        text_add(error, "--json goes with neither --plain nor -o");
        return -EINVAL;
    }
    o->format = options_has(o, OPTION(JSON))    ? OUTPUT_JSON
                : options_has(o, OPTION(PLAIN)) ? OUTPUT_PLAIN
                                                : OUTPUT_TEXT;
    if (color && decode_color(color, &o->color) < 0)
        return fail(error, "--color takes auto, always or never, not", color);
    if (lines && decode_count(lines, &o->lines) < 0)
        return fail(error, "-n takes a number, not", lines);
    if (timeout && value_duration(timeout, 0, USEC_INFINITY - 1, false, &o->timeout_usec, NULL) < 0)
        return fail(error, "--timeout takes a time like 30s or 2m, not", timeout);
    if (since && value_duration(since, 0, USEC_INFINITY - 1, false, &o->since_usec, NULL) < 0)
        return fail(error, "--since takes a time like 10m or 2h, not", since);
    if (delay && value_duration(delay, DELAY_MIN_USEC, DELAY_MAX_USEC, false, &o->delay_usec, NULL) < 0)
        return fail(error, "-d takes a time from 100ms to 1h, not", delay);
    return refuse_empty(o, error);
}

int options_parse(int argc, char **argv, Options *ret, Text *error) {
    GetoptTables tables;
    size_t n_args = 0;
    *ret = (Options){
        .lines = -1, .timeout_usec = USEC_INFINITY, .since_usec = USEC_INFINITY, .delay_usec = USEC_INFINITY};
    ret->args = (char **)calloc((size_t)argc + 1, sizeof(char *));
    if (!ret->args) {
        text_add(error, "out of memory");
        return -EINVAL;
    }
    make_tables(&tables);
    optind = 0; /* getopt(3), NOTES: start over, with "-" looked at anew */
    opterr = 0;
    for (;;) {
        int value = getopt_long(argc, argv, tables.letters, tables.longs, NULL);
        if (value == -1)
            break;
        if (value == '?' || value == ':')
            return fail_getopt(value, argv, error);
        int id = value == 1 ? -EINVAL : option_of(value, ret->verb);
        if (id >= 0) {
            ret->given |= (OptionSet)1 << id;
            ret->values[id] = optarg;
        } else if (!ret->verb) {
            ret->verb = optarg;
        } else {
            ret->args[n_args++] = optarg;
        }
    }
    /* Behind "--". */
    for (; optind < argc; optind++) {
        if (!ret->verb)
            ret->verb = argv[optind];
        else
            ret->args[n_args++] = argv[optind];
    }
    return decode(ret, error);
}

void options_done(Options *o) {
    free((void *)o->args);
    *o = (Options){0};
}

/* SPDX-License-Identifier: MIT */
#include "services/cli-options.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "build-config.h"
#include "conf/value.h"
#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"

/* Where getopt_long(3)'s values of the rows begin, beyond any letter. */
#define FIRST_ROW 256
#define ROWS_MAX 40
/* The value of a word that is no option, in getopt_long(3)'s order of "-". */
#define WORD 1
#define HELP_COLUMN 26

static int set_flag(const CliRow *row, const char *s, void *field, ValueError *error) {
    (void)row;
    (void)s;
    (void)error;
    *(bool *)field = true;
    return 0;
}

static int set_text(const CliRow *row, const char *s, void *field, ValueError *error) {
    (void)row;
    (void)error;
    *(const char **)field = s;
    return 0;
}

static int set_number(const CliRow *row, const char *s, void *field, ValueError *error) {
    return value_unsigned(s, row->least, row->most, field, error);
}

static int set_signed(const CliRow *row, const char *s, void *field, ValueError *error) {
    return value_signed(s, -(int64_t)row->most, (int64_t)row->most, field, error);
}

static int set_duration(const CliRow *row, const char *s, void *field, ValueError *error) {
    return value_duration(s, row->least, row->most, true, field, error);
}

static int set_size(const CliRow *row, const char *s, void *field, ValueError *error) {
    return value_size(s, row->least, row->most, field, error);
}

static int set_mode(const CliRow *row, const char *s, void *field, ValueError *error) {
    return value_mode(s, (mode_t)row->most, field, error);
}

static int (*const setters[])(const CliRow *, const char *, void *, ValueError *) = {
    [CLI_FLAG] = set_flag,     [CLI_TEXT] = set_text,         [CLI_NUMBER] = set_number,
    [CLI_SIGNED] = set_signed, [CLI_DURATION] = set_duration, [CLI_SIZE] = set_size,
    [CLI_MODE] = set_mode,
};
_Static_assert(ELEMENTS(setters) == _CLI_KIND_MAX, "a setter for each kind");

static void print_row(const char *name, char letter, const char *value, const char *help) {
    char left[64];
    char first[8] = "    ";
    if (letter)
        (void)snprintf(first, sizeof(first), "-%c, ", letter);
    int n = snprintf(left, sizeof(left), "  %s--%s%s%s", first, name, value ? " " : "", value ? value : "");
    printf("%s", left);
    /* One that is too long has its help below. */
    if (n >= HELP_COLUMN) {
        (void)putchar('\n');
        n = 0;
    }
    printf("%*s", HELP_COLUMN - n, "");
    for (; *help; help++) {
        (void)putchar(*help);
        if (*help == '\n')
            printf("%*s", HELP_COLUMN, "");
    }
    (void)putchar('\n');
}

static void print_help(const CliProgram *p) {
    const char *lead = "Usage: ";
    for (const char *s = p->synopsis; *s; s += strcspn(s, "\n"), s += *s == '\n') {
        printf("%s%.*s\n", lead, (int)strcspn(s, "\n"), s);
        lead = "       ";
    }
    printf("\n%s\n\n", p->about);
    for (size_t i = 0; i < p->n_rows; i++)
        print_row(p->rows[i].name, p->rows[i].letter, p->rows[i].value, p->rows[i].help);
    print_row("help", 'h', NULL, "show this, and end");
    print_row("version", 'V', NULL, "show the version, and end");
    printf("\nSee %s(1).\n", p->name);
}

static void try_help(const CliProgram *p) {
    (void)fprintf(stderr, "Try '%s --help'.\n", p->name);
}

int cli_usage(const CliProgram *p, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    (void)fprintf(stderr, "%s: ", p->name);
    (void)vfprintf(stderr, format, ap);
    (void)fputc('\n', stderr);
    va_end(ap);
    try_help(p);
    return CLI_EXIT_USAGE;
}

static bool set(const CliProgram *p, const CliRow *row, const char *s, void *options) {
    ValueError error = {0};
    if (setters[row->kind](row, s, (char *)options + row->offset, &error) >= 0)
        return true;
    (void)fprintf(stderr, "%s: --%s: %s%s%s\n", p->name, row->name, error.why, *error.hint ? "; " : "",
                  error.hint);
    try_help(p);
    return false;
}

/* Help that nobody could be given is a failure. */
static bool ended(const CliProgram *p, Cli *ret) {
    ret->status = EXIT_SUCCESS;
    if (fflush(stdout) != 0) {
        perror(p->name);
        ret->status = EXIT_FAILURE;
    }
    return false;
}

static void fill_tables(const CliProgram *p, struct option longs[static ROWS_MAX + 3],
                        char letters[static 2 * ROWS_MAX + 4]) {
    size_t n = 0;
    letters[n++] = '-';
    letters[n++] = 'h';
    letters[n++] = 'V';
    longs[0] = (struct option){"help", no_argument, NULL, 'h'};
    longs[1] = (struct option){"version", no_argument, NULL, 'V'};
    for (size_t i = 0; i < p->n_rows; i++) {
        const CliRow *row = &p->rows[i];
        int has = row->kind == CLI_FLAG ? no_argument : required_argument;
        longs[i + 2] = (struct option){row->name, has, NULL, FIRST_ROW + (int)i};
        if (row->letter)
            letters[n++] = row->letter;
        if (row->letter && has == required_argument)
            letters[n++] = ':';
    }
    longs[p->n_rows + 2] = (struct option){0};
    letters[n] = '\0';
}

static const CliRow *find_row(const CliProgram *p, int c) {
    if (c >= FIRST_ROW)
        return &p->rows[c - FIRST_ROW];
    for (size_t i = 0; i < p->n_rows; i++)
        if (p->rows[i].letter == c)
            return &p->rows[i];
    return NULL;
}

bool cli_parse(const CliProgram *p, int argc, char **argv, void *options, Cli *ret) {
    struct option longs[ROWS_MAX + 3];
    char letters[2 * ROWS_MAX + 4];
    *ret = (Cli){.status = CLI_EXIT_USAGE, .words = (char **)calloc((size_t)argc + 1, sizeof(char *))};
    if (!ret->words) {
        perror(p->name);
        ret->status = EXIT_FAILURE;
        return false;
    }
    fill_tables(p, longs, letters);
    /* getopt's own messages begin with argv[0], which may be anything. */
    if (argc > 0)
        argv[0] = (char *)p->name;
    for (int c; (c = getopt_long(argc, argv, letters, longs, NULL)) != -1;) {
        if (c == WORD) {
            ret->words[ret->n_words++] = optarg;
            continue;
        }
        if (c == 'h') {
            print_help(p);
            return ended(p, ret);
        }
        if (c == 'V') {
            printf("%s (mpinetd) %s\n", p->name, MP_VERSION);
            return ended(p, ret);
        }
        const CliRow *row = c == '?' ? NULL : find_row(p, c);
        if (!row) {
            try_help(p);
            return false;
        }
        if (!set(p, row, optarg, options))
            return false;
        ret->given |= (uint64_t)1 << (row - p->rows);
    }
    if (optind > 0 && optind <= argc && strcmp(argv[optind - 1], "--") == 0)
        ret->rest = argv + optind;
    return true;
}

void cli_done(Cli *cli) {
    free((void *)cli->words);
    *cli = (Cli){0};
}

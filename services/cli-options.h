/* SPDX-License-Identifier: MIT */
#pragma once
/* The command line of a tool by a table of its options: parsing and help. Words and options may be mixed;
 * what stands behind "--" is kept apart, untouched. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum CliKind {
    CLI_FLAG,     /* bool */
    CLI_TEXT,     /* const char * */
    CLI_NUMBER,   /* uint64_t */
    CLI_SIGNED,   /* int64_t, any */
    CLI_DURATION, /* uint64_t, microseconds, "infinity" for USEC_INFINITY */
    CLI_SIZE,     /* uint64_t, bytes */
    CLI_MODE,     /* mode_t */
    _CLI_KIND_MAX,
} CliKind;

typedef struct CliRow {
    const char *name;
    char letter; /* '\0': none */
    CliKind kind;
    const char *value; /* what its value is called; NULL for a flag */
    size_t offset;     /* in what cli_parse() fills; what is not given stays as it is */
    uint64_t least, most;
    const char *help; /* lines of at most 52 columns */
} CliRow;

typedef struct CliProgram {
    const char *name;
    const char *synopsis; /* lines, each beginning with the program's name */
    const char *about;    /* a paragraph or two, lines of at most 79 columns */
    const CliRow *rows;
    size_t n_rows;
} CliProgram;

typedef struct Cli {
    char **words; /* into argv; the array is owned */
    size_t n_words;
    char **rest;    /* behind "--", into argv, ended by NULL; NULL without a "--" */
    uint64_t given; /* bit N: the option of row N was given */
    int status;     /* when cli_parse() says to end */
} Cli;

/* Returns true to go on; else help was given or the command line is wrong, which was told, and the process
 * should end with ret->status. cli_done() in any case. */
bool cli_parse(const CliProgram *program, int argc, char **argv, void *options, Cli *ret);
void cli_done(Cli *cli);
/* Tells that the command line is wrong, and where help is; returns the exit status. */
int cli_usage(const CliProgram *program, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define CLI_EXIT_USAGE 2

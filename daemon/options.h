/* SPDX-License-Identifier: MIT */
#pragma once
/* The daemon's command line. */
#include <stdbool.h>

#include "daemon/logger.h"

typedef struct Options {
    char *config; /* -c, owned; NULL: the default */
    char *socket; /* -s, owned; NULL: the config's */
    bool check;   /* -t */
    bool has_level, has_format;
    LogLevel level;
    LogFormat format;
    LogTarget target;
    bool attempt;     /* --try */
    char **endpoints; /* of --try, owned */
    char **command;   /* of --try: points into argv */
    char **argv;      /* the whole, for an upgrade in place; borrowed */
    int announced;    /* inherited_check_announcement() */
    char *program;    /* where this program was found, absolute; owned; NULL: not known */
} Options;

/* What to do after parsing: go on, or end with this exit status. */
#define OPTIONS_GO_ON (-1)

/* Parses; prints help, version or what is wrong. OPTIONS_GO_ON, or the exit status to end with (0, or 2 for
 * wrong usage). */
int options_parse(Options *o, int argc, char **argv);
void options_done(Options *o);

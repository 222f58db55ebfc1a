/* SPDX-License-Identifier: MIT */
#include "services/options.h"

#include <errno.h>
#include <getopt.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "build-config.h"
#include "daemon/base/cleanup.h"
#include "services/shape.h"

#define EXIT_USAGE 2
/* Where getopt_long(3)'s values of the rows below begin, beyond any letter. */
#define FIRST_ROW 256

typedef struct OptionRow {
    const char *name;
    const char *value;
    size_t offset; /* in Options */
    uint64_t least, most, fallback;
    const char *help;
    bool shapes;                   /* of protocols with shapes only */
    int (*word)(const char *word); /* the number of a word, or -EINVAL; NULL: it is a number itself */
    const char *words;             /* for the message */
} OptionRow;

static const OptionRow rows[] = {
    {"idle", "SECONDS", offsetof(Options, idle_sec), 0, 1000000000, 60,
     "given listeners, end after SECONDS without work;\n0 stays for ever (default: 60)"},
    {"drain", "SECONDS", offsetof(Options, drain_sec), 0, 1000000000, 5,
     "given listeners, leave connections SECONDS to end\nafter SIGTERM (default: 5)"},
    {"max-connections", "N", offsetof(Options, max_connections), 1, 100000, 512,
     "given listeners, serve at most N connections at\nonce (default: 512)"},
    {"model", "MODEL", offsetof(Options, model), 0, 0, SHAPE_POLL,
     "given listeners, serve them in this shape: poll (one\nloop, the default), iterative, fork, prefork, "
     "thread,\n"
     "thread-pool or epoll",
     .shapes = true, .word = shape_model_from_string,
     .words = "poll, iterative, fork, prefork, thread, thread-pool or epoll"},
    {"workers", "N", offsetof(Options, workers), 1, 10000, 4,
     "processes of prefork, threads of thread-pool\n(default: 4)", .shapes = true},
    {"queue", "N", offsetof(Options, queue), 1, 100000, 64,
     "of thread-pool: connections that may wait for a\nthread (default: 64)", .shapes = true},
    {"when-full", "WHAT", offsetof(Options, when_full), 0, 0, SHAPE_WAIT,
     "of thread-pool, when so many wait: wait (accept no\nmore, the default) or refuse (close at once)",
     .shapes = true, .word = shape_when_full_from_string, .words = "wait or refuse"},
};

static bool row_is_of(const OptionRow *row, const Protocol *protocol) {
    return !row->shapes || protocol->shapes;
}

static uint64_t *field(Options *o, const OptionRow *row) {
    return (uint64_t *)(void *)((char *)o + row->offset);
}

static void print_row(const char *name, const char *value, const char *help) {
    char left[64];
    (void)snprintf(left, sizeof(left), "--%s%s%s", name, value ? " " : "", value ? value : "");
    printf("  %-22s ", left);
    for (; *help; help++) {
        (void)putchar(*help);
        if (*help == '\n')
            printf("%25s", "");
    }
    (void)putchar('\n');
}

static void print_help(const Protocol *protocol) {
    printf("Usage: %s [OPTION...]\n\n", protocol->name);
    printf("%s: %s.\n\n", protocol->name, protocol->about);
    printf("It serves the socket on standard input and output (a connection, a listener or a\n"
           "datagram socket; also plain pipes), or those passed by LISTEN_FDS.\n\n");
    for (size_t i = 0; i < ELEMENTS(rows); i++)
        if (row_is_of(&rows[i], protocol))
            print_row(rows[i].name, rows[i].value, rows[i].help);
    print_row("help, -h", NULL, "show this, and end");
    print_row("version, -V", NULL, "show the version, and end");
    printf("\nSee mp-services(8).\n");
}

static bool parse_word(const Protocol *protocol, const OptionRow *row, const char *s, Options *ret) {
    int value = row->word(s);
    if (value < 0) {
        (void)fprintf(stderr, "%s: --%s: '%s' is none of %s\n", protocol->name, row->name, s, row->words);
        return false;
    }
    *field(ret, row) = (uint64_t)value;
    return true;
}

static bool parse_value(const Protocol *protocol, const OptionRow *row, const char *s, Options *ret) {
    if (row->word)
        return parse_word(protocol, row, s, ret);
    char *end = NULL;
    errno = 0;
    unsigned long long value = strtoull(s, &end, 10);
    if (*s < '0' || *s > '9' || errno != 0 || *end != '\0' || value < row->least || value > row->most) {
        (void)fprintf(stderr, "%s: --%s: '%s' is not a number from %llu to %llu\n", protocol->name, row->name,
                      s, (unsigned long long)row->least, (unsigned long long)row->most);
        return false;
    }
    *field(ret, row) = value;
    return true;
}

static bool usage_error(const Protocol *protocol, int *ret_status) {
    (void)fprintf(stderr, "Try '%s --help'.\n", protocol->name);
    *ret_status = EXIT_USAGE;
    return false;
}

/* Help that nobody could be given is a failure: `mp-echo --help > /dev/full`. */
static bool ended(const Protocol *protocol, int *ret_status) {
    *ret_status = EXIT_SUCCESS;
    if (fflush(stdout) != 0) {
        perror(protocol->name);
        *ret_status = EXIT_FAILURE;
    }
    return false;
}

bool options_parse(const Protocol *protocol, int argc, char **argv, Options *ret, int *ret_status) {
    struct option longs[ELEMENTS(rows) + 3] = {{"help", no_argument, NULL, 'h'},
                                               {"version", no_argument, NULL, 'V'}};
    size_t n = 2;
    for (size_t i = 0; i < ELEMENTS(rows); i++) {
        *field(ret, &rows[i]) = rows[i].fallback;
        if (row_is_of(&rows[i], protocol))
            longs[n++] = (struct option){rows[i].name, required_argument, NULL, FIRST_ROW + (int)i};
    }
    /* getopt's own messages begin with argv[0], which for a service may be anything. */
    if (argc > 0)
        argv[0] = (char *)protocol->name;
    for (int c; (c = getopt_long(argc, argv, "hV", longs, NULL)) != -1;) {
        if (c == 'h') {
            print_help(protocol);
            return ended(protocol, ret_status);
        }
        if (c == 'V') {
            printf("%s (mpinetd) %s\n", protocol->name, MP_VERSION);
            return ended(protocol, ret_status);
        }
        if (c == '?')
            return usage_error(protocol, ret_status);
        if (!parse_value(protocol, &rows[c - FIRST_ROW], optarg, ret))
            return usage_error(protocol, ret_status);
    }
    if (optind < argc) {
        (void)fprintf(stderr, "%s: unexpected argument '%s'\n", protocol->name, argv[optind]);
        return usage_error(protocol, ret_status);
    }
    return true;
}

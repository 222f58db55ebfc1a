/* SPDX-License-Identifier: MIT */
#include "services/options.h"

#include <errno.h>
#include <getopt.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "build-config.h"
#include "daemon/base/cleanup.h"

#define EXIT_USAGE 2
/* Where getopt_long(3)'s values of the rows below begin, beyond any letter. */
#define FIRST_ROW 256

typedef struct OptionRow {
    const char *name;
    const char *value;
    size_t offset; /* in Options */
    uint64_t least, most, fallback;
    const char *help;
} OptionRow;

static const OptionRow rows[] = {
    {"idle", "SECONDS", offsetof(Options, idle_sec), 0, 1000000000, 60,
     "given listeners, end after SECONDS without work;\n0 stays for ever (default: 60)"},
    {"drain", "SECONDS", offsetof(Options, drain_sec), 0, 1000000000, 5,
     "given listeners, leave connections SECONDS to end\nafter SIGTERM (default: 5)"},
    {"max-connections", "N", offsetof(Options, max_connections), 1, 100000, 512,
     "given listeners, serve at most N connections at\nonce (default: 512)"},
};

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
        print_row(rows[i].name, rows[i].value, rows[i].help);
    print_row("help, -h", NULL, "show this, and end");
    print_row("version, -V", NULL, "show the version, and end");
    printf("\nSee mp-services(8).\n");
}

static bool parse_value(const Protocol *protocol, const OptionRow *row, const char *s, Options *ret) {
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
    for (size_t i = 0; i < ELEMENTS(rows); i++) {
        longs[i + 2] = (struct option){rows[i].name, required_argument, NULL, FIRST_ROW + (int)i};
        *field(ret, &rows[i]) = rows[i].fallback;
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

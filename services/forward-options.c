/* SPDX-License-Identifier: MIT */
#include "services/forward-options.h"

#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "build-config.h"
#include "conf/value.h"
#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/base/proxy-header.h"

#define PROGRAM "mp-forward"
#define EXIT_USAGE 2
/* Where getopt_long(3)'s values of the rows below begin, beyond any letter. */
#define FIRST_ROW 256
#define CONNECTIONS_MAX 100000U
#define DAY (86400 * USEC_PER_SEC)

typedef struct Row Row;
/* Reads @s into @o; false: it is wrong, and was told so. */
typedef bool RowParse(const Row *row, const char *s, ForwardOptions *o);

struct Row {
    const char *name;
    const char *value;
    RowParse *parse;
    size_t offset; /* in ForwardOptions, of a time */
    uint64_t least, most;
    bool infinity; /* "infinity" and 0 are no bound */
    const char *help;
};

static bool refuse(const Row *row, const ValueError *error) {
    (void)fprintf(stderr, PROGRAM ": --%s: %s%s%s\n", row->name, error->why, error->hint[0] ? "; " : "",
                  error->hint);
    return false;
}

static bool parse_time(const Row *row, const char *s, ForwardOptions *o) {
    uint64_t *to = (uint64_t *)(void *)((char *)o + row->offset);
    ValueError error = {0};
    if (value_duration(s, row->least, row->most, row->infinity, to, &error) < 0)
        return refuse(row, &error);
    if (row->infinity && *to == 0)
        *to = USEC_INFINITY;
    return true;
}

static bool parse_connections(const Row *row, const char *s, ForwardOptions *o) {
    ValueError error = {0};
    return value_unsigned(s, row->least, row->most, &o->max_connections, &error) == 0 || refuse(row, &error);
}

static bool parse_proxy(const Row *row, const char *s, ForwardOptions *o) {
    o->proxy = streq(s, "v1") ? (int)PROXY_V1 : streq(s, "v2") ? (int)PROXY_V2 : 0;
    if (o->proxy == 0)
        (void)fprintf(stderr, PROGRAM ": --%s: '%s' is neither v1 nor v2\n", row->name, s);
    return o->proxy != 0;
}

static bool parse_wait_file(const Row *row, const char *s, ForwardOptions *o) {
    uint64_t fd = 0;
    ValueError error = {0};
    if (value_unsigned(s, row->least, row->most, &fd, &error) < 0)
        return refuse(row, &error);
    if (fcntl((int)fd, F_GETFD) < 0) {
        (void)fprintf(stderr, PROGRAM ": --%s: descriptor %s is not open\n", row->name, s);
        return false;
    }
    o->wait_file = (int)fd;
    return true;
}

#define TIME(field) .value = "TIME", .parse = parse_time, .offset = offsetof(ForwardOptions, field)

static const Row rows[] = {
    {"idle", TIME(idle_usec), .most = 365 * DAY, .infinity = true,
     .help = "close a connection on which no byte moved for so\nlong (default: never)"},
    {"connect-timeout", TIME(connect_timeout_usec), .least = USEC_PER_MSEC, .most = DAY,
     .help = "the backend has so long to answer (default: 10s)"},
    {"retry", TIME(retry_usec), .most = DAY,
     .help = "hold clients for so long while the backend is not\nthere, and try again (default: 0)"},
    {"proxy", .value = "v1|v2", .parse = parse_proxy,
     .help = "tell the backend who the client is, by a header of\nthe PROXY protocol"},
    {"wait-file", .value = "FD", .parse = parse_wait_file, .least = 3, .most = 1U << 20,
     .help = "hold clients until this descriptor says '+'"},
    {"max-connections", .value = "N", .parse = parse_connections, .least = 1, .most = CONNECTIONS_MAX,
     .help = "serve at most N connections at once (default: 4096)"},
    {"udp-idle", TIME(udp_idle_usec), .least = USEC_PER_MSEC, .most = 365 * DAY,
     .help = "forget a sender of datagrams after so long without\none (default: 60s)"},
    {"exit-idle", TIME(exit_idle_usec), .most = 365 * DAY, .infinity = true,
     .help = "given listeners, end after so long without a\nconnection; 0 stays for ever (default: 60s)"},
    {"drain", TIME(drain_usec), .most = 365 * DAY,
     .help = "given listeners, leave connections so long to end\nafter SIGTERM (default: 5s)"},
};

static void print_row(const char *name, const char *value, const char *help) {
    char left[64];
    (void)snprintf(left, sizeof(left), "--%s%s%s", name, value ? " " : "", value ? value : "");
    printf("  %-24s ", left);
    for (; *help; help++) {
        (void)putchar(*help);
        if (*help == '\n')
            printf("%27s", "");
    }
    (void)putchar('\n');
}

static void print_help(void) {
    printf("Usage: " PROGRAM " [OPTION...] TO\n\n"
           "Forwards connections or datagrams to TO, such as tcp:127.0.0.1:80, tcp:[::1]:80,\n"
           "unix:/path, unix:@name, unix-seqpacket:/path, vsock:CID:PORT, udp:192.0.2.1:53,\n"
           "unix-dgram:/path. Names are not looked up.\n\n"
           "It serves the socket on standard input and output (a connection, a listener or a\n"
           "datagram socket), those passed by LISTEN_FDS, or the connections that come by\n"
           "MP_CONNECTION_FD.\n\n");
    for (size_t i = 0; i < ELEMENTS(rows); i++)
        print_row(rows[i].name, rows[i].value, rows[i].help);
    print_row("help, -h", NULL, "show this, and end");
    print_row("version, -V", NULL, "show the version, and end");
    printf("\nTIME is 500ms, 10s, 5m, 2h, 1d; a bare number is seconds. See mp-services(8).\n");
}

static bool usage_error(int *ret_status) {
    (void)fprintf(stderr, "Try '" PROGRAM " --help'.\n");
    *ret_status = EXIT_USAGE;
    return false;
}

/* Help that nobody could be given is a failure: `mp-forward --help > /dev/full`. */
static bool ended(int *ret_status) {
    *ret_status = EXIT_SUCCESS;
    if (fflush(stdout) != 0) {
        perror(PROGRAM);
        *ret_status = EXIT_FAILURE;
    }
    return false;
}

static bool parse_to(int argc, char **argv, ForwardOptions *o) {
    const char *why = "", *hint = "";
    if (optind >= argc) {
        (void)fprintf(stderr, PROGRAM ": TO is missing: where to forward to\n");
        return false;
    }
    if (optind + 1 < argc) {
        (void)fprintf(stderr, PROGRAM ": unexpected argument '%s'\n", argv[optind + 1]);
        return false;
    }
    if (backend_parse(argv[optind], &o->backend, &why, &hint) < 0) {
        (void)fprintf(stderr, PROGRAM ": '%s': %s%s%s\n", argv[optind], why, *hint ? "; " : "", hint);
        return false;
    }
    if (o->proxy && o->backend.type == SOCK_DGRAM) {
        (void)fprintf(stderr, PROGRAM ": --proxy does not go with datagrams\n");
        return false;
    }
    return true;
}

bool forward_options_parse(int argc, char **argv, ForwardOptions *ret, int *ret_status) {
    struct option longs[ELEMENTS(rows) + 3] = {{"help", no_argument, NULL, 'h'},
                                               {"version", no_argument, NULL, 'V'}};
    for (size_t i = 0; i < ELEMENTS(rows); i++)
        longs[i + 2] = (struct option){rows[i].name, required_argument, NULL, FIRST_ROW + (int)i};
    *ret = (ForwardOptions){.idle_usec = USEC_INFINITY,
                            .connect_timeout_usec = 10 * USEC_PER_SEC,
                            .udp_idle_usec = 60 * USEC_PER_SEC,
                            .exit_idle_usec = 60 * USEC_PER_SEC,
                            .drain_usec = 5 * USEC_PER_SEC,
                            .max_connections = 4096,
                            .wait_file = -EBADF};
    char name[] = PROGRAM;
    /* getopt's own messages begin with argv[0], which for a service may be anything. */
    if (argc > 0)
        argv[0] = name;
    for (int c; (c = getopt_long(argc, argv, "hV", longs, NULL)) != -1;) {
        if (c == 'h') {
            print_help();
            return ended(ret_status);
        }
        if (c == 'V') {
            printf(PROGRAM " (mpinetd) %s\n", MP_VERSION);
            return ended(ret_status);
        }
        if (c == '?' || !rows[c - FIRST_ROW].parse(&rows[c - FIRST_ROW], optarg, ret))
            return usage_error(ret_status);
    }
    return parse_to(argc, argv, ret) || usage_error(ret_status);
}

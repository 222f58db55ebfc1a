/* SPDX-License-Identifier: MIT */
#include "daemon/options.h"

#include <getopt.h>
#include <string.h>

#include "build-config.h"
#include "conf/suggest.h"
#include "daemon/base/text.h"

static const char help_text[] =
    "Usage: mpinetd [-c FILE] [OPTION…]\n"
    "       mpinetd --try ENDPOINT… -- COMMAND…\n"
    "\n"
    "Listens on the endpoints of its config, admits or refuses what arrives, and starts a process for it.\n"
    "Runs in the foreground; look at it and steer it with mpctl(1).\n"
    "\n"
    "  -c, --config FILE      the config (see mpinetd.yaml(5))\n"
    "  -t, --check            check the config and end: 0 it is good, 1 it is not\n"
    "  -s, --socket PATH      the control socket\n"
    "      --log-level LEVEL  error, warning, info or debug\n"
    "      --log-target WHERE auto, stderr, journal or syslog\n"
    "      --log-format HOW   text or json\n"
    "      --try              serve COMMAND on the ENDPOINTs, one process for each\n"
    "                         connection, without a config: mpinetd --try tcp:127.0.0.1:7777 -- cat\n"
    "  -h, --help             this help\n"
    "      --version          the version\n"
    "\n"
    "Signals: TERM and INT stop, HUP loads the config again, USR1 logs a summary, USR2 runs a new program "
    "in\n"
    "place (mpctl upgrade), QUIT stops and leaves the processes running.\n";

enum {
    OPTION_LEVEL = 256,
    OPTION_TARGET,
    OPTION_FORMAT,
    OPTION_TRY,
    OPTION_VERSION,
};

static const struct option long_options[] = {
    {"config", required_argument, NULL, 'c'},
    {"check", no_argument, NULL, 't'},
    {"socket", required_argument, NULL, 's'},
    {"log-level", required_argument, NULL, OPTION_LEVEL},
    {"log-target", required_argument, NULL, OPTION_TARGET},
    {"log-format", required_argument, NULL, OPTION_FORMAT},
    {"try", no_argument, NULL, OPTION_TRY},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, OPTION_VERSION},
    {NULL, 0, NULL, 0},
};

static int usage(const char *format, const char *what) {
    (void)fputs("mpinetd: ", stderr);
    (void)fprintf(stderr, "%s '%s'", format, what);
    (void)fputs("\nTry 'mpinetd --help'.\n", stderr);
    return 2;
}

static int choose(int (*from_string)(const char *s), const char *text, const char *option,
                  const char *choices) {
    int value = from_string(text);
    if (value >= 0)
        return value;
    (void)fprintf(stderr, "mpinetd: --%s takes %s, not '%s'\nTry 'mpinetd --help'.\n", option, choices, text);
    return -EINVAL;
}

/* An empty one is what comes of a variable that is not set. */
static int take_path(char **to, const char *value, const char *option) {
    if (!*value) {
        (void)fprintf(stderr, "mpinetd: the path behind %s is empty\nTry 'mpinetd --help'.\n", option);
        return 2;
    }
    char *copy = strdup(value);
    if (!copy)
        return -ENOMEM;
    free(*to);
    *to = copy;
    return OPTIONS_GO_ON;
}

static int unknown_option(int argc, char **argv) {
    const char *word = optind > 0 && optind <= argc ? argv[optind - 1] : "";
    if (optopt == 'c' || optopt == 's' || optopt >= OPTION_LEVEL)
        return usage("a value is missing after", word);
    return usage("unknown option", word);
}

static int take_option(Options *o, int c, int argc, char **argv) {
    int value;
    switch (c) {
    case 'c':
        return take_path(&o->config, optarg, "--config");
    case 's':
        return take_path(&o->socket, optarg, "--socket");
    case 't':
        o->check = true;
        return OPTIONS_GO_ON;
    case OPTION_LEVEL:
        value = choose(log_level_from_string, optarg, "log-level", "error, warning, info or debug");
        o->has_level = true;
        o->level = value >= 0 ? (LogLevel)value : LOG_LEVEL_INFO;
        return value < 0 ? 2 : OPTIONS_GO_ON;
    case OPTION_TARGET:
        value = choose(log_target_from_string, optarg, "log-target", "auto, stderr, journal or syslog");
        o->target = value >= 0 ? (LogTarget)value : LOG_TARGET_AUTO;
        return value < 0 ? 2 : OPTIONS_GO_ON;
    case OPTION_FORMAT:
        value = choose(log_format_from_string, optarg, "log-format", "text or json");
        o->has_format = true;
        o->format = value >= 0 ? (LogFormat)value : LOG_FORMAT_TEXT;
        return value < 0 ? 2 : OPTIONS_GO_ON;
    case OPTION_TRY:
        o->attempt = true;
        return OPTIONS_GO_ON;
    case 'h':
        (void)fputs(help_text, stdout);
        return 0;
    case OPTION_VERSION:
        (void)puts("mpinetd " MP_VERSION);
        return 0;
    default:
        return unknown_option(argc, argv);
    }
}

/* --try ENDPOINT… -- COMMAND…: getopt stops at "--", so the endpoints come first and the command behind it.
 */
static int take_try(Options *o, int argc, char **argv) {
    int i = optind;
    if (o->config) {
        (void)fputs("mpinetd: --try serves one command without a config: leave out -c\n"
                    "Try 'mpinetd --help'.\n",
                    stderr);
        return 2;
    }
    for (; i < argc && !streq(argv[i], "--"); i++)
        if (strv_push(&o->endpoints, strdup(argv[i])) < 0)
            return -ENOMEM;
    if (!o->endpoints || i + 1 >= argc) {
        (void)fputs("mpinetd: --try needs endpoints, then -- and a command, as in:\n"
                    "  mpinetd --try tcp:127.0.0.1:7777 -- cat\n",
                    stderr);
        return 2;
    }
    o->command = argv + i + 1;
    return OPTIONS_GO_ON;
}

int options_parse(Options *o, int argc, char **argv) {
    *o = (Options){.level = LOG_LEVEL_INFO, .argv = argv};
    opterr = 0;
    for (;;) {
        /* "+": what stands behind the first word that is no option belongs to --try. */
        int c = getopt_long(argc, argv, "+:c:s:th", long_options, NULL);
        if (c == -1)
            break;
        int r = take_option(o, c, argc, argv);
        if (r != OPTIONS_GO_ON)
            return r;
    }
    if (o->attempt)
        return take_try(o, argc, argv);
    if (optind < argc)
        return usage("unexpected argument", argv[optind]);
    return OPTIONS_GO_ON;
}

void options_done(Options *o) {
    free(o->config);
    free(o->socket);
    free(o->program);
    strv_free(o->endpoints);
    *o = (Options){0};
}

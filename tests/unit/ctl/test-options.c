/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ctl/help.h"
#include "ctl/options.h"
#include "daemon/base/clock.h"

#define WORDS_MAX 8

typedef struct Case {
    const char *words[WORDS_MAX];
    const char *error; /* part of it; NULL: it is well */
    const char *verb;
    const char *args; /* joined by blanks */
    OptionSet given;
} Case;

static const Case cases[] = {
    {{NULL}, NULL, NULL, "", 0},
    {{"status"}, NULL, "status", "", 0},
    {{"status", "a", "b"}, NULL, "status", "a b", 0},
    {{"--json", "status"}, NULL, "status", "", OPTION(JSON)},
    {{"status", "--json"}, NULL, "status", "", OPTION(JSON)},
    {{"status", "a", "--json", "b"}, NULL, "status", "a b", OPTION(JSON)},
    {{"-s", "/x", "status"}, NULL, "status", "", OPTION(SOCKET)},
    {{"status", "-s/x"}, NULL, "status", "", OPTION(SOCKET)},
    {{"status", "--socket=/x"}, NULL, "status", "", OPTION(SOCKET)},
    {{"-n", "5", "-f", "events"}, NULL, "events", "", OPTION(LINES) | OPTION(FOLLOW)},
    {{"events", "-fn5"}, NULL, "events", "", OPTION(LINES) | OPTION(FOLLOW)},
    {{"stop", "--", "-x", "--json"}, NULL, "stop", "-x --json", 0},
    {{"--", "status", "-a"}, NULL, "status", "-a", 0},
    {{"stop", "--no-wait", "--timeout", "2m", "a"}, NULL, "stop", "a", OPTION(NO_WAIT) | OPTION(TIMEOUT)},
    {{"kill", "-s", "HUP", "web"}, NULL, "kill", "web", OPTION(SIGNAL)},
    {{"-s", "/x", "kill", "-s9", "web"}, NULL, "kill", "web", OPTION(SOCKET) | OPTION(SIGNAL)},
    {{"kill", "--socket", "/x", "web"}, NULL, "kill", "web", OPTION(SOCKET)},
    {{"events", "-k", "refused", "--since", "10m"}, NULL, "events", "", OPTION(KIND) | OPTION(SINCE)},
    {{"events", "--since", "soon"}, "--since takes a time like 10m or 2h, not 'soon'", NULL, NULL, 0},
    {{"top", "-d", "1ms"}, "-d takes a time from 100ms to 1h, not '1ms'", NULL, NULL, 0},
    {{"-q", "-h"}, NULL, NULL, "", OPTION(QUIET) | OPTION(HELP)},
    {{"--color=never"}, NULL, NULL, "", OPTION(COLOR)},
    {{"-o", "help"}, NULL, NULL, "", OPTION(COLUMNS)},
    {{"--plain", "-o", "A,B"}, NULL, NULL, "", OPTION(COLUMNS) | OPTION(PLAIN)},
    {{"--nope"}, "unknown option '--nope'", NULL, NULL, 0},
    {{"-x"}, "unknown option '-x'", NULL, NULL, 0},
    {{"-qx"}, "unknown option '-x'", NULL, NULL, 0},
    {{"-s"}, "an argument is missing after '-s'", NULL, NULL, 0},
    {{"--socket"}, "an argument is missing after '--socket'", NULL, NULL, 0},
    {{"--json=yes"}, "no argument goes with '--json=yes'", NULL, NULL, 0},
    {{"--color", "blue"}, "--color takes auto, always or never, not 'blue'", NULL, NULL, 0},
    {{"-n", "many"}, "-n takes a number, not 'many'", NULL, NULL, 0},
    {{"-n", "-1"}, "-n takes a number, not '-1'", NULL, NULL, 0},
    {{"-n", "99999999999999999999"}, "-n takes a number", NULL, NULL, 0},
    {{"-n", ""}, "-n takes a number, not ''", NULL, NULL, 0},
    {{"-s", "", "stop"}, "the value of --socket is empty", NULL, NULL, 0},
    {{"stop", "--socket="}, "the value of --socket is empty", NULL, NULL, 0},
    {{"kill", "-s", ""}, "the value of --signal is empty", NULL, NULL, 0},
    {{"-o", ""}, "the value of --columns is empty", NULL, NULL, 0},
    {{"stop", ""}, NULL, "stop", "", 0},
    {{"--timeout", "soon"}, "--timeout takes a time like 30s or 2m, not 'soon'", NULL, NULL, 0},
    {{"--timeout", "\033[1m"}, "not '\\x1b[1m'", NULL, NULL, 0},
    {{"--json", "--plain"}, "--json goes with neither", NULL, NULL, 0},
    {{"--json", "-oA"}, "--json goes with neither", NULL, NULL, 0},
};

static int parse(const char *const *words, Options *ret, Text *error) {
    static char storage[WORDS_MAX + 1][64];
    char *argv[WORDS_MAX + 2] = {(char[]){"mpctl"}};
    int argc = 1;
    for (; words[argc - 1]; argc++) {
        (void)snprintf(storage[argc - 1], sizeof(storage[0]), "%s", words[argc - 1]);
        argv[argc] = storage[argc - 1];
    }
    return options_parse(argc, argv, ret, error);
}

static void test_parse(void **state) {
    (void)state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        const Case *c = &cases[i];
        Options o;
        Text error = {0}, args = {0};
        int r = parse(c->words, &o, &error);
        if (r != (c->error ? -EINVAL : 0))
            print_error("case %zu: %d %s\n", i, r, error.s ? error.s : "");
        assert_int_equal(r, c->error ? -EINVAL : 0);
        if (c->error) {
            assert_non_null(strstr(error.s ? error.s : "", c->error));
        } else {
            for (char **arg = o.args; *arg; arg++)
                text_addf(&args, "%s%s", args.len > 0 ? " " : "", *arg);
            assert_int_equal(o.given, c->given);
            assert_true(streq_null(o.verb, c->verb));
            assert_string_equal(args.s ? args.s : "", c->args);
        }
        text_done(&args);
        text_done(&error);
        options_done(&o);
    }
}

static void test_values(void **state) {
    static const char *const words[] = {"-n", "12", "--timeout=1m30s", "--color=always", "--plain", "-s",
                                        "/x", NULL};
    static const char *const none[] = {NULL};
    Options o;
    Text error = {0};
    (void)state;
    assert_int_equal(parse(words, &o, &error), 0);
    assert_int_equal(o.lines, 12);
    assert_int_equal(o.timeout_usec, 90 * USEC_PER_SEC);
    assert_int_equal(o.color, COLOR_ALWAYS);
    assert_int_equal(o.format, OUTPUT_PLAIN);
    assert_string_equal(o.values[OPTION_SOCKET], "/x");
    options_done(&o);
    assert_int_equal(parse(none, &o, &error), 0);
    assert_int_equal(o.lines, -1);
    assert_true(o.timeout_usec == USEC_INFINITY);
    assert_int_equal(o.format, OUTPUT_TEXT);
    options_done(&o);
    text_done(&error);
}

/* No two options share a name or a letter. */
static void test_rows(void **state) {
    (void)state;
    for (size_t i = 0; i < _OPTION_MAX; i++) {
        const OptionRow *row = option_row((OptionId)i);
        assert_non_null(row->name);
        assert_non_null(row->help);
        for (size_t k = 0; k < i; k++) {
            assert_string_not_equal(option_row((OptionId)k)->name, row->name);
            assert_true(!row->letter || row->letter == 's' || option_row((OptionId)k)->letter != row->letter);
        }
    }
}

static void assert_fits(const char *text, size_t max_lines) {
    size_t lines = 0;
    for (const char *line = text, *end; (end = strchr(line, '\n')); line = end + 1, lines++) {
        if (end - line > 80)
            print_error("%.*s\n", (int)(end - line), line);
        assert_true(end - line <= 80);
    }
    assert_true(lines <= max_lines);
}

/* Each verb has its help, in 80 columns and at most 25 lines, and stands in the list. */
static void test_help(void **state) {
    Text all = {0};
    const Verb *verb;
    (void)state;
    help_all(&all);
    assert_fits(all.s, 60);
    for (size_t i = 0; (verb = verb_get(i)); i++) {
        Text help = {0}, line = {0};
        help_verb(verb, &help);
        assert_fits(help.s, 25);
        assert_ptr_equal(verb_find(verb->name), verb);
        assert_true(verb->min_args <= verb->max_args);
        text_addf(&line, "\n  %s ", verb->name);
        assert_int_equal(strstr(all.s, line.s) != NULL, verb->run && verb->group != GROUP_HIDDEN);
        for (size_t option = 0; option < _OPTION_MAX; option++)
            if (verb->options & ((OptionSet)1 << option))
                assert_non_null(strstr(help.s, option_row((OptionId)option)->name));
        text_done(&line);
        text_done(&help);
    }
    text_done(&all);
}

/* Every verb that is named to users, done or to come. */
static void test_verbs(void **state) {
    static const char *const names[] = {
        "status",  "ps",      "top",       "events",  "logs",     "start",  "stop",
        "restart", "pause",   "resume",    "drain",   "kill",     "bans",   "unban",
        "set",     "reload",  "check",     "config",  "explain",  "schema", "import",
        "export",  "metrics", "is-active", "upgrade", "shutdown", "ping",   "version",
    };
    (void)state;
    for (size_t i = 0; i < ELEMENTS(names); i++)
        assert_non_null(verb_find(names[i]));
    assert_null(verb_find("stat"));
    assert_null(verb_find(""));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse), cmocka_unit_test(test_values), cmocka_unit_test(test_rows),
        cmocka_unit_test(test_help),  cmocka_unit_test(test_verbs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

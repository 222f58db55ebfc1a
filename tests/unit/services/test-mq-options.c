/* SPDX-License-Identifier: MIT */
#include "services/mq-options.h"

#include <getopt.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"

#define WORDS_MAX 12

/* Parses words separated by blanks. */
static bool parse(const char *line, MqOptions *o, Cli *cli) {
    static char copy[256], *argv[WORDS_MAX + 2];
    static char name[] = "x";
    int argc = 0;
    assert_true(strlen(line) < sizeof(copy));
    (void)stpcpy(copy, line);
    argv[argc++] = name;
    char *rest = copy;
    for (char *word; (word = strsep(&rest, " "));)
        if (*word)
            argv[argc++] = word;
    argv[argc] = NULL;
    optind = 0; /* getopt_long(3): from the beginning */
    return mq_options_parse(argc, argv, o, cli);
}

static void test_good(void **state) {
    (void)state;
    static const struct {
        const char *line;
        MqVerb verb;
        const char *name; /* NULL: none */
        size_t n_texts;
        const char *first; /* of the texts, or of the command */
    } good[] = {
        {"send /q", MQ_VERB_SEND, "/q", 0, NULL},
        {"send /q a b", MQ_VERB_SEND, "/q", 2, "a"},
        {"send /q -- -a b", MQ_VERB_SEND, "/q", 2, "-a"},
        {"send -p 3 /q a", MQ_VERB_SEND, "/q", 1, "a"},
        {"send /q a --wait", MQ_VERB_SEND, "/q", 1, "a"},
        {"send sysv:3 -T 2 a", MQ_VERB_SEND, "sysv:3", 1, "a"},
        {"receive", MQ_VERB_RECEIVE, NULL, 0, NULL},
        {"receive mqueue:/q -n 3", MQ_VERB_RECEIVE, "/q", 0, NULL},
        {"receive sysv:3 --type -4", MQ_VERB_RECEIVE, "sysv:3", 0, NULL},
        {"drain /q -0", MQ_VERB_DRAIN, "/q", 0, NULL},
        {"work -- cat -n", MQ_VERB_WORK, NULL, 0, "cat"},
        {"work /q --idle 0 -j 3 -- cat", MQ_VERB_WORK, "/q", 0, "cat"},
        {"create /q --mode 0660", MQ_VERB_CREATE, "/q", 0, NULL},
        {"remove /q", MQ_VERB_REMOVE, "/q", 0, NULL},
        {"status --json", MQ_VERB_STATUS, NULL, 0, NULL},
    };
    for (size_t i = 0; i < ELEMENTS(good); i++) {
        MqOptions o;
        Cli cli;
        print_message("%s\n", good[i].line);
        assert_true(parse(good[i].line, &o, &cli));
        assert_int_equal(o.verb, good[i].verb);
        assert_int_equal(o.has_name, good[i].name != NULL);
        if (good[i].name)
            assert_string_equal(o.name.text, good[i].name);
        assert_int_equal(o.n_texts, good[i].n_texts);
        if (good[i].first)
            assert_string_equal(o.verb == MQ_VERB_WORK ? o.command[0] : o.texts[0], good[i].first);
        cli_done(&cli);
    }
}

static void test_bad(void **state) {
    (void)state;
    static const char *const bad[] = {
        "",
        "sing /q",
        "send",
        "send q",
        "send /q a -- b",
        "send /q -n 3",
        "send /q --raw --null",
        "send /q --raw a",
        "send /q --type 3 a",
        "send sysv:3 --priority 3 a",
        "send sysv:3 --type -3 a",
        "send /q -p 32768 a",
        "receive /q a",
        "receive /q --priority 3",
        "receive /q -- a",
        "receive -n 0",
        "receive --nonsense",
        "work /q cat",
        "work /q --",
        "work /q cat -- cat",
        "work /q --wait -- cat",
        "work --failed nowhere -- cat",
        "create",
        "create /q --max-messages 3",
        "create /q --message-size 3",
        "create /q --mode 0999",
        "remove",
        "remove /q /r",
        "status /q --raw",
    };
    for (size_t i = 0; i < ELEMENTS(bad); i++) {
        MqOptions o;
        Cli cli;
        print_message("%s\n", bad[i]);
        assert_false(parse(bad[i], &o, &cli));
        assert_int_equal(cli.status, CLI_EXIT_USAGE);
        cli_done(&cli);
    }
}

static void test_defaults(void **state) {
    (void)state;
    MqOptions o;
    Cli cli;
    assert_true(parse("receive", &o, &cli));
    assert_int_equal(o.count, 1);
    assert_int_equal(o.type, 0);
    cli_done(&cli);
    assert_true(parse("drain", &o, &cli));
    assert_int_equal(o.count, UINT64_MAX);
    cli_done(&cli);
    assert_true(parse("send sysv:1 x", &o, &cli));
    assert_int_equal(o.type, 1);
    cli_done(&cli);
    assert_true(parse("create /q", &o, &cli));
    assert_int_equal(o.mode, 0600);
    cli_done(&cli);
    assert_true(parse("work -- cat", &o, &cli));
    assert_int_equal(o.idle_usec, 5 * USEC_PER_SEC);
    assert_int_equal(o.jobs, 1);
    assert_int_equal(o.retries, 0);
    cli_done(&cli);
    assert_true(parse("work --idle infinity --retries 2 -- cat", &o, &cli));
    assert_int_equal(o.idle_usec, USEC_INFINITY);
    assert_int_equal(o.retries, 2);
    cli_done(&cli);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_defaults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

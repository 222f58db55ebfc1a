/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "conf/schema.h"
#include "ctl/complete.h"
#include "ctl/event-words.h"

#define WORDS_MAX 8

/* Where a line is. */

typedef struct PlaceCase {
    const char *words[WORDS_MAX];
    const char *verb; /* NULL: none */
    const char *args; /* joined by blanks */
    OptionSet given;
    int waiting;
    const char *part;
    const char *socket;
} PlaceCase;

#define NONE (-EINVAL)

static const PlaceCase place_cases[] = {
    {{NULL}, NULL, "", 0, NONE, "", NULL},
    {{""}, NULL, "", 0, NONE, "", NULL},
    {{"st"}, NULL, "", 0, NONE, "st", NULL},
    {{"status", ""}, "status", "", 0, NONE, "", NULL},
    {{"status", "a", "b"}, "status", "a", 0, NONE, "b", NULL},
    {{"--json", "status", ""}, "status", "", OPTION(JSON), NONE, "", NULL},
    {{"status", "--json", ""}, "status", "", OPTION(JSON), NONE, "", NULL},
    {{"-s", "/x", "status", ""}, "status", "", OPTION(SOCKET), NONE, "", "/x"},
    {{"-s/x", "status", ""}, "status", "", OPTION(SOCKET), NONE, "", "/x"},
    {{"-qs", "/x", ""}, NULL, "", OPTION(QUIET) | OPTION(SOCKET), NONE, "", "/x"},
    {{"--socket=/x", ""}, NULL, "", OPTION(SOCKET), NONE, "", "/x"},
    {{"--sock", "/x", ""}, NULL, "", OPTION(SOCKET), NONE, "", "/x"},
    {{"-s", "/x", "-s", "/y", ""}, NULL, "", OPTION(SOCKET), NONE, "", "/y"},
    {{"-s", "/x", "kill", "-s", ""}, "kill", "", OPTION(SOCKET), OPTION_SIGNAL, "", "/x"},
    {{"kill", "-s", "HUP", "w"}, "kill", "", OPTION(SIGNAL), NONE, "w", NULL},
    {{"kill", "-sHUP", ""}, "kill", "", OPTION(SIGNAL), NONE, "", NULL},
    {{"kill", "--socket", ""}, "kill", "", 0, OPTION_SOCKET, "", NULL},
    {{"-s", ""}, NULL, "", 0, OPTION_SOCKET, "", NULL},
    {{"-s", "--json"}, NULL, "", 0, OPTION_SOCKET, "--json", NULL},
    {{"-s", "--json", "x"}, NULL, "", OPTION(SOCKET), NONE, "x", "--json"},
    {{"--color", "a"}, NULL, "", 0, OPTION_COLOR, "a", NULL},
    {{"--color=a"}, NULL, "", 0, OPTION_COLOR, "a", NULL},
    {{"--colo=a"}, NULL, "", 0, OPTION_COLOR, "a", NULL},
    {{"--color="}, NULL, "", 0, OPTION_COLOR, "", NULL},
    {{"--json=a"}, NULL, "", 0, NONE, "--json=a", NULL}, /* it takes none */
    {{"--s=a"}, NULL, "", 0, NONE, "--s=a", NULL},       /* of several */
    {{"--nope=a"}, NULL, "", 0, NONE, "--nope=a", NULL},
    {{"--nope", ""}, NULL, "", 0, NONE, "", NULL},
    {{"-x", ""}, NULL, "", 0, NONE, "", NULL},
    {{"-", ""}, NULL, "", 0, NONE, "", NULL}, /* an operand: no such verb */
    {{"stop", "--", "-x", "--json"}, "stop", "-x", 0, NONE, "--json", NULL},
    {{"stop", "--", "--", "a"}, "stop", "--", 0, NONE, "a", NULL},
    {{"--", "stop", "-"}, "stop", "", 0, NONE, "-", NULL},
    {{"events", "-fn5", ""}, "events", "", OPTION(FOLLOW) | OPTION(LINES), NONE, "", NULL},
    {{"events", "-fn", "5", ""}, "events", "", OPTION(FOLLOW) | OPTION(LINES), NONE, "", NULL},
    {{"nope", "a", ""}, NULL, "a", 0, NONE, "", NULL},
};

/* Text that is not const, as that of argv. */
static char **copy_words(const char *const *words) {
    char **v = NULL;
    assert_int_equal(strv_push(&v, strdup("mpctl")), 0);
    for (; *words; words++)
        assert_int_equal(strv_push(&v, strdup(*words)), 0);
    return v;
}

static void test_place(void **state) {
    (void)state;
    for (size_t i = 0; i < ELEMENTS(place_cases); i++) {
        const PlaceCase *c = &place_cases[i];
        char **words = copy_words(c->words);
        CompletePlace p;
        Text args = {0};
        assert_int_equal(complete_find_place(words + 1, &p), 0);
        for (char **arg = p.args; *arg; arg++)
            text_addf(&args, "%s%s", args.len > 0 ? " " : "", *arg);
        if (!streq_null(p.verb ? p.verb->name : NULL, c->verb) || !streq(args.s ? args.s : "", c->args) ||
            p.given != c->given || p.waiting != c->waiting)
            print_error("case %zu: verb %s args '%s' given %x waiting %d\n", i, p.verb ? p.verb->name : "-",
                        args.s ? args.s : "", p.given, p.waiting);
        assert_true(streq_null(p.verb ? p.verb->name : NULL, c->verb));
        assert_string_equal(args.s ? args.s : "", c->args);
        assert_int_equal(p.given, c->given);
        assert_int_equal(p.waiting, c->waiting);
        assert_string_equal(p.part, c->part);
        assert_true(streq_null(p.socket, c->socket));
        text_done(&args);
        complete_place_done(&p);
        strv_free(words);
    }
}

/* What is offered, without a daemon. */

typedef struct OfferCase {
    const char *words[WORDS_MAX];
    const char *values; /* all of them, joined by blanks; with "..." at the end, the first ones */
} OfferCase;

static const OfferCase offer_cases[] = {
    {{"stat"}, "status"},
    {{"status", "--fa"}, "--failed"},
    {{"--fa"}, "--failed"}, /* status is the verb when none is named */
    {{"events", "--fa"}, ""},
    {{"events", "--"}, "--socket --json --plain --color..."},
    {{"status", "-"}, "-s --socket --json --plain -o --columns --color -q..."},
    {{"status", "-o"}, "-o"},
    {{"events", "--json", "--p"}, ""}, /* they do not go together */
    {{"status", "--plain", "--j"}, ""},
    {{"status", "--plain", "--c"}, "--columns --color"},
    {{"status", "-q", "-"}, "-s --socket --json --plain -o --columns --color -h..."},
    {{"status", "--", "--"}, ""},
    {{"nope", ""}, ""},
    {{"nope", "--js"}, "--json"},
    {{"nope", "--fa"}, ""},
    {{"--color", ""}, "auto always never"},
    {{"--color=n"}, "--color=never"},
    {{"status", "-o", "LAST"}, "LAST-ERROR"},
    {{"status", "-o", "last"}, "last-error"},
    {{"status", "-o", "+LAST"}, "+LAST-ERROR"},
    {{"status", "-o", "SERVICE,LAST"}, "SERVICE,LAST-ERROR"},
    {{"status", "--columns=SERVICE,LAST"}, "--columns=SERVICE,LAST-ERROR"},
    {{"-o", "LAST"}, "LAST-ERROR"},
    {{"ps", "-o", "PE"}, "PEER"},
    {{"stop", "-o", ""}, ""},
    {{"events", "-k", "spa"}, "spawn_failed"},
    {{"events", "--kind=refused,spa"}, "--kind=refused,spawn_failed"},
    {{"kill", "-s", "HU"}, "HUP"},
    {{"kill", "--signal", "SIGHU"}, "SIGHUP"},
    {{"kill", "-s", "9"}, ""},
    {{"kill", "--source", ""}, ""},
    {{"unban", ""}, "any"},
    {{"unban", "any", ""}, ""},
    {{"unban", "2"}, ""},
    {{"bans", ""}, ""},
    {{"bans", "-o", "LE"}, "LEFT"},
    {{"schema", ""}, "config replies"},
    {{"schema", "r"}, "replies"},
    {{"schema", "config", ""}, ""}, /* it takes one */
    {{"ping", ""}, ""},
    {{"explain", "limits.when"}, "limits.when_full"},
    {{"explain", "listen.back"}, "listen.backlog"},
    {{"explain", "limits", ""}, ""},
    {{"set", "a", "limits.when"}, "limits.when_full="},
    {{"set", "a", "when"}, "when_full="},
    {{"set", "a", "limits.when_full="}, "limits.when_full=wait limits.when_full=refuse"},
    {{"set", "a", "when_full=r"}, "when_full=refuse"},
    {{"set", "a", "limits.instances="}, ""},
    {{"set", "a", "limits.nope="}, ""},
    {{"set", "a", "limits.instances=5", "limits.when"}, "limits.when_full="},
    {{"help", "stat"}, "status"},
    {{"help", "__"}, ""},
    {{"__"}, ""},
    {{"check", "any"}, "<files>"},
    {{"-s", "any"}, "<files>"},
    {{"config", "--config=any"}, "<files>"},
    {{"events", "-n", ""}, ""},
    {{"stop", "--timeout", ""}, ""},
    {{"-s", "/nowhere", "stop", ""}, ""},
    {{"-s", "/nowhere", "events", "--service", ""}, ""},
};

static void complete(const char *const *words, Text *out) {
    Ctl c = {0};
    char **v = copy_words(words);
    assert_int_equal(verb_complete(&c, v + 1), CTL_DONE);
    text_add(out, c.out.s ? c.out.s : "");
    text_done(&c.out);
    client_free(c.client);
    strv_free(v);
}

/* "VALUE VALUE" of lines VALUE TAB DESCRIPTION. */
static void join_values(const char *lines, Text *values) {
    for (const char *line = lines; *line; line = strchr(line, '\n') + 1) {
        const char *tab = strchr(line, '\t'), *end = strchr(line, '\n');
        assert_non_null(end);
        assert_true(tab && tab < end);
        assert_null(memchr(tab + 1, '\t', (size_t)(end - tab - 1)));
        text_add(values, values->len > 0 ? " " : "");
        if (tab == line)
            text_addf(values, "<%.*s>", (int)(end - tab - 1), tab + 1);
        else
            text_add_n(values, line, (size_t)(tab - line));
    }
}

static void test_offers(void **state) {
    (void)state;
    (void)setenv("MPCTL_SOCKET", "/nowhere", 1);
    for (size_t i = 0; i < ELEMENTS(offer_cases); i++) {
        const OfferCase *c = &offer_cases[i];
        Text lines = {0}, values = {0};
        complete(c->words, &lines);
        join_values(lines.s ? lines.s : "", &values);
        const char *got = values.s ? values.s : "";
        size_t n = strlen(c->values);
        bool some = n > 3 && streq(c->values + n - 3, "...");
        bool well = some ? strncmp(got, c->values, n - 3) == 0 : streq(got, c->values);
        if (!well)
            print_error("case %zu: %s\n", i, got);
        assert_true(well);
        text_done(&values);
        text_done(&lines);
    }
}

static void assert_offered(const char *const *words, const char *value) {
    Text lines = {0}, line = {0}, all = {0};
    complete(words, &lines);
    text_addf(&all, "\n%s", lines.s ? lines.s : "");
    text_addf(&line, "\n%s\t", value);
    if (!strstr(all.s, line.s))
        print_error("not offered: %s\n", value);
    assert_non_null(strstr(all.s, line.s));
    text_done(&all);
    text_done(&line);
    text_done(&lines);
}

/* Every verb, each of its options by both names, and every event. */
static void test_all(void **state) {
    const Verb *verb;
    const EventWord *event;
    (void)state;
    for (size_t i = 0; (verb = verb_get(i)); i++) {
        if (!verb->run || verb->group == GROUP_HIDDEN)
            continue;
        assert_offered((const char *const[]){"", NULL}, verb->name);
        for (size_t o = _OPTION_GLOBAL_MAX; o < _OPTION_MAX; o++) {
            const OptionRow *row = option_row((OptionId)o);
            char name[32], letter[3] = {'-', row->letter, '\0'};
            if (!(verb->options & ((OptionSet)1 << o)))
                continue;
            (void)snprintf(name, sizeof(name), "--%s", row->name);
            assert_offered((const char *const[]){verb->name, "-", NULL}, name);
            if (row->letter)
                assert_offered((const char *const[]){verb->name, "-", NULL}, letter);
        }
    }
    for (size_t i = 0; (event = event_word(i)); i++)
        if (!event->logs_only)
            assert_offered((const char *const[]){"events", "-k", "", NULL}, event->word);
}

/* An argument is completed only where there is one. */
static void test_rows(void **state) {
    const Verb *verb;
    (void)state;
    for (size_t i = 0; (verb = verb_get(i)); i++)
        assert_true(verb->max_args > 0 || (!verb->completes[0] && !verb->completes[1]));
    for (size_t i = 0; i < _OPTION_MAX; i++)
        assert_true(option_row((OptionId)i)->argument || !option_row((OptionId)i)->completes);
}

/* What comes from outside is no more than a line. */
static void test_escapes(void **state) {
    CompletePlace p = {.word = "", .part = ""};
    Text out = {0};
    (void)state;
    complete_offer(&p, &out, "a", "x\n\t\033[1m");
    assert_string_equal(out.s, "a\tx\\x0a\\x09\\x1b[1m\n");
    text_done(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_place), cmocka_unit_test(test_offers),  cmocka_unit_test(test_all),
        cmocka_unit_test(test_rows),  cmocka_unit_test(test_escapes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

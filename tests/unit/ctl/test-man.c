/* SPDX-License-Identifier: MIT */
/* The source of mpctl(1), whose path is the argument, with the tables filled in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ctl/event-words.h"
#include "ctl/help.h"
#include "ctl/proto/api.h"

static Ctl page;

static void assert_has(const char *before, const char *name, const char *after) {
    CLEANUP_TEXT Text wanted = {0};
    text_add(&wanted, before);
    for (; *name; name++)
        text_addf(&wanted, *name == '_' ? "\\_" : "%c", *name);
    text_add(&wanted, after);
    if (!strstr(page.out.s, wanted.s))
        print_error("not in the manual: %s\n", wanted.s);
    assert_non_null(strstr(page.out.s, wanted.s));
}

static void test_verbs(void **state) {
    const Verb *verb;
    (void)state;
    for (size_t i = 0; (verb = verb_get(i)); i++)
        if (verb->run && verb->group != GROUP_HIDDEN)
            assert_has("\n*", verb->name, "*");
}

/* With the letter, at its definition and at each verb. */
static void test_options(void **state) {
    const Verb *verb;
    (void)state;
    for (size_t i = 0; i < _OPTION_MAX; i++) {
        const OptionRow *row = option_row((OptionId)i);
        char before[16];
        bool used = i < _OPTION_GLOBAL_MAX;
        for (size_t k = 0; (verb = verb_get(k)); k++)
            used = used || (verb->run && (verb->options & ((OptionSet)1 << i)));
        if (!used)
            continue;
        (void)snprintf(before, sizeof(before), row->letter ? "\n*-%c*, *--" : "\n*--", row->letter);
        assert_has(before, row->name, "*");
        if (i >= _OPTION_GLOBAL_MAX)
            assert_has(before + 1, row->name, "*");
    }
}

static void test_words(void **state) {
    const EventWord *event;
    (void)state;
    for (size_t i = 0; (event = event_word(i)); i++)
        assert_has("\n*", event->word, "*\n\t");
    for (ServiceState s = 0; s < _SERVICE_STATE_MAX; s++)
        assert_has("\n*", service_state_to_string(s), "*\n\t");
    for (RefuseReason r = 0; r < _REFUSE_REASON_MAX; r++)
        assert_has("\n*", refuse_reason_to_string(r), "*\n\t");
}

static void test_columns(void **state) {
    const Verb *verb;
    (void)state;
    for (size_t i = 0; (verb = verb_get(i)); i++) {
        CLEANUP_TEXT Text lines = {0};
        help_columns(verb, &lines);
        if (!verb->run || !verb->columns)
            continue;
        assert_non_null(lines.s);
        assert_has("## Columns of ", verb->name, "\n");
        for (const char *line = lines.s; *line; line = strchr(line, '\n') + 1) {
            char name[32];
            (void)snprintf(name, sizeof(name), "%.*s", (int)strcspn(line, " "), line);
            assert_has("\n*", name, "*\n\t");
        }
    }
}

static void test_sections(void **state) {
    static const char *const sections[] = {
        "NAME",        "SYNOPSIS",   "DESCRIPTION",
        "OPTIONS",     "VERBS",      "OUTPUT",
        "STATES",      "COLUMNS",    "WHO WAS REFUSED, AND WHY",
        "EVENTS",      "COMPLETION", "EXIT STATUS",
        "ENVIRONMENT", "FILES",      "EXAMPLES",
        "SEE ALSO",
    };
    (void)state;
    for (size_t i = 0; i < ELEMENTS(sections); i++)
        assert_has("\n# ", sections[i], "\n");
    /* Nothing is left to be filled in. */
    assert_null(strchr(page.out.s, '@'));
}

static int make_page(void **state) {
    char *args[] = {getenv("MANUAL"), NULL};
    (void)state;
    return args[0] && verb_man(&page, args) == CTL_DONE ? 0 : -1;
}

static int done_page(void **state) {
    (void)state;
    text_done(&page.out);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verbs),   cmocka_unit_test(test_options),  cmocka_unit_test(test_words),
        cmocka_unit_test(test_columns), cmocka_unit_test(test_sections),
    };
    return cmocka_run_group_tests(tests, make_page, done_page);
}

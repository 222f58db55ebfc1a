/* SPDX-License-Identifier: MIT */
#include "ctl/help.h"

#include <string.h>

#define HELP_WIDTH 79
/* Where the explanation of an option or example starts. */
#define HELP_INDENT 24

void help_add_sentence(const char *s, Text *out) {
    text_addc(out, (char)(*s >= 'a' && *s <= 'z' ? *s - 'a' + 'A' : *s));
    text_add(out, s + 1);
    if (!strchr(".?!", s[strlen(s) - 1]))
        text_addc(out, '.');
}

static void add_option(Text *out, const OptionRow *row) {
    CLEANUP_TEXT Text left = {0};
    if (row->letter)
        text_addf(&left, "-%c, --%s", row->letter, row->name);
    else
        text_addf(&left, "    --%s", row->name);
    if (row->argument)
        text_addf(&left, " %s", row->argument);
    text_addf(out, "  %-*s %s\n", HELP_INDENT, left.s ? left.s : "", row->help);
}

static void add_options(Text *out, OptionSet set) {
    for (size_t i = 0; i < _OPTION_MAX; i++)
        if (set & ((OptionSet)1 << i))
            add_option(out, option_row((OptionId)i));
}

/* Whole words on lines of at most HELP_WIDTH. */
static void add_wrapped(Text *out, const char *s) {
    size_t column = 0;
    while (*s) {
        size_t len = strcspn(s, " ");
        if (column > 0 && column + 1 + len > HELP_WIDTH) {
            text_addc(out, '\n');
            column = 0;
        }
        if (column > 0) {
            text_addc(out, ' ');
            column++;
        }
        text_add_n(out, s, len);
        column += len;
        s += len;
        s += strspn(s, " ");
    }
    text_addc(out, '\n');
}

static void add_verb_line(Text *out, const Verb *verb) {
    CLEANUP_TEXT Text left = {0};
    text_addf(&left, "%s %s", verb->name, verb->arguments ? verb->arguments : "");
    text_addf(out, "  %-23s %s\n", left.s ? left.s : "", verb->summary);
}

static void add_group(Text *out, VerbGroup group) {
    const Verb *verb;
    text_addf(out, "\n%s:\n", verb_group_title(group));
    for (size_t i = 0; (verb = verb_get(i)); i++)
        if (verb->group == group && verb->run)
            add_verb_line(out, verb);
}

static void add_examples(Text *out, const char *title, const VerbExample *examples) {
    size_t width = 0;
    for (const VerbExample *e = examples; e->command; e++)
        width = strlen(e->command) > width ? strlen(e->command) : width;
    text_addf(out, "\n%s\n", title);
    for (const VerbExample *e = examples; e->command; e++)
        text_addf(out, "  mpctl %-*s  %s\n", (int)width, e->command, e->meaning);
}

/* What a newcomer most often comes for. */
static const VerbExample first_steps[] = {
    {"status git", "what 'git' refuses, and by which limit"},
    {"set git limits.instances=80", "make room, until the next reload"},
    {"events -f --service git", "see what happens next"},
    {NULL, NULL},
};

void help_all(Text *out) {
    text_add(out, "Usage: mpctl [OPTION...] [VERB] [ARGUMENT...]\n"
                  "Looks at mpinetd and steers it. Without a verb: status.\n");
    for (VerbGroup group = 0; group < GROUP_HIDDEN; group++)
        add_group(out, group);
    text_add(out, "\nOptions, before or after the verb:\n");
    add_options(out, ((OptionSet)1 << _OPTION_GLOBAL_MAX) - 1);
    add_examples(out, "Why was a connection refused?", first_steps);
    text_add(out, "\n'mpctl VERB --help' tells more of each, mpctl(1) all, with the exit statuses.\n");
}

void help_verb(const Verb *verb, Text *out) {
    text_addf(out, "Usage: mpctl %s%s%s%s\n", verb->name, verb->options ? " [OPTION...]" : "",
              verb->arguments ? " " : "", verb->arguments ? verb->arguments : "");
    help_add_sentence(verb->summary, out);
    text_addc(out, '\n');
    if (verb->examples[0].command)
        add_examples(out, "Examples:", verb->examples);
    if (verb->details) {
        text_addc(out, '\n');
        add_wrapped(out, verb->details);
    }
    if (!verb->run)
        text_add(out, "\nIt is not in this version.\n");
    if (verb->options) {
        text_add(out, "\nOptions:\n");
        add_options(out, verb->options);
    }
    text_add(out, "\nOptions that go with every verb: see 'mpctl --help'.\n");
    if (verb->columns && verb->run)
        text_addf(out, "'mpctl %s -o help' lists the columns.\n", verb->name);
}

void help_columns(const Verb *verb, Text *out) {
    char *none[] = {NULL};
    Ctl c = {.options = {.given = OPTION(COLUMNS), .args = none}};
    if (!verb->columns || !verb->run)
        return;
    c.options.values[OPTION_COLUMNS] = "help";
    (void)verb->run(&c, none);
    text_add(out, c.out.s ? c.out.s : "");
    text_done(&c.out);
}

int verb_help(Ctl *c, char *const *args) {
    const Verb *verb = *args ? verb_find(*args) : NULL;
    if (*args && !verb)
        return ctl_fail(c, CTL_USAGE, "'mpctl --help' lists the verbs", "no such verb");
    if (verb)
        help_verb(verb, &c->out);
    else
        help_all(&c->out);
    return CTL_DONE;
}

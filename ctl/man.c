/* SPDX-License-Identifier: MIT */
/* The manual mpctl(1): a file written by hand in scdoc(5), with lines "@VERBS@" and "@OPTIONS@" where the
 * tables go. Run when the project is built. */
#include <string.h>

#include "ctl/help.h"

/* What scdoc would take for markup. */
static void add_scdoc(Text *out, const char *s) {
    for (; *s; s++) {
        if (strchr("*_\\#[", *s))
            text_addc(out, '\\');
        text_addc(out, *s);
    }
}

static void add_option(Text *out, const OptionRow *row) {
    if (row->letter)
        text_addf(out, "*-%c*, ", row->letter);
    text_addf(out, "*--%s*", row->name);
    if (row->argument)
        text_addf(out, " _%s_", row->argument);
    text_add(out, "\n\t");
    add_scdoc(out, row->help);
    text_add(out, "\n\n");
}

static void add_options(Text *out, OptionSet set) {
    for (size_t i = 0; i < _OPTION_MAX; i++)
        if (set & ((OptionSet)1 << i))
            add_option(out, option_row((OptionId)i));
}

static void add_verb(Text *out, const Verb *verb) {
    text_addf(out, "*%s*", verb->name);
    if (verb->arguments) {
        text_addc(out, ' ');
        add_scdoc(out, verb->arguments);
    }
    for (size_t i = 0; i < _OPTION_MAX; i++) {
        const OptionRow *row = option_row((OptionId)i);
        if (!(verb->options & ((OptionSet)1 << i)))
            continue;
        text_addf(out, " \\[*--%s*%s%s%s]", row->name, row->argument ? " _" : "",
                  row->argument ? row->argument : "", row->argument ? "_" : "");
    }
    CLEANUP_TEXT Text sentence = {0};
    help_add_sentence(verb->summary, &sentence);
    text_add(out, "\n\t");
    add_scdoc(out, sentence.s ? sentence.s : "");
    if (verb->details) {
        text_addc(out, ' ');
        add_scdoc(out, verb->details);
    }
    text_add(out, "\n\n");
    for (const VerbExample *e = verb->examples; e->command; e++) {
        text_add(out, "\t*mpctl ");
        add_scdoc(out, e->command);
        text_addf(out, "*: %s\n\n", e->meaning);
    }
}

static void add_verbs(Text *out) {
    const Verb *verb;
    for (VerbGroup group = 0; group < GROUP_HIDDEN; group++) {
        text_addf(out, "## %s\n\n", verb_group_title(group));
        for (size_t i = 0; (verb = verb_get(i)); i++)
            if (verb->group == group && verb->run)
                add_verb(out, verb);
    }
    text_add(out, "## Options of verbs\n\n");
    add_options(out, (((OptionSet)1 << _OPTION_MAX) - 1) & ~(((OptionSet)1 << _OPTION_GLOBAL_MAX) - 1));
}

int verb_man(Ctl *c, char *const *args) {
    CLEANUP_FCLOSE FILE *f = fopen(*args, "re");
    CLEANUP_FREE char *line = NULL;
    size_t cap = 0;
    if (!f)
        return ctl_fail(c, CTL_FAILED, NULL, "cannot open %s: %s", *args, strerror(errno));
    while (getline(&line, &cap, f) > 0) {
        if (streq(line, "@VERBS@\n"))
            add_verbs(&c->out);
        else if (streq(line, "@OPTIONS@\n"))
            add_options(&c->out, ((OptionSet)1 << _OPTION_GLOBAL_MAX) - 1);
        else
            text_add(&c->out, line);
    }
    return ferror(f) ? ctl_fail(c, CTL_FAILED, NULL, "cannot read %s", *args) : CTL_DONE;
}

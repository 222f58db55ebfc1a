/* SPDX-License-Identifier: MIT */
/* mpctl: the control tool, a client of mpinetd's control socket. */
#include <locale.h>
#include <string.h>

#include "build-config.h"
#include "conf/suggest.h"
#include "ctl/help.h"

static int usage(Ctl *c, const char *what) {
    const Verb *verb = c->options.verb ? verb_find(c->options.verb) : NULL;
    CLEANUP_TEXT Text hint = {0};
    text_addf(&hint, "try 'mpctl %s%s--help'", verb ? verb->name : "", verb ? " " : "");
    return ctl_fail(c, CTL_USAGE, hint.s, "%s", what);
}

static int fail_unknown_verb(Ctl *c, const char *name) {
    CLEANUP_TEXT Text what = {0};
    Suggestion s = {.word = name};
    const Verb *verb;
    for (size_t i = 0; (verb = verb_get(i)); i++)
        if (verb->group != GROUP_HIDDEN)
            suggestion_offer(&s, verb->name);
    text_add(&what, "unknown verb '");
    text_add_escaped(&what, name, strlen(name));
    text_add(&what, "'");
    if (s.best)
        text_addf(&what, "; did you mean '%s'?", s.best);
    return usage(c, what.s ? what.s : "unknown verb");
}

/* No daemon answers in no time. */
static int fail_timeout(Ctl *c, const Verb *verb) {
    CLEANUP_TEXT Text hint = {0};
    if (verb->options & OPTION(NO_WAIT))
        text_addf(&hint, "'mpctl %s --no-wait' does not wait until it is done", verb->name);
    else
        text_addf(&hint, "for example: mpctl %s --timeout 5s", verb->name);
    return ctl_fail(c, CTL_USAGE, hint.s, "--timeout takes a time longer than 0");
}

/* What comes of a variable that is not set: no service, key or prefix has no name, and no file. */
static int fail_empty(Ctl *c, const Verb *verb) {
    CLEANUP_TEXT Text what = {0};
    text_addf(&what, "an argument of '%s' is empty", verb->name);
    return usage(c, what.s ? what.s : "");
}

/* Options of other verbs, and the arguments. */
static int check_usage(Ctl *c, const Verb *verb) {
    const Options *o = &c->options;
    CLEANUP_TEXT Text what = {0};
    size_t n = strv_length(o->args);
    for (size_t i = _OPTION_GLOBAL_MAX; i < _OPTION_MAX; i++) {
        OptionSet option = (OptionSet)1 << i;
        if (options_has(o, option) && !(verb->options & option)) {
            text_addf(&what, "'%s' takes no option --%s", verb->name, option_row((OptionId)i)->name);
            return usage(c, what.s ? what.s : "");
        }
    }
    if (o->timeout_usec == 0)
        return fail_timeout(c, verb);
    for (size_t i = 0; verb->group != GROUP_HIDDEN && i < n; i++)
        if (!*o->args[i])
            return fail_empty(c, verb);
    if (n >= verb->min_args && n <= verb->max_args)
        return 0;
    if (n < verb->min_args)
        text_addf(&what, "'%s' needs %s", verb->name, verb->arguments);
    else if (verb->max_args == 0)
        text_addf(&what, "'%s' takes no arguments", verb->name);
    else
        text_addf(&what, "'%s' takes at most %zu argument%s", verb->name, verb->max_args,
                  verb->max_args == 1 ? "" : "s");
    return usage(c, what.s ? what.s : "");
}

static int run(Ctl *c, int argc, char **argv) {
    CLEANUP_TEXT Text error = {0};
    int r = options_parse(argc, argv, &c->options, &error);
    const Verb *verb = verb_find(c->options.verb ? c->options.verb : "status");
    if (verb && !verb->run && !options_has(&c->options, OPTION(HELP)))
        return ctl_fail(c, CTL_USAGE, NULL, "'%s' is not in this version", verb->name);
    if (r < 0)
        return usage(c, error.s ? error.s : "");
    style_init(&c->style, c->options.color);
    if (options_has(&c->options, OPTION(VERSION))) {
        text_add(&c->out, "mpctl " MP_VERSION "\n");
        return CTL_DONE;
    }
    if (!verb)
        return fail_unknown_verb(c, c->options.verb);
    if (options_has(&c->options, OPTION(HELP))) {
        if (c->options.verb)
            help_verb(verb, &c->out);
        else
            help_all(&c->out);
        return CTL_DONE;
    }
    int status = check_usage(c, verb);
    return status != 0 || !verb->run ? status : verb->run(c, c->options.args);
}

int main(int argc, char **argv) {
    Ctl c = {0};
    /* Not LC_NUMERIC and the rest: a locale changes neither numbers nor messages. */
    (void)setlocale(LC_CTYPE, "");
    int status = run(&c, argc, argv);
    int flushed = ctl_flush(&c);
    client_free(c.client);
    text_done(&c.out);
    options_done(&c.options);
    return status != 0 ? status : flushed;
}

/* SPDX-License-Identifier: MIT */
/* The manual mpctl(1): a file written by hand in scdoc(5), with lines "@VERBS@" and the like where the tables
 * go. Run when the project is built. */
#include <string.h>

#include "build-config.h"
#include "conf/security.h"
#include "ctl/event-words.h"
#include "ctl/help.h"
#include "ctl/refusals.h"

/* What scdoc would take for markup. */
static void add_scdoc_n(Text *out, const char *s, size_t n) {
    for (; n > 0; s++, n--) {
        if (strchr("*_\\#[`<>~", *s))
            text_addc(out, '\\');
        text_addc(out, *s);
    }
}

static void add_scdoc(Text *out, const char *s) {
    add_scdoc_n(out, s, strlen(s));
}

static void add_sentence(Text *out, const char *phrase) {
    CLEANUP_TEXT Text sentence = {0};
    help_add_sentence(phrase, &sentence);
    add_scdoc(out, sentence.s ? sentence.s : "");
}

/* "NAME KEY=VALUE..." with what is to be replaced underlined, and words to be written as they are bold. */
static void add_arguments(Text *out, const char *s) {
    static const char upper[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ", lower[] = "abcdefghijklmnopqrstuvwxyz";
    while (*s) {
        size_t n = strspn(s, upper), bold = strspn(s, lower);
        if (n + bold > 0)
            text_addf(out, n > 0 ? "_%.*s_" : "*%.*s*", (int)(n + bold), s);
        else
            add_scdoc_n(out, s, 1);
        s += n + bold > 0 ? n + bold : 1;
    }
}

/* "-n, --lines N" */
static void add_option_names(Text *out, const OptionRow *row) {
    if (row->letter)
        text_addf(out, "*-%c*, ", row->letter);
    text_addf(out, "*--%s*", row->name);
    if (row->argument) {
        text_addc(out, ' ');
        add_arguments(out, row->argument);
    }
}

static void add_option(Text *out, const OptionRow *row, const char *verbs) {
    add_option_names(out, row);
    text_add(out, "\n\t");
    add_sentence(out, row->help);
    text_addf(out, "%s\n\n", verbs);
}

static void add_global_options(Text *out) {
    for (size_t i = 0; i < _OPTION_GLOBAL_MAX; i++)
        add_option(out, option_row((OptionId)i), "");
}

/* With the verbs that each goes with. */
static void add_verb_options(Text *out) {
    for (size_t i = _OPTION_GLOBAL_MAX; i < _OPTION_MAX; i++) {
        CLEANUP_TEXT Text verbs = {0};
        const Verb *verb;
        for (size_t k = 0; (verb = verb_get(k)); k++)
            if (verb->run && (verb->options & ((OptionSet)1 << i)))
                text_addf(&verbs, "%s*%s*", verbs.len > 0 ? ", " : " With ", verb->name);
        if (verbs.len > 0) {
            text_addc(&verbs, '.');
            add_option(out, option_row((OptionId)i), verbs.s);
        }
    }
}

static void add_verb(Text *out, const Verb *verb) {
    text_addf(out, "*%s*", verb->name);
    if (verb->arguments) {
        text_addc(out, ' ');
        add_arguments(out, verb->arguments);
    }
    for (size_t i = 0; i < _OPTION_MAX; i++) {
        if (!(verb->options & ((OptionSet)1 << i)))
            continue;
        text_add(out, " \\[");
        add_option_names(out, option_row((OptionId)i));
        text_addc(out, ']');
    }
    text_add(out, "\n\t");
    add_sentence(out, verb->summary);
    if (verb->details) {
        text_addc(out, ' ');
        add_scdoc(out, verb->details);
    }
    text_add(out, "\n\n");
    for (const VerbExample *e = verb->examples; e->command; e++) {
        text_add(out, "\t*mpctl ");
        add_scdoc(out, e->command);
        text_add(out, "*: ");
        add_scdoc(out, e->meaning);
        text_add(out, "\n\n");
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
    add_verb_options(out);
}

/* From the lines of -o help: "NAME   what it shows". */
static void add_columns(Text *out) {
    const Verb *verb;
    for (size_t i = 0; (verb = verb_get(i)); i++) {
        CLEANUP_TEXT Text lines = {0};
        if (!verb->columns || !verb->run)
            continue;
        text_addf(out, "## Columns of %s\n\n", verb->name);
        help_columns(verb, &lines);
        for (const char *line = lines.s; line && *line; line = strchr(line, '\n') + 1) {
            size_t n = strcspn(line, " "), end = strcspn(line, "\n");
            size_t blanks = strspn(line + n, " ");
            text_addf(out, "*%.*s*\n\t", (int)n, line);
            add_scdoc_n(out, line + n + blanks, end - n - blanks);
            text_add(out, "\n\n");
        }
    }
}

static void add_events(Text *out) {
    const EventWord *event;
    for (size_t i = 0; (event = event_word(i)); i++) {
        text_add(out, "*");
        add_scdoc(out, event->word);
        text_add(out, "*\n\t");
        add_sentence(out, event->help);
        text_add(out, "\n\n");
    }
}

static const char *const state_help[_SERVICE_STATE_MAX] = {
    [SERVICE_DISABLED] = "the config says 'enabled: false': loaded and checked, but it does not listen",
    [SERVICE_LISTENING] = "it listens and serves",
    [SERVICE_PAUSED] = "the listeners are open and nothing is accepted, until resume or start",
    [SERVICE_ACTIVE] = "its process runs and has the listeners (on-demand)",
    [SERVICE_FULL] = "as many instances run as limits.instances allows; connections wait in the queue",
    [SERVICE_THROTTLED] =
        "new ones come faster than limits.rate allows, or limits.load is reached; they wait in the queue",
    [SERVICE_STARTING] = "its process has been started and is not ready yet",
    [SERVICE_DRAINING] = "nothing more is accepted; it is stopped when the last instance has ended",
    [SERVICE_BACKOFF] = "it fails too often, and is started again after a while that grows each time",
    [SERVICE_FAILED] = "none of its listeners is open, or what it runs is missing; it is tried again",
    [SERVICE_STOPPED] = "it neither listens nor runs, until start",
};

static void add_states(Text *out) {
    for (ServiceState state = 0; state < _SERVICE_STATE_MAX; state++) {
        text_addf(out, "*%s*\n\t", service_state_to_string(state));
        add_sentence(out, state_help[state]);
        text_addf(out, " %s\n\n", service_state_is_running(state) ? "Running." : "Not running.");
    }
}

/* "The address is not allowed (access.allow, access.deny); in the table: a." */
static void add_refusals(Text *out) {
    for (size_t i = 0; i < _REFUSE_REASON_MAX; i++) {
        CLEANUP_TEXT Text meaning = {0};
        text_addf(&meaning, "%s (%s); in the table: %c", refusal(i)->meaning, refusal(i)->keys,
                  refusal(i)->letter);
        text_add(out, "*");
        add_scdoc(out, refuse_reason_to_string((RefuseReason)i));
        text_add(out, "*\n\t");
        add_sentence(out, meaning.s ? meaning.s : "");
        text_add(out, "\n\n");
    }
}

static void add_security(Text *out) {
    const char *name, *asks;
    unsigned weight, whole = 0;
    for (size_t i = 0; security_check(i, &name, &weight, &asks); i++)
        whole += weight;
    for (size_t i = 0; security_check(i, &name, &weight, &asks); i++) {
        text_addf(out, "*%s* (%.1f)\n\t", name, weight * 10.0 / whole);
        add_sentence(out, asks);
        text_add(out, "\n\n");
    }
}

static const struct {
    const char *line;
    void (*add)(Text *out);
} parts[] = {
    {"@OPTIONS@\n", add_global_options}, {"@VERBS@\n", add_verbs},   {"@COLUMNS@\n", add_columns},
    {"@EVENTS@\n", add_events},          {"@STATES@\n", add_states}, {"@REFUSALS@\n", add_refusals},
    {"@SECURITY@\n", add_security},
};

/* Within any line. */
static const struct {
    const char *word, *value;
} folders[] = {{"@SYSCONFDIR@", MP_SYSCONFDIR}, {"@DATADIR@", MP_DATADIR}};

static void add_with_folders(Text *out, const char *line) {
    while (*line) {
        size_t n = strcspn(line, "@"), taken = 0;
        text_add_n(out, line, n);
        line += n;
        for (size_t i = 0; i < ELEMENTS(folders) && taken == 0; i++) {
            if (starts_with(line, folders[i].word)) {
                text_add(out, folders[i].value);
                taken = strlen(folders[i].word);
            }
        }
        if (*line && taken == 0) {
            text_addc(out, *line);
            taken = 1;
        }
        line += taken;
    }
}

static void add_line(Text *out, const char *line) {
    for (size_t i = 0; i < ELEMENTS(parts); i++) {
        if (streq(line, parts[i].line)) {
            parts[i].add(out);
            return;
        }
    }
    add_with_folders(out, line);
}

int verb_man(Ctl *c, char *const *args) {
    CLEANUP_FCLOSE FILE *f = fopen(*args, "re");
    CLEANUP_FREE char *line = NULL;
    size_t cap = 0;
    if (!f)
        return ctl_fail(c, CTL_FAILED, NULL, "cannot open %s: %s", *args, strerror(errno));
    while (getline(&line, &cap, f) > 0)
        add_line(&c->out, line);
    return ferror(f) ? ctl_fail(c, CTL_FAILED, NULL, "cannot read %s", *args) : CTL_DONE;
}

/* SPDX-License-Identifier: MIT */
#include "ctl/complete.h"

#include <signal.h>
#include <string.h>
#include <strings.h>

#include "conf/field.h"
#include "conf/schema.h"
#include "conf/value.h"
#include "ctl/event-words.h"
#include "ctl/help.h"

/* Where we are. */

/* By its whole name, or by the beginning of just one, as getopt_long(3) takes it. */
static int option_by_name(const char *name, size_t n) {
    int found = -EINVAL;
    for (int i = 0; i < _OPTION_MAX; i++) {
        const char *candidate = option_row((OptionId)i)->name;
        if (strncmp(candidate, name, n) != 0)
            continue;
        if (strlen(candidate) == n)
            return i;
        found = found < 0 ? i : -EEXIST;
        if (found == -EEXIST)
            return found;
    }
    return found;
}

static void give(CompletePlace *p, int option, const char *value) {
    p->given |= (OptionSet)1 << option;
    if (option == OPTION_SOCKET)
        p->socket = value;
}

/* "--name" or "--name=value". */
static void take_long(CompletePlace *p, const char *word) {
    const char *name = word + 2, *equals = strchr(name, '=');
    int option = option_by_name(name, equals ? (size_t)(equals - name) : strlen(name));
    if (option < 0)
        return;
    if (option_row((OptionId)option)->argument && !equals)
        p->waiting = option;
    else
        give(p, option, equals ? equals + 1 : NULL);
}

/* "-fn5": letters, the last one perhaps with its argument. */
static void take_letters(CompletePlace *p, const char *word) {
    for (const char *letter = word + 1; *letter; letter++) {
        int option = option_by_letter(*letter, p->verb ? p->verb->name : NULL);
        if (option < 0)
            return;
        if (!option_row((OptionId)option)->argument) {
            give(p, option, NULL);
            continue;
        }
        if (letter[1])
            give(p, option, letter + 1);
        else
            p->waiting = option;
        return;
    }
}

static void take(CompletePlace *p, char *word, size_t *n_args) {
    if (p->waiting >= 0) {
        give(p, p->waiting, word);
        p->waiting = -EINVAL;
    } else if (!p->operands_only && streq(word, "--")) {
        p->operands_only = true;
    } else if (!p->operands_only && starts_with(word, "--")) {
        take_long(p, word);
    } else if (!p->operands_only && word[0] == '-' && word[1]) {
        take_letters(p, word);
    } else if (!p->verb && !p->unknown_verb) {
        p->verb = verb_find(word);
        p->unknown_verb = !p->verb;
    } else {
        p->args[(*n_args)++] = word;
    }
}

/* The argument within the last word: "--color=al". */
static void find_part(CompletePlace *p) {
    p->part = p->word;
    if (p->waiting >= 0 || p->operands_only || !starts_with(p->word, "--"))
        return;
    const char *name = p->word + 2, *equals = strchr(name, '=');
    int option = equals ? option_by_name(name, (size_t)(equals - name)) : -EINVAL;
    if (option < 0 || !option_row((OptionId)option)->argument)
        return;
    p->waiting = option;
    p->part = equals + 1;
}

int complete_find_place(char *const *words, CompletePlace *ret) {
    size_t n_args = 0;
    *ret = (CompletePlace){.waiting = -EINVAL, .word = "", .part = ""};
    ret->args = (char **)calloc(strv_length(words) + 1, sizeof(char *));
    if (!ret->args)
        return -ENOMEM;
    for (; *words; words++) {
        if (words[1])
            take(ret, *words, &n_args);
        else
            ret->word = *words;
    }
    find_part(ret);
    return 0;
}

void complete_place_done(CompletePlace *p) {
    free((void *)p->args);
    *p = (CompletePlace){0};
}

/* What there is to offer. */

bool complete_is_given(const CompletePlace *p, const char *word) {
    for (char **arg = p->args; *arg; arg++)
        if (streq(*arg, word))
            return true;
    return false;
}

void complete_offer(const CompletePlace *p, Text *out, const char *value, const char *description) {
    if (!starts_with(value, p->part))
        return;
    text_add_n(out, p->word, (size_t)(p->part - p->word));
    text_add(out, value);
    text_addc(out, '\t');
    if (description)
        text_add_escaped(out, description, strlen(description));
    text_addc(out, '\n');
}

static void add_verbs(Ctl *c, const CompletePlace *p) {
    const Verb *verb;
    for (size_t i = 0; (verb = verb_get(i)); i++)
        if (verb->run && !starts_with(verb->name, "__"))
            complete_offer(p, &c->out, verb->name, verb->summary);
}

/* Options that would be an error beside those that are given. */
static OptionSet excluded(OptionSet given) {
    OptionSet set = given;
    if (given & OPTION(JSON))
        set |= OPTION(PLAIN) | OPTION(COLUMNS);
    if (given & (OPTION(PLAIN) | OPTION(COLUMNS)))
        set |= OPTION(JSON);
    return set;
}

static void add_options(const CompletePlace *p, Text *out) {
    const Verb *verb = p->verb ? p->verb : verb_find("status");
    OptionSet fit = (((OptionSet)1 << _OPTION_GLOBAL_MAX) - 1) | (p->unknown_verb ? 0 : verb->options);
    fit &= ~excluded(p->given);
    if (!verb->columns)
        fit &= ~OPTION(COLUMNS);
    for (int i = 0; i < _OPTION_MAX; i++) {
        const OptionRow *row = option_row((OptionId)i);
        CLEANUP_TEXT Text name = {0};
        if (!(fit & ((OptionSet)1 << i)))
            continue;
        text_addf(&name, "-%c", row->letter);
        if (row->letter && option_by_letter(row->letter, verb->name) == i)
            complete_offer(p, out, name.s ? name.s : "", row->help);
        text_reset(&name);
        text_addf(&name, "--%s", row->name);
        complete_offer(p, out, name.s ? name.s : "", row->help);
    }
}

/* "[config|replies]" */
static void add_words(Ctl *c, const CompletePlace *p) {
    const char *s = p->verb && p->verb->arguments ? p->verb->arguments : "";
    while (*(s += strspn(s, "[]|"))) {
        size_t n = strcspn(s, "[]|");
        CLEANUP_FREE char *word = strndup(s, n);
        if (word)
            complete_offer(p, &c->out, word, NULL);
        s += n;
    }
}

static void add_colors(Ctl *c, const CompletePlace *p) {
    const char *word;
    for (size_t i = 0; (word = color_word(i)); i++)
        complete_offer(p, &c->out, word, NULL);
}

/* With SIG, where that has been typed. */
static void add_signals(Ctl *c, const CompletePlace *p) {
    bool prefix = starts_with(p->part, "SIG");
    for (int i = 1; i < SIGSYS + 1; i++) {
        CLEANUP_TEXT Text name = {0};
        value_signal_format(i, &name);
        if (name.s && starts_with(name.s, "SIG"))
            complete_offer(p, &c->out, name.s + (prefix ? 0 : strlen("SIG")), strsignal(i));
    }
}

/* Of a list it is the last item that is being typed. */
static CompletePlace last_item(const CompletePlace *p) {
    CompletePlace item = *p;
    const char *comma = strrchr(p->part, ',');
    if (comma)
        item.part = comma + 1;
    else if (*p->part == '+')
        item.part++;
    return item;
}

static void add_events(Ctl *c, const CompletePlace *p) {
    CompletePlace item = last_item(p);
    const EventWord *row;
    for (size_t i = 0; (row = event_word(i)); i++)
        if (!row->logs_only)
            complete_offer(&item, &c->out, row->word, row->help);
}

/* In the letters that are being typed. */
static void offer_column(const CompletePlace *p, Text *out, const char *line) {
    size_t n = strcspn(line, " "), end = strcspn(line, "\n");
    CLEANUP_FREE char *name = strndup(line, n), *help = strndup(line + n, end - n);
    if (!name || !help)
        return;
    bool lower = *p->part >= 'a' && *p->part <= 'z';
    for (char *s = name; lower && *s; s++)
        *s = (char)(*s >= 'A' && *s <= 'Z' ? *s + ('a' - 'A') : *s);
    complete_offer(p, out, name, help + strspn(help, " "));
}

static void add_columns(Ctl *c, const CompletePlace *p) {
    CLEANUP_TEXT Text lines = {0};
    help_columns(p->verb ? p->verb : verb_find("status"), &lines);
    for (const char *line = lines.s; line && *line; line = strchr(line, '\n') + 1)
        offer_column(p, &c->out, line);
}

static void add_column_list(Ctl *c, const CompletePlace *p) {
    CompletePlace item = last_item(p);
    add_columns(c, &item);
}

static void add_keys(Ctl *c, const CompletePlace *p) {
    char label[64];
    for (size_t i = 0; i < schema_n_keys(); i++) {
        const Key *key = schema_key(i);
        field_label(key, label);
        complete_offer(p, &c->out, label, key->help);
    }
}

/* "limits.when_full=": what may stand there. */
static void add_limit_values(const CompletePlace *p, Text *out, const Key *key) {
    CompletePlace value = *p;
    char word[32];
    value.part = strchr(p->part, '=') + 1;
    for (size_t i = 0; key->type == KEY_WORD && schema_word(key, i, word); i++)
        complete_offer(&value, out, word, NULL);
}

/* KEY= with the section or without, as it is being typed. */
static void add_limits(Ctl *c, const CompletePlace *p) {
    static const char section[] = "limits.";
    size_t n = strcspn(p->part, "=");
    bool full = strncmp(p->part, section, n < strlen(section) ? n : strlen(section)) == 0;
    for (size_t i = 0; i < schema_n_keys(); i++) {
        const Key *key = schema_key(i);
        if (key->scope != KEY_SCOPE_SERVICE || !starts_with(key->path, section) || key->type == KEY_SECTION)
            continue;
        const char *name = full ? key->path : key->path + strlen(section);
        CLEANUP_TEXT Text value = {0};
        text_addf(&value, "%s=", name);
        if (value.s && starts_with(p->part, value.s))
            add_limit_values(p, &c->out, key);
        else if (value.s)
            complete_offer(p, &c->out, value.s, key->help);
    }
}

static void add_services(Ctl *c, const CompletePlace *p) {
    complete_add_live(c, p, false);
}

static void add_instances(Ctl *c, const CompletePlace *p) {
    complete_add_live(c, p, true);
}

static void add_bans(Ctl *c, const CompletePlace *p) {
    complete_add_bans(c, p);
    if (!complete_is_given(p, "any"))
        complete_offer(p, &c->out, "any", "all bans");
}

static void add_files(Ctl *c, const CompletePlace *p) {
    (void)p;
    text_add(&c->out, "\tfiles\n");
}

static void add(Ctl *c, const CompletePlace *p, Completes what) {
    static void (*const adders[_COMPLETES_MAX])(Ctl *, const CompletePlace *) = {
        [COMPLETES_SERVICES] = add_services,   [COMPLETES_INSTANCES] = add_instances,
        [COMPLETES_BANS] = add_bans,           [COMPLETES_LIMITS] = add_limits,
        [COMPLETES_KEYS] = add_keys,           [COMPLETES_FILES] = add_files,
        [COMPLETES_VERBS] = add_verbs,         [COMPLETES_WORDS] = add_words,
        [COMPLETES_COLUMNS] = add_column_list, [COMPLETES_COLUMN] = add_columns,
        [COMPLETES_EVENTS] = add_events,       [COMPLETES_SIGNALS] = add_signals,
        [COMPLETES_COLORS] = add_colors,
    };
    if (adders[what])
        adders[what](c, p);
}

void complete_add(Ctl *c, const CompletePlace *p) {
    if (p->waiting >= 0) {
        add(c, p, option_row((OptionId)p->waiting)->completes);
    } else if (!p->operands_only && *p->word == '-') {
        add_options(p, &c->out);
    } else if (p->verb) {
        size_t n = strv_length(p->args);
        /* --source stands for the names. */
        bool full = n >= p->verb->max_args || (p->given & OPTION(SOURCE));
        if (!full)
            add(c, p, n > 0 && p->verb->completes[1] ? p->verb->completes[1] : p->verb->completes[0]);
    } else if (!p->unknown_verb) {
        add_verbs(c, p);
    }
}

int verb_complete(Ctl *c, char *const *args) {
    CLEANUP_PLACE CompletePlace p = {0};
    if (complete_find_place(args, &p) == 0)
        complete_add(c, &p);
    return CTL_DONE;
}

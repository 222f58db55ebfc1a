/* SPDX-License-Identifier: MIT */
#include "conf/expand.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Longer names are nobody's; a bound lets them stand in messages. */
#define NAME_MAX_LENGTH 128

typedef struct Expander {
    const char *start;
    YamlLookup lookup;
    void *userdata;
    Text *out;
    ExpandError *error;
} Expander;

__attribute__((format(printf, 5, 6))) static int fail(Expander *x, const char *begin, const char *end,
                                                      const char *hint, const char *format, ...) {
    ExpandError *error = x->error;
    error->begin = (size_t)(begin - x->start);
    error->end = (size_t)(end - x->start);
    (void)snprintf(error->hint, sizeof(error->hint), "%s", hint);
    va_list ap;
    va_start(ap, format);
    (void)vsnprintf(error->why, sizeof(error->why), format, ap);
    va_end(ap);
    return -EINVAL;
}

static size_t name_length(const char *s) {
    static const char letters[] = "_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    static const char more[] = "_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    return strspn(s, letters) == 0 ? 0 : strspn(s, more);
}

/* The text behind ":-" or ":?" goes to @word; returns its '}', or NULL with the error told. @begin is the
 * '$'. */
static const char *scan_word(Expander *x, const char *begin, const char *p, Text *word) {
    for (; *p && *p != '}'; p++) {
        if (p[0] == '$' && p[1] == '{') {
            fail(x, p, p + 2, "for a literal one write $${", "a ${ cannot stand within a ${");
            return NULL;
        }
        if (p[0] == '$' && p[1] == '$')
            p++;
        text_addc(word, *p);
    }
    if (*p == '}')
        return p;
    fail(x, begin, begin + 2, "close it with a }; for a literal ${ write $${", "this ${ is never closed");
    return NULL;
}

/* What @name stands for, given its value or NULL, and what was written behind it. */
static int add_value(Expander *x, const char *name, char mode, const char *word, const char *begin,
                     const char *end) {
    const char *value = x->lookup(name, x->userdata);
    if (value && (*value || mode == '\0')) {
        text_add(x->out, value);
        return 0;
    }
    if (mode == '-') {
        text_add(x->out, word);
        return 0;
    }
    if (mode == '?')
        return fail(x, begin, end, "set it in the environment", "'%s' is %s: %.100s", name,
                    value ? "empty" : "not set", *word ? word : "it is needed");
    char hint[192];
    (void)snprintf(hint, sizeof(hint), "set it, or give a default: ${%.100s:-value}", name);
    return fail(x, begin, end, hint, "'%s' is not set in the environment", name);
}

/* One ${…} at *@p; moves *@p behind it. */
static int expand_one(Expander *x, const char **p) {
    const char *begin = *p, *at = begin + 2;
    char name[NAME_MAX_LENGTH + 1];
    size_t n = name_length(at);
    const char *close = strchr(at, '}');
    if (!close)
        return fail(x, begin, at, "close it with a }; for a literal ${ write $${", "this ${ is never closed");
    if (n == 0 || n > NAME_MAX_LENGTH)
        return fail(x, begin, close + 1, "such as ${HOME}; for a literal ${ write $${",
                    "a name of a variable must follow the ${");
    memcpy(name, at, n);
    name[n] = '\0';
    at += n;
    CLEANUP_TEXT Text word = {0};
    char mode = '\0';
    if (*at != '}') {
        if (at[0] != ':' || (at[1] != '-' && at[1] != '?'))
            return fail(x, begin, close + 1, "write ${NAME}, ${NAME:-default} or ${NAME:?message}",
                        "after a variable's name come :-, :? or }");
        mode = at[1];
        at = scan_word(x, begin, at + 2, &word);
        if (!at)
            return -EINVAL;
        if (!text_ok(&word))
            return -ENOMEM;
    }
    *p = at + 1;
    return add_value(x, name, mode, word.s ? word.s : "", begin, at + 1);
}

int expand(const char *s, YamlLookup lookup, void *userdata, Text *out, ExpandError *error) {
    Expander x = {.start = s, .lookup = lookup, .userdata = userdata, .out = out, .error = error};
    size_t before = out->len;
    for (const char *p = s; *p;) {
        int r = 0;
        size_t plain = strcspn(p, "$");
        const char *at = p;
        if (plain > 0) {
            text_add_n(out, p, plain);
            p += plain;
        } else if (p[1] == '{') {
            r = expand_one(&x, &p);
        } else {
            text_addc(out, '$');
            p += p[1] == '$' ? 2 : 1;
        }
        if (r < 0)
            return r;
        if (!text_ok(out))
            return -ENOMEM;
        if (out->len - before > EXPAND_MAX) {
            fail(&x, at, p, "", "the value is longer than %zu KiB after expansion", EXPAND_MAX >> 10);
            return -E2BIG;
        }
    }
    return 0;
}

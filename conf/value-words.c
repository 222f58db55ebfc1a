/* SPDX-License-Identifier: MIT */
/* A command line in one string: quotes and backslashes as in a shell, and nothing else of a shell. */
#include <errno.h>
#include <string.h>

#include "conf/value-scan.h"
#include "conf/value.h"

typedef struct Splitter {
    const char *start;
    const char *p;
    ValueError *error;
} Splitter;

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Past what separates words; a backslash before a newline is nothing at all. */
static const char *skip_blanks(const char *p) {
    while (is_blank(*p) || (*p == '\\' && p[1] == '\n'))
        p += *p == '\\' ? 2 : 1;
    return p;
}

/* What stands between the quotes at s->p goes to @word. */
static int split_quoted(Splitter *s, Text *word) {
    const char *open = s->p;
    char quote = *s->p++;
    for (; *s->p && *s->p != quote; s->p++) {
        if (quote == '"' && *s->p == '\\' && s->p[1] && strchr("\"\\$`\n", s->p[1])) {
            s->p++;
            if (*s->p == '\n')
                continue; /* a line goes on */
        }
        text_addc(word, *s->p);
    }
    if (*s->p == '\0') {
        value_fail(s->error, -EINVAL, NULL, "the %c at character %zu is never closed", quote,
                   utf8_length(s->start, (size_t)(open - s->start)) + 1);
        value_hint(s->error, "close it, or write \\%c for the character itself", quote);
        return -EINVAL;
    }
    s->p++;
    return 0;
}

static int split_word(Splitter *s, Text *word) {
    while (*s->p && !is_blank(*s->p)) {
        if (*s->p == '\'' || *s->p == '"') {
            int r = split_quoted(s, word);
            if (r < 0)
                return r;
            continue;
        }
        if (*s->p == '\\') {
            s->p++;
            if (*s->p == '\0')
                return value_fail(s->error, -EINVAL, "for a backslash itself write two",
                                  "the backslash at the end quotes nothing");
            if (*s->p == '\n') {
                s->p++;
                continue;
            }
        }
        text_addc(word, *s->p++);
    }
    return 0;
}

/* Grows by doubling on its own: strv_push() counts the vector each time. */
typedef struct Words {
    char **v;
    size_t n;
    size_t cap;
} Words;

static int words_push(Words *w, char *word) {
    CLEANUP_FREE char *owned = word;
    if (!owned)
        return -ENOMEM;
    if (w->n + 1 >= w->cap) {
        size_t cap = w->cap ? w->cap * 2 : 8;
        char **bigger = (char **)realloc((void *)w->v, cap * sizeof(char *));
        if (!bigger)
            return -ENOMEM;
        w->v = bigger;
        w->cap = cap;
    }
    w->v[w->n++] = TAKE_PTR(owned);
    w->v[w->n] = NULL;
    return 0;
}

static void words_done(Words *w) {
    strv_free(w->v);
}

int value_words(const char *s, char ***ret, ValueError *error) {
    CLEANUP(words_done) Words words = {0};
    Splitter splitter = {.start = s, .p = s, .error = error};
    for (;;) {
        splitter.p = skip_blanks(splitter.p);
        if (*splitter.p == '\0')
            break;
        if (words.n == VALUE_WORDS_MAX)
            return value_fail(error, -ERANGE, NULL, "more than %d words", VALUE_WORDS_MAX);
        CLEANUP_TEXT Text word = {0};
        int r = split_word(&splitter, &word);
        if (r == 0)
            r = words_push(&words, text_take(&word));
        if (r < 0)
            return r;
    }
    if (words.n == 0)
        return value_fail(error, -EINVAL, NULL, "there are no words in it");
    if (words.v[0][0] == '\0')
        return value_fail(error, -EINVAL, NULL, "the first word, the program, is empty");
    *ret = TAKE_PTR(words.v);
    return 0;
}

static bool is_plain(const char *word) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-";
    return *word && word[strspn(word, plain)] == '\0';
}

void value_words_format(char *const *words, Text *out) {
    for (char *const *w = words; *w; w++) {
        if (w != words)
            text_addc(out, ' ');
        if (is_plain(*w)) {
            text_add(out, *w);
            continue;
        }
        text_addc(out, '\'');
        for (const char *p = *w; *p; p++) {
            if (*p == '\'')
                text_add(out, "'\\''");
            else
                text_addc(out, *p);
        }
        text_addc(out, '\'');
    }
}

/* SPDX-License-Identifier: MIT */
#include "conf/rule-file.h"

#include <stdlib.h>
#include <string.h>

#include "conf/rule-word.h"

#define BYTE_ORDER_MARK "\xef\xbb\xbf"

int rule_vector_add(RuleVector *v, const AccessRule *rule) {
    if (v->n == v->cap) {
        size_t cap = v->cap > 0 ? 2 * v->cap : 16;
        AccessRule *bigger = reallocarray(v->items, cap, sizeof(AccessRule));
        if (!bigger)
            return -ENOMEM;
        v->items = bigger;
        v->cap = cap;
    }
    v->items[v->n++] = *rule;
    return 0;
}

/* A line of a file, from @start to @end, where its newline was. */
typedef struct Line {
    const char *name;
    unsigned number;
    const char *start, *end;
    DiagList *diags;
} Line;

/* Characters up to @s; bytes that are none count one each. */
static unsigned column_of(const Line *line, const char *s) {
    unsigned column = 1;
    for (const char *p = line->start; p < s; column++) {
        size_t n = utf8_next(p, (size_t)(s - p), NULL);
        p += n > 0 ? n : 1;
    }
    return column;
}

static void line_error(const Line *line, const char *word, size_t n, const RuleWordError *error) {
    const DiagPos pos = {
        .file = line->name,
        .line = line->number,
        .column = column_of(line, word),
        .end_column = column_of(line, word + n),
    };
    CLEANUP_FREE char *excerpt = strndup(line->start, (size_t)(line->end - line->start));
    diag_add(line->diags, DIAG_ERROR, error->code, &pos, excerpt, error->text.hint, "%s", error->text.why);
}

/* What is wrong with more than one word, or with bytes that are none. */
static void plain_error(const Line *line, const char *word, size_t n, const char *why, const char *hint) {
    RuleWordError error = {.code = DIAG_BAD_VALUE};
    (void)snprintf(error.text.why, sizeof(error.text.why), "%s", why);
    (void)snprintf(error.text.hint, sizeof(error.text.hint), "%s", hint);
    line_error(line, word, n, &error);
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

/* The text between @line's blanks and its comment may be changed: it is ended by a NUL for the parser. */
static int parse_line(const Line *line, char *s, Lookups *lookups, RuleVector *ret) {
    char *comment = memchr(s, '#', (size_t)(line->end - s));
    char *end = s + ((comment ? comment : line->end) - s);
    while (s < end && is_blank(*s))
        s++;
    while (end > s && is_blank(end[-1]))
        end--;
    if (s == end)
        return 0;
    size_t n = (size_t)(end - s);
    if (memchr(s, '\0', n)) {
        plain_error(line, s, n, "there is a NUL byte in this line", "it is not a text");
        return -EINVAL;
    }
    for (size_t i = 0; i < n; i++) {
        if (is_blank(s[i]) || s[i] == ',' || s[i] == ';') {
            plain_error(line, s + i, n - i, "a line has one rule",
                        "write each on a line of its own, and # before a comment");
            return -EINVAL;
        }
    }
    if (starts_with(s, "file:")) {
        plain_error(line, s, n, "a file of rules cannot name another", "name both of them in the config");
        return -EINVAL;
    }
    char kept = *end;
    RuleWordError error;
    AccessRule rule;
    *end = '\0';
    int k = rule_word_parse(s, lookups, &rule, &error);
    *end = kept;
    if (k == -EINVAL)
        line_error(line, s, n, &error);
    return k < 0 ? k : rule_vector_add(ret, &rule);
}

int rule_file_parse(const char *name, char *text, size_t n, Lookups *lookups, DiagList *diags,
                    RuleVector *ret) {
    char *s = text, *end = text + n;
    Line line = {.name = name, .diags = diags};
    int result = 0;
    if (starts_with(s, BYTE_ORDER_MARK))
        s += strlen(BYTE_ORDER_MARK);
    for (char *next; s < end; s = next) {
        char *newline = memchr(s, '\n', (size_t)(end - s));
        next = newline ? newline + 1 : end;
        line.number++;
        line.start = s;
        line.end = newline ? newline : end;
        int k = parse_line(&line, s, lookups, ret);
        if (k == -ENOMEM)
            return k;
        result = k < 0 ? k : result;
    }
    return result;
}

/* SPDX-License-Identifier: MIT */
/* libyaml's complaints in words that help. What it says is a fixed set of sentences (0.2.5: scanner.c,
 * parser.c); a sentence that is not in the table still gets a message of ours. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "conf/yaml-parser.h"
#include "daemon/base/text.h"

/* A complaint on its way: the place may move, and message and hint may be put together. */
typedef struct Problem {
    YamlParser *p;
    const char *context;
    yaml_mark_t mark;         /* where libyaml stumbled */
    yaml_mark_t context_mark; /* where what it was reading began */
    const char *at;           /* the text at mark */
    const char *line;         /* the line of mark, up to it */
    size_t before;            /* bytes of that line before mark */
    bool use_context;         /* show context_mark */
    unsigned width;           /* characters to mark; 0: one */
    char message[160];
    char hint[200];
} Problem;

__attribute__((format(printf, 2, 3))) static void say(Problem *x, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    (void)vsnprintf(x->message, sizeof(x->message), format, ap);
    va_end(ap);
}

__attribute__((format(printf, 2, 3))) static void advise(Problem *x, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    (void)vsnprintf(x->hint, sizeof(x->hint), format, ap);
    va_end(ap);
}

/* The character at @s as it may be shown; nothing at the end of a line. */
static const char *character_at(const char *s, char buf[static 8]) {
    size_t n = strcspn(s, "\r\n") > 0 ? utf8_next(s, strlen(s) < 4 ? strlen(s) : 4, NULL) : 0;
    memcpy(buf, s, n);
    buf[n] = '\0';
    return buf;
}

static bool at_end(const Problem *x) {
    return *x->at == '\0';
}

/* Whether only blanks stand before the mark on its line. */
static bool begins_line(const Problem *x) {
    for (size_t i = 0; i < x->before; i++)
        if (x->line[i] != ' ' && x->line[i] != '\t')
            return false;
    return true;
}

#define WORD_SHOWN_MAX 60

/* The word around the mark: up to a blank, a comma or a quote on either side, without the brackets of the
 * list that it stands in. Empty if it is too long to be shown. Returns where it begins. */
static size_t word_around(const Problem *x, char buf[static WORD_SHOWN_MAX + 1]) {
    static const char ends[] = " \t\r\n,\"'";
    size_t begin = x->before, end = x->before;
    int open = 0;
    while (begin > 0 && !strchr(ends, x->line[begin - 1]) && x->before - begin < WORD_SHOWN_MAX)
        begin--;
    while (x->line[end] && !strchr(ends, x->line[end]) && end - begin <= WORD_SHOWN_MAX)
        end++;
    buf[0] = '\0';
    if (end - begin > WORD_SHOWN_MAX)
        return begin;
    for (size_t i = begin; i < end; i++)
        open += x->line[i] == '[' ? 1 : x->line[i] == ']' ? -1 : 0;
    for (; open > 0 && x->line[begin] == '['; open--)
        begin++;
    for (; open < 0 && end > begin && x->line[end - 1] == ']'; open++)
        end--;
    if (end - begin >= 2 && x->line[begin] == '[' && x->line[end - 1] == ']') {
        begin++;
        end--;
    }
    memcpy(buf, x->line + begin, end - begin);
    buf[end - begin] = '\0';
    return begin;
}

/* Marks the word that word_around() gave. */
static void mark_word(Problem *x, size_t begin, const char *word) {
    x->mark.column = utf8_length(x->line, begin);
    x->width = (unsigned)utf8_length(word, strlen(word));
}

static bool looks_like_in6(const char *s) {
    size_t colons = 0;
    for (const char *p = s; *p; p++) {
        colons += *p == ':' ? 1 : 0;
        if (*p == '%')
            break;
    }
    return colons >= 2 && (strstr(s, "::") || colons >= 7);
}

/* An IPv6 address that YAML reads as brackets and colons; true if it is one. */
static bool explain_in6(Problem *x) {
    char word[WORD_SHOWN_MAX + 1];
    size_t begin = word_around(x, word);
    if (!looks_like_in6(word))
        return false;
    mark_word(x, begin, word);
    say(x, "an IPv6 address in a [ ] list needs quotes");
    if (strchr(word, ']'))
        advise(x, "write: \"%s\"", word);
    else
        advise(x, "write: [\"%s\"]", word);
    return true;
}

/* An unquoted ${VAR} in [ ] or { }; true if it is one. */
static bool explain_variable(Problem *x) {
    if (*x->at != '{' || x->before == 0 || x->line[x->before - 1] != '$')
        return false;
    char word[WORD_SHOWN_MAX + 1];
    size_t begin = word_around(x, word);
    if (*word)
        mark_word(x, begin, word);
    say(x, "a ${…} in a [ ] or { } needs quotes");
    advise(x, "write: \"%s\"", *word ? word : "${NAME}");
    return true;
}

/* A quote that was closed by the next one, lines below; true if there is one right before the mark. */
static bool explain_long_quote(Problem *x) {
    const yaml_mark_t *quote = &x->p->quote, *end = &x->p->quote_end;
    if (quote->line == end->line || end->line != x->mark.line || x->mark.index - end->index > 1)
        return false;
    say(x, "this quote is closed only in line %zu", end->line + 1);
    advise(x, "is the closing quote missing?");
    x->context_mark = *quote;
    x->use_context = true;
    return true;
}

static void on_node_content(Problem *x) {
    char c[8];
    if (explain_in6(x) || explain_variable(x))
        return;
    if (at_end(x)) {
        x->use_context = true;
        say(x, "what begins here has no end");
        return;
    }
    if (!*character_at(x->at, c)) {
        say(x, "a value is missing here");
        return;
    }
    say(x, "a value cannot begin with '%s'", c);
    advise(x, "quote it if it is meant as text");
}

/* An unclosed [ ] or { }. */
static void complain_flow(Problem *x, const char *what, char open, char close) {
    if (explain_variable(x) || explain_in6(x) || explain_long_quote(x))
        return;
    if (!at_end(x) && x->mark.line == x->context_mark.line) {
        say(x, "a ',' or the '%c' of this %s is missing before this", close, what);
        advise(x, "quote an item that has blanks, brackets or ':' in it");
        return;
    }
    x->use_context = true;
    say(x, "the '%c' of this %s is never closed", open, what);
    if (!at_end(x))
        advise(x, "a ',' or '%c' is missing before line %zu", close, x->mark.line + 1);
    else
        advise(x, "close it with '%c'", close);
}

static void on_flow_sequence(Problem *x) {
    complain_flow(x, "list", '[', ']');
}

static void on_flow_mapping(Problem *x) {
    complain_flow(x, "mapping", '{', '}');
}

static void on_plain_colon(Problem *x) {
    if (explain_in6(x))
        return;
    say(x, "a ':' within [ ] or { } needs quotes around the text");
    advise(x, "quote it");
}

static void on_bad_token(Problem *x) {
    char c[8];
    if (*x->at == '\t') {
        say(x, "a tab cannot indent");
        advise(x, "indent with spaces, not tabs");
        return;
    }
    say(x, "a value that begins with '%s' must be quoted", character_at(x->at, c));
    advise(x, "put it in \"…\"");
}

static void on_tab(Problem *x) {
    say(x, "a tab cannot indent");
    advise(x, "indent with spaces, not tabs");
}

static void on_alias(Problem *x) {
    x->use_context = true;
    const char *s = x->before > 0 && *x->at == ':' && x->line[x->before - 1] == '*' ? x->at + 1 : "";
    size_t digits = strspn(s, "0123456789");
    if (digits > 0 && digits <= 5) {
        say(x, "'*' is YAML's sign for an alias");
        advise(x, "for all addresses write tcp:%.*s", (int)digits, s);
        return;
    }
    say(x, "'*' is YAML's sign for an alias, and no name follows it");
    advise(x, "quote a value that begins with '*'");
}

static void on_anchor(Problem *x) {
    x->use_context = true;
    say(x, "'&' is YAML's sign for an anchor, and no name follows it");
    advise(x, "quote a value that begins with '&'");
}

static void on_quote(Problem *x) {
    x->use_context = true;
    say(x, "this quote is never closed");
    advise(x, "the closing quote is missing");
}

static void on_escape(Problem *x) {
    say(x, "this is none of YAML's escapes");
    advise(x, "in \"…\" write \\\\ for a backslash, or use '…'");
}

/* "a: b: c", or a key that is indented deeper than the one before it. */
static void on_mapping_value(Problem *x) {
    for (size_t i = 0; i + 1 < x->before; i++) {
        if (x->line[i] == ':' && (x->line[i + 1] == ' ' || x->line[i + 1] == '\t')) {
            say(x, "a second ':' on one line");
            advise(x, "one key a line; quote a value that has ': '");
            return;
        }
    }
    say(x, "a key cannot stand here: the one before it has its value already");
    advise(x, "begin it in the same column as that key; quote text that has ': '");
}

static void on_missing_colon(Problem *x) {
    x->use_context = true;
    say(x, "a ':' is missing after this key");
    advise(x, "write KEY: VALUE; text that goes on is indented deeper than its key");
}

static void on_sequence_entry(Problem *x) {
    say(x, "a list cannot begin here");
    advise(x, "put each '- item' on a line of its own, or write [item, item]");
}

static void on_mapping_key(Problem *x) {
    say(x, "a '?' cannot stand here");
    advise(x, "quote a value that begins with '? '");
}

/* A mapping goes on with something that is no key of it. */
static void on_expected_key(Problem *x) {
    if (*x->at == '}' || *x->at == ']') {
        say(x, "there is a '%c' too many", *x->at);
        return;
    }
    if (*x->at == ':') {
        say(x, "the key before this ':' is missing");
        advise(x, "write KEY: VALUE");
        return;
    }
    if (begins_line(x) && !at_end(x)) {
        if (*x->at == '-')
            say(x, "a list item cannot stand here, among keys");
        else
            say(x, "this does not begin in the column of the keys before it");
        advise(x, "the mapping began in column %zu of line %zu", x->context_mark.column + 1,
               x->context_mark.line + 1);
        return;
    }
    if (explain_in6(x) || explain_long_quote(x))
        return;
    say(x, "text after the end of the value");
    advise(x, "quote the whole value");
}

static void on_expected_item(Problem *x) {
    if (begins_line(x)) {
        say(x, "a list goes on with '- '");
        advise(x, "the list began in column %zu of line %zu", x->context_mark.column + 1,
               x->context_mark.line + 1);
        return;
    }
    say(x, "text after the end of the item");
    advise(x, "quote the whole item");
}

static void on_document_start(Problem *x) {
    if (begins_line(x)) {
        say(x, "this does not belong to what stands before it");
        advise(x, "keys of one mapping begin in the same column");
        return;
    }
    say(x, "text after the end of the value");
    advise(x, "quote the whole value");
}

static void on_block_scalar(Problem *x) {
    say(x, "after '|' or '>' come only '-', '+' or a number, and then a new line");
    advise(x, "quote a value that begins with '|' or '>'");
}

static void on_tag(Problem *x) {
    x->use_context = x->context_mark.line == x->mark.line;
    say(x, "'!' is YAML's sign for a tag");
    advise(x, "quote a value that begins with '!'");
}

static void on_directive(Problem *x) {
    x->use_context = x->context != NULL;
    say(x, "'%%' at the beginning of a line is YAML's sign for a directive");
    advise(x, "leave the line out, or quote the value");
}

static void on_version(Problem *x) {
    say(x, "this version of YAML is not known");
    advise(x, "leave the line out");
}

/* NULL stands for any; the first row that fits is taken. */
static const struct {
    const char *context;
    const char *problem;
    void (*explain)(Problem *x);
} rows[] = {
    {"while scanning a simple key", NULL, on_missing_colon},
    {"while scanning an alias", NULL, on_alias},
    {"while scanning an anchor", NULL, on_anchor},
    {"while scanning a quoted scalar", NULL, on_quote},
    {"while parsing a quoted scalar", NULL, on_escape},
    {"while scanning a plain scalar", "found unexpected ':'", on_plain_colon},
    {"while scanning a plain scalar", NULL, on_tab},
    {"while scanning a block scalar", "found a tab character where an indentation space is expected", on_tab},
    {"while scanning a block scalar", NULL, on_block_scalar},
    {"while scanning a tag", NULL, on_tag},
    {"while parsing a tag", NULL, on_tag},
    {"while scanning a directive", NULL, on_directive},
    {"while scanning a %YAML directive", NULL, on_directive},
    {"while scanning a %TAG directive", NULL, on_directive},
    {"while parsing a %TAG directive", NULL, on_directive},
    {"while parsing a tag directive", NULL, on_directive},
    {"while scanning a tag directive", NULL, on_directive},
    {"while parsing a flow sequence", NULL, on_flow_sequence},
    {"while parsing a flow mapping", NULL, on_flow_mapping},
    {"while parsing a block mapping", NULL, on_expected_key},
    {"while parsing a block collection", NULL, on_expected_item},
    {NULL, "found undefined tag handle", on_tag},
    {NULL, "did not find expected node content", on_node_content},
    {NULL, "found character that cannot start any token", on_bad_token},
    {NULL, "mapping values are not allowed in this context", on_mapping_value},
    {NULL, "block sequence entries are not allowed in this context", on_sequence_entry},
    {NULL, "mapping keys are not allowed in this context", on_mapping_key},
    {NULL, "did not find expected <document start>", on_document_start},
    {NULL, "found incompatible YAML document", on_version},
    {NULL, "found duplicate %YAML directive", on_directive},
    {NULL, "found duplicate %TAG directive", on_directive},
};

static void explain(Problem *x, const char *problem) {
    for (size_t i = 0; i < ELEMENTS(rows); i++) {
        bool context = !rows[i].context || (x->context && streq(rows[i].context, x->context));
        if (context && (!rows[i].problem || streq(rows[i].problem, problem))) {
            rows[i].explain(x);
            return;
        }
    }
    say(x, "YAML cannot be read from here on");
    advise(x, "quote text that has brackets, ':' or '#' in it");
}

/* libyaml stands behind the last line when something is missing at the end: the last character is a better
 * place. */
static void pull_back(const YamlText *t, yaml_mark_t *mark) {
    size_t n = 0;
    while (mark->line > 0 && (!yaml_text_line(t, (unsigned)mark->line + 1, &n) || n == 0)) {
        mark->line--;
        const char *s = yaml_text_line(t, (unsigned)mark->line + 1, &n);
        mark->column = s ? utf8_length(s, n) : 0;
    }
}

void yaml_translate_problem(YamlParser *p) {
    Problem x = {
        .p = p,
        .context = p->libyaml.context,
        .mark = p->libyaml.problem_mark,
        .context_mark = p->libyaml.context_mark,
    };
    const YamlText *t = &p->file->text;
    size_t n = 0;
    x.at = yaml_text_at(t, (unsigned)x.mark.line + 1, (unsigned)x.mark.column + 1);
    x.line = yaml_text_line(t, (unsigned)x.mark.line + 1, &n);
    if (!x.line)
        x.line = x.at;
    x.before = (size_t)(x.at - x.line);
    explain(&x, p->libyaml.problem ? p->libyaml.problem : "");
    yaml_mark_t mark = x.use_context ? x.context_mark : x.mark;
    pull_back(t, &mark);
    DiagPos pos = {p->file->name, (unsigned)mark.line + 1, (unsigned)mark.column + 1, 0};
    pos.end_column = pos.column + (x.width > 0 ? x.width : 1);
    yaml_error_at(p, &pos, DIAG_YAML, x.hint, "%s", x.message);
}

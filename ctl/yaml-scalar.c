/* SPDX-License-Identifier: MIT */
#include "ctl/yaml-scalar.h"

#include <string.h>
#include <strings.h>

/* ${ begins a variable, and $$ is how one $ is written. */
static bool begins_something(const char *s, size_t n) {
    return n > 1 && s[0] == '$' && (s[1] == '{' || s[1] == '$');
}

void yaml_add_doubled(Text *out, const char *s, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (begins_something(s + i, n - i))
            text_addc(out, '$');
        text_addc(out, s[i]);
    }
}

/* What YAML 1.1 takes for a boolean, a null or a merge (https://yaml.org/type/). */
static bool is_word_of_yaml(const char *s) {
    static const char *const words[] = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"};
    for (size_t i = 0; i < ELEMENTS(words); i++)
        if (strcasecmp(s, words[i]) == 0)
            return true;
    return false;
}

/* Whether what begins with a digit may be a number, a time or a date to YAML 1.1: 0660, 1_000, 0x1f, 1e3,
 * 1:30, 2001-12-14. A unit (10s, 64K) or a slash (50/s, 10.0.0.0/8) is in none of them. */
static bool may_be_number(const char *s) {
    size_t n = strspn(s, "0123456789");
    bool letter = (s[n] >= 'a' && s[n] <= 'z') || (s[n] >= 'A' && s[n] <= 'Z');
    bool radix = n == 1 && s[0] == '0' && strchr("xXoObB", s[n]);
    return !strchr(s, '/') && (!letter || radix || s[n] == 'e' || s[n] == 'E');
}

static bool is_plain(const char *s) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    static const char more[] = "0123456789_./:@%+=,()[]*?~^;$- ";
    size_t n = strlen(s), dashes = strspn(s, "-");
    char first = s[dashes]; /* an option may do without quotes: -v, --daemon */
    bool digit = first >= '0' && first <= '9';
    if (first == '\0' || (dashes > 0 && !strchr(letters, first)) ||
        (!digit && !strchr(letters, first) && !strchr("/_$", first)))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!strchr(letters, s[i]) && !strchr(more, s[i]))
            return false;
    bool mapping = strstr(s, ": ") || s[n - 1] == ':';
    return !mapping && s[n - 1] != ' ' && !is_word_of_yaml(s) && !(digit && may_be_number(s));
}

/* C0, DEL, C1, and what YAML takes for the end of a line or the mark of an encoding. */
static bool is_special(uint32_t c) {
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x2028 || c == 0x2029 || c == 0xfeff;
}

static void add_quoted_character(Text *out, const char *s, size_t n, uint32_t c) {
    if (c == '"' || c == '\\')
        text_addf(out, "\\%c", (char)c);
    else if (c == '\n')
        text_add(out, "\\n");
    else if (c == '\t')
        text_add(out, "\\t");
    else if (is_special(c))
        text_addf(out, c < 0x100 ? "\\x%02x" : "\\u%04x", c);
    else
        text_add_n(out, s, n);
}

static void add_quoted(Text *out, const char *s) {
    size_t left = strlen(s), n;
    text_addc(out, '"');
    for (; left > 0; s += n, left -= n) {
        uint32_t c = 0xfffd;
        n = utf8_next(s, left, &c);
        if (begins_something(s, left))
            text_addc(out, '$');
        if (n > 0)
            add_quoted_character(out, s, n, c);
        else
            text_add(out, "\\ufffd");
        n = n > 0 ? n : 1;
    }
    text_addc(out, '"');
}

void yaml_add_scalar(Text *out, const char *s) {
    if (is_plain(s))
        yaml_add_doubled(out, s, strlen(s));
    else
        add_quoted(out, s);
}

bool yaml_is_block(const char *s) {
    size_t left = strlen(s), n;
    const char *end = s + left;
    if (!strchr(s, '\n') || strchr(" \t\n", s[0]) || (left > 1 && end[-1] == '\n' && end[-2] == '\n'))
        return false;
    for (; left > 0; s += n, left -= n) {
        uint32_t c = 0;
        n = utf8_next(s, left, &c);
        if (n == 0 || (is_special(c) && c != '\n' && c != '\t'))
            return false;
    }
    return true;
}

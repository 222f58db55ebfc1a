/* SPDX-License-Identifier: MIT */
#include "conf/variable.h"

#include <stddef.h>

static bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

bool variable_is_name(const char *s) {
    if (!is_letter(*s))
        return false;
    for (; *s; s++)
        if (!is_letter(*s) && !is_digit(*s))
            return false;
    return true;
}

/* "[A-Z_]" at @s: its last character; NULL: it is no such thing. */
static const char *skip_bracket(const char *s) {
    const char *first = s[1] == '!' ? s + 2 : s + 1, *at = first;
    while (is_letter(*at) || is_digit(*at) || *at == '-')
        at++;
    return *at == ']' && at > first ? at : NULL;
}

bool variable_is_pattern(const char *s) {
    if (!*s || is_digit(*s))
        return false;
    for (; *s; s++) {
        if (*s == '[')
            s = skip_bracket(s);
        else if (!is_letter(*s) && !is_digit(*s) && *s != '*' && *s != '?')
            return false;
        if (!s)
            return false;
    }
    return true;
}

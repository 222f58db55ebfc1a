/* SPDX-License-Identifier: MIT */
#include "conf/yaml-text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/text.h"

static const char utf8_hint[] = "save the file as UTF-8";

void yaml_text_done(YamlText *t) {
    free(t->s);
    free(t->lines);
    *t = (YamlText){0};
}

/* Bytes of the line break at @s, or 0: YAML 1.1 has five, and libyaml counts lines by them. */
static size_t break_length(const char *s, size_t n) {
    if (n >= 2 && s[0] == '\r' && s[1] == '\n')
        return 2;
    if (n >= 1 && (s[0] == '\r' || s[0] == '\n'))
        return 1;
    if (n >= 2 && memcmp(s, "\xc2\x85", 2) == 0)
        return 2;
    if (n >= 3 && (memcmp(s, "\xe2\x80\xa8", 3) == 0 || memcmp(s, "\xe2\x80\xa9", 3) == 0))
        return 3;
    return 0;
}

/* YAML 1.1, 5.1: printable characters, which is what libyaml reads. */
static bool is_allowed(uint32_t c) {
    return c == '\t' || c == '\n' || c == '\r' || (c >= 0x20 && c <= 0x7e) || c == 0x85 ||
           (c >= 0xa0 && c <= 0xfffd && c != 0xfeff) || c >= 0x10000;
}

static bool looks_like_utf16(const char *s, size_t n) {
    return n >= 2 && (memcmp(s, "\xfe\xff", 2) == 0 || memcmp(s, "\xff\xfe", 2) == 0 ||
                      (s[0] == '\0') != (s[1] == '\0'));
}

static int refuse(YamlText *t, size_t at, unsigned column, YamlTextError *error) {
    error->line = (unsigned)t->n_lines;
    error->column = column;
    error->hint = utf8_hint;
    uint32_t c = 0;
    if (utf8_next(t->s + at, t->n - at, &c) == 0) {
        (void)snprintf(error->why, sizeof(error->why), "the byte 0x%02x is not UTF-8",
                       (unsigned char)t->s[at]);
    } else {
        (void)snprintf(error->why, sizeof(error->why), "the character U+%04X is not allowed", (unsigned)c);
        error->hint = c == 0 ? "is this a text file?" : "leave it out, or write it as an escape in \"…\"";
    }
    return -EINVAL;
}

static int add_line(YamlText *t, size_t offset) {
    /* Room is doubled at each power of two. */
    if ((t->n_lines & (t->n_lines - 1)) == 0) {
        size_t cap = t->n_lines ? t->n_lines * 2 : 1;
        uint32_t *lines = realloc(t->lines, cap * sizeof(*lines));
        if (!lines)
            return -ENOMEM;
        t->lines = lines;
    }
    t->lines[t->n_lines++] = (uint32_t)offset;
    return 0;
}

static int scan(YamlText *t, YamlTextError *error) {
    unsigned column = 1;
    int r = add_line(t, 0);
    for (size_t i = 0; i < t->n && r == 0;) {
        size_t len = break_length(t->s + i, t->n - i);
        if (len > 0) {
            i += len;
            column = 1;
            r = add_line(t, i);
            continue;
        }
        uint32_t c = 0;
        len = utf8_next(t->s + i, t->n - i, &c);
        if (len == 0 || !is_allowed(c))
            return refuse(t, i, column, error);
        i += len;
        column++;
    }
    return r;
}

int yaml_text_init(YamlText *ret, const char *s, size_t n, YamlTextError *error) {
    *ret = (YamlText){0};
    if (n > UINT32_MAX)
        return -EFBIG;
    bool utf16 = n > 0 && looks_like_utf16(s, n);
    if (utf16)
        n = 0;
    if (n >= 3 && memcmp(s, "\xef\xbb\xbf", 3) == 0) {
        s += 3;
        n -= 3;
    }
    ret->s = malloc(n + 1);
    if (!ret->s)
        return -ENOMEM;
    if (n > 0)
        memcpy(ret->s, s, n);
    ret->s[n] = '\0';
    ret->n = n;
    if (utf16) {
        *error =
            (YamlTextError){.line = 1, .column = 1, .why = "the file is UTF-16 or UTF-32", .hint = utf8_hint};
        return -EINVAL;
    }
    return scan(ret, error);
}

const char *yaml_text_line_start(const YamlText *t, unsigned line) {
    return line == 0 || line > t->n_lines ? NULL : t->s + t->lines[line - 1];
}

const char *yaml_text_line(const YamlText *t, unsigned line, size_t *ret_n) {
    const char *s = yaml_text_line_start(t, line);
    if (!s)
        return NULL;
    size_t left = t->n - t->lines[line - 1], n = 0;
    while (n < left && break_length(s + n, left - n) == 0)
        n++;
    *ret_n = n;
    return s;
}

const char *yaml_text_at(const YamlText *t, unsigned line, unsigned column) {
    size_t n = 0;
    const char *s = yaml_text_line(t, line, &n);
    if (!s)
        return t->s + t->n;
    for (unsigned i = 1; i < column && n > 0; i++) {
        size_t len = utf8_next(s, n, NULL);
        s += len;
        n -= len;
    }
    return s;
}

const char *yaml_text_seek(const YamlText *t, YamlCursor *c, size_t index) {
    if (index < c->index)
        *c = (YamlCursor){0};
    while (c->index < index && c->offset < t->n) {
        size_t len = utf8_next(t->s + c->offset, t->n - c->offset, NULL);
        c->offset += len ? len : 1;
        c->index++;
    }
    return t->s + c->offset;
}

/* SPDX-License-Identifier: MIT */
#pragma once
/* Text: a growing string, escapes for what comes from outside, and small string predicates. Uses only libc.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/base/cleanup.h"

/* A growing string. Starts as {0}. A failed allocation is sticky: later calls do nothing, and text_take()
 * and text_ok() tell. `s` is NUL-terminated whenever it is not NULL. */
typedef struct Text {
    char *s;
    size_t len;
    size_t cap;
    bool failed;
} Text;

void text_done(Text *t);
void text_reset(Text *t); /* empties it, keeps the memory */
/* Takes back what was added behind the first @len bytes, a failure included. */
void text_cut(Text *t, size_t len);
void text_add_n(Text *t, const char *s, size_t n);
static inline void text_add(Text *t, const char *s) {
    text_add_n(t, s, __builtin_strlen(s));
}
void text_addc(Text *t, char c);
/* A number in decimal; the latter with zeros in front of what has fewer than @width digits. */
void text_add_u64(Text *t, uint64_t n);
void text_add_u64_padded(Text *t, uint64_t n, size_t width);
void text_addf(Text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool text_ok(const Text *t);
/* The string ("" when empty), owned by the caller, or NULL when memory ran out; @t is empty afterwards. */
char *text_take(Text *t);
#define CLEANUP_TEXT CLEANUP(text_done)

/* Appends @s with every byte that could harm a terminal or forge a line written out: C0, DEL and C1 controls
 * and bytes that are not valid UTF-8 as \xNN (a C1 control as \u0085 would be one character: \x85). The
 * backslash itself stays as it is: shown text is for reading, not for parsing back. */
void text_add_escaped(Text *t, const char *s, size_t n);
/* Appends a JSON string literal, quotes included; invalid UTF-8 becomes U+FFFD. */
void text_add_json(Text *t, const char *s, size_t n);

/* Writes @n in decimal at @at, without a NUL, and returns its end. */
#define DECIMAL_MAX 20
char *decimal_put(char *at, uint64_t n);

/* Length in bytes of the valid UTF-8 sequence at @s (1 to 4), or 0 when what stands there is not valid.
 * RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF. Stores the code point if @ret is given.
 */
size_t utf8_next(const char *s, size_t n, uint32_t *ret);
bool utf8_valid(const char *s, size_t n);
/* Characters (code points) in the @n bytes of valid UTF-8 at @s. */
size_t utf8_length(const char *s, size_t n);
/* Columns of a terminal that @s takes (wcwidth; 0 for combining, 2 for wide). */
size_t utf8_columns(const char *s);

static inline bool streq(const char *a, const char *b) {
    return __builtin_strcmp(a, b) == 0;
}
/* Equal, NULL counting as a value of its own. */
static inline bool streq_null(const char *a, const char *b) {
    return a == b || (a && b && streq(a, b));
}
static inline bool starts_with(const char *s, const char *prefix) {
    return __builtin_strncmp(s, prefix, __builtin_strlen(prefix)) == 0;
}

/* A NULL-terminated vector of strings. */
void strv_free(char **v);
size_t strv_length(char *const *v);
char **strv_copy(char *const *v);
/* Appends @s, which it takes over, freeing it on failure; -ENOMEM or 0. */
int strv_push(char ***v, char *s);
bool strv_equal(char *const *a, char *const *b);
static inline void strv_freep(char ***v) {
    strv_free(*v);
}
#define CLEANUP_STRV CLEANUP(strv_freep)

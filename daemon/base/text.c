/* SPDX-License-Identifier: MIT */
#include "daemon/base/text.h"

#include <stdarg.h>
#include <string.h>
#include <wchar.h>

void text_done(Text *t) {
    free(t->s);
    *t = (Text){0};
}

void text_reset(Text *t) {
    text_cut(t, 0);
}

void text_cut(Text *t, size_t len) {
    t->len = len;
    t->failed = false;
    if (t->s)
        t->s[len] = '\0';
}

static bool grow(Text *t, size_t more) {
    size_t need;
    if (t->failed)
        return false;
    if (__builtin_add_overflow(t->len, more, &need) || __builtin_add_overflow(need, 1, &need)) {
        t->failed = true;
        return false;
    }
    size_t cap = t->cap ? t->cap : 64;
    while (cap < need) {
        if (__builtin_mul_overflow(cap, 2, &cap)) {
            t->failed = true;
            return false;
        }
    }
    char *s = realloc(t->s, cap);
    if (!s) {
        t->failed = true;
        return false;
    }
    t->s = s;
    t->cap = cap;
    return true;
}

/* Room for so many bytes and a NUL. */
static inline bool text_reserve(Text *t, size_t more) {
    return (t->s && more < t->cap - t->len && !t->failed) || grow(t, more);
}

void text_add_n(Text *t, const char *s, size_t n) {
    if (!text_reserve(t, n))
        return;
    if (n > 0)
        memcpy(t->s + t->len, s, n);
    t->len += n;
    t->s[t->len] = '\0';
}

void text_addc(Text *t, char c) {
    if (!text_reserve(t, 1))
        return;
    t->s[t->len++] = c;
    t->s[t->len] = '\0';
}

static size_t count_digits(uint64_t n) {
    size_t digits = 1;
    for (; n >= 1000; n /= 1000)
        digits += 3;
    return digits + (n >= 10) + (n >= 100);
}

/* Less than 100: two digits. */
static char *put_two(char *end, uint64_t n) {
    *--end = (char)('0' + n % 10);
    *--end = (char)('0' + n / 10);
    return end;
}

/* Most are short: parts of addresses, ports, numbers of processes. */
char *decimal_put(char *at, uint64_t n) {
    if (n < 10) {
        *at = (char)('0' + n);
        return at + 1;
    }
    char *end = at + count_digits(n), *digit = end;
    for (; n >= 100; n /= 100)
        digit = put_two(digit, n % 100);
    if (n >= 10)
        (void)put_two(digit, n);
    else
        *--digit = (char)('0' + n);
    return end;
}

void text_add_u64(Text *t, uint64_t n) {
    if (!text_reserve(t, DECIMAL_MAX))
        return;
    t->len = (size_t)(decimal_put(t->s + t->len, n) - t->s);
    t->s[t->len] = '\0';
}

void text_add_u64_padded(Text *t, uint64_t n, size_t width) {
    for (size_t digits = count_digits(n); digits < width; digits++)
        text_addc(t, '0');
    text_add_u64(t, n);
}

void text_addf(Text *t, const char *format, ...) {
    char small[256];
    va_list ap;
    va_start(ap, format);
    int n = vsnprintf(small, sizeof(small), format, ap);
    va_end(ap);
    if (n < 0) {
        t->failed = true;
        return;
    }
    if ((size_t)n < sizeof(small)) {
        text_add_n(t, small, (size_t)n);
        return;
    }
    if (!text_reserve(t, (size_t)n))
        return;
    va_start(ap, format);
    (void)vsnprintf(t->s + t->len, (size_t)n + 1, format, ap);
    va_end(ap);
    t->len += (size_t)n;
}

bool text_ok(const Text *t) {
    return !t->failed;
}

char *text_take(Text *t) {
    if (!t->failed && !t->s)
        text_add_n(t, "", 0);
    char *s = NULL;
    if (!t->failed)
        s = TAKE_PTR(t->s);
    text_done(t);
    return s;
}

static uint32_t utf8_lead(unsigned char c, size_t *ret_len) {
    if (c < 0x80) {
        *ret_len = 1;
        return c;
    }
    if (c >= 0xc2 && c <= 0xdf) {
        *ret_len = 2;
        return c & 0x1f;
    }
    if (c >= 0xe0 && c <= 0xef) {
        *ret_len = 3;
        return c & 0x0f;
    }
    if (c >= 0xf0 && c <= 0xf4) {
        *ret_len = 4;
        return c & 0x07;
    }
    *ret_len = 0;
    return 0;
}

size_t utf8_next(const char *s, size_t n, uint32_t *ret) {
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (n == 0)
        return 0;
    size_t len;
    uint32_t cp = utf8_lead((unsigned char)s[0], &len);
    if (len == 0 || len > n)
        return 0;
    for (size_t i = 1; i < len; i++) {
        unsigned char c = (unsigned char)s[i];
        if ((c & 0xc0) != 0x80)
            return 0;
        cp = (cp << 6) | (c & 0x3f);
    }
    if (cp < least[len] || cp > 0x10ffff || (cp >= 0xd800 && cp <= 0xdfff))
        return 0;
    if (ret)
        *ret = cp;
    return len;
}

bool utf8_valid(const char *s, size_t n) {
    while (n > 0) {
        size_t len = utf8_next(s, n, NULL);
        if (len == 0)
            return false;
        s += len;
        n -= len;
    }
    return true;
}

size_t utf8_length(const char *s, size_t n) {
    size_t length = 0;
    for (size_t i = 0; i < n; i++)
        length += ((unsigned char)s[i] & 0xc0) != 0x80 ? 1 : 0;
    return length;
}

size_t utf8_columns(const char *s) {
    size_t n = strlen(s), columns = 0;
    while (n > 0) {
        uint32_t cp = 0;
        size_t len = utf8_next(s, n, &cp);
        if (len == 0) {
            columns++;
            len = 1;
        } else if (cp < 0x80) {
            columns++;
        } else {
            int w = wcwidth((wchar_t)cp);
            /* Without a UTF-8 locale wcwidth knows nothing: one column is the best guess then. */
            columns += w < 0 ? 1 : (size_t)w;
        }
        s += len;
        n -= len;
    }
    return columns;
}

static bool is_plain(char c) {
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

/* The same of eight at once: a byte of @x is 0 where its highest bit is set in what ZERO_BYTES() makes of it,
 * and of those below it; so none is where nothing is set. */
#define EIGHT(byte) ((byte)*0x0101010101010101ULL)
#define ZERO_BYTES(x) (((x)-EIGHT(1ULL)) & ~(x)&EIGHT(0x80ULL))
static bool are_plain(const char *s) {
    uint64_t x;
    memcpy(&x, s, sizeof(x));
    uint64_t low = (x - EIGHT(0x20ULL)) & ~x, other = x;
    other |= ZERO_BYTES(x ^ EIGHT(0x7fULL)) | ZERO_BYTES(x ^ EIGHT((uint64_t)'"'));
    other |= ZERO_BYTES(x ^ EIGHT((uint64_t)'\\'));
    return ((low | other) & EIGHT(0x80ULL)) == 0;
}

/* One character, as utf8_next() has it; or all those that every writer of text takes as they are, as if they
 * were one: 'a'. */
static size_t next_piece(const char *s, size_t n, uint32_t *ret) {
    size_t len = 0;
    while (n - len >= sizeof(uint64_t) && are_plain(s + len))
        len += sizeof(uint64_t);
    while (len < n && is_plain(s[len]))
        len++;
    if (len == 0)
        return utf8_next(s, n, ret);
    *ret = 'a';
    return len;
}

void text_add_escaped(Text *t, const char *s, size_t n) {
    while (n > 0) {
        uint32_t cp = 0;
        size_t len = next_piece(s, n, &cp);
        if (len == 0) {
            text_addf(t, "\\x%02x", (unsigned char)*s);
            len = 1;
        } else if (cp < 0x20 || (cp >= 0x7f && cp < 0xa0)) {
            text_addf(t, "\\x%02x", (unsigned)cp);
        } else {
            text_add_n(t, s, len);
        }
        s += len;
        n -= len;
    }
}

void text_add_json(Text *t, const char *s, size_t n) {
    text_addc(t, '"');
    while (n > 0) {
        uint32_t cp = 0;
        size_t len = next_piece(s, n, &cp);
        if (len == 0) {
            text_add(t, "\\ufffd");
            len = 1;
        } else if (cp == '"' || cp == '\\') {
            text_addc(t, '\\');
            text_addc(t, (char)cp);
        } else if (cp == '\n') {
            text_add(t, "\\n");
        } else if (cp == '\t') {
            text_add(t, "\\t");
        } else if (cp < 0x20 || (cp >= 0x7f && cp < 0xa0)) {
            text_addf(t, "\\u%04x", (unsigned)cp);
        } else {
            text_add_n(t, s, len);
        }
        s += len;
        n -= len;
    }
    text_addc(t, '"');
}

void strv_free(char **v) {
    if (!v)
        return;
    for (char **i = v; *i; i++)
        free(*i);
    free((void *)v);
}

size_t strv_length(char *const *v) {
    size_t n = 0;
    if (v)
        while (v[n])
            n++;
    return n;
}

/* Slots that a vector of @n strings and its NULL has, here and in every function that makes one: the next
 * power of two. So strv_push() knows without being told when the vector is full. */
static size_t strv_capacity(size_t n) {
    size_t cap = 2;
    while (cap < n + 1)
        cap *= 2;
    return cap;
}

int strv_push(char ***v, char *s) {
    if (!s)
        return -ENOMEM;
    size_t n = strv_length(*v);
    if (!*v || n + 1 == strv_capacity(n)) {
        char **bigger = (char **)realloc((void *)*v, strv_capacity(n + 1) * sizeof(char *));
        if (!bigger) {
            free(s);
            return -ENOMEM;
        }
        *v = bigger;
    }
    (*v)[n] = s;
    (*v)[n + 1] = NULL;
    return 0;
}

char **strv_copy(char *const *v) {
    CLEANUP_STRV char **copy = (char **)calloc(strv_capacity(strv_length(v)), sizeof(char *));
    if (!copy)
        return NULL;
    for (size_t i = 0; v && v[i]; i++) {
        copy[i] = strdup(v[i]);
        if (!copy[i])
            return NULL;
    }
    return TAKE_PTR(copy);
}

bool strv_equal(char *const *a, char *const *b) {
    size_t n = strv_length(a);
    if (n != strv_length(b))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!streq(a[i], b[i]))
            return false;
    return true;
}

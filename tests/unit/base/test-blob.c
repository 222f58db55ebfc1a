/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <fcntl.h>
#include <math.h>
#include <string.h>

#include "daemon/base/siphash.h"
#include "daemon/base/text.h"
#include "tests/unit/blob.h"
#include "tests/unit/random.h"

#define HEADER_BYTES 32

/* The next field of @r, which has @tag. */
static BlobField next(BlobReader *r, uint16_t tag) {
    BlobField f;
    assert_true(blob_next(r, &f));
    assert_int_equal(f.tag, tag);
    return f;
}

static const uint64_t some_numbers[] = {0, 1, UINT64_MAX};

static void put_every_kind(BlobWriter *w) {
    char one[] = "one", empty[] = "", two[] = "t\nw\xc3\xb6";
    char *strings[] = {one, empty, two, NULL}, *none[] = {NULL};
    blob_put_u64(w, 1, UINT64_MAX);
    blob_put_i64(w, 2, INT64_MIN);
    blob_put_bool(w, 3, true);
    blob_put_bool(w, 4, false);
    blob_put_double(w, 5, -0.1);
    blob_put_bytes(w, 6, "a\0b", 3);
    blob_put_bytes(w, 7, NULL, 0);
    blob_put_str(w, 8, two);
    blob_put_str(w, 9, NULL);
    blob_put_str(w, 10, "");
    blob_put_strv(w, 11, strings);
    blob_put_strv(w, 12, NULL);
    blob_put_strv(w, 13, none);
    blob_put_u64s(w, 14, some_numbers, ELEMENTS(some_numbers));
    blob_put_u64s(w, 15, NULL, 0);
    blob_put_fd(w, 16, -EBADF);
}

static void test_every_kind(void **state) {
    (void)state;
    TestBlob b;
    size_t n = 0;
    uint64_t numbers[4] = {7, 7, 7, 7};
    test_blob_begin(&b);
    put_every_kind(&b.w);
    test_blob_end(&b);
    BlobField f = next(&b.r, 1);
    assert_true(blob_u64(&f) == UINT64_MAX);
    f = next(&b.r, 2);
    assert_true(blob_i64(&f) == INT64_MIN);
    f = next(&b.r, 3);
    assert_true(blob_bool(&f));
    f = next(&b.r, 5);
    assert_true(fabs(blob_double(&f) + 0.1) < 1e-15);
    f = next(&b.r, 6);
    const char *bytes = blob_bytes(&f, &n);
    assert_true(n == 3 && memcmp(bytes, "a\0b", 3) == 0);
    char copy[3];
    blob_copy(&f, copy, sizeof(copy));
    assert_memory_equal(copy, "a\0b", 3);
    f = next(&b.r, 7);
    (void)blob_bytes(&f, &n);
    assert_int_equal(n, 0);
    f = next(&b.r, 8);
    char *s = strdup("before");
    blob_take_str(&f, &s);
    assert_string_equal(s, "t\nw\xc3\xb6");
    free(s);
    f = next(&b.r, 10);
    s = blob_str(&f);
    assert_string_equal(s, "");
    free(s);
    f = next(&b.r, 11);
    char **v = blob_strv(&f);
    assert_int_equal(strv_length(v), 3);
    assert_string_equal(v[1], "");
    assert_string_equal(v[2], "t\nw\xc3\xb6");
    f = next(&b.r, 13);
    blob_take_strv(&f, &v);
    assert_true(v && strv_length(v) == 0);
    strv_free(v);
    f = next(&b.r, 14);
    blob_u64s(&f, numbers, 4);
    assert_true(numbers[1] == 1 && numbers[2] == UINT64_MAX && numbers[3] == 0);
    blob_u64s(&f, numbers, 2); /* fewer than there are */
    f = next(&b.r, 15);
    blob_u64s(&f, numbers, 1);
    assert_true(numbers[0] == 0 && numbers[1] == 1);
    assert_false(blob_next(&b.r, &f));
    assert_false(blob_is_spoilt(&b.source));
    test_blob_done(&b);
}

static void test_ranges(void **state) {
    (void)state;
    static const struct {
        int64_t v, min, max;
        bool good;
    } cases[] = {{5, 5, 5, true}, {4, 5, 9, false}, {10, 5, 9, false}, {-3, -3, 0, true}, {-4, -3, 0, false}};
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        TestBlob b;
        test_blob_begin(&b);
        blob_put_i64(&b.w, 1, cases[i].v);
        test_blob_end(&b);
        BlobField f = next(&b.r, 1);
        int64_t got = blob_i64_range(&f, cases[i].min, cases[i].max);
        assert_true(got == (cases[i].good ? cases[i].v : cases[i].min));
        assert_int_equal(blob_is_spoilt(&b.source), !cases[i].good);
        test_blob_done(&b);
    }
    for (uint64_t max = 6; max <= 7; max++) {
        TestBlob b;
        test_blob_begin(&b);
        blob_put_u64(&b.w, 1, 7);
        test_blob_end(&b);
        BlobField f = next(&b.r, 1);
        assert_int_equal(blob_u64_max(&f, max), max == 7 ? 7 : 0);
        assert_int_equal(blob_is_spoilt(&b.source), max == 6);
        test_blob_done(&b);
    }
}

/* What a reader does not know he passes by, whatever is in it, and comes to what he knows. */
static void test_unknown_tags(void **state) {
    (void)state;
    TestBlob b;
    test_blob_begin(&b);
    size_t at = blob_open(&b.w, 77), inner = blob_open(&b.w, 78);
    blob_put_str(&b.w, 1, "not this one");
    blob_close(&b.w, inner);
    blob_close(&b.w, at);
    blob_put_u64(&b.w, 1, 42);
    blob_put_double(&b.w, 79, 1.5);
    test_blob_end(&b);
    BlobField f;
    uint64_t found = 0;
    size_t n = 0;
    for (; blob_next(&b.r, &f); n++)
        if (f.tag == 1)
            found = blob_u64(&f);
    assert_int_equal(found, 42);
    assert_int_equal(n, 3);
    assert_false(blob_is_spoilt(&b.source));
    test_blob_done(&b);
}

static void test_nesting(void **state) {
    (void)state;
    for (unsigned depth = 1; depth <= BLOB_DEPTH_MAX + 1; depth++) {
        TestBlob b;
        size_t at[BLOB_DEPTH_MAX + 1];
        BlobField f;
        b = (TestBlob){0};
        blob_begin(&b.w, BLOB_CONFIG); /* whose fields nobody looks at before */
        for (unsigned i = 0; i < depth; i++)
            at[i] = blob_open(&b.w, (uint16_t)i);
        blob_put_u64(&b.w, 99, depth);
        for (unsigned i = depth; i-- > 0;)
            blob_close(&b.w, at[i]);
        blob_put_u64(&b.w, 100, 1);
        assert_int_equal(blob_end(&b.w), 0);
        assert_int_equal(blob_source_init(&b.source, b.w.data, b.w.n, BLOB_CONFIG, &b.r), 0);
        BlobReader r = b.r;
        for (unsigned i = 0; i < depth && blob_next(&r, &f); i++)
            r = blob_enter(&f);
        if (depth <= BLOB_DEPTH_MAX) {
            f = next(&r, 99);
            assert_int_equal(blob_u64(&f), depth);
            assert_false(blob_next(&r, &f));
            (void)next(&b.r, 0);
            (void)next(&b.r, 100);
        }
        assert_int_equal(blob_is_spoilt(&b.source), depth > BLOB_DEPTH_MAX);
        test_blob_done(&b);
    }
}

static void put_number(BlobWriter *w) {
    blob_put_u64(w, 1, 9);
}

static void put_signed(BlobWriter *w) {
    blob_put_i64(w, 1, 9);
}

static void put_flag(BlobWriter *w) {
    blob_put_bool(w, 1, true);
}

static void put_double(BlobWriter *w) {
    blob_put_double(w, 1, 9);
}

static void put_bytes(BlobWriter *w) {
    blob_put_bytes(w, 1, "12345678", 8);
}

static void put_string(BlobWriter *w) {
    blob_put_str(w, 1, "12345678");
}

static void put_strings(BlobWriter *w) {
    char word[] = "1234567", *words[] = {word, NULL};
    blob_put_strv(w, 1, words);
}

static void put_numbers(BlobWriter *w) {
    blob_put_u64s(w, 1, &some_numbers[1], 1);
}

static void put_fields(BlobWriter *w) {
    blob_close(w, blob_open(w, 1));
}

/* Whether it is nothing. */
static bool get_number(const BlobField *f) {
    return blob_u64(f) == 0;
}

static bool get_signed(const BlobField *f) {
    return blob_i64(f) == 0;
}

static bool get_flag(const BlobField *f) {
    return !blob_bool(f);
}

static bool get_double(const BlobField *f) {
    return fabs(blob_double(f)) < 1e-9;
}

static bool get_bytes(const BlobField *f) {
    size_t n = 7;
    return !blob_bytes(f, &n) && n == 0;
}

static bool get_string(const BlobField *f) {
    char *s CLEANUP_FREE = blob_str(f);
    return s == NULL;
}

static bool get_strings(const BlobField *f) {
    char **v CLEANUP_STRV = blob_strv(f);
    return v == NULL;
}

static bool get_numbers(const BlobField *f) {
    uint64_t numbers[2] = {5, 5};
    blob_u64s(f, numbers, 2);
    return numbers[0] == 0 && numbers[1] == 0;
}

static bool get_fields(const BlobField *f) {
    BlobReader r = blob_enter(f);
    BlobField inner;
    return !blob_next(&r, &inner);
}

/* In the order of their numbers, but for descriptors. */
static const struct {
    void (*put)(BlobWriter *w);
    bool (*get)(const BlobField *f);
    uint16_t kind;
} kinds[] = {
    {put_number, get_number, 1},   {put_signed, get_signed, 2},   {put_flag, get_flag, 3},
    {put_double, get_double, 4},   {put_bytes, get_bytes, 5},     {put_string, get_string, 6},
    {put_strings, get_strings, 7}, {put_numbers, get_numbers, 8}, {put_fields, get_fields, 10},
};

/* Each kind read as each other one: spoilt, and nothing of it is believed. */
static void test_other_kinds(void **state) {
    (void)state;
    for (size_t put = 0; put < ELEMENTS(kinds); put++) {
        for (size_t get = 0; get < ELEMENTS(kinds); get++) {
            TestBlob b;
            test_blob_begin(&b);
            kinds[put].put(&b.w);
            test_blob_end(&b);
            BlobField f = next(&b.r, 1);
            bool nothing = kinds[get].get(&f);
            if (blob_is_spoilt(&b.source) != (put != get) || (put != get && !nothing))
                fail_msg("kind %zu read as %zu", put, get);
            /* From then on there is nothing more. */
            if (put != get)
                assert_false(blob_next(&b.r, &f));
            test_blob_done(&b);
        }
    }
}

/* A header around @n bytes of fields, with the right checksum. */
static size_t wrap(uint8_t *to, const uint8_t *fields, size_t n) {
    static const uint8_t key[SIPHASH_KEY_BYTES] = "mpinetd's blob.";
    const uint64_t length = n, sum = siphash24(key, fields, n);
    static const uint8_t head[16] = {'M', 'P', 'I', 'N', 'E', 'T', 'D', '\n', 1, 0, 0, 0, 2, 0, 0, 0};
    memcpy(to, head, sizeof(head));
    memcpy(to + 16, &length, 8);
    memcpy(to + 24, &sum, 8);
    memmove(to + HEADER_BYTES, fields, n);
    return HEADER_BYTES + n;
}

/* Fields that nobody of ours would write. */
static void test_malformed_fields(void **state) {
    (void)state;
    static const struct {
        const char *name, *bytes;
        size_t n;
    } cases[] = {
        {"a head that is cut off", "\1\0\1\0\0\0\0", 7},
        {"longer than what is left",
         "\1\0\1\0\11\0\0\0"
         "12345678",
         16},
        {"as long as can be",
         "\1\0\5\0\xff\xff\xff\xff"
         "12345678",
         16},
        {"a number of seven bytes",
         "\1\0\1\0\7\0\0\0"
         "1234567",
         15},
        {"a flag with something in it",
         "\1\0\3\0\1\0\0\0"
         "1",
         9},
        {"no number",
         "\1\0\4\0\10\0\0\0"
         "\0\0\0\0\0\0\xf8\x7f",
         16},
        {"infinite",
         "\1\0\4\0\10\0\0\0"
         "\0\0\0\0\0\0\xf0\x7f",
         16},
        {"a string with a NUL",
         "\1\0\6\0\3\0\0\0"
         "a\0b",
         11},
        {"strings of which the last has no end",
         "\1\0\7\0\3\0\0\0"
         "a\0b",
         11},
        {"numbers of seven bytes",
         "\1\0\10\0\7\0\0\0"
         "1234567",
         15},
        {"fields in it that are cut off",
         "\1\0\12\0\3\0\0\0"
         "abc",
         11},
        {"of no kind",
         "\1\0\143\0\10\0\0\0"
         "12345678",
         16},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        uint8_t data[64];
        BlobSource s;
        BlobReader r;
        BlobField f;
        size_t n = wrap(data, (const uint8_t *)cases[i].bytes, cases[i].n);
        if (blob_source_init(&s, data, n, BLOB_STATE, &r) == 0 && blob_next(&r, &f)) {
            for (size_t k = 0; k < ELEMENTS(kinds); k++)
                if (kinds[k].kind == f.kind || f.kind > 10)
                    (void)kinds[k].get(&f);
        }
        if (!blob_is_spoilt(&s))
            fail_msg("%s", cases[i].name);
        blob_source_done(&s);
    }
}

static void must_be_refused(const uint8_t *data, size_t n, const char *why, size_t at) {
    /* In memory of just that size, so that a sanitizer sees what lies behind. */
    uint8_t *copy = malloc(n > 0 ? n : 1);
    BlobSource s;
    BlobReader r;
    BlobField f;
    assert_non_null(copy);
    memcpy(copy, data, n);
    if (blob_source_init(&s, copy, n, BLOB_STATE, &r) != -EBADMSG || s.why[0] == '\0')
        fail_msg("%s at %zu", why, at);
    assert_false(blob_next(&r, &f));
    blob_source_done(&s);
    free(copy);
}

/* Cut off anywhere, with something behind it, with any bit turned: never taken for a whole one. */
static void test_spoilt_bytes(void **state) {
    (void)state;
    CLEANUP_BLOB BlobWriter w = {0};
    blob_begin(&w, BLOB_STATE);
    size_t at = blob_open(&w, 1);
    put_every_kind(&w);
    blob_close(&w, at);
    assert_int_equal(blob_end(&w), 0);
    for (size_t n = 0; n < w.n; n++)
        must_be_refused(w.data, n, "cut off", n);
    uint8_t *more = calloc(1, w.n + 1);
    assert_non_null(more);
    memcpy(more, w.data, w.n);
    must_be_refused(more, w.n + 1, "longer", w.n);
    free(more);
    for (size_t i = 0; i < w.n * 8; i++) {
        w.data[i / 8] ^= (uint8_t)(1U << i % 8);
        must_be_refused(w.data, w.n, "a bit turned", i);
        w.data[i / 8] ^= (uint8_t)(1U << i % 8);
    }
}

static void test_header(void **state) {
    (void)state;
    CLEANUP_BLOB BlobWriter w = {0};
    BlobSource s;
    BlobReader r;
    blob_begin(&w, BLOB_VERDICT);
    blob_put_u64(&w, 1, 1);
    assert_int_equal(blob_end(&w), 0);
    assert_int_equal(blob_source_init(&s, w.data, w.n, BLOB_VERDICT, &r), 0);
    blob_source_done(&s);
    assert_int_equal(blob_source_init(&s, w.data, w.n, BLOB_CONFIG, &r), -EBADMSG);
    assert_string_equal(s.why, "it is for something else");
    blob_source_done(&s);
    w.data[8] = 9;
    assert_int_equal(blob_source_init(&s, w.data, w.n, BLOB_VERDICT, &r), -EBADMSG);
    assert_string_equal(s.why, "it is of format 9, and this version reads 1");
    blob_source_done(&s);
}

/* The first reason is the one that is told. */
static void test_why(void **state) {
    (void)state;
    BlobSource s = {0};
    assert_false(blob_is_spoilt(&s));
    blob_spoil(&s, "%s", "");
    assert_true(blob_is_spoilt(&s));
    blob_spoil(&s, "later");
    assert_string_not_equal(s.why, "later");
    s = (BlobSource){0};
    blob_spoil(&s, "%0500d", 1);
    assert_int_equal(strlen(s.why), sizeof(s.why) - 1);
}

static int open_one(void) {
    int fd = fcntl(STDERR_FILENO, F_DUPFD, 3); /* not close-on-exec, as after execve(2) */
    assert_true(fd >= 3);
    return fd;
}

static bool is_open(int fd) {
    return fcntl(fd, F_GETFD) >= 0;
}

static void test_fds(void **state) {
    (void)state;
    enum {
        N = 40
    };
    TestBlob b;
    BlobField fields[N], f;
    int fds[N];
    test_blob_begin(&b);
    size_t at = blob_open(&b.w, 1);
    for (size_t i = 0; i < N; i++)
        fds[i] = open_one();
    for (size_t i = 0; i < N; i++)
        blob_put_fd(&b.w, 1, fds[(i * 7) % N]); /* in no order */
    blob_close(&b.w, at);
    assert_int_equal(b.w.n_fds, N);
    for (size_t i = 0; i < N; i++)
        assert_int_equal(b.w.fds[i], fds[(i * 7) % N]);
    test_blob_end(&b);
    assert_true(blob_next(&b.r, &f));
    BlobReader r = blob_enter(&f);
    for (size_t i = 0; i < N; i++)
        assert_true(blob_next(&r, &fields[i]));
    for (size_t i = 0; i < N; i += 2) {
        int fd = blob_fd(&fields[i]);
        assert_int_equal(fd, fds[(i * 7) % N]);
        assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    }
    assert_false(blob_is_spoilt(&b.source));
    /* Taken once. */
    assert_int_equal(blob_fd(&fields[2]), -EBADF);
    assert_true(blob_is_spoilt(&b.source));
    assert_int_equal(blob_fd(&fields[1]), -EBADF);
    blob_source_done(&b.source);
    /* Those that nobody has taken are closed, and no others. */
    for (size_t i = 0; i < N; i++) {
        assert_int_equal(is_open(fds[(i * 7) % N]), i % 2 == 0);
        (void)fd_close(is_open(fds[(i * 7) % N]) ? fds[(i * 7) % N] : -EBADF);
    }
    test_blob_done(&b);
}

/* Numbers that cannot be right: the blob is spoilt, and of the others nothing is left open. */
static void test_wrong_fds(void **state) {
    (void)state;
    int good = open_one(), closed = open_one();
    (void)close(closed);
    static const char *const names[] = {"0", "1", "2", "closed", "twice", "in memory of its own"};
    for (size_t i = 0; i < ELEMENTS(names); i++) {
        TestBlob b;
        test_blob_begin(&b);
        int one = i < 4 ? open_one() : -EBADF;
        blob_put_fd(&b.w, 1, one);
        blob_put_fd(&b.w, 2, i < 3 ? (int)i : i == 3 ? closed : good);
        blob_put_fd(&b.w, 3, i >= 4 ? good : -EBADF);
        if (i == 5)
            b.w.data[b.w.n - 1] = 0xff; /* a negative one */
        assert_int_equal(blob_end(&b.w), 0);
        if (blob_source_init(&b.source, b.w.data, b.w.n, BLOB_STATE, &b.r) != -EBADMSG)
            fail_msg("%s", names[i]);
        blob_source_done(&b.source);
        assert_false(one >= 0 && is_open(one));
        assert_true(is_open(STDIN_FILENO) && is_open(STDOUT_FILENO) && is_open(STDERR_FILENO));
        if (!is_open(good))
            good = open_one();
        test_blob_done(&b);
    }
    (void)fd_close(good);
}

/* Descriptors are of the blob of a state alone: another's are not even looked at. */
static void test_fds_of_others(void **state) {
    (void)state;
    CLEANUP_BLOB BlobWriter w = {0};
    BlobSource s;
    BlobReader r;
    CLEANUP_CLOSE int fd = open_one();
    blob_begin(&w, BLOB_CONFIG);
    blob_put_fd(&w, 1, fd);
    assert_int_equal(blob_end(&w), 0);
    assert_int_equal(blob_source_init(&s, w.data, w.n, BLOB_CONFIG, &r), 0);
    BlobField f = next(&r, 1);
    assert_int_equal(blob_fd(&f), -EBADF);
    assert_true(blob_is_spoilt(&s));
    blob_source_done(&s);
    assert_true(is_open(fd));
}

static void test_find(void **state) {
    (void)state;
    TestBlob b;
    uint64_t numbers[2] = {9, 9};
    test_blob_begin(&b);
    blob_put_u64s(&b.w, 1, some_numbers, 3);
    blob_put_str(&b.w, 3, "x");
    blob_put_u64s(&b.w, 2, &some_numbers[1], 1);
    test_blob_end(&b);
    assert_int_equal(blob_find_u64s(b.r, 2, numbers, 2), 0);
    assert_true(numbers[0] == 1 && numbers[1] == 0);
    assert_int_equal(blob_find_u64s(b.r, 9, numbers, 2), 0);
    assert_true(numbers[0] == 0 && numbers[1] == 0);
    assert_int_equal(blob_find_u64s(b.r, 3, numbers, 2), -EBADMSG);
    test_blob_done(&b);
}

/* Whatever is put in whatever order comes back. */
static void put_random(BlobWriter *w, uint64_t *random, unsigned depth) {
    for (uint64_t n = random_below(random, 8); n > 0; n--) {
        uint64_t v = random_size(random, UINT64_MAX);
        size_t at;
        switch (random_below(random, depth < 6 ? 4 : 3)) {
        case 0:
            blob_put_u64(w, (uint16_t)v, v);
            break;
        case 1:
            blob_put_bytes(w, (uint16_t)v, &v, v % 9);
            break;
        case 2:
            blob_put_i64(w, (uint16_t)v, -(int64_t)(v / 2));
            break;
        default:
            at = blob_open(w, (uint16_t)v);
            put_random(w, random, depth + 1);
            blob_close(w, at);
            break;
        }
    }
}

static void get_random(BlobReader *r, uint64_t *random, unsigned depth) {
    BlobField f;
    for (uint64_t n = random_below(random, 8); n > 0; n--) {
        uint64_t v = random_size(random, UINT64_MAX);
        size_t length = 0;
        f = next(r, (uint16_t)v);
        switch (random_below(random, depth < 6 ? 4 : 3)) {
        case 0:
            assert_true(blob_u64(&f) == v);
            break;
        case 1:
            assert_memory_equal(blob_bytes(&f, &length) ? f.data : (const uint8_t *)"", &v, v % 9);
            break;
        case 2:
            assert_true(blob_i64(&f) == -(int64_t)(v / 2));
            break;
        default: {
            BlobReader inner = blob_enter(&f);
            get_random(&inner, random, depth + 1);
            break;
        }
        }
        assert_false(blob_is_spoilt(r->source));
    }
    assert_false(blob_next(r, &f));
}

static void test_anything(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 500; seed++) {
        TestBlob b;
        uint64_t put = seed, get = seed;
        test_blob_begin(&b);
        put_random(&b.w, &put, 0);
        test_blob_end(&b);
        get_random(&b.r, &get, 0);
        test_blob_done(&b);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_kind),   cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_unknown_tags), cmocka_unit_test(test_nesting),
        cmocka_unit_test(test_other_kinds),  cmocka_unit_test(test_malformed_fields),
        cmocka_unit_test(test_spoilt_bytes), cmocka_unit_test(test_header),
        cmocka_unit_test(test_why),          cmocka_unit_test(test_fds),
        cmocka_unit_test(test_wrong_fds),    cmocka_unit_test(test_fds_of_others),
        cmocka_unit_test(test_find),         cmocka_unit_test(test_anything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

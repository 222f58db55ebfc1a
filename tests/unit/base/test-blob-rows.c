/* SPDX-License-Identifier: MIT */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "daemon/base/blob-rows.h"

typedef struct Thing {
    uint64_t big;
    unsigned small;
    int number;
    bool yes;
    size_t size;
    char *text;
} Thing;

enum {
    THING_BIG = 1,
    THING_SMALL,
    THING_NUMBER,
    THING_YES,
    THING_SIZE,
    THING_TEXT,
};

static const BlobRow rows[] = {
    BLOB_ROW(THING_BIG, Thing, big),       BLOB_ROW(THING_SMALL, Thing, small),
    BLOB_ROW(THING_NUMBER, Thing, number), BLOB_ROW(THING_YES, Thing, yes),
    BLOB_ROW(THING_SIZE, Thing, size),     BLOB_ROW(THING_TEXT, Thing, text),
};

/* Reads what has been written to @to; whether the blob is good. */
static bool read_all(BlobWriter *w, Thing *to, size_t *ret_unknown) {
    BlobSource source;
    BlobReader r;
    BlobField f;
    *ret_unknown = 0;
    assert_int_equal(blob_end(w), 0);
    assert_int_equal(blob_source_init(&source, w->data, w->n, BLOB_STATE, &r), 0);
    while (blob_next(&r, &f))
        *ret_unknown += !blob_get_row(&f, rows, ELEMENTS(rows), to);
    bool good = !blob_is_spoilt(&source);
    blob_source_done(&source);
    return good;
}

static void test_round_trip(void **state) {
    (void)state;
    char text[] = "a\nb";
    const Thing things[] = {
        {0},
        {.big = UINT64_MAX, .small = UINT_MAX, .number = INT_MIN, .yes = true, .size = 7, .text = text},
        {.big = 1, .number = INT_MAX},
    };
    for (size_t i = 0; i < ELEMENTS(things); i++) {
        CLEANUP_BLOB BlobWriter w = {0};
        Thing back = {0};
        size_t unknown;
        blob_begin(&w, BLOB_STATE);
        blob_put_rows(&w, rows, ELEMENTS(rows), &things[i]);
        assert_true(read_all(&w, &back, &unknown));
        assert_int_equal(unknown, 0);
        assert_true(back.big == things[i].big && back.small == things[i].small);
        assert_true(back.number == things[i].number && back.yes == things[i].yes);
        assert_int_equal(back.size, things[i].size);
        if (things[i].text)
            assert_string_equal(back.text, text);
        else
            assert_null(back.text);
        free(back.text);
    }
}

/* What is missing stays as it is; what is not known is the caller's. */
static void test_unknown(void **state) {
    (void)state;
    CLEANUP_BLOB BlobWriter w = {0};
    Thing back = {.big = 5, .yes = true};
    size_t unknown;
    blob_begin(&w, BLOB_STATE);
    blob_put_u64(&w, 99, 1);
    blob_put_u64(&w, THING_SMALL, 3);
    assert_true(read_all(&w, &back, &unknown));
    assert_int_equal(unknown, 1);
    assert_int_equal(back.big, 5);
    assert_true(back.yes);
    assert_int_equal(back.small, 3);
}

static void test_spoilt(void **state) {
    (void)state;
    for (int i = 0; i < 3; i++) {
        CLEANUP_BLOB BlobWriter w = {0};
        Thing back = {0};
        size_t unknown;
        blob_begin(&w, BLOB_STATE);
        if (i == 0)
            blob_put_u64(&w, THING_SMALL, (uint64_t)UINT_MAX + 1);
        else if (i == 1)
            blob_put_i64(&w, THING_NUMBER, (int64_t)INT_MAX + 1);
        else
            blob_put_str(&w, THING_BIG, "1");
        assert_false(read_all(&w, &back, &unknown));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_spoilt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* The tables of admission when memory runs out at any one allocation, and at all from there on. The calls of
 * the libc are wrapped by the linker (meson.build); until a test asks for it they are the libc's. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "daemon/bans.h"
#include "daemon/base/clock.h"
#include "daemon/sources.h"
#include "tests/unit/random.h"

#define SEC USEC_PER_SEC

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
char *__real_strdup(const char *s);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);
char *__wrap_strdup(const char *s);

/* From the allocation of this number on, so many fail. */
static unsigned fails_after = UINT_MAX, n_fails;

static bool fails(void) {
    if (fails_after > 0) {
        fails_after -= fails_after < UINT_MAX;
        return false;
    }
    if (n_fails == 0)
        return false;
    n_fails -= n_fails < UINT_MAX;
    return true;
}

void *__wrap_malloc(size_t size) {
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size) {
    return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size) {
    return fails() ? NULL : __real_realloc(p, size);
}

char *__wrap_strdup(const char *s) {
    return fails() ? NULL : __real_strdup(s);
}

static void fail_from(unsigned after, unsigned n) {
    fails_after = after;
    n_fails = n;
}

static void fail_no_more(void) {
    fail_from(UINT_MAX, 0);
}

static const uint8_t key[16] = "a secret key";

static Peer v4(uint32_t n) {
    return (Peer){.kind = PEER_INET, .in.s_addr = htonl(0x0a000000 + n)};
}

static void test_no_table(void **state) {
    (void)state;
    fail_from(0, UINT_MAX);
    Sources *sources = sources_new(SOURCES_MAX, key);
    Bans *bans = bans_new(BANS_MAX, key);
    fail_no_more();
    assert_null(sources);
    assert_null(bans);
}

/* One is remembered at the cost of another; if there is none, none is. */
static void test_sources(void **state) {
    (void)state;
    Sources *t = sources_new(64, key);
    Peer a = v4(1), b = v4(2), c = v4(3);
    fail_from(0, UINT_MAX);
    assert_null(sources_visit(t, 1, &a, SEC));
    fail_from(1, UINT_MAX); /* the source, but not its place */
    assert_null(sources_visit(t, 1, &a, SEC));
    fail_no_more();
    assert_int_equal(sources_stats(t).failed, 2);
    assert_int_equal(sources_stats(t).known, 0);
    Source *held = sources_visit(t, 1, &a, SEC);
    sources_hold(t, held);
    fail_from(0, UINT_MAX);
    assert_null(sources_visit(t, 1, &b, SEC));
    assert_ptr_equal(sources_visit(t, 1, &a, SEC), held);
    fail_no_more();
    assert_non_null(sources_visit(t, 1, &b, SEC));
    fail_from(0, UINT_MAX);
    assert_non_null(sources_visit(t, 1, &c, SEC));
    fail_no_more();
    assert_null(sources_find(t, 1, &b));
    assert_ptr_equal(sources_find(t, 1, &a), held);
    assert_int_equal(sources_stats(t).evicted, 1);
    assert_int_equal(sources_stats(t).failed, 3);
    sources_free(t);
}

/* The chains grow while there is no memory for a bigger table, and it grows when there is some again. */
static void test_table_that_cannot_grow(void **state) {
    (void)state;
    enum {
        N = 3000
    };
    HashTable t = {0};
    static HashNode nodes[N];
    uint64_t random = 1;
    for (size_t i = 0; i < N; i++)
        nodes[i].hash = (uint32_t)random_next(&random);
    fail_from(0, UINT_MAX);
    assert_int_equal(hash_table_add(&t, &nodes[0]), -ENOMEM);
    assert_null(hash_table_first(&t, nodes[0].hash));
    fail_from(1, UINT_MAX);
    for (size_t i = 0; i < N / 2; i++)
        assert_int_equal(hash_table_add(&t, &nodes[i]), 0);
    size_t small = t.n_buckets;
    fail_no_more();
    /* Now it is behind by several sizes, and must not begin the next one before it has done one. */
    for (size_t i = N / 2; i < N; i++) {
        assert_int_equal(hash_table_add(&t, &nodes[i]), 0);
        for (size_t k = 0; k <= i; k += 1 + i / 40)
            assert_ptr_equal(hash_table_first(&t, nodes[k].hash), &nodes[k]);
    }
    assert_true(t.n_buckets > 8 * small);
    for (size_t i = 0; i < N; i++) {
        hash_table_remove(&t, &nodes[i]);
        assert_null(hash_table_first(&t, nodes[i].hash));
    }
    assert_int_equal(t.n, 0);
    hash_table_done(&t);
}

static int ban(Bans *b, Peer p, const char *name, uint64_t now, uint64_t for_usec, bool *ret_new) {
    return bans_add(b, &p, 32, 64, 1, name, BAN_REFUSALS, now, for_usec, ret_new);
}

/* Whichever allocation fails, the ban is there as a whole or not at all, and the next one is as if nothing
 * had happened. */
static void test_bans(void **state) {
    (void)state;
    for (unsigned after = 0; after < 40; after++) {
        Bans *b = bans_new(100, key);
        size_t there = 0;
        fail_from(after, 1);
        for (uint32_t i = 0; i < 20; i++) {
            bool is_new = true;
            Peer p = v4(i);
            int r = ban(b, p, "web", SEC, SEC + i, &is_new);
            assert_int_equal(is_new, r == 0);
            assert_true(r == 0 || r == -ENOMEM);
            assert_int_equal(bans_find(b, &p, 1, SEC) != NULL, r == 0);
            there += r == 0;
            assert_int_equal(bans_count(b, SEC), there);
        }
        fail_no_more();
        assert_true(there >= 19);
        size_t listed = 0;
        uint64_t number = 0;
        for (const Ban *next; (next = bans_next(b, number, SEC)); listed++)
            number = next->number;
        assert_int_equal(listed, there);
        assert_int_equal(bans_count(b, 3 * SEC), 0);
        bans_free(b);
    }
}

/* One that is made longer is longer, though the name of who did it cannot be kept. */
static void test_ban_made_longer(void **state) {
    (void)state;
    Bans *b = bans_new(100, key);
    bool is_new;
    Peer p = v4(1);
    assert_int_equal(ban(b, p, "web", SEC, SEC, &is_new), 0);
    fail_from(0, UINT_MAX);
    assert_int_equal(ban(b, p, "mail", SEC, 5 * SEC, &is_new), 0);
    fail_no_more();
    assert_true(bans_find(b, &p, 1, SEC)->until_usec == 6 * SEC);
    assert_string_equal(bans_find(b, &p, 1, SEC)->name, "web");
    bans_free(b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_table),
        cmocka_unit_test(test_sources),
        cmocka_unit_test(test_table_that_cannot_grow),
        cmocka_unit_test(test_bans),
        cmocka_unit_test(test_ban_made_longer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

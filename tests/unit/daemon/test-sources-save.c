/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/base/clock.h"
#include "daemon/sources.h"
#include "tests/unit/blob.h"
#include "tests/unit/random.h"

#define SEC USEC_PER_SEC

static const uint8_t key[16] = "a secret key", other_key[16] = "another one";

static Peer v4(uint32_t n) {
    return (Peer){.kind = PEER_INET, .in.s_addr = htonl(0x0a000000 + n)};
}

static Peer v6(uint32_t n) {
    Peer p = {.kind = PEER_INET6, .scope = n % 3};
    uint32_t rest = htonl(n);
    memcpy(p.in6.s6_addr + 4, &rest, 4);
    return p;
}

/* As it comes out of a blob, with room for @max, under another key. */
static Sources *over(const Sources *t, size_t max) {
    Sources *restored = sources_new(max, other_key);
    assert_non_null(restored);
    TEST_BLOB(b, sources_save(&b.w, t), sources_restore(b.r, restored));
    return restored;
}

static Source *visit(Sources *t, Peer p, uint64_t now) {
    Source *s = sources_visit(t, 1, &p, now);
    assert_non_null(s);
    return s;
}

static Source *find(const Sources *t, Peer p) {
    return sources_find(t, 1, &p);
}

static void test_one(void **state) {
    (void)state;
    Sources *t = sources_new(16, key);
    const Peer peers[] = {v4(1), v6(5), {.kind = PEER_UNIX, .uid = 0}, {.kind = PEER_VSOCK, .cid = 3}, {0}};
    for (size_t i = 0; i < ELEMENTS(peers); i++) {
        Source *s = sources_visit(t, (uint32_t)(UINT32_MAX - i), &peers[i], 5 * SEC);
        s->accepted = UINT64_MAX;
        s->refused = i;
        s->rate = (Bucket){.missing = 3, .since_nsec = UINT64_MAX - i};
        s->strikes = (Strikes){.part = 9, .counts = {1, 2, 3, UINT32_MAX, (uint32_t)i}};
    }
    Sources *u = over(t, 16);
    for (size_t i = 0; i < ELEMENTS(peers); i++) {
        uint32_t service = (uint32_t)(UINT32_MAX - i);
        const Source *a = sources_find(t, service, &peers[i]), *b = sources_find(u, service, &peers[i]);
        assert_non_null(b);
        assert_true(peer_equal(&a->prefix, &b->prefix) && b->service == service && b->active == 0);
        assert_true(b->accepted == a->accepted && b->refused == i);
        assert_true(b->first_usec == 5 * SEC && b->last_usec == 5 * SEC && !b->known && !b->gone);
        assert_memory_equal(&a->rate, &b->rate, sizeof(a->rate));
        assert_memory_equal(&a->strikes, &b->strikes, sizeof(a->strikes));
    }
    assert_int_equal(sources_stats(u).known, ELEMENTS(peers));
    sources_free(t);
    sources_free(u);
}

/* Who is forgotten next, and next, is the same as without the hand-over; whatever happened before. */
static void test_goes_on_alike(void **state) {
    (void)state;
    enum {
        MAX = 64
    };
    const uint64_t peers = 300;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        uint64_t random = seed, now = SEC;
        Sources *t = sources_new(MAX, key);
        for (size_t i = 0; i < 400; i++) {
            uint32_t n = (uint32_t)random_size(&random, peers);
            Source *s = visit(t, n % 2 ? v4(n) : v6(n), now += random_below(&random, SEC));
            s->accepted += random_below(&random, 2);
        }
        Sources *u = over(t, MAX);
        assert_memory_equal(&(SourcesStats[]){sources_stats(t)}, &(SourcesStats[]){sources_stats(u)},
                            sizeof(SourcesStats));
        for (size_t i = 0; i < 400; i++) {
            uint32_t n = (uint32_t)random_size(&random, 2 * peers);
            now += random_below(&random, SEC);
            bool accepted = random_below(&random, 2);
            visit(t, n % 2 ? v4(n) : v6(n), now)->accepted += accepted;
            visit(u, n % 2 ? v4(n) : v6(n), now)->accepted += accepted;
            for (uint32_t k = 0; k < 2 * peers; k++) {
                const Source *a = find(t, k % 2 ? v4(k) : v6(k)), *b = find(u, k % 2 ? v4(k) : v6(k));
                if (!a != !b || (a && (a->known != b->known || a->accepted != b->accepted)))
                    fail_msg("seed %llu, step %zu, source %u", (unsigned long long)seed, i, k);
            }
        }
        sources_free(t);
        sources_free(u);
    }
}

/* Who holds one holds it again, and it lets go as before. */
static void test_held(void **state) {
    (void)state;
    Sources *t = sources_new(16, key), *u = sources_new(16, other_key);
    Source *held = visit(t, v4(1), SEC), *again = NULL, *none = NULL;
    BlobField f;
    sources_hold(t, held);
    sources_hold(t, held);
    held->accepted = 7;
    TestBlob b, holders;
    test_blob_begin(&b);
    sources_save(&b.w, t);
    test_blob_end(&b);
    assert_int_equal(sources_restore(b.r, u), 0);
    test_blob_done(&b);
    assert_int_equal(find(u, v4(1))->active, 0);
    test_blob_begin(&holders);
    source_put(&holders.w, 1, held);
    source_put(&holders.w, 2, none);
    source_put(&holders.w, 3, held);
    test_blob_end(&holders);
    while (blob_next(&holders.r, &f)) {
        again = source_take(&f, u);
        assert_ptr_equal(again, find(u, v4(1)));
    }
    assert_true(again && again->active == 2 && again->accepted == 7);
    assert_int_equal(sources_stats(u).pinned, 1);
    for (uint32_t i = 2; i < 100; i++)
        visit(u, v4(i), 2 * SEC);
    assert_ptr_equal(find(u, v4(1)), again);
    sources_release(u, again);
    sources_release(u, again);
    assert_int_equal(sources_stats(u).pinned, 0);
    test_blob_done(&holders);
    sources_free(t);
    sources_free(u);
}

/* More than there is room for were held: none is lost before it is held again, and then they push out nobody.
 */
static void test_many_held(void **state) {
    (void)state;
    enum {
        MAX = 16,
        HELD = 200
    };
    Sources *t = sources_new(MAX, key);
    for (uint32_t i = 0; i < HELD; i++)
        sources_hold(t, visit(t, v4(i), SEC));
    for (uint32_t i = 0; i < MAX / 4; i++)
        visit(t, v4(HELD + i), SEC);
    Sources *u = over(t, MAX);
    assert_int_equal(sources_stats(u).known, HELD + MAX / 4);
    for (uint32_t i = 0; i < HELD; i += 2)
        sources_hold(u, find(u, v4(i)));
    /* Those that nobody holds any more go, two for each that comes. */
    for (uint32_t i = 0; i < HELD; i++)
        visit(u, v4(1000 + i), 2 * SEC);
    assert_int_equal(sources_stats(u).known, HELD / 2 + MAX / 4);
    assert_int_equal(sources_stats(u).pinned, HELD / 2);
    assert_null(find(u, v4(1)));
    assert_non_null(find(u, v4(0)));
    sources_free(t);
    sources_free(u);
}

/* One whose service is gone goes with the last that holds it. */
static void test_gone(void **state) {
    (void)state;
    Sources *t = sources_new(16, key);
    sources_hold(t, visit(t, v4(1), SEC));
    sources_forget(t, &(Gone){{1}, 1});
    Sources *u = over(t, 16);
    Source *s = find(u, v4(1));
    sources_hold(u, s);
    sources_release(u, s);
    assert_null(find(u, v4(1)));
    assert_int_equal(sources_stats(u).known, 0);
    sources_free(t);
    sources_free(u);
}

/* A table that is smaller keeps those that were seen last, and counts what it has forgotten. */
static void test_smaller(void **state) {
    (void)state;
    Sources *t = sources_new(64, key);
    for (uint32_t i = 0; i < 40; i++) {
        visit(t, v4(i), SEC)->accepted++;
        visit(t, v4(i), 3 * SEC + i); /* known */
    }
    for (uint32_t i = 100; i < 110; i++)
        visit(t, v4(i), 9 * SEC);
    Sources *u = over(t, 16); /* 12 known, 4 new */
    for (uint32_t i = 0; i < 40; i++)
        assert_int_equal(find(u, v4(i)) != NULL, i >= 28);
    for (uint32_t i = 100; i < 110; i++)
        assert_int_equal(find(u, v4(i)) != NULL, i >= 106);
    assert_int_equal(sources_stats(u).known, 16);
    assert_int_equal(sources_stats(u).evicted, 50 - 16);
    sources_free(t);
    sources_free(u);
}

/* What is odd in one is no reason to refuse the others; what is malformed is. */
static void test_odd(void **state) {
    (void)state;
    Sources *u = sources_new(16, key);
    TestBlob b;
    const uint64_t numbers[] = {1};
    Peer p = v4(1);
    test_blob_begin(&b);
    size_t at = blob_open(&b.w, 2); /* without a prefix */
    blob_put_u64s(&b.w, 2, numbers, 1);
    blob_close(&b.w, at);
    for (unsigned i = 0; i < 2; i++) { /* twice */
        at = blob_open(&b.w, 2);
        peer_put(&b.w, 1, &p);
        blob_put_u64s(&b.w, 2, numbers, 1);
        blob_put_str(&b.w, 99, "what is this");
        blob_close(&b.w, at);
    }
    blob_put_str(&b.w, 98, "nor this");
    test_blob_end(&b);
    assert_int_equal(sources_restore(b.r, u), 0);
    assert_int_equal(sources_stats(u).known, 1);
    test_blob_done(&b);
    test_blob_begin(&b);
    blob_put_str(&b.w, 2, "no fields");
    test_blob_end(&b);
    assert_int_equal(sources_restore(b.r, u), -EBADMSG);
    test_blob_done(&b);
    sources_free(u);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one),  cmocka_unit_test(test_goes_on_alike),
        cmocka_unit_test(test_held), cmocka_unit_test(test_many_held),
        cmocka_unit_test(test_gone), cmocka_unit_test(test_smaller),
        cmocka_unit_test(test_odd),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

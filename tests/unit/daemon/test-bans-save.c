/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/bans.h"
#include "daemon/base/text.h"
#include "tests/unit/blob.h"
#include "tests/unit/random.h"

static const uint8_t key[16] = "a secret key", other_key[16] = "another one";

static Peer v4(uint32_t n) {
    return (Peer){.kind = PEER_INET, .in.s_addr = htonl(0x0a000000 + n), .port = 7};
}

static Bans *over(const Bans *t, size_t max) {
    Bans *restored = bans_new(max, other_key);
    assert_non_null(restored);
    TEST_BLOB(b, bans_save(&b.w, t), bans_restore(b.r, restored));
    return restored;
}

static void ban(Bans *b, Peer p, unsigned bits, uint32_t service, const char *name, BanCause cause,
                uint64_t now, uint64_t length) {
    bool is_new = false;
    assert_int_equal(bans_add(b, &p, bits, bits, service, name, cause, now, length, &is_new), 0);
}

static void assert_same(const Ban *a, const Ban *b) {
    assert_true(a->number == b->number && a->service == b->service && a->cause == b->cause);
    assert_true(a->since_usec == b->since_usec && a->until_usec == b->until_usec);
    assert_true(prefix_equal(&a->prefix, &b->prefix));
    assert_string_equal(a->name, b->name);
}

/* All of both, in their order. */
static void assert_same_list(Bans *a, Bans *b, uint64_t now) {
    uint64_t number = 0;
    for (;;) {
        const Ban *x = bans_next(a, number, now), *y = bans_next(b, number, now);
        assert_int_equal(!x, !y);
        if (!x || !y)
            break;
        assert_same(x, y);
        number = x->number;
    }
    assert_true(bans_newest(a) == bans_newest(b) && bans_dropped(a) == bans_dropped(b));
}

static void test_all_kinds(void **state) {
    (void)state;
    Bans *a = bans_new(16, key);
    Peer six = {.kind = PEER_INET6, .in6.s6_addr = {0x20, 1}, .scope = 2};
    ban(a, v4(1), 0, 1, "web", BAN_REFUSALS, 10, 1000);
    ban(a, v4(2), 32, 0, "trap", BAN_SENSOR, 11, UINT64_MAX);
    ban(a, six, 128, 1, "web", BAN_FAILURES, 12, 900);
    ban(a, six, 64, 1, "web", BAN_REPORTED, 13, 800);
    ban(a, peer_from_uid(0), 24, 2, "mail", BAN_REFUSALS, 14, 700);
    ban(a, (Peer){.kind = PEER_VSOCK, .cid = 3}, 24, 2, "mail", BAN_REFUSALS, 15, 600);
    Bans *b = over(a, 16);
    assert_same_list(a, b, 20);
    assert_int_equal(bans_count(b, 20), 6);
    assert_int_equal(bans_count(b, 615), 5);
    Peer p = v4(77);
    assert_int_equal(bans_find(b, &p, 1, 20)->number, 1);
    assert_null(bans_find(b, &p, 2, 20));
    /* It goes on counting. */
    ban(b, v4(3), 32, 1, "web", BAN_REFUSALS, 20, 5);
    assert_int_equal(bans_newest(b), 7);
    bans_free(a);
    bans_free(b);
}

/* Numbers do not come again, though the bans that had them are over. */
static void test_numbers(void **state) {
    (void)state;
    Bans *a = bans_new(2, key);
    for (uint32_t i = 0; i < 5; i++)
        ban(a, v4(i), 32, 1, "web", BAN_REFUSALS, 10, 100 + i);
    (void)bans_lift(a, NULL, 20);
    Bans *b = over(a, 2);
    assert_true(bans_newest(b) == 5 && bans_dropped(b) == 3 && bans_count(b, 20) == 0);
    bans_free(a);
    bans_free(b);
}

/* Who is kept out and for how long is the same with and without the hand-over. */
static void test_goes_on_alike(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        uint64_t random = seed, now = 1;
        Bans *a = bans_new(32, key), *b = NULL;
        for (unsigned i = 0; i < 200; i++) {
            uint64_t length = random_size(&random, 2000);
            Peer p = v4((uint32_t)random_below(&random, 4096));
            unsigned bits = 24 + (unsigned)random_below(&random, 9);
            uint32_t service = (uint32_t)random_below(&random, 3);
            now += random_below(&random, 20);
            if (i == 100)
                b = over(a, 32);
            ban(a, p, bits, service, "web", BAN_REFUSALS, now, length);
            if (b) {
                ban(b, p, bits, service, "web", BAN_REFUSALS, now, length);
                assert_same_list(a, b, now);
            }
        }
        bans_free(a);
        bans_free(b);
    }
}

/* In a smaller table those stay that hold for longest. */
static void test_smaller(void **state) {
    (void)state;
    Bans *a = bans_new(16, key);
    for (uint32_t i = 0; i < 8; i++)
        ban(a, v4(i), 32, 1, "web", BAN_REFUSALS, 10, 1000 - (i % 2) * 500);
    Bans *b = over(a, 4);
    assert_true(bans_count(b, 20) == 4 && bans_dropped(b) == 4);
    for (uint32_t i = 0; i < 8; i++) {
        Peer p = v4(i);
        assert_int_equal(bans_find(b, &p, 1, 20) != NULL, i % 2 == 0);
    }
    bans_free(a);
    bans_free(b);
}

static uint32_t owner_of(const char *name, void *userdata) {
    return streq(name, "web") ? *(uint32_t *)userdata : 0;
}

/* Of another daemon: services have other ids, or are there no more. */
static void test_other_ids(void **state) {
    (void)state;
    Bans *a = bans_new(16, key), *b = bans_new(16, other_key);
    uint32_t web = 40;
    ban(a, v4(1), 32, 1, "web", BAN_REFUSALS, 10, 1000);
    ban(a, v4(2), 32, 2, "mail", BAN_REFUSALS, 10, 1000);
    ban(a, v4(3), 32, 0, "mail", BAN_SENSOR, 10, 1000); /* from all: it stays */
    TEST_BLOB(blob, bans_save(&blob.w, a), bans_restore_of(blob.r, b, owner_of, &web));
    Peer one = v4(1), two = v4(2), three = v4(3);
    assert_non_null(bans_find(b, &one, 40, 20));
    assert_null(bans_find(b, &one, 1, 20));
    assert_null(bans_find(b, &two, 2, 20));
    assert_non_null(bans_find(b, &three, 9, 20));
    bans_free(a);
    bans_free(b);
}

/* A cause of a later version, an address that is too long, one without a name: left out, the rest stays. */
static void test_odd(void **state) {
    (void)state;
    static const struct {
        const char *cause, *name;
        unsigned bits;
        uint64_t number;
        bool kept;
    } cases[] = {
        {"refusals", "web", 32, 1, true},  {"bad mood", "web", 32, 2, false},
        {"refusals", NULL, 32, 3, false},  {NULL, "web", 32, 4, false},
        {"refusals", "web", 33, 5, false}, {"refusals", "web", 32, 1, false},
        {"sensor", "web", 31, 6, true},    {"sensor", "web", 30, UINT64_MAX, false},
    };
    Bans *b = bans_new(16, key);
    TestBlob blob;
    test_blob_begin(&blob);
    size_t kept = 0;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        Prefix prefix = {.kind = PEER_INET, .bits = cases[i].bits, .bytes = {10, (uint8_t)(4 * i)}};
        const uint64_t numbers[] = {cases[i].number, 1, 10, 1000};
        size_t at = blob_open(&blob.w, 2);
        prefix_put(&blob.w, 1, &prefix);
        blob_put_u64s(&blob.w, 2, numbers, ELEMENTS(numbers));
        blob_put_str(&blob.w, 3, cases[i].name);
        blob_put_str(&blob.w, 4, cases[i].cause);
        blob_close(&blob.w, at);
        kept += cases[i].kept;
    }
    test_blob_end(&blob);
    assert_int_equal(bans_restore(blob.r, b), 0);
    assert_int_equal(bans_count(b, 20), kept);
    assert_int_equal(bans_newest(b), 6);
    test_blob_done(&blob);
    bans_free(b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_kinds),     cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_goes_on_alike), cmocka_unit_test(test_smaller),
        cmocka_unit_test(test_other_ids),     cmocka_unit_test(test_odd),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

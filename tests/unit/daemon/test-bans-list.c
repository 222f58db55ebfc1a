/* SPDX-License-Identifier: MIT */
/* Bans in the order in which they were imposed, for lists that are made in parts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "daemon/bans.h"
#include "daemon/base/cleanup.h"

#define FIRST_UID 1000U

static const uint8_t key[16] = {1, 2, 3};

static void ban_for(Bans *b, uid_t uid, uint32_t service, uint64_t now, uint64_t usec) {
    Peer peer = peer_from_uid(uid);
    bool is_new;
    assert_int_equal(bans_add(b, &peer, 32, 64, service, "git", BAN_REFUSALS, now, usec, &is_new), 0);
}

static void lift(Bans *b, uid_t uid, uint64_t now) {
    Prefix p = {.kind = PEER_UNIX, .uid = uid};
    assert_int_equal(bans_lift(b, &p, now), 1);
}

/* The uids from @after on, as digits behind FIRST_UID. */
static void assert_rest(Bans *b, uint64_t after, uint64_t now, const char *expect) {
    const Ban *ban;
    for (; (ban = bans_next(b, after, now)); after = ban->number, expect++) {
        assert_true(ban->number > after);
        assert_int_equal(*expect, '0' + (int)(ban->prefix.uid - FIRST_UID));
    }
    assert_int_equal(*expect, '\0');
}

static Bans *make(size_t max) {
    Bans *b = bans_new(max, key);
    assert_non_null(b);
    /* Those that come later end sooner: this order is not that of the ends. */
    for (unsigned i = 0; i < 6; i++)
        ban_for(b, FIRST_UID + i, i % 2, 10 + i, 1000 - 100 * i);
    return b;
}

static void test_order(void **state) {
    Bans *b = make(100);
    (void)state;
    assert_null(bans_next(b, 6, 20));
    assert_int_equal(bans_newest(b), 6);
    assert_rest(b, 0, 20, "012345");
    assert_rest(b, 3, 20, "345");
    /* One that is made longer keeps its place. */
    ban_for(b, FIRST_UID + 1, 1, 21, 5000);
    assert_int_equal(bans_newest(b), 6);
    assert_rest(b, 0, 22, "012345");
    bans_free(b);
}

static void test_they_come_and_go(void **state) {
    Bans *b = make(100);
    (void)state;
    lift(b, FIRST_UID + 2, 20);
    assert_rest(b, 0, 20, "01345");
    /* Behind one that is gone. */
    assert_rest(b, 3, 20, "345");
    lift(b, FIRST_UID, 20);
    assert_rest(b, 1, 20, "1345");
    ban_for(b, FIRST_UID + 2, 0, 21, 5000);
    assert_rest(b, 4, 21, "452");
    /* 5 ends at 515, 4 at 614. */
    assert_rest(b, 0, 600, "1342");
    assert_rest(b, 6, 600, "2");
    assert_rest(b, 0, 100000, "");
    assert_rest(b, 0, 100000, "");
    bans_free(b);
}

static void test_full(void **state) {
    Bans *b = make(4);
    (void)state;
    /* Those that would have ended first have made room. */
    assert_int_equal(bans_dropped(b), 2);
    assert_rest(b, 0, 20, "0125");
    bans_free(b);
}

static void test_count_of(void **state) {
    Bans *b = make(100);
    (void)state;
    /* Three of a service, three from all. */
    assert_int_equal(bans_count_of(b, 1, 20), 6);
    assert_int_equal(bans_count_of(b, 2, 20), 3);
    bans_forget(b, &(Gone){{1}, 1});
    assert_int_equal(bans_count_of(b, 1, 20), 3);
    assert_rest(b, 0, 20, "024");
    bans_free(b);
}

static void test_lift_all(void **state) {
    Bans *b = make(100);
    (void)state;
    assert_int_equal(bans_lift(b, NULL, 20), 6);
    assert_int_equal(bans_lift(b, NULL, 20), 0);
    assert_rest(b, 0, 20, "");
    bans_free(b);
}

/* A walk in steps meets everybody who is there all the time, once. */
static void test_many(void **state) {
    enum {
        MANY = 20000
    };
    Bans *b = bans_new(BANS_MAX, key);
    const Ban *ban;
    uint64_t after = 0, last, n = 0;
    (void)state;
    assert_non_null(b);
    for (unsigned i = 0; i < MANY; i++)
        ban_for(b, i, 1, 1, 1000000 + i);
    last = bans_newest(b);
    while ((ban = bans_next(b, after, 2)) && ban->number <= last) {
        assert_int_equal(ban->prefix.uid, n);
        after = ban->number;
        if (n % 100 == 0) {
            lift(b, (uid_t)n, 2);
            ban_for(b, (uid_t)(MANY + n), 1, 2, 1000000);
        }
        n++;
    }
    assert_int_equal(n, MANY);
    bans_free(b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),    cmocka_unit_test(test_they_come_and_go), cmocka_unit_test(test_full),
        cmocka_unit_test(test_count_of), cmocka_unit_test(test_lift_all),         cmocka_unit_test(test_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/bans.h"
#include "daemon/base/clock.h"
#include "tests/unit/random.h"

#define SEC USEC_PER_SEC

static const uint8_t key[16] = "a secret key";

static Bans *new_bans(size_t max) {
    Bans *b = bans_new(max, key);
    assert_non_null(b);
    return b;
}

/* "192.0.2.1", "2001:db8::1", "fe80::1%1", "uid:5", "vsock:3". */
static Peer peer_of(const char *text) {
    Addr a;
    if (strncmp(text, "uid:", 4) == 0)
        return peer_from_uid((uid_t)strtoul(text + 4, NULL, 10));
    if (strncmp(text, "vsock:", 6) == 0)
        return (Peer){.kind = PEER_VSOCK, .cid = (uint32_t)strtoul(text + 6, NULL, 10), .vsock_port = 9};
    assert_int_equal(addr_parse_ip(text, 4321, &a), 0);
    return peer_from_addr(&a);
}

/* Bans for a while; whether that is new. */
static bool ban_as(Bans *b, const char *peer, uint32_t service, uint64_t now, uint64_t for_sec) {
    bool new_one = false;
    Peer p = peer_of(peer);
    assert_int_equal(bans_add(b, &p, 24, 64, service, "web", BAN_REFUSALS, now, for_sec * SEC, &new_one), 0);
    return new_one;
}

static const Ban *find(Bans *b, const char *peer, uint32_t service, uint64_t now) {
    Peer p = peer_of(peer);
    return bans_find(b, &p, service, now);
}

static size_t lift(Bans *b, const char *prefix, uint64_t now) {
    Prefix p;
    assert_int_equal(prefix_parse(prefix, &p), 0);
    return bans_lift(b, &p, now);
}

static void test_causes(void **state) {
    (void)state;
    assert_string_equal(ban_cause_to_string(BAN_REFUSALS), "refusals");
    assert_string_equal(ban_cause_to_string(BAN_SENSOR), "sensor");
    for (int c = 0; c < _BAN_CAUSE_MAX; c++)
        assert_int_equal(ban_cause_from_string(ban_cause_to_string((BanCause)c)), c);
    assert_true(ban_cause_from_string("no such") < 0);
}

/* One ban of service 1, then who is found. */
static void test_who_is_banned(void **state) {
    (void)state;
    static const struct {
        const char *ban, *peer;
        bool found;
    } cases[] = {
        {"192.0.2.7", "192.0.2.7", true},
        {"192.0.2.7", "192.0.2.200", true}, /* the same /24 */
        {"192.0.2.7", "192.0.3.7", false},
        {"192.0.2.7", "::ffff:192.0.2.9", true},
        {"::ffff:192.0.2.7", "192.0.2.9", true},
        {"192.0.2.7", "2001:db8::1", false},
        {"2001:db8:0:1::7", "2001:db8:0:1:ffff::1", true},
        {"2001:db8:0:1::7", "2001:db8:0:2::7", false},
        {"fe80::1%1", "fe80::1%2", true}, /* all of the prefix, wherever it is */
        {"::", "0.0.0.0", false},
        {"::", "uid:0", false},
        {"uid:5", "uid:5", true},
        {"uid:5", "uid:6", false},
        {"uid:5", "vsock:5", false},
        {"uid:5", "0.0.0.5", false},
        {"vsock:5", "vsock:5", true},
        {"vsock:5", "vsock:6", false},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        Bans *b = new_bans(16);
        assert_true(ban_as(b, cases[i].ban, 1, SEC, 10));
        if ((find(b, cases[i].peer, 1, 2 * SEC) != NULL) != cases[i].found)
            fail_msg("ban of %s, %s", cases[i].ban, cases[i].peer);
        assert_null(find(b, cases[i].peer, 2, 2 * SEC));
        assert_null(find(b, cases[i].peer, 0, 2 * SEC));
        bans_free(b);
    }
    assert_null(bans_free(NULL));
}

static void test_what_is_told(void **state) {
    (void)state;
    Bans *b = new_bans(16);
    char name[] = "login";
    bool new_one = false;
    Peer p = peer_of("192.0.2.7");
    assert_int_equal(bans_add(b, &p, 28, 64, 0, name, BAN_SENSOR, 5 * SEC, 10 * SEC, &new_one), 0);
    assert_true(new_one);
    memset(name, 'x', sizeof(name) - 1); /* the name is the table's own */
    for (uint32_t service = 0; service < 3; service++) {
        const Ban *ban = find(b, "192.0.2.1", service, 6 * SEC); /* from all services */
        assert_non_null(ban);
        assert_string_equal(ban->name, "login");
        assert_int_equal(ban->service, 0);
        assert_int_equal(ban->cause, BAN_SENSOR);
        assert_true(ban->since_usec == 5 * SEC && ban->until_usec == 15 * SEC);
        Prefix expected;
        assert_int_equal(prefix_parse("192.0.2.0/28", &expected), 0);
        assert_memory_equal(ban->prefix.bytes, expected.bytes, sizeof(expected.bytes));
        assert_int_equal(ban->prefix.bits, 28);
        assert_int_equal(ban->prefix.kind, PEER_INET);
    }
    bans_free(b);
}

static void test_no_peer(void **state) {
    (void)state;
    Bans *b = new_bans(16);
    bool new_one = true;
    assert_int_equal(bans_add(b, &(Peer){0}, 32, 64, 1, "web", BAN_REPORTED, SEC, SEC, &new_one), 0);
    assert_false(new_one);
    assert_int_equal(bans_count(b, SEC), 0);
    ban_as(b, "192.0.2.7", 1, SEC, 10);
    assert_null(bans_find(b, &(Peer){0}, 1, SEC));
    bans_free(b);
}

static void test_ends(void **state) {
    (void)state;
    Bans *b = new_bans(16);
    assert_true(ban_as(b, "192.0.2.7", 1, 100 * SEC, 10));
    assert_non_null(find(b, "192.0.2.7", 1, 110 * SEC - 1));
    assert_null(find(b, "192.0.2.7", 1, 110 * SEC));
    assert_int_equal(bans_count(b, 110 * SEC), 0);
    /* It is new after its end, and not before: then the later end holds. */
    assert_true(ban_as(b, "192.0.2.7", 1, 110 * SEC, 10));
    assert_false(ban_as(b, "192.0.2.8", 1, 112 * SEC, 3));
    assert_true(find(b, "192.0.2.7", 1, 113 * SEC)->until_usec == 120 * SEC);
    assert_false(ban_as(b, "192.0.2.9", 1, 115 * SEC, 10));
    assert_true(find(b, "192.0.2.7", 1, 116 * SEC)->until_usec == 125 * SEC);
    assert_true(find(b, "192.0.2.7", 1, 116 * SEC)->since_usec == 110 * SEC);
    assert_int_equal(bans_count(b, 116 * SEC), 1);
    assert_int_equal(bans_dropped(b), 0);
    /* For ever, and from a late clock on. */
    bool new_one = false;
    Peer p = peer_of("198.51.100.1");
    assert_int_equal(bans_add(b, &p, 32, 64, 1, "web", BAN_REPORTED, 116 * SEC, USEC_INFINITY, &new_one), 0);
    assert_true(find(b, "198.51.100.1", 1, UINT64_MAX - 1)->until_usec == UINT64_MAX);
    bans_free(b);
}

/* Who makes it longer is told as who bans; who would make it shorter is not. */
static void test_who_bans(void **state) {
    (void)state;
    Bans *b = new_bans(16);
    bool new_one = false;
    Peer p = peer_of("192.0.2.7");
    assert_int_equal(bans_add(b, &p, 32, 64, 0, "first", BAN_SENSOR, SEC, 10 * SEC, &new_one), 0);
    assert_int_equal(bans_add(b, &p, 32, 64, 0, "second", BAN_REPORTED, SEC, 5 * SEC, &new_one), 0);
    assert_string_equal(find(b, "192.0.2.7", 1, SEC)->name, "first");
    assert_int_equal(bans_add(b, &p, 32, 64, 0, "third", BAN_REPORTED, SEC, 15 * SEC, &new_one), 0);
    assert_string_equal(find(b, "192.0.2.7", 1, SEC)->name, "third");
    assert_int_equal(find(b, "192.0.2.7", 1, SEC)->cause, BAN_REPORTED);
    bans_free(b);
}

/* Of several that hold the one that ends last is told: until then he is banned. */
static void test_overlapping(void **state) {
    (void)state;
    Bans *b = new_bans(16);
    bool new_one = false;
    Peer p = peer_of("192.0.2.7");
    static const struct {
        unsigned bits, service, until;
    } bans[] = {{32, 1, 20}, {24, 1, 40}, {16, 1, 30}, {32, 0, 10}, {8, 2, 90}, {0, 3, 95}};
    for (size_t i = 0; i < ELEMENTS(bans); i++)
        assert_int_equal(bans_add(b, &p, bans[i].bits, 64, bans[i].service, "web", BAN_REFUSALS, SEC,
                                  (bans[i].until - 1) * SEC, &new_one),
                         0);
    assert_int_equal(bans_count(b, SEC), ELEMENTS(bans));
    assert_int_equal(find(b, "192.0.2.7", 1, SEC)->prefix.bits, 24);
    assert_int_equal(find(b, "192.0.9.9", 1, SEC)->prefix.bits, 16);
    assert_null(find(b, "192.1.0.1", 1, SEC));
    assert_int_equal(find(b, "192.1.0.1", 2, SEC)->prefix.bits, 8);
    assert_int_equal(find(b, "1.2.3.4", 3, SEC)->prefix.bits, 0);
    assert_int_equal(find(b, "192.0.2.7", 4, SEC)->service, 0);
    assert_null(find(b, "192.0.2.7", 1, 40 * SEC));
    bans_free(b);
}

/* The bans of 192.0.2.0/24, 2001:db8:0:1::/64, fe80::/64, uid:5 and vsock:5, and how many are lifted. */
static void test_lift(void **state) {
    (void)state;
    static const struct {
        const char *prefix;
        size_t lifted;
    } cases[] = {
        {"192.0.2.0/24", 1}, /* itself */
        {"192.0.0.0/16", 1}, /* it lies within */
        {"0.0.0.0/0", 1},
        {"192.0.2.77", 1}, /* it has all of it */
        {"192.0.2.128/25", 1},
        {"192.0.3.0/24", 0},
        {"192.0.3.1", 0},
        {"::ffff:192.0.2.0/120", 1},
        {"2001:db8::/32", 1},
        {"2001:db8:0:1::/64", 1},
        {"2001:db8:0:1:2:3:4:5", 1},
        {"2001:db8:0:2::/64", 0},
        {"::/0", 2},
        {"fe80::1", 1},
        {"fe80::1%1", 1},
        {"uid:5", 1},
        {"uid:6", 0},
        {"vsock:5", 1},
        {"vsock:6", 0},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        Bans *b = new_bans(16);
        static const char *const peers[] = {"192.0.2.7", "2001:db8:0:1::7", "fe80::1%1", "uid:5", "vsock:5"};
        for (size_t k = 0; k < ELEMENTS(peers); k++)
            ban_as(b, peers[k], (uint32_t)k % 2, SEC, 10 + k);
        size_t lifted = lift(b, cases[i].prefix, SEC);
        if (lifted != cases[i].lifted)
            fail_msg("%s: %zu", cases[i].prefix, lifted);
        assert_int_equal(bans_count(b, SEC), ELEMENTS(peers) - lifted);
        assert_int_equal(lift(b, cases[i].prefix, SEC), 0);
        bans_free(b);
    }
}

/* Those with a scope, which all bits keep. */
static void test_lift_scoped(void **state) {
    (void)state;
    Bans *b = new_bans(16);
    bool new_one = false;
    Peer p = {.kind = PEER_INET6, .in6.s6_addr = {0xfe, 0x80, [15] = 1}, .scope = 1};
    assert_int_equal(bans_add(b, &p, 32, 128, 1, "web", BAN_REFUSALS, SEC, SEC, &new_one), 0);
    p.scope = 77;
    assert_int_equal(bans_add(b, &p, 32, 128, 1, "web", BAN_REFUSALS, SEC, SEC, &new_one), 0);
    assert_true(new_one);
    assert_int_equal(bans_find(b, &p, 1, SEC)->prefix.scope, 77);
    p.scope = 78;
    assert_null(bans_find(b, &p, 1, SEC));
    assert_int_equal(lift(b, "fe80::1%1", SEC), 1);
    assert_int_equal(lift(b, "fe80::1%1", SEC), 0);
    assert_int_equal(lift(b, "fe80::1", SEC), 1); /* wherever it is */
    bans_free(b);
}

static void test_lift_has_ended(void **state) {
    (void)state;
    Bans *b = new_bans(16);
    ban_as(b, "192.0.2.7", 1, SEC, 10);
    assert_int_equal(lift(b, "192.0.2.7", 11 * SEC), 0);
    bans_free(b);
}

static void test_forget(void **state) {
    (void)state;
    Bans *b = new_bans(16);
    for (uint32_t service = 0; service < 3; service++) {
        ban_as(b, "192.0.2.7", service, SEC, 10);
        ban_as(b, "198.51.100.7", service, SEC, 20);
    }
    bans_forget(b, &(Gone){{1}, 1});
    assert_int_equal(bans_count(b, SEC), 4);
    bans_forget(b, &(Gone){{0}, 1}); /* no service */
    assert_int_equal(bans_count(b, SEC), 4);
    assert_int_equal(find(b, "192.0.2.7", 1, SEC)->service, 0);
    bans_forget(b, &(Gone){{2}, 1});
    assert_int_equal(bans_count(b, SEC), 2);
    bans_free(b);
}

static size_t count_listed(Bans *b, uint64_t now) {
    size_t n = 0;
    uint64_t number = 0;
    for (const Ban *ban; (ban = bans_next(b, number, now)); n++) {
        assert_true(ban->number > number && ban->until_usec > now);
        number = ban->number;
    }
    return n;
}

/* What has ended does not hold, however much of it is still to be cleared away. */
static void test_many_end_at_once(void **state) {
    (void)state;
    enum {
        N = 1000
    };
    Bans *b = new_bans((size_t)2 * N);
    char text[32];
    for (uint32_t i = 0; i < N; i++) {
        (void)snprintf(text, sizeof(text), "10.%u.%u.1", i / 256, i % 256);
        assert_true(ban_as(b, text, 1, SEC, 10));
    }
    assert_true(ban_as(b, "192.0.2.1", 1, SEC, 100));
    for (uint32_t i = N; i-- > N - 20;) {
        (void)snprintf(text, sizeof(text), "10.%u.%u.1", i / 256, i % 256);
        assert_null(find(b, text, 1, 11 * SEC));
        assert_non_null(find(b, "192.0.2.1", 1, 11 * SEC));
        /* Who is banned again is banned anew. */
        if (i % 10 != 0)
            continue;
        assert_true(ban_as(b, text, 1, 11 * SEC, 10));
        assert_true(find(b, text, 1, 11 * SEC)->since_usec == 11 * SEC);
    }
    assert_int_equal(count_listed(b, 12 * SEC), 3);
    assert_int_equal(bans_count(b, 12 * SEC), 3);
    bans_free(b);
}

static void test_full(void **state) {
    (void)state;
    enum {
        MAX = 100
    };
    Bans *b = new_bans(MAX);
    char text[32];
    /* Each longer than the ones before, but for every tenth. */
    for (uint32_t i = 0; i < 2 * MAX; i++) {
        (void)snprintf(text, sizeof(text), "10.0.%u.1", i);
        assert_true(ban_as(b, text, 1, SEC, i % 10 == 0 ? 5000 : 1000 + i));
        assert_true(bans_count(b, SEC) <= MAX);
    }
    assert_int_equal(bans_count(b, SEC), MAX);
    assert_int_equal(bans_dropped(b), MAX);
    for (uint32_t i = 0; i < 2 * MAX; i++) {
        (void)snprintf(text, sizeof(text), "10.0.%u.9", i);
        /* 20 that end late, and the 80 last of the others. */
        bool there = i % 10 == 0 || i > 111;
        assert_int_equal(find(b, text, 1, SEC) != NULL, there);
    }
    assert_int_equal(count_listed(b, SEC), MAX);
    /* What has ended makes room before what goes on. */
    assert_true(ban_as(b, "192.0.2.1", 1, 1150 * SEC, 10));
    assert_int_equal(bans_dropped(b), MAX);
    bans_free(b);
}

/* What the table ought to do: a list. */
typedef struct Item {
    Peer source;
    unsigned bits;
    uint32_t service;
    uint64_t until;
} Item;

enum {
    ITEMS_MAX = 40
};

typedef struct ItemList {
    Item items[ITEMS_MAX];
    size_t n;
    uint64_t dropped;
} ItemList;

static void remove_item(ItemList *l, size_t i) {
    l->items[i] = l->items[--l->n];
}

static void expire_items(ItemList *l, uint64_t now) {
    for (size_t i = l->n; i-- > 0;)
        if (l->items[i].until <= now)
            remove_item(l, i);
}

static bool add_item(ItemList *l, const Item *new_item) {
    size_t first = 0;
    for (size_t i = 0; i < l->n; i++) {
        Item *item = &l->items[i];
        if (peer_equal(&item->source, &new_item->source) && item->bits == new_item->bits &&
            item->service == new_item->service) {
            if (item->until < new_item->until)
                item->until = new_item->until;
            return false;
        }
        if (item->until < l->items[first].until)
            first = i;
    }
    if (l->n == ITEMS_MAX) {
        l->dropped++;
        remove_item(l, first);
    }
    l->items[l->n++] = *new_item;
    return true;
}

/* Until when it is banned; 0: it is not. */
static uint64_t find_item(const ItemList *l, const Peer *p, uint32_t service) {
    uint64_t until = 0;
    for (size_t i = 0; i < l->n; i++) {
        const Item *item = &l->items[i];
        if (item->source.kind != p->kind)
            continue;
        Peer masked = peer_mask(p, item->bits, item->bits);
        if (peer_equal(&masked, &item->source) && (item->service == 0 || item->service == service) &&
            item->until > until)
            until = item->until;
    }
    return until;
}

static size_t lift_items(ItemList *l, const Peer *p, unsigned bits) {
    size_t n = l->n;
    for (size_t i = l->n; i-- > 0;) {
        Item *item = &l->items[i];
        if (item->source.kind != p->kind)
            continue;
        unsigned shorter = item->bits < bits ? item->bits : bits;
        Peer a = peer_mask(p, shorter, shorter), b = peer_mask(&item->source, shorter, shorter);
        if (peer_equal(&a, &b))
            remove_item(l, i);
    }
    return n - l->n;
}

/* Of few networks, so that they overlap. */
static Peer random_peer(uint64_t *seed) {
    uint32_t host = (uint32_t)random_below(seed, 4) << 30 | (uint32_t)random_below(seed, 4) << 10 |
                    (uint32_t)random_below(seed, 4);
    Peer p = {.kind = PEER_UNIX, .uid = (uid_t)random_below(seed, 8)};
    if (random_below(seed, 4) == 0)
        return p;
    p = (Peer){.kind = PEER_INET, .in.s_addr = htonl(host), .port = (uint16_t)host};
    if (random_below(seed, 2)) {
        p = (Peer){.kind = PEER_INET6, .port = 80};
        host = htonl(host);
        memcpy(p.in6.s6_addr + 6, &host, sizeof(host));
    }
    return p;
}

static unsigned random_bits(uint64_t *seed, const Peer *p) {
    static const unsigned short_bits[] = {0, 1, 21, 22, 23, 32}, long_bits[] = {0, 49, 70, 71, 78, 128};
    size_t i = random_below(seed, 6);
    return p->kind == PEER_INET ? short_bits[i] : p->kind == PEER_INET6 ? long_bits[i] : 0;
}

static void lift_both(Bans *b, ItemList *l, uint64_t *random, uint64_t now) {
    Peer p = random_peer(random);
    unsigned bits = random_bits(random, &p);
    Peer masked = peer_mask(&p, bits, bits);
    Prefix prefix = {.kind = p.kind, .bits = bits};
    if (p.kind == PEER_UNIX)
        prefix.uid = p.uid;
    else
        memcpy(prefix.bytes, p.kind == PEER_INET ? (void *)&masked.in : (void *)&masked.in6,
               p.kind == PEER_INET ? 4 : 16);
    assert_int_equal(bans_lift(b, &prefix, now), lift_items(l, &masked, bits));
}

static void test_against_model(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        uint64_t random = seed, now = SEC;
        Bans *b = new_bans(ITEMS_MAX);
        ItemList l = {0};
        for (size_t step = 0; step < 3000; step++) {
            Peer p = random_peer(&random);
            /* Mostly a little; now and then many end at once. */
            now += random_below(&random, random_below(&random, 50) ? SEC / 10 : 15 * SEC);
            expire_items(&l, now);
            uint64_t what = random_below(&random, 60);
            if (what < 20) {
                bool new_one = false;
                unsigned bits = random_bits(&random, &p);
                /* No two end at the same time: then either might make room. */
                uint64_t for_usec = random_below(&random, 20) * SEC + step + 1;
                Item item = {peer_mask(&p, bits, bits), bits, (uint32_t)random_below(&random, 4),
                             now + for_usec};
                assert_int_equal(
                    bans_add(b, &p, bits, bits, item.service, "web", BAN_REFUSALS, now, for_usec, &new_one),
                    0);
                assert_int_equal(new_one, add_item(&l, &item));
            } else if (what == 20) {
                lift_both(b, &l, &random, now);
            } else if (what == 21) {
                uint32_t service = 1 + (uint32_t)random_below(&random, 3);
                bans_forget(b, &(Gone){{service}, 1});
                for (size_t i = l.n; i-- > 0;)
                    if (l.items[i].service == service)
                        remove_item(&l, i);
            } else if (what == 22) {
                assert_int_equal(count_listed(b, now), l.n);
            } else {
                uint32_t service = (uint32_t)random_below(&random, 5);
                const Ban *ban = bans_find(b, &p, service, now);
                uint64_t expected = find_item(&l, &p, service);
                if ((ban ? ban->until_usec : 0) != expected)
                    fail_msg("seed %u, step %zu", (unsigned)seed, step);
            }
            if (random_below(&random, 8) == 0)
                assert_int_equal(bans_count(b, now), l.n);
            assert_int_equal(bans_dropped(b), l.dropped);
        }
        bans_free(b);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_causes),       cmocka_unit_test(test_who_is_banned),
        cmocka_unit_test(test_what_is_told), cmocka_unit_test(test_no_peer),
        cmocka_unit_test(test_ends),         cmocka_unit_test(test_who_bans),
        cmocka_unit_test(test_overlapping),  cmocka_unit_test(test_lift),
        cmocka_unit_test(test_lift_scoped),  cmocka_unit_test(test_lift_has_ended),
        cmocka_unit_test(test_forget),       cmocka_unit_test(test_many_end_at_once),
        cmocka_unit_test(test_full),         cmocka_unit_test(test_against_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

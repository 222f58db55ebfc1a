/* SPDX-License-Identifier: MIT */
/* Who may connect, beside the plain way to find out: to look at every rule. */
#include "conf/access.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define RULES_MAX 3000

static AccessRule rule_of(const char *s, bool deny) {
    AccessRule rule = {.kind = ACCESS_RULE_PREFIX, .deny = deny};
    if (strcmp(s, "any") == 0)
        rule.kind = ACCESS_RULE_ANY;
    else if (starts_with(s, "gid:"))
        rule = (AccessRule){.kind = ACCESS_RULE_GROUP, .deny = deny, .gid = (gid_t)strtoul(s + 4, NULL, 10)};
    else if (prefix_parse(s, &rule.prefix) < 0)
        fail_msg("%s is not a rule", s);
    return rule;
}

/* "10.0.0.0/8 -10.1.0.0/16": those with a - deny; "[]" is an empty list of allow. */
static AccessRules *rules_of(const char *words) {
    AccessRule rules[64];
    size_t n = 0;
    bool has_allow = false;
    char buf[512];
    AccessRules *r = NULL;
    (void)snprintf(buf, sizeof(buf), "%s", words);
    char *save = NULL;
    for (char *word = strtok_r(buf, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
        bool deny = *word == '-';
        has_allow = has_allow || !deny;
        if (strcmp(word, "[]") != 0)
            rules[n++] = rule_of(word + deny, deny);
    }
    assert_int_equal(access_rules_new(rules, n, has_allow, &r), 0);
    return r;
}

/* "192.0.2.1", "uid:1000", "uid:1000,4,5" with groups, "vsock:3". */
static Peer peer_of(const char *s, gid_t groups[static 8], size_t *n_groups) {
    *n_groups = 0;
    if (starts_with(s, "uid:")) {
        char *end = NULL;
        Peer peer = peer_from_uid((uid_t)strtoul(s + 4, &end, 10));
        while (*end == ',')
            groups[(*n_groups)++] = (gid_t)strtoul(end + 1, &end, 10);
        return peer;
    }
    if (starts_with(s, "vsock:"))
        return (Peer){.kind = PEER_VSOCK, .cid = (uint32_t)strtoul(s + 6, NULL, 10)};
    if (strcmp(s, "none") == 0)
        return (Peer){.kind = PEER_NONE};
    Addr a;
    assert_int_equal(addr_parse_ip(s, 4321, &a), 0);
    return peer_from_addr(&a);
}

static const struct {
    const char *rules, *peer;
    bool allowed;
    const char *by;
} cases[] = {
    /* Without allow all are admitted who are not denied. */
    {"", "192.0.2.1", true, "any"},
    {"-10.0.0.0/8", "192.0.2.1", true, "any"},
    {"-10.0.0.0/8", "10.255.0.1", false, "10.0.0.0/8"},
    /* With it nobody who does not match. */
    {"[]", "192.0.2.1", false, "any"},
    {"10.0.0.0/8", "192.0.2.1", false, "any"},
    {"10.0.0.0/8", "10.0.0.0", true, "10.0.0.0/8"},
    {"10.0.0.0/8", "10.255.255.255", true, "10.0.0.0/8"},
    {"10.0.0.0/8", "11.0.0.0", false, "any"},
    {"10.0.0.0/8", "9.255.255.255", false, "any"},
    {"10.0.0.0/8", "uid:0", false, "any"},
    {"10.0.0.0/8", "2001:db8::1", false, "any"},
    {"10.0.0.0/8", "none", false, "any"},
    {"any", "none", true, "any"},
    /* The longest one wins, whatever the order. */
    {"10.0.0.0/8 -10.1.0.0/16 10.1.2.0/24 -10.1.2.3", "10.1.2.3", false, "10.1.2.3"},
    {"10.0.0.0/8 -10.1.0.0/16 10.1.2.0/24 -10.1.2.3", "10.1.2.4", true, "10.1.2.0/24"},
    {"10.0.0.0/8 -10.1.0.0/16 10.1.2.0/24 -10.1.2.3", "10.1.3.0", false, "10.1.0.0/16"},
    {"10.0.0.0/8 -10.1.0.0/16 10.1.2.0/24 -10.1.2.3", "10.1.1.255", false, "10.1.0.0/16"},
    {"10.0.0.0/8 -10.1.0.0/16 10.1.2.0/24 -10.1.2.3", "10.2.0.0", true, "10.0.0.0/8"},
    {"-10.1.2.3 10.1.2.0/24 -10.1.0.0/16 10.0.0.0/8", "10.1.2.4", true, "10.1.2.0/24"},
    {"-10.0.0.0/8 10.0.0.0/9", "10.127.0.1", true, "10.0.0.0/9"},
    {"-10.0.0.0/8 10.0.0.0/9", "10.128.0.1", false, "10.0.0.0/8"},
    /* Two that begin, and two that end at the same address. */
    {"-10.0.0.0/8 10.0.0.0/16", "10.0.0.0", true, "10.0.0.0/16"},
    {"-10.0.0.0/8 10.255.0.0/16", "10.255.255.255", true, "10.255.0.0/16"},
    {"-10.0.0.0/8 10.255.0.0/16", "11.0.0.0", false, "any"},
    {"10.0.0.0/8 11.0.0.0/8", "11.0.0.0", true, "11.0.0.0/8"},
    /* A tie goes to deny. */
    {"10.0.0.0/8 -10.0.0.0/8", "10.0.0.1", false, "10.0.0.0/8"},
    {"-10.0.0.0/8 10.0.0.0/8", "10.0.0.1", false, "10.0.0.0/8"},
    {"any -any", "10.0.0.1", false, "any"},
    {"10.9.9.9/8 -10.0.0.0/8", "10.0.0.1", false, "10.0.0.0/8"},
    /* The ends of the space. */
    {"0.0.0.0/0", "255.255.255.255", true, "0.0.0.0/0"},
    {"-255.255.255.255 0.0.0.0/0", "255.255.255.255", false, "255.255.255.255"},
    {"-255.255.255.255 0.0.0.0/0", "255.255.255.254", true, "0.0.0.0/0"},
    {"-0.0.0.0 0.0.0.0/0", "0.0.0.0", false, "0.0.0.0"},
    {"::/0 -ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe", true,
     "::/0"},
    {"::/0", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", true, "::/0"},
    /* The ends of its halves. */
    {"-2001:db8::/64 2001:db8:0:1::/64", "2001:db8:0:1::", true, "2001:db8:0:1::/64"},
    {"-2001:db8::/64 2001:db8:0:1::/64", "2001:db8::ffff:ffff:ffff:ffff", false, "2001:db8::/64"},
    {"2001:db8::/63 -2001:db8:0:1::1", "2001:db8:0:1::1", false, "2001:db8:0:1::1"},
    {"2001:db8::/63 -2001:db8:0:1::1", "2001:db8:0:1::2", true, "2001:db8::/63"},
    {"2001:db8::/65", "2001:db8::8000:0:0:0", false, "any"},
    /* Any is less than every prefix. */
    {"any -0.0.0.0/0", "192.0.2.1", false, "0.0.0.0/0"},
    {"any -0.0.0.0/0", "2001:db8::1", true, "any"},
    {"-any 192.0.2.1", "192.0.2.1", true, "192.0.2.1"},
    {"-any 192.0.2.1", "uid:7", false, "any"},
    /* IPv4 is IPv4 however it is written or comes in. */
    {"::ffff:192.0.2.0/120", "192.0.2.9", true, "192.0.2.0/24"},
    {"192.0.2.0/24", "::ffff:192.0.2.9", true, "192.0.2.0/24"},
    {"::/0", "::ffff:192.0.2.9", false, "any"},
    /* With a scope, and without. */
    {"fe80::/10", "fe80::1%1", true, "fe80::/10"},
    {"fe80::1%1", "fe80::1%1", true, "fe80::1%lo"},
    {"fe80::1%1", "fe80::1%7", false, "any"},
    {"fe80::1%1", "fe80::1", false, "any"},
    {"fe80::/10 -fe80::1%1", "fe80::1%1", false, "fe80::1%lo"},
    {"fe80::1 -fe80::%1/64", "fe80::1%1", true, "fe80::1"},
    {"-fe80::1 fe80::1%1", "fe80::1%1", false, "fe80::1"},
    {"fe80::1 -fe80::1%1", "fe80::1%1", false, "fe80::1%lo"},
    /* Users before groups before any. */
    {"uid:1000", "uid:1000", true, "uid:1000"},
    {"uid:1000", "uid:1001", false, "any"},
    {"uid:1000", "uid:1001,1000", false, "any"},
    {"uid:1000 -gid:5", "uid:1000,5", true, "uid:1000"},
    {"gid:5 -any", "uid:1000,4,5", true, "gid:5"},
    {"gid:5 -any", "uid:1000,4", false, "any"},
    {"gid:5 -gid:6", "uid:1,5,6", false, "gid:6"},
    {"gid:5 -gid:6", "uid:1,6,5", false, "gid:6"},
    {"-uid:0 any", "uid:0,5", false, "uid:0"},
    {"uid:4294967294", "uid:4294967294", true, "uid:4294967294"},
    {"uid:0 -gid:0", "uid:0", true, "uid:0"},
    {"-10.0.0.0/8", "uid:167772161", true, "any"},
    {"vsock:3 -uid:3", "vsock:3", true, "vsock:3"},
    {"vsock:3 -uid:3", "uid:3", false, "uid:3"},
    {"vsock:3", "vsock:4", false, "any"},
};

static void test_decisions(void **state) {
    (void)state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        AccessRules *rules = rules_of(cases[i].rules);
        gid_t groups[8];
        size_t n_groups;
        AccessRule by;
        CLEANUP_TEXT Text text = {0};
        Peer peer = peer_of(cases[i].peer, groups, &n_groups);
        bool allowed = access_allows(rules, &peer, groups, n_groups, &by);
        access_rule_format(&by, &text);
        if (allowed != cases[i].allowed || !streq(text.s, cases[i].by) || by.deny == allowed)
            fail_msg("'%s' with '%s': %s by %s", cases[i].peer, cases[i].rules,
                     allowed ? "allowed" : "denied", text.s);
        assert_int_equal(access_allows(rules, &peer, groups, n_groups, NULL), allowed);
        assert_null(access_rules_unref(rules));
    }
}

static void test_none(void **state) {
    const Peer peer = peer_from_uid(5);
    AccessRule by;
    (void)state;
    assert_true(access_allows(NULL, &peer, NULL, 0, &by));
    assert_int_equal(by.kind, ACCESS_RULE_ANY);
    assert_false(by.deny);
    assert_false(access_rules_want_groups(NULL));
    assert_null(access_rules_unref(NULL));
    assert_int_equal(access_rules_count(NULL), 0);
}

static void test_values(void **state) {
    static const struct {
        const char *rules;
        bool groups, all;
        size_t allow, deny;
    } values[] = {
        {"", false, true, 0, 0},
        {"any", false, true, 1, 0},
        {"[]", false, false, 0, 0},
        {"any -any", false, false, 1, 1},
        {"-any", false, false, 0, 1},
        {"any 10.0.0.0/8", false, false, 2, 0},
        {"10.0.0.0/8 10.3.0.0/8 -10.0.0.0/8", false, false, 0, 1},
        {"gid:5 uid:6 vsock:7 -fe80::1%1", true, false, 3, 1},
        {"uid:5 -10.0.0.0/8", false, false, 1, 1},
    };
    (void)state;
    for (size_t i = 0; i < ELEMENTS(values); i++) {
        AccessRules *r = access_rules_ref(rules_of(values[i].rules));
        assert_null(access_rules_unref(r));
        assert_int_equal(access_rules_want_groups(r), values[i].groups);
        assert_int_equal(access_rules_admit_all(r), values[i].all);
        assert_int_equal(access_rules_count_side(r, ACCESS_ALLOW), values[i].allow);
        assert_int_equal(access_rules_count_side(r, ACCESS_DENY), values[i].deny);
        assert_int_equal(access_rules_count(r), values[i].allow + values[i].deny);
        assert_null(access_rules_unref(r));
    }
}

static void test_equal(void **state) {
    static const struct {
        const char *a, *b;
        bool both, allow, deny;
    } pairs[] = {
        {"10.0.0.0/8 11.0.0.0/8", "11.0.0.0/8 10.0.0.0/8 11.0.0.0/8", true, true, true},
        {"10.0.0.0/8", "10.0.0.0/9", false, false, true},
        {"10.0.0.0/8", "-10.0.0.0/8", false, false, false},
        {"10.0.0.0/8 -11.0.0.0/8", "10.0.0.0/8", false, true, false},
        {"", "[]", false, false, true},
        {"any", "[]", false, false, true},
        {"any -any", "any", false, true, false},
        {"uid:5", "gid:5", false, false, true},
        {"uid:5", "vsock:5", false, false, true},
        {"fe80::1%1", "fe80::1", false, false, true},
        {"0.0.0.0/0", "::/0", false, false, true},
        {"0.0.0.0", "::", false, false, true},
    };
    (void)state;
    for (size_t i = 0; i < ELEMENTS(pairs); i++) {
        AccessRules *a = rules_of(pairs[i].a), *b = rules_of(pairs[i].b);
        for (int turn = 0; turn < 2; turn++) {
            assert_int_equal(access_rules_equal(a, b, ACCESS_BOTH), pairs[i].both);
            assert_int_equal(access_rules_equal(a, b, ACCESS_ALLOW), pairs[i].allow);
            assert_int_equal(access_rules_equal(a, b, ACCESS_DENY), pairs[i].deny);
            AccessRules *c = a;
            a = b;
            b = c;
        }
        assert_true(access_rules_equal(a, a, ACCESS_BOTH));
        assert_false(access_rules_equal(a, NULL, ACCESS_BOTH));
        assert_int_equal(access_rules_equal(NULL, b, ACCESS_DENY),
                         access_rules_count_side(b, ACCESS_DENY) == 0);
        access_rules_unref(a);
        access_rules_unref(b);
    }
    assert_true(access_rules_equal(NULL, NULL, ACCESS_BOTH));
}

/* As it is said: look at all, and take the longest. */
static bool plainly(const AccessRule *rules, size_t n, bool has_allow, const Peer *peer) {
    int best = -1;
    bool denied = has_allow;
    for (size_t i = 0; i < n; i++) {
        int bits = rules[i].kind == ACCESS_RULE_ANY ? 0 : (int)rules[i].prefix.bits + 1;
        bool has = rules[i].kind == ACCESS_RULE_ANY || prefix_has(&rules[i].prefix, peer);
        if (!has || bits < best)
            continue;
        denied = rules[i].deny || (bits == best && denied);
        best = bits;
    }
    return !denied;
}

static uint64_t next_random(uint64_t *seed) {
    *seed = *seed * 6364136223846793005U + 1442695040888963407U;
    return *seed >> 33;
}

/* Few different bits, so that prefixes lie within each other. */
static Prefix random_prefix(uint64_t *seed) {
    Prefix p = {.kind = next_random(seed) % 2 ? PEER_INET : PEER_INET6};
    unsigned bytes = p.kind == PEER_INET ? 4 : 16;
    for (unsigned i = 0; i < bytes; i++)
        p.bytes[i] = (uint8_t)(next_random(seed) % 3 == 0 ? next_random(seed) : next_random(seed) % 2 * 255);
    p.bits = (unsigned)(next_random(seed) % (8 * bytes + 1));
    if (p.kind == PEER_INET6 && next_random(seed) % 4 == 0)
        p.scope = (uint32_t)(next_random(seed) % 3);
    for (unsigned i = 0; i < 16; i++) {
        unsigned kept = p.bits > 8 * i ? p.bits - 8 * i : 0;
        if (kept < 8)
            p.bytes[i] &= (uint8_t)(0xff00U >> kept);
    }
    return p;
}

/* An address at an end of a prefix, or one beyond it: where mistakes are made. */
static Peer near_peer(const Prefix *p, uint64_t *seed) {
    Peer peer = {.kind = p->kind, .scope = p->kind == PEER_INET6 ? (uint32_t)(next_random(seed) % 3) : 0};
    uint8_t bytes[16];
    memcpy(bytes, p->bytes, sizeof(bytes));
    unsigned n = p->kind == PEER_INET ? 4 : 16;
    uint64_t where = next_random(seed) % 5;
    for (unsigned bit = p->bits; bit < 8 * n && where != 0; bit++)
        if (where == 1 || where == 2 || next_random(seed) % 2)
            bytes[bit / 8] |= (uint8_t)(0x80U >> (bit % 8));
    int carry = where == 2 ? 1 : where == 3 ? -1 : 0;
    for (unsigned i = n; i-- > 0 && carry != 0;) {
        int sum = bytes[i] + carry;
        carry = sum > 255 ? 1 : sum < 0 ? -1 : 0;
        bytes[i] = (uint8_t)sum;
    }
    if (p->kind == PEER_INET)
        memcpy(&peer.in, bytes, 4);
    else
        memcpy(&peer.in6, bytes, 16);
    return peer;
}

static void test_beside_the_plain_way(void **state) {
    static AccessRule rules[RULES_MAX];
    uint64_t seed = 42;
    (void)state;
    for (size_t round = 0; round < 40; round++) {
        size_t n = round % 10 == 0 ? RULES_MAX : 1 + next_random(&seed) % 60;
        bool has_allow = next_random(&seed) % 2;
        AccessRules *compiled = NULL;
        for (size_t i = 0; i < n; i++)
            rules[i] =
                (AccessRule){.kind = next_random(&seed) % 50 == 0 ? ACCESS_RULE_ANY : ACCESS_RULE_PREFIX,
                             .deny = next_random(&seed) % 2,
                             .prefix = random_prefix(&seed)};
        assert_int_equal(access_rules_new(rules, n, has_allow, &compiled), 0);
        for (size_t i = 0; i < 2000; i++) {
            AccessRule by;
            CLEANUP_TEXT Text text = {0};
            const Peer peer = near_peer(&rules[next_random(&seed) % n].prefix, &seed);
            bool allowed = access_allows(compiled, &peer, NULL, 0, &by);
            access_rule_format(&by, &text);
            if (allowed != plainly(rules, n, has_allow, &peer))
                fail_msg("round %zu, %zu rules: %s by %s", round, n, allowed ? "allowed" : "denied", text.s);
            if (by.kind == ACCESS_RULE_PREFIX)
                assert_true(prefix_has(&by.prefix, &peer));
        }
        access_rules_unref(compiled);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decisions),
        cmocka_unit_test(test_none),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_equal),
        cmocka_unit_test(test_beside_the_plain_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

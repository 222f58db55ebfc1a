/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/top-sources.h"
#include "tests/unit/blob.h"

static Peer peer_of(const char *text) {
    Addr a;
    if (strncmp(text, "uid:", 4) == 0)
        return peer_from_uid((uid_t)strtoul(text + 4, NULL, 10));
    if (strncmp(text, "vsock:", 6) == 0) {
        a = (Addr){.vm = {.svm_family = AF_VSOCK, .svm_port = 4321}, .len = sizeof(a.vm)};
        a.vm.svm_cid = (unsigned)strtoul(text + 6, NULL, 10);
        return peer_from_addr(&a);
    }
    assert_int_equal(addr_parse_ip(text, 4321, &a), 0);
    return peer_from_addr(&a);
}

static Prefix source_of(const char *text) {
    Peer p = peer_of(text);
    return prefix_of_source(&p, 32, 64);
}

static Prefix source_of_number(uint32_t n) {
    Peer p = {.kind = PEER_INET, .in.s_addr = htonl(n), .port = (uint16_t)n};
    return prefix_of_source(&p, 32, 64);
}

static uint32_t number_of(const Prefix *source) {
    Peer first = prefix_first(source);
    return ntohl(first.in.s_addr);
}

static void refuse(TopSources **t, const char *text, RefuseReason reason, uint64_t time_usec) {
    Prefix p = source_of(text);
    top_sources_add(t, &p, reason, time_usec);
    assert_true(top_sources_have(*t, &p));
}

static void test_text(void **state) {
    (void)state;
    static const struct {
        const char *peer, *full, *prefix;
    } cases[] = {
        {"198.51.100.7", "198.51.100.7", "198.51.100.0/24"},
        {"::ffff:198.51.100.7", "198.51.100.7", "198.51.100.0/24"},
        {"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64", "2001:db8:1::/48"},
        {"fe80::1", "fe80::/64", "fe80::/48"},
        {"::1", "::/64", "::/48"},
        {"uid:1000", "uid:1000", "uid:1000"},
        {"vsock:3", "vsock:3", "vsock:3"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char buf[PEER_TEXT_MAX];
        Prefix p = source_of(cases[i].peer);
        assert_string_equal(peer_format_prefix(&p, LOG_ADDRESSES_FULL, buf), cases[i].full);
        assert_string_equal(peer_format_prefix(&p, LOG_ADDRESSES_PREFIX, buf), cases[i].prefix);
        assert_null(peer_format_prefix(&p, LOG_ADDRESSES_NONE, buf));
    }
}

static void test_same_source(void **state) {
    (void)state;
    static const struct {
        const char *a, *b;
        bool same;
    } cases[] = {
        {"192.0.2.1", "192.0.2.1", true},
        {"192.0.2.1", "::ffff:192.0.2.1", true},
        {"192.0.2.1", "192.0.2.0", false},
        {"vsock:3", "vsock:3", true},
        {"vsock:3", "vsock:4", false},
        {"vsock:3", "uid:3", false},
        {"2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", true},
        {"2001:db8:1:2::1", "2001:db8:1:3::1", false},
        {"uid:0", "uid:0", true},
        {"uid:0", "uid:1", false},
        {"uid:0", "0.0.0.0", false},
        {"0.0.0.0", "::", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        TopSources *t CLEANUP_FREE = NULL;
        refuse(&t, cases[i].a, REFUSE_INSTANCES, 1);
        refuse(&t, cases[i].b, REFUSE_INSTANCES, 2);
        assert_int_equal(t->n, cases[i].same ? 1 : 2);
    }
}

static void test_order_reason_and_time(void **state) {
    (void)state;
    TopSources *t CLEANUP_FREE = NULL;
    ApiSource list[TOP_SOURCES];
    SourceTexts texts;
    assert_int_equal(top_sources_list(t, LOG_ADDRESSES_FULL, texts, list), 0);
    refuse(&t, "192.0.2.1", REFUSE_ACCESS, 10);
    refuse(&t, "192.0.2.2", REFUSE_ACCESS, 20);
    refuse(&t, "192.0.2.2", REFUSE_INSTANCES, 30);
    refuse(&t, "uid:7", REFUSE_RATE, 40);
    Prefix nobody = {.kind = PEER_NONE};
    top_sources_add(&t, &nobody, REFUSE_RATE, 50);
    assert_int_equal(top_sources_list(t, LOG_ADDRESSES_FULL, texts, list), 3);
    assert_string_equal(list[0].source, "192.0.2.2");
    assert_int_equal(list[0].refused, 2);
    assert_int_equal(list[0].reason, REFUSE_INSTANCES);
    assert_int_equal(list[0].last_time_usec, 30);
    assert_string_equal(list[1].source, "uid:7");
    assert_string_equal(list[2].source, "192.0.2.1");
    assert_int_equal(list[2].reason, REFUSE_ACCESS);
}

/* The same address under another limits.source_prefix is another source. */
static void test_lengths(void **state) {
    (void)state;
    TopSources *t CLEANUP_FREE = NULL;
    ApiSource list[TOP_SOURCES];
    SourceTexts texts;
    Peer p = peer_of("198.51.100.0");
    Prefix all = prefix_of_source(&p, 32, 64), net = prefix_of_source(&p, 24, 64);
    top_sources_add(&t, &all, REFUSE_RATE, 2);
    assert_false(top_sources_have(t, &net));
    top_sources_add(&t, &net, REFUSE_RATE, 1);
    assert_int_equal(top_sources_list(t, LOG_ADDRESSES_FULL, texts, list), 2);
    assert_string_equal(list[0].source, "198.51.100.0");
    assert_string_equal(list[1].source, "198.51.100.0/24");
    assert_false(top_sources_have(NULL, &net));
}

/* What is shown alike is one: no more can be told from a list than its texts say. */
static void test_prefixes_are_one(void **state) {
    (void)state;
    TopSources *t CLEANUP_FREE = NULL;
    ApiSource list[TOP_SOURCES];
    SourceTexts texts;
    refuse(&t, "198.51.100.1", REFUSE_RATE, 30);
    refuse(&t, "203.0.113.1", REFUSE_ACCESS, 10);
    refuse(&t, "203.0.113.1", REFUSE_ACCESS, 11);
    refuse(&t, "198.51.100.2", REFUSE_INSTANCES, 20);
    refuse(&t, "198.51.100.3", REFUSE_INSTANCES, 20);
    assert_int_equal(top_sources_list(t, LOG_ADDRESSES_PREFIX, texts, list), 2);
    assert_string_equal(list[0].source, "198.51.100.0/24");
    assert_int_equal(list[0].refused, 3);
    assert_int_equal(list[0].reason, REFUSE_RATE);
    assert_int_equal(list[0].last_time_usec, 30);
    assert_string_equal(list[1].source, "203.0.113.0/24");
    assert_int_equal(top_sources_list(t, LOG_ADDRESSES_NONE, texts, list), 0);
}

/* One that has more than its part is found among any number of new ones, wherever it stands among them, and
 * nothing is claimed of it that is not so. */
static void test_heavy_one_in_a_flood(void **state) {
    (void)state;
    for (unsigned every = 2; every < TOP_SOURCES; every++) {
        for (unsigned start = 0; start <= 5000; start += 2500) {
            TopSources *t CLEANUP_FREE = NULL;
            uint64_t own = 0;
            for (uint32_t i = 0; i < 50000; i++) {
                bool heavy = i >= start && i % every == 0;
                Prefix p = heavy ? source_of("192.0.2.77") : source_of_number(0x0a000000 + i);
                own += heavy;
                top_sources_add(&t, &p, REFUSE_INSTANCES, i);
            }
            ApiSource list[TOP_SOURCES];
            SourceTexts texts;
            assert_int_equal(top_sources_list(t, LOG_ADDRESSES_FULL, texts, list), TOP_SOURCES);
            assert_string_equal(list[0].source, "192.0.2.77");
            assert_true(list[0].refused <= own);
            /* It may have come in late, but no later than the flood had filled all places once. */
            assert_true(list[0].refused + 50000 / TOP_SOURCES >= own);
            for (size_t i = 1; i < TOP_SOURCES; i++)
                assert_int_equal(list[i].refused, 1);
        }
    }
}

/* All that the algorithm promises, at every step, for a skewed crowd. */
static void test_bounds_of_every_count(void **state) {
    (void)state;
    enum {
        CROWD = 200
    };
    uint64_t exact[CROWD] = {0}, seed = 5, total = 0;
    TopSources *t CLEANUP_FREE = NULL;
    for (int step = 0; step < 20000; step++) {
        seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
        uint64_t a = (seed >> 33) % CROWD, b = (seed >> 45) % CROWD, who = a * b / CROWD;
        Prefix p = source_of_number((uint32_t)who);
        top_sources_add(&t, &p, REFUSE_RATE, (uint64_t)step);
        exact[who]++;
        total++;
        uint64_t sum = 0;
        bool kept[CROWD] = {false};
        for (size_t i = 0; i < t->n; i++) {
            const TopSource *item = &t->items[i];
            uint64_t n = exact[number_of(&item->source)];
            kept[number_of(&item->source)] = true;
            sum += item->count;
            assert_true(item->count >= n && item->count - item->inherited <= n);
        }
        assert_int_equal(sum, total);
        for (size_t i = 0; i < CROWD; i++)
            assert_true(kept[i] || exact[i] <= total / TOP_SOURCES);
    }
}

static void test_save(void **state) {
    (void)state;
    TopSources *t = NULL, *twin = NULL;
    TEST_BLOB(b, top_sources_save(&b.w, t), top_sources_restore(b.r, &twin));
    assert_null(twin);
    refuse(&t, "2001:db8::1", REFUSE_BANNED, 5);
    refuse(&t, "uid:0", REFUSE_ACCESS, 6);
    refuse(&t, "vsock:3", REFUSE_PROXY, 6);
    for (uint32_t i = 0; i < 100; i++) {
        Prefix source = source_of_number(i % 30);
        top_sources_add(&t, &source, REFUSE_RATE, 100 + i);
        TEST_BLOB(b, top_sources_save(&b.w, t), top_sources_restore(b.r, &twin));
        SourceTexts texts[2];
        ApiSource a[TOP_SOURCES], b[TOP_SOURCES];
        size_t n = top_sources_list(t, LOG_ADDRESSES_FULL, texts[0], a);
        assert_int_equal(top_sources_list(twin, LOG_ADDRESSES_FULL, texts[1], b), n);
        for (size_t k = 0; k < n; k++)
            assert_true(strcmp(a[k].source, b[k].source) == 0 && a[k].refused == b[k].refused &&
                        a[k].reason == b[k].reason && a[k].last_time_usec == b[k].last_time_usec);
    }
    free(t);
    free(twin);
}

/* Of somebody whom this version does not know, or for a reason that it does not: he alone is left out. */
static void test_restore_odd(void **state) {
    (void)state;
    static const char *const reasons[] = {"rate", "weather", NULL, "access"};
    TopSources *t = NULL;
    TestBlob b;
    test_blob_begin(&b);
    for (size_t i = 0; i < ELEMENTS(reasons); i++) {
        Prefix source = source_of_number((uint32_t)i);
        source.bits = i == 3 ? 200 : source.bits;
        size_t at = blob_open(&b.w, 1);
        prefix_put(&b.w, 1, &source);
        blob_put_str(&b.w, 3, reasons[i]);
        blob_close(&b.w, at);
    }
    test_blob_end(&b);
    assert_int_equal(top_sources_restore(b.r, &t), 0);
    assert_int_equal(t->n, 1);
    test_blob_done(&b);
    free(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_same_source),
        cmocka_unit_test(test_order_reason_and_time),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_prefixes_are_one),
        cmocka_unit_test(test_heavy_one_in_a_flood),
        cmocka_unit_test(test_bounds_of_every_count),
        cmocka_unit_test(test_save),
        cmocka_unit_test(test_restore_odd),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

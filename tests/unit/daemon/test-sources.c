/* SPDX-License-Identifier: MIT */
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/base/clock.h"
#include "daemon/sources.h"
#include "tests/unit/random.h"

#define SEC USEC_PER_SEC

static const uint8_t key[16] = "a secret key";

/* The n-th source of a family. */
static Peer v4(uint32_t n) {
    return (Peer){.kind = PEER_INET, .in.s_addr = htonl(0x0a000000 + n)};
}

static Peer v6(uint32_t n) {
    Peer p = {.kind = PEER_INET6};
    uint32_t network = htonl(0x20010db8), rest = htonl(n);
    memcpy(p.in6.s6_addr, &network, 4);
    memcpy(p.in6.s6_addr + 4, &rest, 4); /* a /64 each */
    return p;
}

static Sources *new_sources(size_t max) {
    Sources *t = sources_new(max, key);
    assert_non_null(t);
    return t;
}

static Source *visit(Sources *t, Peer p, uint64_t now) {
    Source *s = sources_visit(t, 1, &p, now);
    assert_non_null(s);
    assert_true(peer_equal(&s->prefix, &p));
    return s;
}

static bool knows(const Sources *t, Peer p) {
    return sources_find(t, 1, &p) != NULL;
}

/* Accepted, and back after a while. */
static void make_known(Sources *t, Peer p, uint64_t now) {
    visit(t, p, now)->accepted++;
    visit(t, p, now + 2 * SEC);
}

static void test_visit(void **state) {
    (void)state;
    Sources *t = new_sources(16);
    Peer a = v4(1), b = v4(2), c = v6(1);
    assert_null(sources_find(t, 1, &a));
    Source *s = visit(t, a, 5 * SEC);
    assert_int_equal(s->service, 1);
    assert_int_equal(s->active + s->accepted + s->refused, 0);
    assert_true(s->first_usec == 5 * SEC && s->last_usec == 5 * SEC);
    assert_int_equal(s->rate.missing + s->strikes.part, 0);
    s->refused = 7;
    assert_ptr_equal(visit(t, a, 6 * SEC), s);
    assert_true(s->first_usec == 5 * SEC && s->last_usec == 6 * SEC && s->refused == 7);
    /* Another source, another service: another one. */
    assert_ptr_not_equal(visit(t, b, 6 * SEC), s);
    assert_ptr_not_equal(visit(t, c, 6 * SEC), s);
    assert_ptr_not_equal(sources_visit(t, 2, &a, 6 * SEC), s);
    assert_ptr_equal(sources_find(t, 1, &a), s);
    assert_int_equal(sources_stats(t).known, 4);
    assert_null(sources_free(t));
    assert_null(sources_free(NULL));
}

/* Each kind of a peer is told apart from the others, whatever their numbers. */
static void test_kinds(void **state) {
    (void)state;
    const Peer peers[] = {
        {.kind = PEER_UNIX, .uid = 1},
        {.kind = PEER_UNIX, .uid = 2},
        {.kind = PEER_VSOCK, .cid = 1},
        {.kind = PEER_INET, .in.s_addr = 1},
        {.kind = PEER_INET6, .in6.s6_addr = {1}},
        {.kind = PEER_INET6, .in6.s6_addr = {1}, .scope = 2},
        {.kind = PEER_INET6, .in6.s6_addr = {1}, .scope = 3},
        {.kind = PEER_NONE},
    };
    enum {
        N = sizeof(peers) / sizeof(*peers)
    };
    Sources *t = new_sources(64);
    Source *all[N];
    for (size_t i = 0; i < N; i++)
        all[i] = visit(t, peers[i], SEC);
    assert_int_equal(sources_stats(t).known, N);
    for (size_t i = 0; i < N; i++)
        assert_ptr_equal(visit(t, peers[i], 2 * SEC), all[i]);
    sources_free(t);
}

/* A million of new ones, each once: they are bounded, and only push out each other. */
static void test_flood(void **state) {
    (void)state;
    enum {
        MAX = 4096,
        KNOWN = 3000,
        FLOOD = 1000000
    };
    Sources *t = new_sources(MAX);
    for (uint32_t i = 0; i < KNOWN; i++) {
        make_known(t, v6(i), SEC);
        make_known(t, v4(i), SEC);
    }
    for (uint32_t i = 0; i < MAX / 4; i++)
        visit(t, v4(KNOWN + i), 9 * SEC); /* new ones of the other family */
    Source *held = visit(t, v6(KNOWN), 9 * SEC);
    sources_hold(t, held);
    for (uint32_t i = 0; i < FLOOD; i++) {
        Source *s = visit(t, v6(0x1000000 + i), 10 * SEC + i);
        if (i % 3 == 0)
            s->accepted++; /* even when they are served */
        if (i % 1000 == 0)
            assert_true(sources_stats(t).known <= (size_t)2 * MAX);
    }
    SourcesStats stats = sources_stats(t);
    assert_int_equal(stats.known, KNOWN + MAX / 4 + KNOWN + MAX / 4 + 1);
    assert_int_equal(stats.evicted, FLOOD - MAX / 4);
    assert_int_equal(stats.failed, 0);
    assert_int_equal(stats.pinned, 1);
    for (uint32_t i = 0; i < KNOWN; i++)
        assert_true(knows(t, v6(i)) && knows(t, v4(i)));
    for (uint32_t i = 0; i < MAX / 4; i++)
        assert_true(knows(t, v4(KNOWN + i)));
    assert_ptr_equal(sources_find(t, 1, &held->prefix), held);
    /* The last of the flood are there, those before them are not. */
    assert_true(knows(t, v6(0x1000000 + FLOOD - 1)) && knows(t, v6(0x1000000 + FLOOD - MAX / 4)));
    assert_false(knows(t, v6(0x1000000 + FLOOD - MAX / 4 - 1)));
    sources_free(t);
}

static size_t allocated(void) {
    struct mallinfo2 m = mallinfo2();
    return m.uordblks + m.hblkhd;
}

/* Some hundred bytes at rest; what is documented when it is full, however many come. A sanitizer's malloc
 * tells nothing: 0 throughout. */
static void test_memory(void **state) {
    (void)state;
    size_t before = allocated();
    Sources *t = new_sources(SOURCES_MAX);
    assert_in_range(allocated() - before, 0, 1024);
    visit(t, v4(1), SEC);
    assert_in_range(allocated() - before, 0, 2048);
    for (uint32_t i = 0; i < 2 * SOURCES_MAX; i++) {
        make_known(t, v4(i), SEC);
        make_known(t, v6(i), SEC);
    }
    SourcesStats stats = sources_stats(t);
    assert_int_equal(stats.known, 2 * SOURCES_MAX);
    assert_int_equal(stats.evicted, 2 * SOURCES_MAX);
    assert_in_range(allocated() - before, 0, 28U << 20);
    sources_free(t);
    assert_in_range(allocated() - before, 0, 16384); /* malloc keeps some at hand */
}

/* It takes to have been accepted, and to come back later than in the same second. */
static void test_who_is_known(void **state) {
    (void)state;
    static const struct {
        uint64_t accepted, after;
        bool known;
    } cases[] = {
        {0, 2 * SEC, false}, {0, 900 * SEC, false}, {1, 0, false},          {1, SEC, false},
        {1, SEC + 1, true},  {5, SEC / 2, false},   {1, 86400 * SEC, true},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        Sources *t = new_sources(64);
        visit(t, v4(1), 50 * SEC)->accepted = cases[i].accepted;
        assert_int_equal(visit(t, v4(1), 50 * SEC + cases[i].after)->known, cases[i].known);
        for (uint32_t k = 0; k < 100; k++)
            visit(t, v4(100 + k), 60 * SEC);
        assert_int_equal(knows(t, v4(1)), cases[i].known);
        sources_free(t);
    }
}

/* When all places of the known are taken, the one unseen for longest becomes new, and then has a chance. */
static void test_known_are_bounded(void **state) {
    (void)state;
    Sources *t = new_sources(16);
    for (uint32_t i = 0; i < 14; i++)
        make_known(t, v4(i), SEC * (1 + i));
    /* 12 known, and the two oldest new */
    assert_int_equal(sources_stats(t).known, 14);
    assert_int_equal(sources_stats(t).evicted, 0);
    make_known(t, v4(0), 100 * SEC); /* known again, in place of 2 */
    for (uint32_t i = 0; i < 100; i++)
        visit(t, v4(1000 + i), 200 * SEC);
    for (uint32_t i = 0; i < 14; i++)
        assert_int_equal(knows(t, v4(i)), i != 1 && i != 2);
    assert_int_equal(sources_stats(t).known, 16);
    sources_free(t);
}

static void test_held(void **state) {
    (void)state;
    enum {
        MAX = 8,
        HELD = 50
    };
    Sources *t = new_sources(MAX);
    Source *held[HELD];
    for (uint32_t i = 0; i < HELD; i++) {
        held[i] = visit(t, v4(i), SEC);
        sources_hold(t, held[i]);
        sources_hold(t, held[i]);
    }
    for (uint32_t i = 0; i < 1000; i++)
        visit(t, v4(1000 + i), SEC);
    assert_int_equal(sources_stats(t).pinned, HELD);
    assert_int_equal(sources_stats(t).known, HELD + MAX / 4);
    for (uint32_t i = 0; i < HELD; i++) {
        assert_ptr_equal(visit(t, v4(i), 2 * SEC), held[i]);
        sources_release(t, held[i]);
        assert_int_equal(held[i]->active, 1);
    }
    assert_int_equal(sources_stats(t).pinned, HELD);
    /* Back among the bounded ones. */
    for (uint32_t i = 0; i < HELD; i++)
        sources_release(t, held[i]);
    assert_int_equal(sources_stats(t).pinned, 0);
    assert_int_equal(sources_stats(t).known, MAX / 4);
    assert_true(knows(t, v4(HELD - 1)));
    sources_free(t);
}

/* Who comes back while he has something running is known when it ends. */
static void test_known_while_held(void **state) {
    (void)state;
    Sources *t = new_sources(16);
    Source *s = visit(t, v4(1), SEC);
    s->accepted++;
    sources_hold(t, s);
    assert_true(visit(t, v4(1), 9 * SEC)->known);
    sources_release(t, s);
    for (uint32_t i = 0; i < 100; i++)
        visit(t, v4(100 + i), 10 * SEC);
    assert_true(knows(t, v4(1)));
    sources_free(t);
}

static void test_forget(void **state) {
    (void)state;
    Sources *t = new_sources(64);
    Peer a = v4(1), b = v4(2), c = v6(3);
    Source *held = sources_visit(t, 1, &a, SEC);
    sources_hold(t, held);
    sources_hold(t, held);
    (void)sources_visit(t, 1, &b, SEC);
    make_known(t, c, SEC);
    Source *other = sources_visit(t, 2, &b, SEC), *other_held = sources_visit(t, 2, &a, SEC);
    sources_hold(t, other_held);
    sources_forget(t, &(Gone){{1}, 1});
    assert_int_equal(sources_stats(t).known, 3);
    assert_false(knows(t, b) || knows(t, c));
    assert_ptr_equal(sources_find(t, 2, &b), other);
    sources_release(t, held);
    assert_int_equal(held->active, 1);
    sources_release(t, held);
    assert_int_equal(sources_stats(t).known, 2);
    assert_int_equal(sources_stats(t).pinned, 1);
    assert_false(knows(t, a));
    sources_release(t, other_held);
    assert_ptr_equal(sources_find(t, 2, &a), other_held);
    sources_forget(t, &(Gone){{3}, 1});
    sources_forget(t, &(Gone){{2}, 1});
    assert_int_equal(sources_stats(t).known, 0);
    /* There is room again. */
    visit(t, a, SEC);
    sources_free(t);
}

static void test_top(void **state) {
    (void)state;
    Sources *t = new_sources(4096);
    const Source *top[5];
    assert_int_equal(sources_top(t, 1, top, 5), 0);
    uint64_t seed = 1;
    for (uint32_t i = 0; i < 200; i++) {
        Source *s = visit(t, i % 2 ? v4(i) : v6(i), SEC + i);
        s->accepted = 1 + random_below(&seed, 30);
        if (i % 5 == 0)
            sources_hold(t, s);
        Peer p = v4(i);
        sources_visit(t, 2, &p, SEC)->accepted = 1000;
    }
    assert_int_equal(sources_top(t, 1, top, 0), 0);
    assert_int_equal(sources_top(t, 1, top, 5), 5);
    for (size_t i = 1; i < 5; i++)
        assert_true(top[i - 1]->accepted > top[i]->accepted ||
                    (top[i - 1]->accepted == top[i]->accepted && top[i - 1]->last_usec > top[i]->last_usec));
    size_t above = 0;
    for (uint32_t i = 0; i < 200; i++) {
        Peer p = i % 2 ? v4(i) : v6(i);
        Source *s = sources_find(t, 1, &p);
        above += s->accepted > top[4]->accepted;
    }
    assert_true(above < 5);
    assert_int_equal(sources_top(t, 3, top, 5), 0);
    const Source *all[300];
    assert_int_equal(sources_top(t, 1, all, 300), 200);
    sources_free(t);
}

/* Of many more than it looks at, those that came last are told. */
static void test_top_of_many(void **state) {
    (void)state;
    Sources *t = new_sources(40000);
    const Source *top[3];
    for (uint32_t i = 0; i < 10000; i++)
        visit(t, v4(i), SEC + i)->accepted = i < 5 ? 100000 : i;
    assert_int_equal(sources_top(t, 1, top, 3), 3);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(top[i]->accepted, 9999 - i);
    visit(t, v4(2), 20000 * SEC); /* back again */
    assert_int_equal(sources_top(t, 1, top, 3), 3);
    assert_int_equal(top[0]->accepted, 100000);
    assert_int_equal(top[1]->accepted, 9999);
    sources_free(t);
}

/* Sources that all share the last 10 bits of their hash under one key are spread by another. */
static void test_hash_is_keyed(void **state) {
    (void)state;
    static const uint8_t other_key[16] = "another key";
    size_t n = 0, same = 0;
    uint32_t i = 0;
    for (; n < 500; i++) {
        Peer p = v6(i);
        if ((peer_hash(&p, 1, key) & 1023) != 0)
            continue;
        n++;
        same += (peer_hash(&p, 1, other_key) & 1023) == 0;
    }
    assert_true(same < 10);
    assert_in_range(i, 300000, 800000); /* and no bit is in favour */
    /* The service counts, the ports do not. */
    Peer p = v4(1), with_port = v4(1);
    with_port.port = 80;
    assert_true(peer_hash(&p, 1, key) == peer_hash(&with_port, 1, key));
    assert_false(peer_hash(&p, 1, key) == peer_hash(&p, 2, key));
}

/* What the table ought to do, written down as simply as can be: an array, searched from end to end. */
typedef struct Record {
    bool in, known, gone;
    uint32_t service;
    Peer prefix;
    unsigned active;
    uint64_t accepted, first, seen; /* seen: the order in which they came to their segments */
} Record;

enum {
    UNIVERSE = 48,
    MODEL_MAX = 12
};

typedef struct Reference {
    Record records[UNIVERSE];
    uint64_t order, evicted;
} Reference;

static size_t count_like(Reference *m, const Record *like, bool known, Record **ret_oldest) {
    size_t n = 0;
    for (size_t i = 0; i < UNIVERSE; i++) {
        Record *r = &m->records[i];
        if (!r->in || r->active > 0 || r->known != known ||
            (r->prefix.kind == PEER_INET6) != (like->prefix.kind == PEER_INET6))
            continue;
        if (n++ == 0 || r->seen < (*ret_oldest)->seen)
            *ret_oldest = r;
    }
    return n;
}

static void model_bound(Reference *m, const Record *like) {
    Record *oldest = NULL;
    if (count_like(m, like, true, &oldest) > MODEL_MAX - MODEL_MAX / 4) {
        oldest->known = false;
        oldest->seen = ++m->order;
    }
    if (count_like(m, like, false, &oldest) > MODEL_MAX / 4) {
        oldest->in = false;
        m->evicted++;
    }
}

static void model_visit(Reference *m, Record *r, uint64_t now) {
    if (!r->in) {
        r->in = true;
        r->known = r->gone = false;
        r->active = 0;
        r->accepted = 0;
        r->first = now;
    } else if (r->accepted > 0 && now - r->first > SEC) {
        r->known = true;
    }
    r->seen = ++m->order;
    model_bound(m, r);
}

static void model_release(Reference *m, Record *r) {
    if (--r->active > 0)
        return;
    r->seen = ++m->order;
    if (r->gone)
        r->in = false;
    model_bound(m, r);
}

static void compare(const Reference *m, const Sources *t, uint64_t seed) {
    size_t n = 0, pinned = 0;
    for (size_t i = 0; i < UNIVERSE; i++) {
        const Record *r = &m->records[i];
        const Source *s = sources_find(t, r->service, &r->prefix);
        if ((s != NULL) != r->in || (s && (s->known != r->known || s->active != r->active ||
                                           s->accepted != r->accepted || s->first_usec != r->first)))
            fail_msg("seed %u: source %zu", (unsigned)seed, i);
        n += r->in;
        pinned += r->in && r->active > 0;
    }
    SourcesStats stats = sources_stats(t);
    assert_int_equal(stats.known, n);
    assert_int_equal(stats.pinned, pinned);
    assert_int_equal(stats.evicted, m->evicted);
}

static void forget_service(Reference *m, Sources *t, uint32_t service, uint32_t next) {
    sources_forget(t, &(Gone){{service}, 1});
    for (size_t i = 0; i < UNIVERSE; i++) {
        Record *r = &m->records[i];
        if (r->service != service)
            continue;
        r->gone = r->in && r->active > 0;
        r->in = r->gone;
        while (r->active > 0) { /* what it has running ends sooner or later, before anything else here */
            sources_release(t, sources_find(t, service, &r->prefix));
            model_release(m, r);
        }
        r->service = next;
    }
}

static void test_against_model(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        uint64_t random = seed, now = SEC;
        uint32_t last_service = 2;
        Sources *t = new_sources(MODEL_MAX);
        Reference m = {0};
        for (uint32_t i = 0; i < UNIVERSE; i++)
            m.records[i] = (Record){.service = 1 + i % 2, .prefix = i % 3 ? v6(i / 2) : v4(i / 2)};
        for (size_t step = 0; step < 2000; step++) {
            Record *r = &m.records[random_below(&random, random_below(&random, 2) ? UNIVERSE : UNIVERSE / 4)];
            now += random_below(&random, SEC / 4);
            if (!r->in || random_below(&random, 3) == 0) {
                model_visit(&m, r, now);
                (void)sources_visit(t, r->service, &r->prefix, now);
            } else if (r->active > 0 && random_below(&random, 2)) {
                sources_release(t, sources_find(t, r->service, &r->prefix));
                model_release(&m, r);
            } else if (random_below(&random, 3)) {
                sources_find(t, r->service, &r->prefix)->accepted++;
                r->accepted++;
            } else {
                sources_hold(t, sources_find(t, r->service, &r->prefix));
                r->active++;
            }
            if (random_below(&random, 300) == 0)
                forget_service(&m, t, r->service, ++last_service);
            compare(&m, t, seed);
        }
        sources_free(t); /* with what is still held */
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_visit),         cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_flood),         cmocka_unit_test(test_memory),
        cmocka_unit_test(test_who_is_known),  cmocka_unit_test(test_known_are_bounded),
        cmocka_unit_test(test_held),          cmocka_unit_test(test_known_while_held),
        cmocka_unit_test(test_forget),        cmocka_unit_test(test_top),
        cmocka_unit_test(test_top_of_many),   cmocka_unit_test(test_hash_is_keyed),
        cmocka_unit_test(test_against_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

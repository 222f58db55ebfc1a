/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/admission.h"
#include "daemon/base/clock.h"
#include "daemon/sources.h"
#include "tests/unit/random.h"

#define SEC NSEC_PER_SEC
#define NOW (1000 * SEC)

/* In the order in which they are asked. */
static const RefuseReason order[] = {
    REFUSE_HOURS, REFUSE_BANNED,    REFUSE_ACCESS,          REFUSE_LOAD,
    REFUSE_RATE,  REFUSE_INSTANCES, REFUSE_RATE_PER_SOURCE, REFUSE_PER_SOURCE};

static bool may_wait(RefuseReason r) {
    return r == REFUSE_LOAD || r == REFUSE_RATE || r == REFUSE_INSTANCES;
}

static bool is_of_source(RefuseReason r) {
    return r == REFUSE_BANNED || r == REFUSE_ACCESS || r == REFUSE_RATE_PER_SOURCE || r == REFUSE_PER_SOURCE;
}

/* Everything that a decision is made from. */
typedef struct Facts {
    LimitsConfig limits;
    ServiceUsage usage;
    SourceUsage source;
    Bucket rate, rate_per_source;
} Facts;

/* With limits on all, and just below each of them but those of @against: bits 1 << RefuseReason. */
static void make_facts(Facts *f, unsigned against, WhenFull when_full) {
    *f = (Facts){
        .limits = {.instances = 50,
                   .per_source = 5,
                   .rate = {2, USEC_PER_SEC, 2},
                   .rate_per_source = {1, 4 * USEC_PER_SEC, 1},
                   .load = 2.0,
                   .when_full = when_full},
        .usage = {.load = 2.0, .instances = 49, .now_nsec = NOW, .opens_nsec = 1500 * SEC},
        .source = {.active = 4, .banned_until_nsec = 1800 * SEC},
    };
    f->usage.rate = &f->rate;
    f->source.rate = &f->rate_per_source;
    assert_true(bucket_take(&f->rate, &f->limits.rate, NOW - SEC / 4));
    f->usage.closed = against & 1U << REFUSE_HOURS;
    f->source.banned = against & 1U << REFUSE_BANNED;
    f->source.denied = against & 1U << REFUSE_ACCESS;
    if (against & 1U << REFUSE_LOAD)
        f->usage.load = 3.2;
    if (against & 1U << REFUSE_RATE)
        assert_true(bucket_take(&f->rate, &f->limits.rate, NOW - SEC / 4));
    if (against & 1U << REFUSE_INSTANCES)
        f->usage.instances = 50;
    if (against & 1U << REFUSE_RATE_PER_SOURCE)
        assert_true(bucket_take(&f->rate_per_source, &f->limits.rate_per_source, NOW - SEC));
    if (against & 1U << REFUSE_PER_SOURCE)
        f->source.active = 5;
}

/* The first of @against in the order, without those of @left_out; -1: none. */
static int first_of(unsigned against, bool (*left_out)(RefuseReason)) {
    for (size_t i = 0; i < ELEMENTS(order); i++)
        if (against & 1U << order[i] && !(left_out && left_out(order[i])))
            return (int)order[i];
    return -1;
}

static void check(const Admission *a, int reason, WhenFull when_full, unsigned against) {
    static const struct {
        uint64_t used, limit, until_nsec;
    } expected[_REFUSE_REASON_MAX] = {
        [REFUSE_HOURS] = {.until_nsec = 1500 * SEC},
        [REFUSE_BANNED] = {.until_nsec = 1800 * SEC},
        [REFUSE_LOAD] = {.used = 320, .limit = 200},
        [REFUSE_RATE] = {.until_nsec = NOW + SEC / 4},
        [REFUSE_INSTANCES] = {.used = 50, .limit = 50},
        [REFUSE_RATE_PER_SOURCE] = {.until_nsec = NOW + 3 * SEC},
        [REFUSE_PER_SOURCE] = {.used = 5, .limit = 5},
    };
    if (reason < 0) {
        if (a->verdict != VERDICT_SERVE)
            fail_msg("%x: not served, %d", against, a->reason);
        assert_true(a->used == 0 && a->limit == 0 && a->until_nsec == 0);
        return;
    }
    bool waits = may_wait((RefuseReason)reason) && when_full == WHEN_FULL_WAIT;
    if (a->verdict != (waits ? VERDICT_WAIT : VERDICT_REFUSE) || (int)a->reason != reason)
        fail_msg("%x: %d %d, not %d", against, a->verdict, a->reason, reason);
    assert_int_equal(a->used, expected[reason].used);
    assert_int_equal(a->limit, expected[reason].limit);
    assert_int_equal(a->until_nsec, expected[reason].until_nsec);
}

static void test_all_combinations(void **state) {
    (void)state;
    for (WhenFull when_full = 0; when_full < _WHEN_FULL_MAX; when_full++) {
        for (unsigned against = 0; against < 1U << _REFUSE_REASON_MAX; against++) {
            Facts f;
            if (against & 1U << REFUSE_PROXY)
                continue;
            make_facts(&f, against, when_full);
            Facts before = f;
            Admission a = admission_of_service(&f.limits, &f.usage);
            check(&a, first_of(against, is_of_source), when_full, against);
            assert_false(when_full == WHEN_FULL_REFUSE && a.verdict == VERDICT_WAIT);
            a = admission_of_source(&f.limits, &f.usage, &f.source);
            check(&a, first_of(against, when_full == WHEN_FULL_WAIT ? may_wait : NULL), when_full, against);
            assert_int_not_equal(a.verdict, VERDICT_WAIT);
            /* A question takes no token. */
            assert_memory_equal(&before.rate, &f.rate, sizeof(f.rate));
            assert_memory_equal(&before.rate_per_source, &f.rate_per_source, sizeof(f.rate_per_source));
        }
    }
}

/* With nothing but the default limits, whoever comes is served. */
static void test_no_limits(void **state) {
    (void)state;
    LimitsConfig limits = {.instances = 1000};
    ServiceUsage usage = {.load = 1e6, .instances = 999, .now_nsec = NOW};
    SourceUsage source = {.active = 1000000};
    assert_int_equal(admission_of_service(&limits, &usage).verdict, VERDICT_SERVE);
    assert_int_equal(admission_of_source(&limits, &usage, &source).verdict, VERDICT_SERVE);
    /* Rates, of which nothing has been taken yet. */
    limits.rate = limits.rate_per_source = (Rate){1, USEC_PER_SEC, 1};
    assert_int_equal(admission_of_service(&limits, &usage).verdict, VERDICT_SERVE);
    assert_int_equal(admission_of_source(&limits, &usage, &source).verdict, VERDICT_SERVE);
}

/* Over each limit by itself, and after it has been raised, or time has passed, or some have ended. */
static void test_always_recovers(void **state) {
    (void)state;
    for (WhenFull when_full = 0; when_full < _WHEN_FULL_MAX; when_full++) {
        Facts f;
        make_facts(&f, 1U << REFUSE_RATE, when_full);
        Admission a = admission_of_service(&f.limits, &f.usage);
        f.usage.now_nsec = a.until_nsec - 1;
        assert_int_not_equal(admission_of_service(&f.limits, &f.usage).verdict, VERDICT_SERVE);
        f.usage.now_nsec = a.until_nsec;
        assert_int_equal(admission_of_service(&f.limits, &f.usage).verdict, VERDICT_SERVE);
        make_facts(&f, 1U << REFUSE_RATE_PER_SOURCE, when_full);
        a = admission_of_source(&f.limits, &f.usage, &f.source);
        f.usage.now_nsec = a.until_nsec - 1;
        assert_int_not_equal(admission_of_source(&f.limits, &f.usage, &f.source).verdict, VERDICT_SERVE);
        f.usage.now_nsec = a.until_nsec;
        assert_int_equal(admission_of_source(&f.limits, &f.usage, &f.source).verdict, VERDICT_SERVE);
        make_facts(&f, 1U << REFUSE_INSTANCES, when_full);
        f.usage.instances = 5000; /* of before a limit was lowered */
        assert_int_not_equal(admission_of_service(&f.limits, &f.usage).verdict, VERDICT_SERVE);
        f.limits.instances = 5001;
        assert_int_equal(admission_of_service(&f.limits, &f.usage).verdict, VERDICT_SERVE);
    }
}

static void test_format(void **state) {
    (void)state;
    static const struct {
        Admission a;
        const char *text;
    } cases[] = {
        {{.verdict = VERDICT_SERVE}, ""},
        {{VERDICT_REFUSE, REFUSE_ACCESS, 0, 0, 0}, "access"},
        {{VERDICT_REFUSE, REFUSE_PER_SOURCE, 5, 5, 0}, "per_source (5 of 5)"},
        {{VERDICT_WAIT, REFUSE_INSTANCES, 120, 50, 0}, "instances (120 of 50)"},
        {{VERDICT_WAIT, REFUSE_INSTANCES, 0, 0, 0}, "instances"},
        {{VERDICT_WAIT, REFUSE_LOAD, 320, 205, 0}, "load (3.20 of 2.05)"},
        {{VERDICT_WAIT, REFUSE_RATE, 0, 0, NOW + 4 * SEC}, "rate, for another 4s"},
        {{VERDICT_WAIT, REFUSE_RATE, 0, 0, NOW + 3 * SEC + 1}, "rate, for another 4s"},
        {{VERDICT_WAIT, REFUSE_RATE, 0, 0, NOW + SEC}, "rate, for another 1s"},
        {{VERDICT_WAIT, REFUSE_RATE, 0, 0, NOW + SEC / 4}, "rate, for another 250ms"},
        {{VERDICT_WAIT, REFUSE_RATE, 0, 0, NOW + 1}, "rate, for another 1ms"},
        {{VERDICT_WAIT, REFUSE_RATE, 0, 0, NOW}, "rate"},
        {{VERDICT_WAIT, REFUSE_RATE, 0, 0, 1}, "rate"},
        {{VERDICT_REFUSE, REFUSE_BANNED, 0, 0, NOW + 598 * SEC}, "banned, for another 9m58s"},
        {{VERDICT_REFUSE, REFUSE_BANNED, 0, 0, UINT64_MAX}, "banned"},
        {{VERDICT_REFUSE, REFUSE_HOURS, 0, 0, NOW + 36000 * SEC}, "hours, for another 10h"},
        {{VERDICT_REFUSE, REFUSE_PROXY, 0, 0, 0}, "proxy"},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        Text t = {0};
        admission_format(&cases[i].a, NOW, &t);
        CLEANUP_FREE char *text = text_take(&t);
        assert_string_equal(text, cases[i].text);
    }
}

enum {
    SOURCES = 6,
    VISITS = 2000
};

typedef struct Visit {
    uint64_t nsec;
    unsigned source, order;
    bool leaves; /* one that was served goes; else one comes */
} Visit;

static int compare_visits(const void *a, const void *b) {
    const Visit *x = a, *y = b;
    if (x->nsec != y->nsec)
        return x->nsec < y->nsec ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

/* The verdicts of @only, of 'r'efused, 's'erved and so on, when all come, or (@alone) nobody else does. */
static void play(const LimitsConfig *limits, const Visit *visits, unsigned only, bool alone, Text *out) {
    static const uint8_t key[16] = {1};
    Sources *t = sources_new(4096, key);
    uint64_t instances = 0;
    for (size_t i = 0; i < VISITS; i++) {
        const Visit *v = &visits[i];
        if (alone && v->source != only)
            continue;
        Peer peer = {.kind = PEER_INET, .in.s_addr = v->source};
        Source *s = sources_visit(t, 1, &peer, v->nsec / NSEC_PER_USEC);
        if (v->leaves) {
            if (s->active > 0) {
                sources_release(t, s);
                instances--;
            }
            continue;
        }
        ServiceUsage usage = {.instances = instances, .now_nsec = v->nsec};
        SourceUsage source = {.active = s->active, .rate = &s->rate};
        Admission a = admission_of_source(limits, &usage, &source);
        if (v->source == only)
            text_addf(out, "%d.%d ", a.verdict, a.verdict == VERDICT_SERVE ? 0 : (int)a.reason);
        if (a.verdict != VERDICT_SERVE)
            continue;
        assert_true(bucket_take(&s->rate, &limits->rate_per_source, v->nsec));
        sources_hold(t, s);
        instances++;
    }
    sources_free(t);
}

static void shuffle_order(Visit *visits, uint64_t *seed) {
    for (size_t i = 0; i < VISITS; i++)
        visits[i].order = (unsigned)random_next(seed);
    qsort(visits, VISITS, sizeof(*visits), compare_visits);
}

/* What one source gets does not depend on the others, nor on who comes first of those that come at the same
 * time, as long as no limit of the service binds. */
static void test_sources_are_independent(void **state) {
    (void)state;
    static Visit visits[VISITS];
    for (uint64_t seed = 1; seed <= 30; seed++) {
        uint64_t random = seed, last[SOURCES] = {0};
        LimitsConfig limits = {
            .instances = 1000000,
            .per_source = 1 + (unsigned)random_below(&random, 5),
            .rate_per_source = {random_size(&random, 20), USEC_PER_SEC, random_size(&random, 10)},
            .when_full = random_below(&random, 2) ? WHEN_FULL_REFUSE : WHEN_FULL_WAIT,
        };
        for (size_t i = 0; i < VISITS; i++) {
            unsigned s = (unsigned)random_below(&random, SOURCES);
            /* In steps that all share; no source twice in one, where its own order would matter. */
            last[s] += 1 + random_below(&random, 3);
            visits[i] = (Visit){.nsec = last[s] * SEC / 16, .source = s, .leaves = random_below(&random, 2)};
        }
        for (unsigned s = 0; s < SOURCES; s++) {
            Text first = {0}, second = {0}, alone = {0};
            shuffle_order(visits, &random);
            play(&limits, visits, s, false, &first);
            shuffle_order(visits, &random);
            play(&limits, visits, s, false, &second);
            play(&limits, visits, s, true, &alone);
            assert_string_equal(first.s, second.s);
            assert_string_equal(first.s, alone.s);
            text_done(&first);
            text_done(&second);
            text_done(&alone);
        }
    }
}

enum {
    PLACES = 50,
    STEPS = 20000,
    EACH_LASTS = 100
};

typedef struct Ends {
    Source *of[STEPS + EACH_LASTS + 1][32];
    size_t n[STEPS + EACH_LASTS + 1];
} Ends;

/* One who comes at @step (milliseconds); whether he is served. */
static bool come(const LimitsConfig *limits, Sources *t, Ends *ends, uint64_t *instances, uint32_t who,
                 size_t step) {
    uint64_t now = (1 + step) * NSEC_PER_USEC * USEC_PER_MSEC;
    ServiceUsage usage = {.instances = *instances, .now_nsec = now};
    if (admission_of_service(limits, &usage).verdict != VERDICT_SERVE)
        return false;
    Peer peer = {.kind = PEER_INET, .in.s_addr = who};
    Source *s = sources_visit(t, 1, &peer, now / NSEC_PER_USEC);
    SourceUsage source = {.active = s->active, .rate = &s->rate};
    if (admission_of_source(limits, &usage, &source).verdict != VERDICT_SERVE)
        return false;
    (void)bucket_take(&s->rate, &limits->rate_per_source, now);
    sources_hold(t, s);
    size_t end = step + EACH_LASTS;
    assert_true(ends->n[end] < ELEMENTS(ends->of[end]));
    ends->of[end][ends->n[end]++] = s;
    ++*instances;
    return true;
}

/* One source that comes five times as often as there are places for: all others are served, whether its share
 * is bounded by number or by rate. */
static void test_flood_of_one_source(void **state) {
    (void)state;
    static const LimitsConfig all_limits[] = {
        {.instances = PLACES, .per_source = 5},
        {.instances = PLACES, .rate_per_source = {30, USEC_PER_SEC, 10}},
    };
    static Ends ends;
    for (size_t l = 0; l < ELEMENTS(all_limits); l++) {
        static const uint8_t key[16] = {1};
        Sources *t = sources_new(4096, key);
        uint64_t instances = 0;
        size_t came = 0, served = 0, of_flood = 0;
        memset(&ends, 0, sizeof(ends));
        for (size_t step = 0; step < STEPS; step++) {
            for (size_t i = 0; i < ends.n[step]; i++, instances--)
                sources_release(t, ends.of[step][i]);
            /* 50 places of 100 ms are 500 a second; it comes 2500 times. */
            for (size_t i = 0; i < 2 + step % 2; i++)
                of_flood += come(&all_limits[l], t, &ends, &instances, 1, step);
            if (step % 4 == 0) { /* 250 a second of 20 others */
                came++;
                served += come(&all_limits[l], t, &ends, &instances, 2 + (uint32_t)(step / 4 % 20), step);
            }
        }
        assert_int_equal(served, came);
        /* It gets its share, and no more: 5 places for 100 ms each, or its rate and burst. */
        assert_in_range(of_flood, 500, l == 0 ? 1000 : 610);
        sources_free(t);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_combinations),        cmocka_unit_test(test_no_limits),
        cmocka_unit_test(test_always_recovers),         cmocka_unit_test(test_format),
        cmocka_unit_test(test_sources_are_independent), cmocka_unit_test(test_flood_of_one_source),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* admission: what a connection costs until it is known whether it is served: its source is looked up, bans
 * and access rules are asked, and all limits. With 100,000 known sources, 10,000 rules and 1,000 bans, in an
 * order that no cache foresees. Then the same while new /64s come, each once. Prints one line of JSON,
 * nanoseconds.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/access.h"
#include "daemon/admission.h"
#include "daemon/bans.h"
#include "daemon/base/clock.h"
#include "daemon/sources.h"

#define KNOWN 100000U
#define RULES 10000U
#define BANNED 1000U
#define MEASURED 500000U
#define TOP 16

typedef struct Bench {
    Sources *sources;
    Bans *bans;
    AccessRules *rules;
    LimitsConfig limits;
    Bucket rate;
    uint64_t random;
    uint32_t n_new;
    uint64_t served, refused;
} Bench;

static uint64_t next_random(Bench *b) {
    b->random = b->random * 6364136223846793005U + 1442695040888963407U;
    return b->random >> 24;
}

static void *not_null(void *p) {
    if (!p) {
        perror("admission");
        exit(1);
    }
    return p;
}

/* Every other one of IPv6, with a host part that is masked away. */
static Peer peer_of(uint32_t n, uint32_t host) {
    Peer p = {.kind = PEER_INET, .in.s_addr = htonl(0x0a000000 + n), .port = (uint16_t)host};
    if (n % 2 == 0)
        return p;
    uint32_t network[4] = {htonl(0x20010db8), htonl(n), htonl(host), host};
    p = (Peer){.kind = PEER_INET6, .port = (uint16_t)host};
    memcpy(&p.in6, network, sizeof(p.in6));
    return p;
}

static void make_rules(Bench *b) {
    AccessRule *rules = not_null(calloc(RULES, sizeof(*rules)));
    for (uint32_t i = 0; i < RULES; i++) {
        Peer p = peer_of(i, 0);
        unsigned bits = p.kind == PEER_INET ? 9 + i % 24 : 33 + i % 32;
        p = peer_mask(&p, bits, bits);
        rules[i] = (AccessRule){.kind = ACCESS_RULE_PREFIX, .prefix = {.kind = p.kind, .bits = bits}};
        if (p.kind == PEER_INET)
            memcpy(rules[i].prefix.bytes, &p.in, sizeof(p.in));
        else
            memcpy(rules[i].prefix.bytes, &p.in6, sizeof(p.in6));
    }
    if (access_rules_new(rules, RULES, false, &b->rules) < 0)
        (void)not_null(NULL);
    free(rules);
}

static void make_bans(Bench *b, uint64_t now_usec) {
    bool is_new;
    for (uint32_t i = 0; i < BANNED; i++) {
        Peer p = peer_of(0x800000 + i, 0);
        if (bans_add(b->bans, &p, 32 - i % 3 * 4, 64 - i % 3 * 8, i % 2, "web", BAN_REFUSALS, now_usec,
                     3600 * USEC_PER_SEC, &is_new) < 0)
            (void)not_null(NULL);
    }
}

/* One connection, as the daemon decides it. */
static void admit(Bench *b, const Peer *peer, uint64_t now_nsec) {
    uint64_t now_usec = now_nsec / NSEC_PER_USEC;
    ServiceUsage usage = {.load = 0.5, .instances = 17, .rate = &b->rate, .now_nsec = now_nsec};
    if (admission_of_service(&b->limits, &usage).verdict != VERDICT_SERVE)
        return;
    Peer prefix = peer_mask(peer, b->limits.source_ipv4, b->limits.source_ipv6);
    Source *s = not_null(sources_visit(b->sources, 1, &prefix, now_usec));
    SourceUsage source = {
        .banned = bans_find(b->bans, peer, 1, now_usec) != NULL,
        .denied = !access_allows(b->rules, peer, NULL, 0, NULL),
        .active = s->active,
        .rate = &s->rate,
    };
    Admission a = admission_of_source(&b->limits, &usage, &source);
    if (a.verdict != VERDICT_SERVE) {
        s->refused++;
        b->refused++;
        return;
    }
    (void)bucket_take(&b->rate, &b->limits.rate, now_nsec);
    (void)bucket_take(&s->rate, &b->limits.rate_per_source, now_nsec);
    s->accepted++;
    b->served++;
    sources_hold(b->sources, s);
    sources_release(b->sources, s);
}

static uint64_t cpu_nsec(void) {
    struct timespec ts = {0};
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

static int compare(const void *a, const void *b) {
    const uint64_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

typedef Peer Chooser(Bench *b, uint32_t i);

static Peer choose_known(Bench *b, uint32_t i) {
    return peer_of((uint32_t)(next_random(b) % KNOWN), i);
}

static Peer choose_new(Bench *b, uint32_t i) {
    return peer_of(2 * b->n_new++ + 1, i);
}

static void print_sorted(const char *name, uint64_t *each, uint32_t n) {
    qsort(each, n, sizeof(*each), compare);
    size_t middle = n / 2, high = n - n / 100 - 1;
    printf("\"%s\": {\"median\": %.0f, \"p99\": %.0f, \"worst\": %.0f}, ", name, (double)each[middle],
           (double)each[high], (double)each[n - 1]);
}

/* @n connections: together, and then as many each by itself. */
static void measure(Bench *b, const char *name, uint32_t n, Chooser *choose) {
    uint64_t *each = not_null(calloc(n, sizeof(*each)));
    uint64_t now = clock_monotonic_nsec(), begin = cpu_nsec();
    for (uint32_t i = 0; i < n; i++) {
        Peer p = choose(b, i);
        admit(b, &p, now + i);
    }
    printf("\"%s\": %.0f, ", name, (double)(cpu_nsec() - begin) / n);
    for (uint32_t i = 0; i < n; i++) {
        Peer p = choose(b, i);
        uint64_t from = cpu_nsec();
        admit(b, &p, now + n + i);
        each[i] = cpu_nsec() - from;
    }
    char single[64];
    (void)snprintf(single, sizeof(single), "%s, single", name);
    print_sorted(single, each, n);
    free(each);
}

/* What it takes to grow: the worst is a step of the table. */
static void measure_growth(Bench *b) {
    static uint64_t each[2 * KNOWN];
    uint64_t now = clock_monotonic_nsec();
    /* Each comes twice, so that it is known. */
    for (uint32_t i = 0; i < 2 * KNOWN; i++) {
        Peer p = peer_of(i / 2, i);
        uint64_t from = cpu_nsec();
        admit(b, &p, now - (i % 2 ? 2 : 5) * NSEC_PER_SEC);
        each[i] = cpu_nsec() - from;
    }
    print_sorted("growing, single", each, 2 * KNOWN);
}

static void measure_top(Bench *b) {
    const Source *top[TOP];
    uint64_t begin = cpu_nsec();
    size_t n = sources_top(b->sources, 1, top, TOP);
    printf("\"top\": %.0f, ", n == TOP ? (double)(cpu_nsec() - begin) : 0.0);
}

int main(void) {
    static const uint8_t key[16] = "admission";
    uint64_t now = clock_monotonic_nsec();
    Bench b = {
        .sources = not_null(sources_new(SOURCES_MAX, key)),
        .bans = not_null(bans_new(BANS_MAX, key)),
        .limits = {.instances = 1000,
                   .per_source = 10,
                   .source_ipv4 = 32,
                   .source_ipv6 = 64,
                   .rate = {100000000, USEC_PER_SEC, 100000000},
                   .rate_per_source = {100, USEC_PER_SEC, 100},
                   .load = 100},
        .random = 1,
        .n_new = 0x1000000,
    };
    make_rules(&b);
    make_bans(&b, now / NSEC_PER_USEC);
    printf("{");
    measure_growth(&b);
    SourcesStats stats = sources_stats(b.sources);
    if (stats.known != KNOWN || b.refused > 0)
        return 1;
    measure(&b, "known", MEASURED, choose_known);
    measure_top(&b);
    measure(&b, "new", MEASURED, choose_new);
    measure(&b, "known after new", MEASURED, choose_known);
    measure_top(&b);
    stats = sources_stats(b.sources);
    printf("\"sources\": %zu, \"evicted\": %.0f, \"served\": %.0f, \"refused\": %.0f}\n", stats.known,
           (double)stats.evicted, (double)b.served, (double)b.refused);
    b.sources = sources_free(b.sources);
    b.bans = bans_free(b.bans);
    b.rules = access_rules_unref(b.rules);
    return 0;
}

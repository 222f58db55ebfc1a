/* SPDX-License-Identifier: MIT */
/* What access rules cost: a config with a file of prefixes is loaded, and peers are decided upon. Prints a
 * table, in milliseconds and nanoseconds of CPU time. Usage: access FOLDER [PREFIXES], the folder for its
 * files. */
#include "conf/access.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "conf/load.h"
#include "daemon/base/cleanup.h"

#define LOOKUPS 2000000U
#define PEERS 65536U

static uint64_t seed = 1;

static uint64_t next_random(void) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

static uint64_t now_nsec(clockid_t clock) {
    struct timespec ts;
    (void)clock_gettime(clock, &ts);
    return (uint64_t)ts.tv_sec * 1000000000U + (uint64_t)ts.tv_nsec;
}

/* Lists of prefixes; all addresses are random ones. */
typedef enum Kind {
    KIND_ADDRESSES, /* single addresses of IPv4 */
    KIND_NETWORKS,  /* of IPv4, /8 to /32 */
    KIND_INET6,     /* /16 to /64, as they are given out */
    KIND_LENGTHS,   /* of IPv6, every length there is */
    KIND_NESTED,    /* of IPv6, all of them around few addresses */
    _KIND_MAX,
} Kind;

static const char *const names[] = {
    [KIND_ADDRESSES] = "IPv4 addresses",
    [KIND_NETWORKS] = "IPv4 networks",
    [KIND_INET6] = "IPv6 networks",
    [KIND_LENGTHS] = "IPv6, all lengths",
    [KIND_NESTED] = "IPv6, all lengths, nested",
};

static void fill(uint8_t bytes[16]) {
    for (size_t i = 0; i < 16; i += 8) {
        uint64_t n = next_random();
        memcpy(bytes + i, &n, sizeof(n));
    }
}

static void write_prefix(FILE *f, Kind kind, size_t i, uint8_t ret[16]) {
    static uint8_t centre[16];
    char text[INET6_ADDRSTRLEN];
    bool inet = kind == KIND_ADDRESSES || kind == KIND_NETWORKS;
    unsigned bits = 0;
    fill(ret);
    switch (kind) {
    case KIND_ADDRESSES:
        bits = 32;
        break;
    case KIND_NETWORKS:
        bits = 8 + (unsigned)(next_random() % 25);
        break;
    case KIND_INET6:
        bits = 16 + (unsigned)(next_random() % 49);
        break;
    case KIND_NESTED:
        if (i % 128 == 0)
            memcpy(centre, ret, sizeof(centre));
        memcpy(ret, centre, sizeof(centre));
        bits = 1 + (unsigned)(i % 128);
        break;
    case KIND_LENGTHS:
        bits = 1 + (unsigned)(i % 128);
        break;
    case _KIND_MAX:
        break;
    }
    (void)inet_ntop(inet ? AF_INET : AF_INET6, ret, text, sizeof(text));
    (void)fprintf(f, "%s/%u\n", text, bits);
}

/* Every other peer is in one of the prefixes. */
static void write_list(const char *path, Kind kind, size_t n, Peer *peers) {
    CLEANUP_FCLOSE FILE *f = fopen(path, "we");
    if (!f)
        exit(1);
    for (size_t i = 0; i < n; i++) {
        uint8_t bytes[16];
        write_prefix(f, kind, i, bytes);
        Peer *p = &peers[i % PEERS];
        if (i % 2)
            fill(bytes);
        p->kind = kind == KIND_ADDRESSES || kind == KIND_NETWORKS ? PEER_INET : PEER_INET6;
        if (p->kind == PEER_INET)
            memcpy(&p->in, bytes, 4);
        else
            memcpy(&p->in6, bytes, 16);
    }
}

static Config *load(const char *config, const char *list, double *ret_msec) {
    CLEANUP_DIAGS DiagList diags = {0};
    Config *c = NULL;
    const LoadContext context = {.euid = geteuid(), .libexecdir = "/bin", .environ = environ};
    CLEANUP_FCLOSE FILE *f = fopen(config, "we");
    if (!f)
        exit(1);
    (void)fprintf(f,
                  "version: 1\nservices: {s: {listen: tcp:7007, exec: [/bin/true], user: self, "
                  "access: {deny: [\"file:%s\"]}}}\n",
                  list);
    (void)fflush(f);
    uint64_t start = now_nsec(CLOCK_PROCESS_CPUTIME_ID);
    int r = config_load(config, &context, &diags, &c);
    *ret_msec = (double)(now_nsec(CLOCK_PROCESS_CPUTIME_ID) - start) / 1e6;
    if (r < 0) {
        CLEANUP_TEXT Text text = {0};
        diag_list_format(&diags, NULL, &text);
        (void)fputs(text.s ? text.s : "no memory\n", stderr);
        exit(1);
    }
    return c;
}

static void measure(const char *folder, Kind kind, size_t n) {
    CLEANUP_TEXT Text list = {0};
    CLEANUP_TEXT Text config = {0};
    CLEANUP_FREE Peer *peers = calloc(PEERS, sizeof(Peer));
    text_addf(&list, "%s/prefixes", folder);
    text_addf(&config, "%s/config.yaml", folder);
    if (!peers || !text_ok(&list) || !text_ok(&config))
        exit(1);
    write_list(list.s, kind, n, peers);
    double loaded, again;
    CLEANUP_CONFIG Config *c = load(config.s, list.s, &loaded);
    CLEANUP_CONFIG Config *d = load(config.s, list.s, &again);
    const AccessRules *rules = c->services[0]->terms->access.rules;
    size_t denied = 0;
    uint64_t start = now_nsec(CLOCK_PROCESS_CPUTIME_ID);
    for (size_t i = 0; i < LOOKUPS; i++) {
        AccessRule rule;
        denied += !access_allows(rules, &peers[(i * 40503U) % PEERS], NULL, 0, &rule);
    }
    double each = (double)(now_nsec(CLOCK_PROCESS_CPUTIME_ID) - start) / LOOKUPS;
    (void)printf("%-26s %8zu %10.1f %10.1f %10.0f %9.0f %%\n", names[kind], access_rules_count(rules), loaded,
                 again, each, 100.0 * (double)denied / LOOKUPS);
}

int main(int argc, char **argv) {
    size_t n = argc > 2 ? strtoul(argv[2], NULL, 10) : 100000;
    if (argc < 2 || n == 0) {
        (void)fprintf(stderr, "usage: access FOLDER [PREFIXES]\n");
        return 2;
    }
    (void)printf("%-26s %8s %10s %10s %10s %11s\n", "", "rules", "load ms", "again ms", "decide ns",
                 "denied");
    for (Kind kind = 0; kind < _KIND_MAX; kind++)
        measure(argv[1], kind, n);
    return 0;
}

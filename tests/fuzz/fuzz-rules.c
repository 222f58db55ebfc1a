/* SPDX-License-Identifier: MIT */
/* Any bytes as a file of access rules, and each of its lines as hours: no crash, every message can be shown,
 * and what rules are found decide as if each had been looked at. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "conf/hours.h"
#include "conf/rule-file.h"
#include "daemon/base/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PEERS 32

static void check(bool held) {
    if (!held)
        abort();
}

/* Names would be looked up in the user data base for each input. */
static bool has_names(const char *s, size_t n) {
    for (size_t i = 0; i + 4 < n; i++)
        if (memcmp(s + i + 1, "id:", 3) == 0 && (s[i + 4] < '0' || s[i + 4] > '9'))
            return true;
    return false;
}

/* The longest that has @peer, allowed all of them. */
static int longest(const RuleVector *rules, const Peer *peer) {
    int best = -1;
    for (size_t i = 0; i < rules->n; i++) {
        const AccessRule *rule = &rules->items[i];
        int bits = rule->kind == ACCESS_RULE_ANY ? 0 : (int)rule->prefix.bits + 1;
        bool has = rule->kind == ACCESS_RULE_ANY ||
                   (rule->kind == ACCESS_RULE_PREFIX && prefix_has(&rule->prefix, peer));
        if (has && bits > best)
            best = bits;
    }
    return best;
}

static void decide(const RuleVector *rules, const uint8_t *data, size_t size) {
    AccessRules *compiled = NULL;
    if (access_rules_new(rules->items, rules->n, true, &compiled) < 0)
        return;
    for (size_t i = 0; i < PEERS && i < rules->n; i++) {
        const Prefix *p = &rules->items[i].prefix;
        Peer peer = {.kind = p->kind, .scope = p->scope};
        AccessRule by;
        if (p->kind != PEER_INET && p->kind != PEER_INET6)
            continue;
        memcpy(&peer.in6, p->bytes, p->kind == PEER_INET ? 4 : 16);
        if (size > 0 && data[i % size] & 1)
            peer.in6.s6_addr[p->kind == PEER_INET ? 3 : 15] ^= data[i % size];
        bool allowed = access_allows(compiled, &peer, NULL, 0, &by);
        int best = longest(rules, &peer);
        check(allowed == (best >= 0));
        if (allowed)
            check(best == (by.kind == ACCESS_RULE_ANY ? 0 : (int)by.prefix.bits + 1));
        CLEANUP_TEXT Text text = {0};
        access_rule_format(&by, &text);
    }
    access_rules_unref(compiled);
}

static void try_hours(const char *text, size_t n) {
    for (const char *s = text, *end = text + n; s < end;) {
        size_t length = strcspn(s, "\n");
        char *line = strndup(s, length);
        Hours h = {0};
        const char *why = NULL;
        if (line && hours_add(&h, line, &why) < 0)
            check(why != NULL);
        else if (line)
            check(hours_always(&h) == (hours_next_change(&h, 1711843200) == (time_t)-1));
        free(line);
        s += length + 1;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    CLEANUP_DIAGS DiagList diags = {0};
    CLEANUP_LOOKUPS Lookups *lookups = lookups_new();
    char *text = malloc(size + 1);
    RuleVector rules = {0};
    if (!text || !lookups) {
        free(text);
        return 0;
    }
    memcpy(text, data, size);
    text[size] = '\0';
    if (!has_names(text, size)) {
        int r = rule_file_parse("fuzz", text, size, lookups, &diags, &rules);
        check((r < 0) == (diags.n_errors > 0));
        decide(&rules, data, size);
    }
    try_hours(text, size);
    free(rules.items);
    free(text);
    CLEANUP_TEXT Text out = {0};
    diag_list_format(&diags, NULL, &out);
    for (size_t i = 0; i < out.len; i++)
        check((out.s[i] >= 0x20 || out.s[i] < 0 || out.s[i] == '\n') && out.s[i] != 0x7f);
    return 0;
}

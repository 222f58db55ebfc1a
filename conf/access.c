/* SPDX-License-Identifier: MIT */
#include "conf/access.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "conf/access-private.h"
#include "daemon/base/siphash.h"

static_assert(sizeof(AccessEntry) == 24, "without holes");

static int compare_bits(const AccessBits *a, const AccessBits *b) {
    if (a->hi != b->hi)
        return a->hi < b->hi ? -1 : 1;
    return a->lo == b->lo ? 0 : a->lo < b->lo ? -1 : 1;
}

/* Ones behind the first @bits bits. */
AccessBits access_rest_of(unsigned bits) {
    return (AccessBits){
        .hi = bits < 64 ? UINT64_MAX >> bits : 0,
        .lo = bits <= 64   ? UINT64_MAX
              : bits < 128 ? UINT64_MAX >> (bits - 64)
                           : 0,
    };
}

static AccessBits from_u32(uint32_t n) {
    return (AccessBits){.hi = (uint64_t)n << 32};
}

static AccessBits from_bytes(const uint8_t bytes[static 16]) {
    AccessBits n = {0};
    for (unsigned i = 0; i < 8; i++) {
        n.hi = n.hi << 8 | bytes[i];
        n.lo = n.lo << 8 | bytes[i + 8];
    }
    return n;
}

static AccessEntry entry_of(const AccessRule *rule) {
    const Prefix *p = &rule->prefix;
    AccessEntry e = {.bits = 32, .deny = rule->deny};
    if (rule->kind == ACCESS_RULE_GROUP) {
        e.space = ACCESS_SPACE_GROUP;
        e.first = from_u32(rule->gid);
        return e;
    }
    if (p->kind == PEER_UNIX || p->kind == PEER_VSOCK) {
        e.space = p->kind == PEER_UNIX ? ACCESS_SPACE_USER : ACCESS_SPACE_CID;
        e.first = from_u32(p->kind == PEER_UNIX ? (uint32_t)p->uid : p->cid);
        return e;
    }
    e.space = p->kind == PEER_INET6 ? ACCESS_SPACE_INET6 : ACCESS_SPACE_INET;
    e.scope = p->scope;
    e.bits = (uint8_t)p->bits;
    e.first = from_bytes(p->bytes);
    AccessBits rest = access_rest_of(p->bits);
    e.first.hi &= ~rest.hi;
    e.first.lo &= ~rest.lo;
    return e;
}

/* Shorter prefixes stand before those within them, deny before allow. */
int access_compare_entries(const void *a, const void *b) {
    const AccessEntry *x = a, *y = b;
    if (x->space != y->space)
        return x->space < y->space ? -1 : 1;
    if (x->scope != y->scope)
        return x->scope < y->scope ? -1 : 1;
    int k = compare_bits(&x->first, &y->first);
    if (k != 0)
        return k;
    if (x->bits != y->bits)
        return x->bits < y->bits ? -1 : 1;
    return (int)y->deny - (int)x->deny;
}

bool access_same_place(const AccessEntry *a, const AccessEntry *b) {
    return a->space == b->space && a->scope == b->scope && a->bits == b->bits &&
           compare_bits(&a->first, &b->first) == 0;
}

static int sort_entries(AccessRules *r, const AccessRule *rules, size_t n) {
    r->entries = calloc(n + 1, sizeof(AccessEntry));
    if (!r->entries)
        return -ENOMEM;
    size_t m = 0;
    for (size_t i = 0; i < n; i++) {
        if (rules[i].kind != ACCESS_RULE_ANY)
            r->entries[m++] = entry_of(&rules[i]);
        else if (rules[i].deny)
            r->any_deny = true;
        else
            r->any_allow = true;
    }
    qsort(r->entries, m, sizeof(AccessEntry), access_compare_entries);
    for (size_t i = 0; i < m; i++)
        if (r->n_entries == 0 || !access_same_place(&r->entries[r->n_entries - 1], &r->entries[i]))
            r->entries[r->n_entries++] = r->entries[i];
    return 0;
}

/* Of those that deny, or of the others. */
static int digest(const AccessRules *r, bool deny, AccessDigest *ret) {
    static const uint8_t keys[2][SIPHASH_KEY_BYTES] = {"access rules: a", "access rules: b"};
    CLEANUP_FREE AccessEntry *part = malloc((r->n_entries + 1) * sizeof(AccessEntry));
    size_t n = 0;
    if (!part)
        return -ENOMEM;
    for (size_t i = 0; i < r->n_entries; i++)
        if (r->entries[i].deny == deny)
            part[n++] = r->entries[i];
    *ret = (AccessDigest){
        .a = siphash24(keys[0], part, n * sizeof(AccessEntry)),
        .b = siphash24(keys[1], part, n * sizeof(AccessEntry)),
    };
    return 0;
}

/* From @start on the innermost one decides. */
static void cut(AccessCompiler *c, AccessBits start) {
    AccessRules *r = c->rules;
    AccessTable *table = &r->tables[r->n_tables - 1];
    uint32_t decider = c->n_around > 0 ? c->around[c->n_around - 1] : ACCESS_NO_RULE;
    if (table->n == 0 || compare_bits(&r->starts[r->n_segments - 1], &start) != 0) {
        table->n++;
        r->n_segments++;
    }
    r->starts[r->n_segments - 1] = start;
    r->deciders[r->n_segments - 1] = decider;
}

/* Leaves the prefixes that end before @next (NULL: all). */
static void leave(AccessCompiler *c, const AccessBits *next) {
    while (c->n_around > 0) {
        const AccessEntry *e = &c->rules->entries[c->around[c->n_around - 1]];
        AccessBits rest = access_rest_of(e->bits);
        AccessBits last = {.hi = e->first.hi | rest.hi, .lo = e->first.lo | rest.lo};
        if (next && compare_bits(&last, next) >= 0)
            return;
        c->n_around--;
        last.lo++;
        last.hi += last.lo == 0;
        if (last.hi > 0 || last.lo > 0) /* else it went up to the end */
            cut(c, last);
    }
}

int access_compile_begin(AccessCompiler *c, AccessRules *r) {
    *c = (AccessCompiler){.rules = r};
    r->tables = calloc(r->n_entries + 1, sizeof(AccessTable));
    r->starts = calloc(2 * r->n_entries + 1, sizeof(AccessBits));
    r->deciders = calloc(2 * r->n_entries + 1, sizeof(uint32_t));
    return r->tables && r->starts && r->deciders ? 0 : -ENOMEM;
}

void access_compile_add(AccessCompiler *c, size_t i) {
    AccessRules *r = c->rules;
    const AccessEntry *e = &r->entries[i];
    const AccessTable *table = r->n_tables > 0 ? &r->tables[r->n_tables - 1] : NULL;
    if (!table || table->space != e->space || table->scope != e->scope) {
        leave(c, NULL);
        r->tables[r->n_tables++] =
            (AccessTable){.scope = e->scope, .space = e->space, .first = r->n_segments};
    }
    leave(c, &e->first);
    c->around[c->n_around++] = (uint32_t)i;
    cut(c, e->first);
}

void access_compile_end(AccessCompiler *c) {
    leave(c, NULL);
}

static int compile(AccessRules *r) {
    AccessCompiler c;
    if (access_compile_begin(&c, r) < 0)
        return -ENOMEM;
    for (size_t i = 0; i < r->n_entries; i++)
        access_compile_add(&c, i);
    access_compile_end(&c);
    return 0;
}

int access_rules_new(const AccessRule *rules, size_t n, bool has_allow, AccessRules **ret) {
    AccessRules *r = calloc(1, sizeof(AccessRules));
    if (!r)
        return -ENOMEM;
    r->refs = 1;
    r->has_allow = has_allow;
    if (sort_entries(r, rules, n) < 0 || digest(r, false, &r->allowed) < 0 ||
        digest(r, true, &r->denied) < 0 || compile(r) < 0) {
        access_rules_unref(r);
        return -ENOMEM;
    }
    *ret = r;
    return 0;
}

AccessRules *access_rules_ref(AccessRules *r) {
    r->refs++;
    return r;
}

AccessRules *access_rules_unref(AccessRules *r) {
    if (!r || --r->refs > 0)
        return NULL;
    free(r->entries);
    free(r->tables);
    free(r->starts);
    free(r->deciders);
    free(r);
    return NULL;
}

size_t access_rules_count(const AccessRules *r) {
    return r ? r->n_entries + r->any_allow + r->any_deny : 0;
}

size_t access_rules_count_side(const AccessRules *r, AccessSide side) {
    size_t n = 0;
    if (!r)
        return 0;
    if (side != ACCESS_DENY)
        n += r->any_allow;
    if (side != ACCESS_ALLOW)
        n += r->any_deny;
    for (size_t i = 0; i < r->n_entries; i++)
        if (side == ACCESS_BOTH || r->entries[i].deny == (side == ACCESS_DENY))
            n++;
    return n;
}

bool access_rules_admit_all(const AccessRules *r) {
    return r->n_entries == 0 && !r->any_deny && (!r->has_allow || r->any_allow);
}

static bool same_digest(const AccessDigest *a, const AccessDigest *b) {
    return a->a == b->a && a->b == b->b;
}

bool access_rules_equal(const AccessRules *a, const AccessRules *b, AccessSide side) {
    if (a == b)
        return true;
    if (!a || !b) /* nothing is denied by none */
        return side == ACCESS_DENY && access_rules_count_side(a ? a : b, ACCESS_DENY) == 0;
    bool allow =
        a->has_allow == b->has_allow && a->any_allow == b->any_allow && same_digest(&a->allowed, &b->allowed);
    bool deny = a->any_deny == b->any_deny && same_digest(&a->denied, &b->denied);
    return (allow || side == ACCESS_DENY) && (deny || side == ACCESS_ALLOW);
}

static const AccessTable *find_table(const AccessRules *r, AccessSpace space, uint32_t scope) {
    for (size_t low = 0, high = r->n_tables; low < high;) {
        size_t middle = low + (high - low) / 2;
        const AccessTable *t = &r->tables[middle];
        if (t->space == space && t->scope == scope)
            return t;
        if (t->space < space || (t->space == space && t->scope < scope))
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

bool access_rules_want_groups(const AccessRules *r) {
    return r && find_table(r, ACCESS_SPACE_GROUP, 0);
}

/* The rule with the longest prefix that has @n, or NULL. */
static const AccessEntry *find(const AccessRules *r, AccessSpace space, uint32_t scope, AccessBits n) {
    const AccessTable *t = find_table(r, space, scope);
    if (!t)
        return NULL;
    const AccessBits *at = &r->starts[t->first];
    for (size_t left = t->n; left > 1;) {
        size_t half = left / 2;
        at = compare_bits(&at[half], &n) <= 0 ? at + half : at;
        left -= half;
    }
    uint32_t decider = r->deciders[at - r->starts];
    return compare_bits(at, &n) <= 0 && decider != ACCESS_NO_RULE ? &r->entries[decider] : NULL;
}

/* The longer prefix, and of two as long the one that denies. */
static const AccessEntry *closer(const AccessEntry *a, const AccessEntry *b) {
    if (!a || !b)
        return a ? a : b;
    return a->bits > b->bits || (a->bits == b->bits && a->deny) ? a : b;
}

static const AccessEntry *decide(const AccessRules *r, const Peer *peer, const gid_t *groups,
                                 size_t n_groups) {
    const AccessEntry *found = NULL;
    switch (peer->kind) {
    case PEER_INET:
        return find(r, ACCESS_SPACE_INET, 0, from_u32(ntohl(peer->in.s_addr)));
    case PEER_INET6:
        found = find(r, ACCESS_SPACE_INET6, 0, from_bytes(peer->in6.s6_addr));
        if (peer->scope == 0)
            return found;
        return closer(found, find(r, ACCESS_SPACE_INET6, peer->scope, from_bytes(peer->in6.s6_addr)));
    case PEER_UNIX:
        found = find(r, ACCESS_SPACE_USER, 0, from_u32(peer->uid));
        if (found)
            return found;
        for (size_t i = 0; i < n_groups; i++)
            found = closer(found, find(r, ACCESS_SPACE_GROUP, 0, from_u32(groups[i])));
        return found;
    case PEER_VSOCK:
        return find(r, ACCESS_SPACE_CID, 0, from_u32(peer->cid));
    case PEER_NONE:
        break;
    }
    return NULL;
}

static void to_bytes(AccessBits n, uint8_t bytes[static 16]) {
    for (unsigned i = 0; i < 8; i++) {
        bytes[i] = (uint8_t)(n.hi >> (56 - 8 * i));
        bytes[i + 8] = (uint8_t)(n.lo >> (56 - 8 * i));
    }
}

static AccessRule rule_of(const AccessEntry *e) {
    AccessRule rule = {.kind = ACCESS_RULE_PREFIX, .deny = e->deny};
    uint32_t number = (uint32_t)(e->first.hi >> 32);
    switch ((AccessSpace)e->space) {
    case ACCESS_SPACE_INET:
    case ACCESS_SPACE_INET6:
        rule.prefix = (Prefix){.kind = e->space == ACCESS_SPACE_INET ? PEER_INET : PEER_INET6,
                               .bits = e->bits,
                               .scope = e->scope};
        to_bytes(e->first, rule.prefix.bytes);
        break;
    case ACCESS_SPACE_USER:
        rule.prefix = (Prefix){.kind = PEER_UNIX, .uid = number};
        break;
    case ACCESS_SPACE_CID:
        rule.prefix = (Prefix){.kind = PEER_VSOCK, .cid = number};
        break;
    case ACCESS_SPACE_GROUP:
        rule.kind = ACCESS_RULE_GROUP;
        rule.gid = number;
        break;
    }
    return rule;
}

bool access_allows(const AccessRules *r, const Peer *peer, const gid_t *groups, size_t n_groups,
                   AccessRule *ret_rule) {
    const AccessEntry *e = r ? decide(r, peer, groups, n_groups) : NULL;
    bool denied = e ? e->deny : r && (r->any_deny || (r->has_allow && !r->any_allow));
    if (ret_rule)
        *ret_rule = e ? rule_of(e) : (AccessRule){.kind = ACCESS_RULE_ANY, .deny = denied};
    return !denied;
}

void access_rule_format(const AccessRule *rule, Text *out) {
    if (rule->kind == ACCESS_RULE_ANY)
        text_add(out, "any");
    else if (rule->kind == ACCESS_RULE_GROUP)
        text_addf(out, "gid:%u", (unsigned)rule->gid);
    else
        prefix_format(&rule->prefix, out);
}

/* SPDX-License-Identifier: MIT */
#include "conf/access.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/siphash.h"

#define NO_RULE UINT32_MAX

/* An address of any kind as a number of 128 bits; shorter ones stand at its upper end. */
typedef struct Bits128 {
    uint64_t hi, lo;
} Bits128;

/* Spaces of numbers that know nothing of each other. */
typedef enum Space {
    SPACE_INET,
    SPACE_INET6,
    SPACE_USER,
    SPACE_GROUP,
    SPACE_CID,
} Space;

/* A rule in its space. */
typedef struct Entry {
    Bits128 first; /* the lowest number that it has */
    uint32_t scope;
    uint8_t space, bits;
    bool deny;
    uint8_t zero; /* no byte of it is left undefined: it is hashed as it is */
} Entry;

static_assert(sizeof(Entry) == 24, "without holes");

/* What stands for many rules when they are compared. */
typedef struct Digest {
    uint64_t a, b;
} Digest;

/* A space, and of IPv6 the scope: a run of the segments. */
typedef struct Table {
    uint32_t scope;
    Space space;
    size_t first, n;
} Table;

/* Prefixes lie within each other or apart, so that all of them together cut a space into segments, in each
 * of which one rule decides: the one with the longest prefix. To decide is to find the segment. */
struct AccessRules {
    unsigned refs;
    bool has_allow;
    bool any_allow, any_deny;
    Entry *entries; /* sorted, each there once */
    size_t n_entries;
    Digest allowed, denied;
    Table *tables; /* sorted */
    size_t n_tables;
    Bits128 *starts;    /* of the segments; each goes up to the next one */
    uint32_t *deciders; /* which of the entries decides there, or NO_RULE */
    size_t n_segments;
};

static int compare_bits(const Bits128 *a, const Bits128 *b) {
    if (a->hi != b->hi)
        return a->hi < b->hi ? -1 : 1;
    return a->lo == b->lo ? 0 : a->lo < b->lo ? -1 : 1;
}

/* Ones behind the first @bits bits. */
static Bits128 rest_of(unsigned bits) {
    return (Bits128){
        .hi = bits < 64 ? UINT64_MAX >> bits : 0,
        .lo = bits <= 64   ? UINT64_MAX
              : bits < 128 ? UINT64_MAX >> (bits - 64)
                           : 0,
    };
}

static Bits128 from_u32(uint32_t n) {
    return (Bits128){.hi = (uint64_t)n << 32};
}

static Bits128 from_bytes(const uint8_t bytes[static 16]) {
    Bits128 n = {0};
    for (unsigned i = 0; i < 8; i++) {
        n.hi = n.hi << 8 | bytes[i];
        n.lo = n.lo << 8 | bytes[i + 8];
    }
    return n;
}

static Entry entry_of(const AccessRule *rule) {
    const Prefix *p = &rule->prefix;
    Entry e = {.bits = 32, .deny = rule->deny};
    if (rule->kind == ACCESS_RULE_GROUP) {
        e.space = SPACE_GROUP;
        e.first = from_u32(rule->gid);
        return e;
    }
    if (p->kind == PEER_UNIX || p->kind == PEER_VSOCK) {
        e.space = p->kind == PEER_UNIX ? SPACE_USER : SPACE_CID;
        e.first = from_u32(p->kind == PEER_UNIX ? (uint32_t)p->uid : p->cid);
        return e;
    }
    e.space = p->kind == PEER_INET6 ? SPACE_INET6 : SPACE_INET;
    e.scope = p->scope;
    e.bits = (uint8_t)p->bits;
    e.first = from_bytes(p->bytes);
    Bits128 rest = rest_of(p->bits);
    e.first.hi &= ~rest.hi;
    e.first.lo &= ~rest.lo;
    return e;
}

/* Shorter prefixes stand before those within them, deny before allow. */
static int compare_entries(const void *a, const void *b) {
    const Entry *x = a, *y = b;
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

static bool same_place(const Entry *a, const Entry *b) {
    return a->space == b->space && a->scope == b->scope && a->bits == b->bits &&
           compare_bits(&a->first, &b->first) == 0;
}

static int sort_entries(AccessRules *r, const AccessRule *rules, size_t n) {
    r->entries = calloc(n + 1, sizeof(Entry));
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
    qsort(r->entries, m, sizeof(Entry), compare_entries);
    for (size_t i = 0; i < m; i++)
        if (r->n_entries == 0 || !same_place(&r->entries[r->n_entries - 1], &r->entries[i]))
            r->entries[r->n_entries++] = r->entries[i];
    return 0;
}

/* Of those that deny, or of the others. */
static int digest(const AccessRules *r, bool deny, Digest *ret) {
    static const uint8_t keys[2][SIPHASH_KEY_BYTES] = {"access rules: a", "access rules: b"};
    CLEANUP_FREE Entry *part = malloc((r->n_entries + 1) * sizeof(Entry));
    size_t n = 0;
    if (!part)
        return -ENOMEM;
    for (size_t i = 0; i < r->n_entries; i++)
        if (r->entries[i].deny == deny)
            part[n++] = r->entries[i];
    *ret = (Digest){
        .a = siphash24(keys[0], part, n * sizeof(Entry)),
        .b = siphash24(keys[1], part, n * sizeof(Entry)),
    };
    return 0;
}

/* The prefixes around the place that a compiler has come to, from the widest to the narrowest. */
typedef struct Compiler {
    AccessRules *rules;
    uint32_t around[129];
    size_t n_around;
} Compiler;

/* From @start on the innermost one decides. */
static void cut(Compiler *c, Bits128 start) {
    AccessRules *r = c->rules;
    Table *table = &r->tables[r->n_tables - 1];
    uint32_t decider = c->n_around > 0 ? c->around[c->n_around - 1] : NO_RULE;
    if (table->n == 0 || compare_bits(&r->starts[r->n_segments - 1], &start) != 0) {
        table->n++;
        r->n_segments++;
    }
    r->starts[r->n_segments - 1] = start;
    r->deciders[r->n_segments - 1] = decider;
}

/* Leaves the prefixes that end before @next (NULL: all). */
static void leave(Compiler *c, const Bits128 *next) {
    while (c->n_around > 0) {
        const Entry *e = &c->rules->entries[c->around[c->n_around - 1]];
        Bits128 rest = rest_of(e->bits);
        Bits128 last = {.hi = e->first.hi | rest.hi, .lo = e->first.lo | rest.lo};
        if (next && compare_bits(&last, next) >= 0)
            return;
        c->n_around--;
        last.lo++;
        last.hi += last.lo == 0;
        if (last.hi > 0 || last.lo > 0) /* else it went up to the end */
            cut(c, last);
    }
}

static int compile(AccessRules *r) {
    Compiler c = {.rules = r};
    r->tables = calloc(r->n_entries + 1, sizeof(Table));
    r->starts = calloc(2 * r->n_entries + 1, sizeof(Bits128));
    r->deciders = calloc(2 * r->n_entries + 1, sizeof(uint32_t));
    if (!r->tables || !r->starts || !r->deciders)
        return -ENOMEM;
    for (size_t i = 0; i < r->n_entries; i++) {
        const Entry *e = &r->entries[i];
        const Table *table = r->n_tables > 0 ? &r->tables[r->n_tables - 1] : NULL;
        if (!table || table->space != e->space || table->scope != e->scope) {
            leave(&c, NULL);
            r->tables[r->n_tables++] = (Table){.scope = e->scope, .space = e->space, .first = r->n_segments};
        }
        leave(&c, &e->first);
        c.around[c.n_around++] = (uint32_t)i;
        cut(&c, e->first);
    }
    leave(&c, NULL);
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

static bool same_digest(const Digest *a, const Digest *b) {
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

static const Table *find_table(const AccessRules *r, Space space, uint32_t scope) {
    for (size_t low = 0, high = r->n_tables; low < high;) {
        size_t middle = low + (high - low) / 2;
        const Table *t = &r->tables[middle];
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
    return r && find_table(r, SPACE_GROUP, 0);
}

/* The rule with the longest prefix that has @n, or NULL. */
static const Entry *find(const AccessRules *r, Space space, uint32_t scope, Bits128 n) {
    const Table *t = find_table(r, space, scope);
    if (!t)
        return NULL;
    const Bits128 *at = &r->starts[t->first];
    for (size_t left = t->n; left > 1;) {
        size_t half = left / 2;
        at = compare_bits(&at[half], &n) <= 0 ? at + half : at;
        left -= half;
    }
    uint32_t decider = r->deciders[at - r->starts];
    return compare_bits(at, &n) <= 0 && decider != NO_RULE ? &r->entries[decider] : NULL;
}

/* The longer prefix, and of two as long the one that denies. */
static const Entry *closer(const Entry *a, const Entry *b) {
    if (!a || !b)
        return a ? a : b;
    return a->bits > b->bits || (a->bits == b->bits && a->deny) ? a : b;
}

static const Entry *decide(const AccessRules *r, const Peer *peer, const gid_t *groups, size_t n_groups) {
    const Entry *found = NULL;
    switch (peer->kind) {
    case PEER_INET:
        return find(r, SPACE_INET, 0, from_u32(ntohl(peer->in.s_addr)));
    case PEER_INET6:
        found = find(r, SPACE_INET6, 0, from_bytes(peer->in6.s6_addr));
        if (peer->scope == 0)
            return found;
        return closer(found, find(r, SPACE_INET6, peer->scope, from_bytes(peer->in6.s6_addr)));
    case PEER_UNIX:
        found = find(r, SPACE_USER, 0, from_u32(peer->uid));
        if (found)
            return found;
        for (size_t i = 0; i < n_groups; i++)
            found = closer(found, find(r, SPACE_GROUP, 0, from_u32(groups[i])));
        return found;
    case PEER_VSOCK:
        return find(r, SPACE_CID, 0, from_u32(peer->cid));
    case PEER_NONE:
        break;
    }
    return NULL;
}

static void to_bytes(Bits128 n, uint8_t bytes[static 16]) {
    for (unsigned i = 0; i < 8; i++) {
        bytes[i] = (uint8_t)(n.hi >> (56 - 8 * i));
        bytes[i + 8] = (uint8_t)(n.lo >> (56 - 8 * i));
    }
}

static AccessRule rule_of(const Entry *e) {
    AccessRule rule = {.kind = ACCESS_RULE_PREFIX, .deny = e->deny};
    uint32_t number = (uint32_t)(e->first.hi >> 32);
    switch ((Space)e->space) {
    case SPACE_INET:
    case SPACE_INET6:
        rule.prefix = (Prefix){
            .kind = e->space == SPACE_INET ? PEER_INET : PEER_INET6, .bits = e->bits, .scope = e->scope};
        to_bytes(e->first, rule.prefix.bytes);
        break;
    case SPACE_USER:
        rule.prefix = (Prefix){.kind = PEER_UNIX, .uid = number};
        break;
    case SPACE_CID:
        rule.prefix = (Prefix){.kind = PEER_VSOCK, .cid = number};
        break;
    case SPACE_GROUP:
        rule.kind = ACCESS_RULE_GROUP;
        rule.gid = number;
        break;
    }
    return rule;
}

bool access_allows(const AccessRules *r, const Peer *peer, const gid_t *groups, size_t n_groups,
                   AccessRule *ret_rule) {
    const Entry *e = r ? decide(r, peer, groups, n_groups) : NULL;
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

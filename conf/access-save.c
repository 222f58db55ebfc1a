/* SPDX-License-Identifier: MIT */
#include "conf/access-save.h"

#include <assert.h>
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "conf/access-private.h"

/* The digests are believed: they say only what is equal. */
typedef enum RulesTag {
    RULES_KEY = 1,
    RULES_ENTRIES,
} RulesTag;

typedef enum RulesFlag {
    RULES_HAS_ALLOW = 1 << 0,
    RULES_ANY_ALLOW = 1 << 1,
    RULES_ANY_DENY = 1 << 2,
} RulesFlag;

/* An entry as it is written: two numbers of 64 bits, one of 32, then space, bits, deny and a 0. */
#define ENTRY_BYTES ((size_t)24)

struct AccessLoader {
    BlobSource *source;
    AccessKey key;
    const uint8_t *at, *end;
    AccessRules *rules;
    AccessCompiler compiler;
};

static void put_u64(uint8_t *to, uint64_t v) {
    v = htole64(v);
    memcpy(to, &v, sizeof(v));
}

static uint64_t get_u64(const uint8_t *from) {
    uint64_t v;
    memcpy(&v, from, sizeof(v));
    return le64toh(v);
}

void access_rules_key(const AccessRules *r, AccessKey *ret) {
    const uint64_t words[] = {
        r->allowed.a,
        r->allowed.b,
        r->denied.a,
        r->denied.b,
        (r->has_allow ? RULES_HAS_ALLOW : 0U) | (r->any_allow ? RULES_ANY_ALLOW : 0U) |
            (r->any_deny ? RULES_ANY_DENY : 0U),
    };
    static_assert(sizeof(words) == ACCESS_KEY_BYTES, "all of the key");
    for (size_t i = 0; i < ELEMENTS(words); i++)
        put_u64(ret->bytes + 8 * i, words[i]);
}

static void write_entry(uint8_t *to, const AccessEntry *e) {
    uint32_t scope = htole32(e->scope);
    put_u64(to, e->first.hi);
    put_u64(to + 8, e->first.lo);
    memcpy(to + 16, &scope, sizeof(scope));
    to[20] = e->space;
    to[21] = e->bits;
    to[22] = e->deny;
    to[23] = 0;
}

void access_rules_put(BlobWriter *w, uint16_t tag, const AccessRules *r) {
    AccessKey key;
    CLEANUP_FREE uint8_t *entries = malloc(r->n_entries * ENTRY_BYTES + 1);
    if (!entries) {
        w->failed = true;
        return;
    }
    for (size_t i = 0; i < r->n_entries; i++)
        write_entry(entries + i * ENTRY_BYTES, &r->entries[i]);
    size_t at = blob_open(w, tag);
    access_rules_key(r, &key);
    blob_put_bytes(w, RULES_KEY, key.bytes, sizeof(key.bytes));
    blob_put_bytes(w, RULES_ENTRIES, entries, r->n_entries * ENTRY_BYTES);
    blob_close(w, at);
}

static int make_rules(AccessLoader *l) {
    size_t n = (size_t)(l->end - l->at) / ENTRY_BYTES;
    AccessRules *r = l->rules = calloc(1, sizeof(AccessRules));
    uint64_t flags = get_u64(l->key.bytes + 32);
    if (!r)
        return -ENOMEM;
    r->refs = 1;
    r->has_allow = (flags & RULES_HAS_ALLOW) != 0;
    r->any_allow = (flags & RULES_ANY_ALLOW) != 0;
    r->any_deny = (flags & RULES_ANY_DENY) != 0;
    r->allowed = (AccessDigest){.a = get_u64(l->key.bytes), .b = get_u64(l->key.bytes + 8)};
    r->denied = (AccessDigest){.a = get_u64(l->key.bytes + 16), .b = get_u64(l->key.bytes + 24)};
    r->entries = calloc(n + 1, sizeof(AccessEntry));
    r->n_entries = n;
    int k = r->entries ? access_compile_begin(&l->compiler, r) : -ENOMEM;
    r->n_entries = 0;
    return k;
}

AccessLoader *access_loader_new(const BlobField *f) {
    AccessLoader *l = calloc(1, sizeof(*l));
    if (!l) {
        blob_spoil(f->source, "out of memory");
        return NULL;
    }
    l->source = f->source;
    BlobReader r = blob_enter(f);
    BlobField g;
    bool has_key = false;
    while (blob_next(&r, &g)) {
        size_t n = 0;
        if (g.tag == RULES_KEY) {
            blob_copy(&g, l->key.bytes, sizeof(l->key.bytes));
            has_key = true;
        } else if (g.tag == RULES_ENTRIES) {
            l->at = blob_bytes(&g, &n);
            l->end = l->at ? l->at + n : NULL;
            if (n % ENTRY_BYTES != 0)
                blob_spoil(l->source, "rules are cut off");
        }
    }
    if (!has_key || !l->at || get_u64(l->key.bytes + 32) > 7)
        blob_spoil(l->source, "rules are incomplete");
    if (!blob_is_spoilt(l->source) && make_rules(l) < 0)
        blob_spoil(l->source, "out of memory");
    return blob_is_spoilt(l->source) ? access_loader_free(l) : l;
}

AccessLoader *access_loader_free(AccessLoader *l) {
    if (l)
        access_rules_unref(l->rules);
    free(l);
    return NULL;
}

const AccessKey *access_loader_key(const AccessLoader *l) {
    return &l->key;
}

static bool entry_is_good(const AccessEntry *e) {
    static const uint8_t bits[ACCESS_SPACES] = {
        [ACCESS_SPACE_INET] = 32,  [ACCESS_SPACE_INET6] = 128, [ACCESS_SPACE_USER] = 32,
        [ACCESS_SPACE_GROUP] = 32, [ACCESS_SPACE_CID] = 32,
    };
    if (e->space >= ACCESS_SPACES || e->bits > bits[e->space])
        return false;
    bool inet = e->space == ACCESS_SPACE_INET || e->space == ACCESS_SPACE_INET6;
    AccessBits rest = access_rest_of(e->bits);
    return (inet || e->bits == bits[e->space]) && (e->scope == 0 || e->space == ACCESS_SPACE_INET6) &&
           (e->first.hi & rest.hi) == 0 && (e->first.lo & rest.lo) == 0;
}

static void take_entry(AccessLoader *l) {
    AccessRules *r = l->rules;
    const uint8_t *from = l->at;
    uint32_t scope;
    memcpy(&scope, from + 16, sizeof(scope));
    AccessEntry *e = &r->entries[r->n_entries];
    *e = (AccessEntry){
        .first = {.hi = get_u64(from), .lo = get_u64(from + 8)},
        .scope = le32toh(scope),
        .space = from[20],
        .bits = from[21],
        .deny = from[22] == 1,
    };
    bool sorted = r->n_entries == 0 || (access_compare_entries(e - 1, e) < 0 && !access_same_place(e - 1, e));
    if (!entry_is_good(e) || !sorted || from[22] > 1 || from[23] != 0) {
        blob_spoil(l->source, "a rule is not what it should be");
        return;
    }
    access_compile_add(&l->compiler, r->n_entries);
    r->n_entries++;
    l->at += ENTRY_BYTES;
}

int access_loader_step(AccessLoader *l, size_t n) {
    while (n-- > 0 && l->at < l->end && !blob_is_spoilt(l->source))
        take_entry(l);
    if (blob_is_spoilt(l->source))
        return 0;
    if (l->at < l->end)
        return 1;
    access_compile_end(&l->compiler);
    return 0;
}

AccessRules *access_loader_take(AccessLoader *l) {
    return TAKE_PTR(l->rules);
}

/* SPDX-License-Identifier: MIT */
#include "conf/service-blob-parts.h"

#include <assert.h>
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "conf/config-build.h"
#include "conf/service-blob.h"

#define NO_FILE UINT32_MAX
/* A place: file, line, column, end column. */
#define POS_WORDS ((size_t)4)
/* An origin: its place, key, item, flags. */
#define ORIGIN_WORDS (POS_WORDS + 3)
#define ORIGINS_MAX ((size_t)1 << 20)

typedef enum OriginFlag {
    ORIGIN_FROM_DEFAULTS = 1 << 0,
    ORIGIN_IGNORED = 1 << 1,
} OriginFlag;

static_assert(sizeof(uid_t) == sizeof(uint32_t) && sizeof(gid_t) == sizeof(uint32_t),
              "as ids_put() has them");

static void words_store(uint8_t *to, const uint32_t *words, size_t n) {
    for (size_t i = 0; i < n; i++) {
        uint32_t word = htole32(words[i]);
        memcpy(to + 4 * i, &word, sizeof(word));
    }
}

static void words_load(const uint8_t *from, uint32_t *words, size_t n) {
    for (size_t i = 0; i < n; i++) {
        memcpy(&words[i], from + 4 * i, sizeof(words[i]));
        words[i] = le32toh(words[i]);
    }
}

static void pos_to_words(const ConfigPos *pos, char *const *files, uint32_t words[static POS_WORDS]) {
    words[0] = NO_FILE;
    for (uint32_t i = 0; pos->file && files && files[i]; i++)
        if (streq(files[i], pos->file)) {
            words[0] = i;
            break;
        }
    words[1] = pos->line;
    words[2] = pos->column;
    words[3] = pos->end_column;
}

static void pos_from_words(BlobSource *source, const uint32_t words[static POS_WORDS], char *const *files,
                           size_t n_files, ConfigPos *ret) {
    if (words[0] != NO_FILE && words[0] >= n_files) {
        blob_spoil(source, "a place is in no file");
        return;
    }
    *ret = (ConfigPos){
        .file = words[0] == NO_FILE ? NULL : files[words[0]],
        .line = words[1],
        .column = words[2],
        .end_column = words[3],
    };
}

void pos_put(BlobWriter *w, uint16_t tag, const ConfigPos *pos, char *const *files) {
    uint32_t words[POS_WORDS];
    uint8_t bytes[4 * POS_WORDS];
    pos_to_words(pos, files, words);
    words_store(bytes, words, POS_WORDS);
    blob_put_bytes(w, tag, bytes, sizeof(bytes));
}

void pos_get(const BlobField *f, char *const *files, ConfigPos *ret) {
    uint32_t words[POS_WORDS];
    uint8_t bytes[4 * POS_WORDS] = {0};
    blob_copy(f, bytes, sizeof(bytes));
    words_load(bytes, words, POS_WORDS);
    if (!blob_is_spoilt(f->source))
        pos_from_words(f->source, words, files, strv_length(files), ret);
}

void origins_put(BlobWriter *w, uint16_t tag, const ConfigOrigin *origins, size_t n, char *const *files) {
    CLEANUP_FREE uint8_t *bytes = malloc(4 * ORIGIN_WORDS * n + 1);
    if (!bytes) {
        w->failed = true;
        return;
    }
    for (size_t i = 0; i < n; i++) {
        uint32_t words[ORIGIN_WORDS];
        pos_to_words(&origins[i].pos, files, words);
        words[POS_WORDS] = origins[i].key;
        words[POS_WORDS + 1] = origins[i].item;
        words[POS_WORDS + 2] = (origins[i].from_defaults ? ORIGIN_FROM_DEFAULTS : 0U) |
                               (origins[i].ignored ? ORIGIN_IGNORED : 0U);
        words_store(bytes + 4 * ORIGIN_WORDS * i, words, ORIGIN_WORDS);
    }
    blob_put_bytes(w, tag, bytes, 4 * ORIGIN_WORDS * n);
}

void origins_get(const BlobField *f, const KeyMap *keys, char *const *files, ConfigOrigin **ret,
                 size_t *ret_n) {
    size_t size = 0, n_files = strv_length(files);
    const uint8_t *bytes = blob_bytes(f, &size);
    size_t n = size / (4 * ORIGIN_WORDS);
    if (size % (4 * ORIGIN_WORDS) != 0 || n > ORIGINS_MAX || *ret) {
        blob_spoil(f->source, "origins are cut off");
        return;
    }
    if (n == 0)
        return;
    ConfigOrigin *origins = *ret = calloc(n, sizeof(ConfigOrigin));
    if (!origins) {
        blob_spoil(f->source, "out of memory");
        return;
    }
    for (size_t i = 0; i < n && !blob_is_spoilt(f->source); i++) {
        uint32_t words[ORIGIN_WORDS];
        words_load(bytes + 4 * ORIGIN_WORDS * i, words, ORIGIN_WORDS);
        const Key *key = key_map_find(keys, words[POS_WORDS], f->source);
        if (!key || words[POS_WORDS + 2] > (ORIGIN_FROM_DEFAULTS | ORIGIN_IGNORED)) {
            blob_spoil(f->source, "an origin is not what it should be");
            return;
        }
        ConfigOrigin *o = &origins[(*ret_n)++];
        pos_from_words(f->source, words, files, n_files, &o->pos);
        o->key = (uint16_t)schema_index(key);
        o->item = words[POS_WORDS + 1];
        o->from_defaults = (words[POS_WORDS + 2] & ORIGIN_FROM_DEFAULTS) != 0;
        o->ignored = (words[POS_WORDS + 2] & ORIGIN_IGNORED) != 0;
    }
}

/* Endpoints */

typedef enum EndpointTag {
    ENDPOINT_KIND = 1,
    ENDPOINT_TEXT,
    ENDPOINT_PATH, /* where in the text it begins */
    ENDPOINT_ADDR, /* for each: the bytes of a sockaddr */
    ENDPOINT_SCOPE,
    ENDPOINT_BOTH,
} EndpointTag;

void endpoint_put(BlobWriter *w, uint16_t tag, const Endpoint *e) {
    size_t at = blob_open(w, tag);
    blob_put_str(w, ENDPOINT_KIND, endpoint_kind_to_string(e->kind));
    blob_put_str(w, ENDPOINT_TEXT, e->text);
    if (e->path)
        blob_put_u64(w, ENDPOINT_PATH, (uint64_t)(e->path - e->text));
    for (size_t i = 0; i < e->n_addrs; i++) {
        const Addr a = endpoint_addr(e, i);
        blob_put_bytes(w, ENDPOINT_ADDR, &a.storage, a.len);
    }
    blob_put_str(w, ENDPOINT_SCOPE, e->scope);
    blob_put_bool(w, ENDPOINT_BOTH, e->both_families);
    blob_close(w, at);
}

static void get_scope(const BlobField *f, char *to, size_t size) {
    CLEANUP_FREE char *s = blob_str(f);
    if (!s || f->n >= size)
        blob_spoil(f->source, "a text is too long");
    else
        memcpy(to, s, f->n + 1);
}

/* Whether bind(2) would understand it as what @kind says. */
static bool addr_is_good(EndpointKind kind, const Addr *a) {
    size_t path = offsetof(struct sockaddr_un, sun_path);
    sa_family_t family = a->sa.sa_family;
    if (endpoint_kind_is_inet(kind))
        return (family == AF_INET && a->len == sizeof(a->in)) ||
               (family == AF_INET6 && a->len == sizeof(a->in6));
    if (endpoint_kind_is_unix(kind))
        return family == AF_UNIX && a->len > path && a->len <= sizeof(a->un);
    if (kind == ENDPOINT_VSOCK)
        return family == AF_VSOCK && a->len == sizeof(a->vm);
    return a->len == 0;
}

typedef struct Addrs {
    Addr items[ELEMENTS(((Endpoint *)NULL)->addrs)];
    size_t n;
} Addrs;

static void get_addr(const BlobField *f, Addrs *to) {
    size_t n = 0;
    const void *bytes = blob_bytes(f, &n);
    if (!bytes || n > sizeof(to->items[0].storage) || to->n == ELEMENTS(to->items)) {
        blob_spoil(f->source, "an address is too long");
        return;
    }
    memcpy(&to->items[to->n].storage, bytes, n);
    to->items[to->n++].len = (socklen_t)n;
}

/* That of a UNIX socket is its path's. */
static bool take_addrs(const Addrs *from, Endpoint *e) {
    for (size_t i = 0; i < from->n; i++) {
        const Addr *a = &from->items[i];
        if (!addr_is_good(e->kind, a))
            return false;
        e->n_addrs++;
        if (!endpoint_kind_is_unix(e->kind))
            memcpy(&e->addrs[i], &a->storage, a->len);
        const Addr taken = endpoint_addr(e, i);
        if (taken.len != a->len || memcmp(&taken.storage, &a->storage, a->len) != 0)
            return false;
    }
    return true;
}

void endpoint_get(const BlobField *f, Endpoint *ret, char **ret_text) {
    CLEANUP_FREE char *kind = NULL;
    uint64_t path = UINT64_MAX;
    Addrs addrs = {.n = 0};
    *ret = (Endpoint){0};
    BlobReader r = blob_enter(f);
    BlobField g;
    while (blob_next(&r, &g)) {
        if (g.tag == ENDPOINT_KIND)
            blob_take_str(&g, &kind);
        else if (g.tag == ENDPOINT_TEXT)
            blob_take_str(&g, ret_text);
        else if (g.tag == ENDPOINT_PATH)
            path = blob_u64_max(&g, ENDPOINT_TEXT_MAX - 1);
        else if (g.tag == ENDPOINT_ADDR)
            get_addr(&g, &addrs);
        else if (g.tag == ENDPOINT_SCOPE)
            get_scope(&g, ret->scope, sizeof(ret->scope));
        else if (g.tag == ENDPOINT_BOTH)
            ret->both_families = blob_bool(&g);
    }
    int k = kind ? endpoint_kind_from_string(kind) : -EINVAL;
    size_t n = *ret_text ? strlen(*ret_text) : 0;
    bool good = k >= 0 && n > 0 && n < ENDPOINT_TEXT_MAX && (path == UINT64_MAX || path < n);
    ret->text = *ret_text ? *ret_text : "";
    bool has_path = k >= 0 && (endpoint_kind_is_unix((EndpointKind)k) || k == ENDPOINT_FIFO ||
                               k == ENDPOINT_MQUEUE || k == ENDPOINT_SYSTEMD);
    good = good && has_path == (path != UINT64_MAX);
    if (good) {
        ret->kind = (EndpointKind)k;
        ret->path = has_path ? ret->text + path : NULL;
    }
    if (!good || !take_addrs(&addrs, ret))
        blob_spoil(f->source, "an endpoint is not what it should be");
}

/* What was looked up */

void ids_put(BlobWriter *w, uint16_t tag, const uint32_t *ids, size_t n) {
    CLEANUP_FREE uint8_t *bytes = malloc(4 * n + 1);
    if (!bytes) {
        w->failed = true;
        return;
    }
    words_store(bytes, ids, n);
    blob_put_bytes(w, tag, bytes, 4 * n);
}

void ids_get(const BlobField *f, uint32_t **ret, size_t *ret_n) {
    size_t size = 0;
    const uint8_t *bytes = blob_bytes(f, &size);
    if (!bytes || size % 4 != 0 || *ret) {
        blob_spoil(f->source, "numbers are cut off");
        return;
    }
    *ret = calloc(size / 4 + 1, sizeof(uint32_t));
    if (!*ret) {
        blob_spoil(f->source, "out of memory");
        return;
    }
    *ret_n = size / 4;
    words_load(bytes, *ret, *ret_n);
}

typedef enum ResolvedTag {
    RESOLVED_OK = 1,
    RESOLVED_PROGRAM,
    RESOLVED_FORWARD,
    RESOLVED_UID,
    RESOLVED_GID,
    RESOLVED_CHANGE_IDS,
    RESOLVED_GROUPS,
    RESOLVED_USER_NAME,
    RESOLVED_HOME,
    RESOLVED_SHELL,
    RESOLVED_TO_PORT,
} ResolvedTag;

void resolved_put(BlobWriter *w, uint16_t tag, const Resolved *r) {
    size_t at = blob_open(w, tag);
    blob_put_bool(w, RESOLVED_OK, r->ok);
    blob_put_str(w, RESOLVED_PROGRAM, r->program);
    blob_put_str(w, RESOLVED_FORWARD, r->forward);
    blob_put_u64(w, RESOLVED_UID, r->uid);
    blob_put_u64(w, RESOLVED_GID, r->gid);
    blob_put_bool(w, RESOLVED_CHANGE_IDS, r->change_ids);
    if (r->groups)
        ids_put(w, RESOLVED_GROUPS, r->groups, r->n_groups);
    blob_put_str(w, RESOLVED_USER_NAME, r->user_name);
    blob_put_str(w, RESOLVED_HOME, r->home);
    blob_put_str(w, RESOLVED_SHELL, r->shell);
    if (r->to_port > 0)
        blob_put_u64(w, RESOLVED_TO_PORT, r->to_port);
    blob_close(w, at);
}

static void get_resolved_field(const BlobField *g, Resolved *r) {
    switch (g->tag) {
    case RESOLVED_OK:
        r->ok = blob_bool(g);
        break;
    case RESOLVED_PROGRAM:
        blob_take_str(g, &r->program);
        break;
    case RESOLVED_FORWARD:
        blob_take_str(g, &r->forward);
        break;
    case RESOLVED_UID:
        r->uid = (uid_t)blob_u64_max(g, UINT32_MAX - 1);
        break;
    case RESOLVED_GID:
        r->gid = (gid_t)blob_u64_max(g, UINT32_MAX - 1);
        break;
    case RESOLVED_CHANGE_IDS:
        r->change_ids = blob_bool(g);
        break;
    case RESOLVED_GROUPS:
        ids_get(g, &r->groups, &r->n_groups);
        break;
    case RESOLVED_USER_NAME:
        blob_take_str(g, &r->user_name);
        break;
    case RESOLVED_HOME:
        blob_take_str(g, &r->home);
        break;
    case RESOLVED_SHELL:
        blob_take_str(g, &r->shell);
        break;
    case RESOLVED_TO_PORT:
        r->to_port = (uint16_t)blob_u64_max(g, UINT16_MAX);
        break;
    default:
        break;
    }
}

void resolved_get(const BlobField *f, Resolved *ret) {
    bool has_ids[2] = {false, false};
    BlobReader r = blob_enter(f);
    BlobField g;
    while (blob_next(&r, &g)) {
        get_resolved_field(&g, ret);
        has_ids[0] |= g.tag == RESOLVED_UID;
        has_ids[1] |= g.tag == RESOLVED_GID;
    }
    /* Without a user it would be root. */
    if (!has_ids[0] || !has_ids[1] || (ret->ok && (!ret->user_name || !ret->home || !ret->shell)))
        blob_spoil(f->source, "an identity is incomplete");
}

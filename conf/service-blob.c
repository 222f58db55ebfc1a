/* SPDX-License-Identifier: MIT */
#include "conf/service-blob.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "conf/capability.h"
#include "conf/config-build.h"
#include "conf/decode.h"
#include "conf/diag-blob.h"
#include "conf/hours.h"
#include "conf/service-blob-parts.h"
#include "daemon/base/siphash.h"

/* The name comes first, then the files, which the places are in. */
typedef enum ServiceTag {
    SERVICE_NAME = 1,
    SERVICE_FILES,
    SERVICE_KEYS,
    SERVICE_POS,
    SERVICE_EXEC_POS,
    SERVICE_USER_POS,
    SERVICE_LISTEN,
    SERVICE_ORIGINS,
    SERVICE_RULES,   /* the key of access.rules */
    SERVICE_TRUSTED, /* the key of proxy_trusted */
    SERVICE_HOURS,
    SERVICE_EXIT_CODES,
    SERVICE_GREETING,
    SERVICE_REFUSED,
    SERVICE_SUCCESS_FACTS,
    SERVICE_FAILURE_FACTS,
    SERVICE_RESOLVED,
    SERVICE_PROBLEM,
    SERVICE_INCOMPLETE,
    SERVICE_CAPABILITIES,
    SERVICE_FILTER,
} ServiceTag;

typedef enum ListenTag {
    LISTEN_ENDPOINT = 1,
    LISTEN_KEYS,
    LISTEN_POS,
    LISTEN_USER,
    LISTEN_GROUP,
} ListenTag;

#define HOURS_WORDS ELEMENTS(((Hours *)NULL)->open)
#define FIELD_HEAD ((size_t)8)

AccessRules *rules_set_find(RulesSet *set, const AccessKey *key) {
    for (size_t i = 0; i < set->n; i++) {
        size_t at = (set->at + i) % set->n;
        AccessKey other;
        access_rules_key(set->items[at], &other);
        if (memcmp(&other, key, sizeof(other)) != 0)
            continue;
        set->at = at;
        return set->items[at];
    }
    return NULL;
}

/* Writing */

static void put_listen(BlobWriter *w, const ListenConfig *l, char *const *files) {
    size_t at = blob_open(w, SERVICE_LISTEN);
    endpoint_put(w, LISTEN_ENDPOINT, &l->endpoint);
    keys_put(w, LISTEN_KEYS, KEY_SCOPE_LISTEN, l);
    pos_put(w, LISTEN_POS, &l->pos, files);
    blob_put_u64(w, LISTEN_USER, l->user);
    blob_put_u64(w, LISTEN_GROUP, l->group);
    blob_close(w, at);
}

static void put_rules(BlobWriter *w, uint16_t tag, const AccessRules *rules) {
    AccessKey key;
    if (!rules)
        return;
    access_rules_key(rules, &key);
    blob_put_bytes(w, tag, key.bytes, sizeof(key.bytes));
}

/* Instructions as this machine has them: they do not leave it. */
static void put_sandbox(BlobWriter *w, const SandboxConfig *sandbox) {
    if (!sandbox)
        return;
    if (sandbox->capabilities)
        blob_put_u64(w, SERVICE_CAPABILITIES, sandbox->capability_set);
    if (sandbox->n_filter > 0)
        blob_put_bytes(w, SERVICE_FILTER, sandbox->filter, sandbox->n_filter * sizeof(*sandbox->filter));
}

static void put_derived(BlobWriter *w, const ServiceConfig *s) {
    put_rules(w, SERVICE_RULES, s->terms->access.rules);
    put_rules(w, SERVICE_TRUSTED, s->terms->proxy_trusted);
    if (s->terms->access.open)
        blob_put_u64s(w, SERVICE_HOURS, s->terms->access.open->open, HOURS_WORDS);
    blob_put_u64s(w, SERVICE_EXIT_CODES, s->terms->ban.exit_code_bits,
                  ELEMENTS(s->terms->ban.exit_code_bits));
    if (s->terms->banner.greeting_bytes)
        blob_put_bytes(w, SERVICE_GREETING, s->terms->banner.greeting_bytes, s->terms->banner.n_greeting);
    if (s->terms->banner.refused_bytes)
        blob_put_bytes(w, SERVICE_REFUSED, s->terms->banner.refused_bytes, s->terms->banner.n_refused);
    blob_put_u64(w, SERVICE_SUCCESS_FACTS, s->terms->log.success_facts);
    blob_put_u64(w, SERVICE_FAILURE_FACTS, s->terms->log.failure_facts);
    put_sandbox(w, s->sandbox);
}

void service_blob_put(BlobWriter *w, uint16_t tag, const ServiceConfig *s) {
    size_t at = blob_open(w, tag);
    blob_put_str(w, SERVICE_NAME, s->name);
    blob_put_strv(w, SERVICE_FILES, s->files);
    keys_put(w, SERVICE_KEYS, KEY_SCOPE_SERVICE, s);
    pos_put(w, SERVICE_POS, &s->pos, s->files);
    pos_put(w, SERVICE_EXEC_POS, &s->exec_pos, s->files);
    pos_put(w, SERVICE_USER_POS, &s->user_pos, s->files);
    for (size_t i = 0; i < s->n_listen; i++)
        put_listen(w, &s->listen[i], s->files);
    origins_put(w, SERVICE_ORIGINS, s->origins, s->n_origins, s->files);
    put_derived(w, s);
    resolved_put(w, SERVICE_RESOLVED, &s->resolved);
    if (s->problem)
        diag_put(w, SERVICE_PROBLEM, s->problem);
    blob_put_bool(w, SERVICE_INCOMPLETE, s->incomplete);
    blob_close(w, at);
}

/* Reading */

static void get_listen(const BlobField *f, const KeyMap *keys, ServiceConfig *s) {
    ListenConfig *l = &s->listen[s->n_listen++];
    bool has_endpoint = false;
    listen_config_init(l);
    BlobReader r = blob_enter(f);
    BlobField g;
    while (blob_next(&r, &g)) {
        if (g.tag == LISTEN_ENDPOINT) {
            endpoint_get(&g, &l->endpoint, &l->text);
            has_endpoint = true;
        } else if (g.tag == LISTEN_KEYS) {
            keys_get(&g, keys, KEY_SCOPE_LISTEN, l);
        } else if (g.tag == LISTEN_POS) {
            pos_get(&g, s->files, &l->pos);
        } else if (g.tag == LISTEN_USER) {
            l->user = (uid_t)blob_u64_max(&g, UINT32_MAX);
        } else if (g.tag == LISTEN_GROUP) {
            l->group = (gid_t)blob_u64_max(&g, UINT32_MAX);
        }
    }
    if (!has_endpoint || !l->name)
        blob_spoil(f->source, "a listener is incomplete");
}

static void get_rules(const BlobField *f, RulesSet *rules, AccessRules **ret) {
    AccessKey key = {{0}};
    blob_copy(f, key.bytes, sizeof(key.bytes));
    AccessRules *found = rules_set_find(rules, &key);
    access_rules_unref(*ret);
    *ret = found ? access_rules_ref(found) : NULL;
    if (!found)
        blob_spoil(f->source, "rules are missing");
}

static void get_hours(const BlobField *f, Hours **ret) {
    free(*ret);
    *ret = calloc(1, sizeof(Hours));
    if (!*ret) {
        blob_spoil(f->source, "out of memory");
        return;
    }
    blob_u64s(f, (*ret)->open, HOURS_WORDS);
    if (HOURS_MINUTES_A_WEEK % 64 != 0)
        (*ret)->open[HOURS_WORDS - 1] &= ((uint64_t)1 << (HOURS_MINUTES_A_WEEK % 64)) - 1;
}

static void get_banner(const BlobField *f, char **ret, size_t *ret_n) {
    size_t n = 0;
    const void *bytes = blob_bytes(f, &n);
    if (!bytes || n > BANNER_MAX) {
        blob_spoil(f->source, "a banner is too long");
        return;
    }
    free(*ret);
    *ret = malloc(n + 1);
    if (!*ret) {
        blob_spoil(f->source, "out of memory");
        return;
    }
    memcpy(*ret, bytes, n);
    (*ret)[n] = '\0';
    *ret_n = n;
}

static void get_problem(const BlobField *f, ServiceConfig *s) {
    s->problem = diag_free(s->problem);
    Diag *problem = calloc(1, sizeof(Diag));
    if (!problem) {
        blob_spoil(f->source, "out of memory");
        return;
    }
    diag_get(f, problem);
    if (problem->file)
        s->problem = problem;
    else
        free(problem);
}

static void get_filter(const BlobField *f, SandboxConfig *sandbox) {
    size_t n = 0;
    const void *bytes = blob_bytes(f, &n);
    if (!bytes || n == 0 || n % sizeof(struct sock_filter) != 0 ||
        n > BPF_MAXINSNS * sizeof(struct sock_filter) || sandbox->filter) {
        blob_spoil(f->source, "a filter is not what it should be");
        return;
    }
    sandbox->filter = malloc(n);
    if (!sandbox->filter) {
        blob_spoil(f->source, "out of memory");
        return;
    }
    memcpy(sandbox->filter, bytes, n);
    sandbox->n_filter = n / sizeof(struct sock_filter);
}

/* What is derived of a sandbox comes after its keys. */
static void get_sandbox(const BlobField *g, ServiceConfig *s) {
    if (!s->sandbox)
        blob_spoil(g->source, "a sandbox is not there");
    else if (g->tag == SERVICE_CAPABILITIES)
        s->sandbox->capability_set = blob_u64_max(g, CAPABILITY_ALL);
    else
        get_filter(g, s->sandbox);
}

static void get_derived(const BlobField *g, const ServiceBlobContext *context, ServiceConfig *s) {
    const uint64_t facts_max = (1U << _LOG_FACT_MAX) - 1;
    ServiceTerms *t = service_config_terms(s);
    switch (g->tag) {
    case SERVICE_RULES:
        get_rules(g, context->rules, &t->access.rules);
        break;
    case SERVICE_TRUSTED:
        get_rules(g, context->rules, &t->proxy_trusted);
        break;
    case SERVICE_HOURS:
        get_hours(g, &t->access.open);
        break;
    case SERVICE_EXIT_CODES:
        blob_u64s(g, t->ban.exit_code_bits, ELEMENTS(t->ban.exit_code_bits));
        break;
    case SERVICE_GREETING:
        get_banner(g, &t->banner.greeting_bytes, &t->banner.n_greeting);
        break;
    case SERVICE_REFUSED:
        get_banner(g, &t->banner.refused_bytes, &t->banner.n_refused);
        break;
    case SERVICE_SUCCESS_FACTS:
        t->log.success_facts = (unsigned)blob_u64_max(g, facts_max);
        break;
    case SERVICE_FAILURE_FACTS:
        t->log.failure_facts = (unsigned)blob_u64_max(g, facts_max);
        break;
    case SERVICE_INCOMPLETE:
        s->incomplete = blob_bool(g);
        break;
    case SERVICE_CAPABILITIES:
    case SERVICE_FILTER:
        get_sandbox(g, s);
        break;
    default:
        break;
    }
}

static void get_field(const BlobField *g, const ServiceBlobContext *context, ServiceConfig *s) {
    switch (g->tag) {
    case SERVICE_NAME:
        blob_take_str(g, &s->name);
        break;
    case SERVICE_FILES:
        /* Places point to them. */
        if (s->files)
            blob_spoil(g->source, "a service has its files twice");
        else
            s->files = blob_strv(g);
        break;
    case SERVICE_KEYS:
        keys_get(g, context->keys, KEY_SCOPE_SERVICE, s);
        break;
    case SERVICE_POS:
        pos_get(g, s->files, &s->pos);
        break;
    case SERVICE_EXEC_POS:
        pos_get(g, s->files, &s->exec_pos);
        break;
    case SERVICE_USER_POS:
        pos_get(g, s->files, &s->user_pos);
        break;
    case SERVICE_LISTEN:
        get_listen(g, context->keys, s);
        break;
    case SERVICE_ORIGINS:
        origins_get(g, context->keys, s->files, &s->origins, &s->n_origins);
        break;
    case SERVICE_RESOLVED:
        resolved_get(g, &s->resolved);
        break;
    case SERVICE_PROBLEM:
        get_problem(g, s);
        break;
    default:
        get_derived(g, context, s);
        break;
    }
}

static bool is_program(const char *path) {
    return path && path[0] == '/';
}

/* What the rest of the daemon takes for granted. NULL: it holds. */
static const char *what_is_missing(const ServiceConfig *s) {
    bool forward = s->model == MODEL_FORWARD;
    if (!s->name || !service_name_is_valid(s->name))
        return "name";
    if (!s->description || !is_program(s->working_directory))
        return "text";
    if (s->n_listen == 0 && !s->tcpmux)
        return "listener";
    if (s->exec ? !s->exec[0] : !forward && service_config_has_processes(s))
        return "program";
    if (forward && !s->to)
        return "target";
    if (!s->resolved.ok && !s->problem)
        return "identity";
    if (s->resolved.ok &&
        ((s->exec && !is_program(s->resolved.program)) || (forward && !is_program(s->resolved.forward))))
        return "path";
    if (s->sandbox && s->sandbox->seccomp && s->sandbox->seccomp[0] && s->sandbox->n_filter == 0 &&
        !s->problem)
        return "filter";
    return NULL;
}

static size_t count_listeners(BlobReader r) {
    size_t n = 0;
    BlobField g;
    while (blob_next(&r, &g))
        n += g.tag == SERVICE_LISTEN;
    return n;
}

ServiceConfig *service_blob_get(const BlobField *f, const ServiceBlobContext *context) {
    CLEANUP_SERVICE ServiceConfig *s = service_config_new();
    BlobReader r = blob_enter(f);
    if (s)
        s->listen = calloc(count_listeners(r) + 1, sizeof(ListenConfig));
    if (!s || !s->listen) {
        blob_spoil(f->source, "out of memory");
        return NULL;
    }
    BlobField g;
    while (blob_next(&r, &g))
        get_field(&g, context, s);
    if (blob_is_spoilt(f->source))
        return NULL;
    const char *missing = what_is_missing(s);
    if (missing) {
        blob_spoil(f->source, "a service has no %s", missing);
        return NULL;
    }
    service_blob_digest(f, s->digest);
    return TAKE_PTR(s);
}

const char *service_blob_name(const BlobField *f, size_t *ret_n) {
    BlobReader r = blob_enter(f);
    BlobField g;
    *ret_n = 0;
    if (!blob_next(&r, &g) || g.tag != SERVICE_NAME || memchr(g.data, '\0', g.n)) {
        blob_spoil(f->source, "a service has no name");
        return NULL;
    }
    *ret_n = g.n;
    return (const char *)g.data;
}

static void digest_bytes(const void *data, size_t n, uint64_t ret[static 2]) {
    static const uint8_t keys[2][SIPHASH_KEY_BYTES] = {"service config 1", "service config 2"};
    ret[0] = siphash24(keys[0], data, n);
    ret[1] = siphash24(keys[1], data, n);
}

void service_blob_digest(const BlobField *f, uint64_t ret[static 2]) {
    digest_bytes(f->data, f->n, ret);
}

void service_config_know_digest(ServiceConfig *s) {
    CLEANUP_BLOB BlobWriter w = {0};
    if (s->digest[0] || s->digest[1])
        return;
    service_blob_put(&w, 1, s);
    if (!w.failed)
        digest_bytes(w.data + FIELD_HEAD, w.n - FIELD_HEAD, s->digest);
}

/* SPDX-License-Identifier: MIT */
#include "conf/config-blob.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "conf/config-build.h"
#include "conf/service-blob-parts.h"
#include "conf/service-blob.h"
#include "conf/service-intern.h"

/* In this order: what is referred to stands before who refers to it. */
typedef enum ConfigTag {
    CONFIG_KEY_NAMES = 1,
    CONFIG_PATH,
    CONFIG_FILES,
    CONFIG_KEYS,
    CONFIG_ORIGINS,
    CONFIG_CONTROL_GID,
    CONFIG_MANAGE_UIDS,
    CONFIG_MANAGE_GIDS,
    CONFIG_RULES,   /* once for each set of rules */
    CONFIG_SERVICE, /* once for each, in the order of their names */
} ConfigTag;

/* Rules taken in the time of a service. */
#define RULES_A_SERVICE 256

struct ConfigDecoder {
    BlobReader reader;
    Config *config, *old; /* a reference each */
    KeyMap keys;
    RulesSet rules; /* a reference each */
    AccessLoader *loader;
    Interned *interned; /* what the services have in common */
    size_t capacity;
    size_t old_at, old_rules_at; /* the services of the old config that were looked at last */
    bool done;
};

/* Writing */

static int compare_keys(const void *a, const void *b) {
    return memcmp(a, b, sizeof(AccessKey));
}

/* The rules, unless they have been put. */
static void put_rules(BlobWriter *w, void **known, const AccessRules *rules) {
    if (!rules || w->failed)
        return;
    AccessKey *key = malloc(sizeof(*key));
    if (!key) {
        w->failed = true;
        return;
    }
    access_rules_key(rules, key);
    AccessKey **found = (AccessKey **)tsearch(key, known, compare_keys);
    if (found && *found == key) {
        access_rules_put(w, CONFIG_RULES, rules);
        return;
    }
    w->failed = w->failed || !found;
    free(key);
}

static void put_globals(BlobWriter *w, const Config *c) {
    key_map_put(w, CONFIG_KEY_NAMES);
    blob_put_str(w, CONFIG_PATH, c->path);
    blob_put_strv(w, CONFIG_FILES, c->files);
    keys_put(w, CONFIG_KEYS, KEY_SCOPE_FILE, c);
    origins_put(w, CONFIG_ORIGINS, c->origins, c->n_origins, c->files);
    blob_put_u64(w, CONFIG_CONTROL_GID, c->control_gid);
    if (c->manage_uids)
        ids_put(w, CONFIG_MANAGE_UIDS, c->manage_uids, c->n_manage_uids);
    if (c->manage_gids)
        ids_put(w, CONFIG_MANAGE_GIDS, c->manage_gids, c->n_manage_gids);
}

static void put_services(BlobWriter *w, ServiceConfig *const *services, size_t n) {
    void *known = NULL;
    for (size_t i = 0; i < n; i++) {
        put_rules(w, &known, services[i]->terms->access.rules);
        put_rules(w, &known, services[i]->terms->proxy_trusted);
    }
    tdestroy(known, free);
    for (size_t i = 0; i < n; i++)
        service_blob_put(w, CONFIG_SERVICE, services[i]);
}

void config_put(BlobWriter *w, const Config *c) {
    put_globals(w, c);
    put_services(w, c->services, c->n_services);
}

void config_put_some(BlobWriter *w, const Config *c, ServiceConfig *const *services, size_t n) {
    put_globals(w, c);
    put_services(w, services, n);
}

/* Reading */

ConfigDecoder *config_decoder_new(const BlobReader *r, Config *old) {
    ConfigDecoder *d = calloc(1, sizeof(*d));
    if (!d)
        return NULL;
    d->reader = *r;
    d->old = old ? config_ref(old) : NULL;
    d->config = config_new();
    d->interned = interned_new();
    return d->config && d->interned ? d : config_decoder_free(d);
}

ConfigDecoder *config_decoder_free(ConfigDecoder *d) {
    if (!d)
        return NULL;
    access_loader_free(d->loader);
    interned_unref(d->interned);
    for (size_t i = 0; i < d->rules.n; i++)
        access_rules_unref(d->rules.items[i]);
    free((void *)d->rules.items);
    key_map_done(&d->keys);
    config_unref(d->config);
    config_unref(d->old);
    free(d);
    return NULL;
}

static bool keep_rules(ConfigDecoder *d, AccessRules *rules) {
    size_t n = d->rules.n;
    AccessRules **bigger = (AccessRules **)reallocarray((void *)d->rules.items, n + 1, sizeof(AccessRules *));
    if (bigger) {
        d->rules.items = bigger;
        d->rules.items[d->rules.n++] = rules;
        return true;
    }
    access_rules_unref(rules);
    blob_spoil(d->reader.source, "out of memory");
    return false;
}

/* The rules with this key that the old config has. They come in much the same order as they stand there. */
static AccessRules *find_old_rules(ConfigDecoder *d, const AccessKey *key) {
    const Config *old = d->old;
    const AccessRules *last = NULL;
    for (size_t i = 0; old && i < old->n_services; i++) {
        size_t at = (d->old_rules_at + i) % old->n_services;
        AccessRules *const both[] = {old->services[at]->terms->access.rules,
                                     old->services[at]->terms->proxy_trusted};
        for (size_t k = 0; k < ELEMENTS(both); k++) {
            AccessKey other;
            if (!both[k] || both[k] == last)
                continue;
            last = both[k];
            access_rules_key(both[k], &other);
            if (memcmp(&other, key, sizeof(other)) != 0)
                continue;
            d->old_rules_at = at;
            return both[k];
        }
    }
    return NULL;
}

static void begin_rules(ConfigDecoder *d, const BlobField *f) {
    d->loader = access_loader_new(f);
    if (!d->loader)
        return;
    AccessRules *same = find_old_rules(d, access_loader_key(d->loader));
    if (!same)
        return;
    d->loader = access_loader_free(d->loader);
    (void)keep_rules(d, access_rules_ref(same));
}

static void go_on_with_rules(ConfigDecoder *d) {
    if (access_loader_step(d->loader, RULES_A_SERVICE) == 1)
        return;
    if (!blob_is_spoilt(d->reader.source))
        (void)keep_rules(d, access_loader_take(d->loader));
    d->loader = access_loader_free(d->loader);
}

/* How @name, of @n bytes, compares with that of @s. */
static int compare_name(const char *name, size_t n, const ServiceConfig *s) {
    int order = strncmp(name, s->name, n);
    return order != 0 ? order : s->name[n] != '\0' ? -1 : 0;
}

/* The same service of the old config, when it is that to the byte. */
static ServiceConfig *find_same(ConfigDecoder *d, const BlobField *f, const char *name, size_t n) {
    const Config *old = d->old;
    uint64_t digest[2];
    while (old && d->old_at < old->n_services && compare_name(name, n, old->services[d->old_at]) > 0)
        d->old_at++;
    if (!old || d->old_at == old->n_services || compare_name(name, n, old->services[d->old_at]) != 0)
        return NULL;
    ServiceConfig *s = old->services[d->old_at];
    /* What is still to be looked up is changed when that succeeds: each generation does so by itself. */
    if (s->problem || s->incomplete)
        return NULL;
    /* Generations that few are left of would stay for those: made anew, they need nothing of them. */
    if (s->interned && interned_is_sparse(s->interned))
        return NULL;
    service_config_know_digest(s);
    service_blob_digest(f, digest);
    bool known = s->digest[0] || s->digest[1];
    return known && s->digest[0] == digest[0] && s->digest[1] == digest[1] ? s : NULL;
}

static void get_service(ConfigDecoder *d, const BlobField *f) {
    Config *c = d->config;
    size_t n = 0;
    const char *name = service_blob_name(f, &n);
    if (!name)
        return;
    if (c->n_services > 0 && compare_name(name, n, c->services[c->n_services - 1]) <= 0) {
        blob_spoil(f->source, "services are out of order");
        return;
    }
    if (c->n_services == d->capacity) {
        size_t capacity = d->capacity ? 2 * d->capacity : 64;
        ServiceConfig **bigger =
            (ServiceConfig **)reallocarray((void *)c->services, capacity, sizeof(ServiceConfig *));
        if (!bigger) {
            blob_spoil(f->source, "out of memory");
            return;
        }
        c->services = bigger;
        d->capacity = capacity;
    }
    const ServiceBlobContext context = {.keys = &d->keys, .rules = &d->rules};
    ServiceConfig *s = find_same(d, f, name, n);
    bool shared = s;
    s = s ? service_config_ref(s) : service_blob_get(f, &context);
    if (s && !shared && (service_config_intern(s, d->interned) < 0 || service_config_intern_found(s) < 0))
        blob_spoil(f->source, "out of memory");
    if (s)
        c->services[c->n_services++] = s;
}

static void get_field(ConfigDecoder *d, const BlobField *f) {
    Config *c = d->config;
    switch (f->tag) {
    case CONFIG_KEY_NAMES:
        key_map_get(f, &d->keys);
        break;
    case CONFIG_PATH:
        blob_take_str(f, &c->path);
        break;
    case CONFIG_FILES:
        if (c->files)
            blob_spoil(f->source, "it has its files twice");
        else
            c->files = blob_strv(f);
        break;
    case CONFIG_KEYS:
        keys_get(f, &d->keys, KEY_SCOPE_FILE, c);
        break;
    case CONFIG_ORIGINS:
        origins_get(f, &d->keys, c->files, &c->origins, &c->n_origins);
        break;
    case CONFIG_CONTROL_GID:
        c->control_gid = (gid_t)blob_u64_max(f, UINT32_MAX);
        break;
    case CONFIG_MANAGE_UIDS:
        ids_get(f, &c->manage_uids, &c->n_manage_uids);
        break;
    case CONFIG_MANAGE_GIDS:
        ids_get(f, &c->manage_gids, &c->n_manage_gids);
        break;
    case CONFIG_RULES:
        begin_rules(d, f);
        break;
    case CONFIG_SERVICE:
        get_service(d, f);
        break;
    default:
        break;
    }
}

static int finish(ConfigDecoder *d) {
    if (!blob_is_spoilt(d->reader.source) && (!d->config->path || !d->config->files))
        blob_spoil(d->reader.source, "the config has no file");
    if (!blob_is_spoilt(d->reader.source) && !d->config->services) {
        d->config->services = (ServiceConfig **)calloc(1, sizeof(ServiceConfig *));
        if (!d->config->services)
            return -ENOMEM;
    }
    if (blob_is_spoilt(d->reader.source))
        return -EBADMSG;
    interned_finish(d->interned);
    d->done = true;
    return 0;
}

int config_decoder_step(ConfigDecoder *d, size_t n) {
    BlobField f;
    for (size_t i = 0; i < n; i++) {
        if (d->loader)
            go_on_with_rules(d);
        else if (blob_next(&d->reader, &f))
            get_field(d, &f);
        else
            return finish(d);
    }
    return blob_is_spoilt(d->reader.source) ? -EBADMSG : 1;
}

Config *config_decoder_take(ConfigDecoder *d) {
    return d->done ? TAKE_PTR(d->config) : NULL;
}

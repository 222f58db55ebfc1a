/* SPDX-License-Identifier: MIT */
#pragma once
/* One service's config as the fields of a blob, and back; for config-blob.c. What is in it does not depend on
 * the services and files beside it, so that the same service is the same bytes in two generations. Pure. */
#include "conf/access-save.h"
#include "conf/config.h"
#include "conf/key-blob.h"

/* Rules that were read, by their key. */
typedef struct RulesSet {
    AccessRules **items;
    size_t n;
    size_t at; /* where the last was found: they come in the order in which they are asked for */
} RulesSet;

/* Those with this key, or NULL. Borrowed. */
AccessRules *rules_set_find(RulesSet *set, const AccessKey *key);

/* What is needed to understand a service. */
typedef struct ServiceBlobContext {
    const KeyMap *keys;
    RulesSet *rules;
} ServiceBlobContext;

void service_blob_put(BlobWriter *w, uint16_t tag, const ServiceConfig *s);
/* The caller's reference; NULL, and the blob is spoilt. */
ServiceConfig *service_blob_get(const BlobField *f, const ServiceBlobContext *context);
/* The name that @f, a service, begins with: *@ret_n bytes without a NUL. NULL, and the blob is spoilt. */
const char *service_blob_name(const BlobField *f, size_t *ret_n);

/* Parts that a Config has as well. */
void origins_put(BlobWriter *w, uint16_t tag, const ConfigOrigin *origins, size_t n, char *const *files);
void origins_get(const BlobField *f, const KeyMap *keys, char *const *files, ConfigOrigin **ret,
                 size_t *ret_n);

/* Of the bytes of a service in a blob. */
void service_blob_digest(const BlobField *f, uint64_t ret[static 2]);
/* The same of @s, kept there; 0, 0 when memory runs out. */
void service_config_know_digest(ServiceConfig *s);

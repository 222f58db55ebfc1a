/* SPDX-License-Identifier: MIT */
#pragma once
/* Compiled rules as a blob, and back in steps: a million of them must not hold anybody up. Pure. */
#include "conf/access.h"
#include "daemon/base/blob.h"

/* Stands for rules: those with the same key are the same. */
#define ACCESS_KEY_BYTES 40
typedef struct AccessKey {
    uint8_t bytes[ACCESS_KEY_BYTES];
} AccessKey;

void access_rules_key(const AccessRules *r, AccessKey *ret);
void access_rules_put(BlobWriter *w, uint16_t tag, const AccessRules *r);

/* Rules on their way out of a blob, whose bytes must stay until then. */
typedef struct AccessLoader AccessLoader;
/* NULL when the blob is spoilt, also by want of memory. */
AccessLoader *access_loader_new(const BlobField *f);
AccessLoader *access_loader_free(AccessLoader *l); /* returns NULL */
/* Their key, as the blob has it. */
const AccessKey *access_loader_key(const AccessLoader *l);
/* Takes up to @n. 1: there is more; 0: done, or the blob is spoilt. */
int access_loader_step(AccessLoader *l, size_t n);
/* The rules, once it is done: the caller's reference. */
AccessRules *access_loader_take(AccessLoader *l);

/* SPDX-License-Identifier: MIT */
#pragma once
/* What all files of a config say, sorted by the key table but not decoded: one slot a key, and the services
 * by name. */
#include "conf/reader.h"
#include "conf/schema.h"
#include "conf/yaml.h"

/* Where a key stands, and what with. Empty: value is NULL. */
typedef struct Slot {
    const YamlNode *name;
    const YamlNode *value;
} Slot;

typedef struct ServiceNode {
    const YamlNode *name;
    const YamlNode *value;
    size_t order; /* in which it was read */
} ServiceNode;

typedef struct Tree {
    Slot *slots;           /* by schema_index(): of the file's scope */
    Slot *defaults;        /* of the service's scope */
    ServiceNode *services; /* sorted by name once tree_finish() was called */
    size_t n_services, cap_services;
} Tree;

int tree_init(Tree *t);
void tree_done(Tree *t);
/* Adds one file's root. Unknown keys and keys that another file has are told. */
void tree_add(Tree *t, Reader *r, const YamlNode *root);
/* Sorts the services and tells of those that are there twice. */
void tree_finish(Tree *t, Reader *r);

/* Walks @mapping, at the top of @scope, into @slots; @where is how messages call it ("service 'web'"). What
 * is in there already came from another file, and is an error. */
void tree_walk(Reader *r, KeyScope scope, const char *where, const YamlNode *mapping, Slot *slots);

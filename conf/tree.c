/* SPDX-License-Identifier: MIT */
#include "conf/tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/field-list.h"
#include "conf/field.h"
#include "conf/unknown.h"

int tree_init(Tree *t) {
    *t = (Tree){
        .slots = calloc(schema_n_keys(), sizeof(Slot)),
        .defaults = calloc(schema_n_keys(), sizeof(Slot)),
    };
    return t->slots && t->defaults ? 0 : -ENOMEM;
}

void tree_done(Tree *t) {
    free(t->slots);
    free(t->defaults);
    free(t->services);
    *t = (Tree){0};
}

static void place_text(const YamlNode *node, char buf[static 256]) {
    (void)snprintf(buf, 256, "%.200s:%u:%u", node->pos.file, node->pos.line, node->pos.column);
}

static void put_slot(Reader *r, const Key *key, const YamlPair *pair, Slot *slots) {
    Slot *slot = &slots[schema_index(key)];
    if (slot->value) {
        char place[256], label[64];
        char hint[300];
        place_text(slot->name, place);
        field_label(key, label);
        (void)snprintf(hint, sizeof(hint), "the other one is at %s", place);
        reader_error(r, pair->key, DIAG_DUPLICATE_KEY, hint, "'%s' is set by two files", label);
        return;
    }
    *slot = (Slot){.name = pair->key, .value = pair->value};
}

static void walk(Reader *r, KeyScope scope, const Key *parent, const char *where, const YamlNode *mapping,
                 Slot *slots);

static void walk_section(Reader *r, const Key *key, const YamlPair *pair, Slot *slots) {
    if (pair->value->kind == YAML_MAPPING || pair->value->kind == YAML_NULL) {
        slots[schema_index(key)] = (Slot){.name = pair->key, .value = pair->value};
        if (pair->value->kind == YAML_MAPPING)
            walk(r, key->scope, key, key->path, pair->value, slots);
    } else {
        CLEANUP_TEXT Text hint = {0};
        size_t at = 0;
        const Key *child;
        do {
            child = schema_next_child(key->scope, key, &at);
        } while (child && !child->example);
        if (child)
            text_addf(&hint, "write: %s", child->example);
        field_wrong_type(r, key, pair->key, pair->value, hint.s);
    }
}

static void walk(Reader *r, KeyScope scope, const Key *parent, const char *where, const YamlNode *mapping,
                 Slot *slots) {
    for (size_t i = 0; i < mapping->n; i++) {
        const YamlPair *pair = &mapping->pairs[i];
        const Key *key = schema_child(scope, parent, pair->key->text);
        if (!key)
            unknown_key_report(r, scope, parent, where, pair->key, pair->value);
        else if (key->type == KEY_SECTION)
            walk_section(r, key, pair, slots);
        else if (key->type != KEY_EXTENSION)
            put_slot(r, key, pair, slots);
    }
}

void tree_walk(Reader *r, KeyScope scope, const char *where, const YamlNode *mapping, Slot *slots) {
    walk(r, scope, NULL, where, mapping, slots);
}

static void add_services(Tree *t, Reader *r, const Key *key, const Slot *slot) {
    if (slot->value->kind == YAML_NULL)
        return; /* all of them commented out */
    if (slot->value->kind != YAML_MAPPING) {
        field_wrong_type(r, key, slot->name, slot->value, NULL);
        return;
    }
    size_t need = t->n_services + slot->value->n;
    if (need > t->cap_services) {
        size_t cap = need * 2;
        ServiceNode *bigger = reallocarray(t->services, cap, sizeof(ServiceNode));
        if (!bigger) {
            r->no_memory = true;
            return;
        }
        t->services = bigger;
        t->cap_services = cap;
    }
    for (size_t i = 0; i < slot->value->n; i++) {
        const YamlPair *pair = &slot->value->pairs[i];
        t->services[t->n_services] =
            (ServiceNode){.name = pair->key, .value = pair->value, .order = t->n_services};
        t->n_services++;
    }
}

static void add_defaults(Tree *t, Reader *r, const Key *key, const Slot *slot) {
    if (slot->value->kind == YAML_MAPPING)
        tree_walk(r, KEY_SCOPE_SERVICE, "defaults", slot->value, t->defaults);
    else if (slot->value->kind != YAML_NULL)
        field_wrong_type(r, key, slot->name, slot->value, NULL);
}

void tree_add(Tree *t, Reader *r, const YamlNode *root) {
    if (!root || root->kind == YAML_NULL)
        return;
    if (root->kind != YAML_MAPPING) {
        reader_error(r, root, DIAG_WRONG_TYPE, "begin with: version: 1", "a config is a mapping of keys");
        return;
    }
    tree_walk(r, KEY_SCOPE_FILE, "the file", root, t->slots);
    /* These are taken out of their slots, so that every file may have its own. */
    for (size_t i = 0; i < schema_n_keys(); i++) {
        const Key *key = schema_key(i);
        Slot slot = t->slots[i];
        if (!slot.value || key->scope != KEY_SCOPE_FILE)
            continue;
        if (key->type == KEY_SERVICES)
            add_services(t, r, key, &slot);
        else if (key->type == KEY_DEFAULTS)
            add_defaults(t, r, key, &slot);
        else if (key->type == KEY_INTEGER) /* version */
            (void)field_decode(r, key, slot.name, slot.value, NULL);
        else if (!streq(key->path, "include"))
            continue;
        t->slots[i] = (Slot){0};
    }
}

static int compare_services(const void *a, const void *b) {
    const ServiceNode *x = a, *y = b;
    int order = strcmp(x->name->text, y->name->text);
    return order != 0 ? order : (x->order > y->order) - (x->order < y->order);
}

void tree_finish(Tree *t, Reader *r) {
    if (t->n_services == 0)
        return;
    qsort(t->services, t->n_services, sizeof(ServiceNode), compare_services);
    size_t kept = 1;
    for (size_t i = 1; i < t->n_services; i++) {
        const ServiceNode *first = &t->services[kept - 1], *s = &t->services[i];
        if (!streq(first->name->text, s->name->text)) {
            t->services[kept++] = *s;
            continue;
        }
        char place[256], hint[300];
        place_text(first->name, place);
        (void)snprintf(hint, sizeof(hint), "the other one is at %s", place);
        reader_error(r, s->name, DIAG_DUPLICATE_KEY, hint, "service '%.64s' is there twice", s->name->text);
    }
    t->n_services = kept;
}

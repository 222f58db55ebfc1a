/* SPDX-License-Identifier: MIT */
#include "conf/listen.h"

#include <stdlib.h>
#include <string.h>

#include "conf/config-build.h"
#include "conf/field-list.h"
#include "conf/field.h"
#include "conf/tree.h"

/* Returns 0, -EINVAL (told) or -ENOMEM. */
static int decode_endpoint(Reader *r, const YamlNode *value, ListenConfig *l) {
    const char *why = NULL, *hint = NULL;
    l->text = strdup(value->text);
    if (!l->text)
        return -ENOMEM;
    int k = endpoint_parse(l->text, &l->endpoint, &why, &hint);
    if (k < 0) {
        CLEANUP_TEXT Text shown = {0};
        text_add_escaped(&shown, value->text, strnlen(value->text, 100));
        reader_error(r, value, DIAG_BAD_VALUE, hint, "endpoint '%s': %s", shown.s ? shown.s : "",
                     why ? why : "not an endpoint");
    }
    return k;
}

static void no_fit(Reader *r, const Key *key, const YamlNode *name, const Endpoint *e) {
    CLEANUP_TEXT Text hint = {0};
    text_add(&hint, "it is an option of ");
    schema_kinds_format(key->kinds, &hint);
    reader_error(r, name, DIAG_CONFLICT, hint.s, "'%s' does not fit a %s endpoint", key->path,
                 endpoint_kind_to_string(e->kind));
}

/* Options that the kind has, but this address has not. Returns why not, or NULL. */
static const char *address_lacks(const Key *key, const ListenConfig *l) {
    const Endpoint *e = &l->endpoint;
    bool of_node = (key->kinds & 1U << ENDPOINT_UNIX) != 0 && (key->kinds & 1U << ENDPOINT_TCP) == 0;
    if (of_node && e->path && e->path[0] == '@')
        return "an abstract socket has no node";
    if (streq(key->path, "only_v6") && l->only_v6 &&
        (e->n_addrs != 1 || e->addrs[0].sa.sa_family != AF_INET6))
        return e->both_families ? "it has a socket for each family anyway" : "it is no IPv6 address";
    return NULL;
}

static int decode_option(Reader *r, const Key *key, const Slot *slot, ListenConfig *l) {
    if (!schema_fits_endpoint(key, l->endpoint.kind)) {
        if (!strchr(key->path, '.')) /* else its section was told of */
            no_fit(r, key, slot->name, &l->endpoint);
        return -EINVAL;
    }
    if (key->type == KEY_SECTION) { /* to be there is to be wanted */
        if (key->size > 0)
            l->keepalive = true;
        return 0;
    }
    int k = field_decode(r, key, slot->name, slot->value, l);
    const char *lack = k == 0 ? address_lacks(key, l) : NULL;
    if (!lack)
        return k;
    reader_error(r, slot->name, DIAG_CONFLICT, NULL, "'%s' does not fit %s: %s", key->path, l->endpoint.text,
                 lack);
    return -EINVAL;
}

/* Notes where the endpoint that is being decoded, or an option of it, stands. */
static int add_origin(const Reader *r, const Key *key, const YamlNode *node, ServiceConfig *s) {
    const ConfigOrigin origin = {
        .pos = reader_pos(r, node),
        .key = (uint16_t)schema_index(key),
        .item = (uint32_t)s->n_listen + 1,
    };
    return config_origin_add(&s->origins, &s->n_origins, &origin);
}

static int decode_options(Reader *r, const Slot *slots, ListenConfig *l, ServiceConfig *s) {
    int result = 0;
    for (size_t i = 0; i < schema_n_keys(); i++) {
        const Key *key = schema_key(i);
        if (key->scope != KEY_SCOPE_LISTEN || !slots[i].value || key->type == KEY_ENDPOINT)
            continue;
        int k = decode_option(r, key, &slots[i], l);
        if (k == -ENOMEM || add_origin(r, key, slots[i].value, s) < 0)
            return -ENOMEM;
        result = k < 0 ? k : result;
    }
    return result;
}

static int decode_long(Reader *r, const YamlNode *node, ListenConfig *l, ServiceConfig *s) {
    CLEANUP_FREE Slot *slots = calloc(schema_n_keys(), sizeof(Slot));
    if (!slots)
        return -ENOMEM;
    tree_walk(r, KEY_SCOPE_LISTEN, "listen", node, slots);
    const Slot *endpoint = &slots[schema_index(schema_find(KEY_SCOPE_LISTEN, "endpoint"))];
    if (!endpoint->value) {
        reader_error(r, node->n > 0 ? node->pairs[0].key : node, DIAG_MISSING_KEY,
                     "write: endpoint: tcp:PORT", "the long form of listen needs 'endpoint'");
        return -EINVAL;
    }
    if (endpoint->value->kind != YAML_SCALAR) {
        field_wrong_type(r, schema_find(KEY_SCOPE_LISTEN, "endpoint"), endpoint->name, endpoint->value, NULL);
        return -EINVAL;
    }
    l->pos = reader_pos(r, endpoint->value);
    if (add_origin(r, schema_find(KEY_SCOPE_LISTEN, "endpoint"), endpoint->value, s) < 0)
        return -ENOMEM;
    int k = decode_endpoint(r, endpoint->value, l);
    if (k < 0)
        return k;
    l->mode = endpoint_standard_mode(l->endpoint.kind);
    return decode_options(r, slots, l, s);
}

static int decode_one(Reader *r, const Key *key, const YamlNode *name, const YamlNode *node, ServiceConfig *s,
                      ListenConfig *l) {
    int k = -EINVAL;
    if (node->kind == YAML_MAPPING) {
        k = decode_long(r, node, l, s);
    } else if (node->kind == YAML_SCALAR) {
        l->pos = reader_pos(r, node);
        k = decode_endpoint(r, node, l);
        l->mode = endpoint_standard_mode(k == 0 ? l->endpoint.kind : ENDPOINT_UNIX);
    } else {
        field_wrong_type(r, key, name, node, NULL);
    }
    if (k == 0 && !l->name && !(l->name = strdup(s->name)))
        k = -ENOMEM;
    if (k == 0)
        k = add_origin(r, key, node, s);
    return k;
}

int listen_decode(Reader *r, const YamlNode *name, const YamlNode *value, ServiceConfig *s) {
    const Key *key = schema_find(KEY_SCOPE_SERVICE, "listen");
    bool list = value->kind == YAML_SEQUENCE;
    if (value->kind == YAML_NULL || (list && value->n == 0)) {
        reader_error(r, field_place(name, value), value->kind == YAML_NULL ? DIAG_WRONG_TYPE : DIAG_BAD_VALUE,
                     "write an endpoint such as tcp:7777", "listen names no endpoint");
        return -EINVAL;
    }
    size_t n = list ? value->n : 1;
    s->listen = calloc(n, sizeof(ListenConfig));
    if (!s->listen)
        return -ENOMEM;
    int result = 0;
    for (size_t i = 0; i < n; i++) {
        ListenConfig *l = &s->listen[s->n_listen];
        listen_config_init(l);
        int k = decode_one(r, key, name, list ? value->items[i] : value, s, l);
        if (k == 0) {
            s->n_listen++;
            continue;
        }
        listen_config_done(l);
        result = k == -ENOMEM || result == -ENOMEM ? -ENOMEM : k;
    }
    return result;
}

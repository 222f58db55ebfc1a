/* SPDX-License-Identifier: MIT */
#include "conf/decode.h"

#include <stdlib.h>
#include <string.h>

#include "conf/config-build.h"
#include "conf/derive.h"
#include "conf/field-list.h"
#include "conf/field.h"
#include "conf/foreign.h"
#include "conf/listen.h"
#include "conf/preset.h"
#include "conf/service-intern.h"
#include "conf/suggest.h"
#include "conf/validate.h"
#include "daemon/base/clock.h"

#define NAME_MAX_LENGTH 64

/* The places of what is derived in the key table. */
typedef struct DerivedIndex {
    size_t of[_DERIVED_KEY_MAX];
    size_t preset;
} DerivedIndex;

/* What is worked out once for all services, for there may be ten thousand. */
typedef struct Common {
    ServiceConfig *standards; /* one with nothing but the defaults of the keys; owned */
    DerivedIndex derived;
} Common;

/* One service on its way from its slots into its struct. */
typedef struct ServiceDecoder {
    Reader *r;
    const Tree *tree;
    const ServiceNode *node;
    const Common *common;
    Slot *own;
    ServiceConfig *s;
    bool model_known; /* else nothing is said about what fits it */
    bool bad;
} ServiceDecoder;

static size_t index_of(KeyScope scope, const char *path) {
    return schema_index(schema_find(scope, path));
}

int decode_standards(KeyScope scope, void *base) {
    for (size_t i = 0; i < schema_n_keys(); i++)
        if (schema_key(i)->scope == scope && field_set_standard(schema_key(i), base) < 0)
            return -ENOMEM;
    return 0;
}

/* @item as origins count them. */
static const ConfigOrigin *find_origin(const ServiceConfig *s, KeyScope scope, const char *path,
                                       size_t item) {
    const Key *key = schema_find(scope, path);
    for (size_t i = 0; key && i < s->n_origins; i++)
        if (s->origins[i].key == schema_index(key) && s->origins[i].item == item && !s->origins[i].ignored)
            return &s->origins[i];
    return NULL;
}

const ConfigOrigin *service_origin(const ServiceConfig *s, const char *path) {
    return find_origin(s, KEY_SCOPE_SERVICE, path, 0);
}

const ConfigOrigin *service_item_origin(const ServiceConfig *s, const char *path, size_t i) {
    const ConfigOrigin *item = find_origin(s, KEY_SCOPE_SERVICE, path, i + 1);
    return item ? item : service_origin(s, path);
}

const ConfigOrigin *service_listen_origin(const ServiceConfig *s, const char *path, size_t i) {
    return find_origin(s, KEY_SCOPE_LISTEN, path, i + 1);
}

/* Notes the result of decoding a key; -ENOMEM is passed on. */
static int note(ServiceDecoder *d, int k) {
    d->bad = d->bad || k < 0;
    return k == -ENOMEM ? k : 0;
}

bool service_name_is_valid(const char *s) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    if (!*s || !strchr(letters, *s))
        return false;
    size_t n = strlen(s);
    for (size_t i = 0; i < n; i++)
        if (!strchr(letters, s[i]) && !strchr("._@+-", s[i]))
            return false;
    return n <= NAME_MAX_LENGTH;
}

static int decode_name(ServiceDecoder *d) {
    const YamlNode *name = d->node->name;
    d->s->name = strdup(name->text);
    d->s->pos = reader_pos(d->r, name);
    if (!d->s->name)
        return -ENOMEM;
    if (!service_name_is_valid(name->text)) {
        CLEANUP_TEXT Text shown = {0};
        text_add_escaped(&shown, name->text, strnlen(name->text, 100));
        reader_error(d->r, name, DIAG_BAD_VALUE,
                     "begin with a letter or digit, go on with letters, digits and . _ @ + -, 64 at most",
                     "'%s' is not a name for a service", shown.s ? shown.s : "");
        d->bad = true;
    }
    return 0;
}

static bool is_given(const ServiceDecoder *d, const char *path) {
    return d->own[index_of(KEY_SCOPE_SERVICE, path)].value;
}

/* What the endpoints ask for where `model` is not given; tcpmux has connections. */
static void model_by_endpoints(ServiceDecoder *d) {
    ServiceConfig *s = d->s;
    d->model_known = s->n_listen == 0 && !is_given(d, "listen") && is_given(d, "tcpmux");
    if (s->n_listen == 0)
        return;
    bool stream = endpoint_kind_is_stream(s->listen[0].endpoint.kind);
    for (size_t i = 1; i < s->n_listen; i++) {
        if (endpoint_kind_is_stream(s->listen[i].endpoint.kind) == stream)
            continue;
        reader_diag_at(d->r, &s->listen[i].pos, DIAG_ERROR, DIAG_CONFLICT,
                       "write model: on-demand, or make two services of it",
                       "stream and datagram endpoints in one service need a 'model'");
        d->bad = true;
        return;
    }
    s->model = stream ? MODEL_PER_CONNECTION : MODEL_ON_DEMAND;
    d->model_known = true;
}

static void no_fit(ServiceDecoder *d, const Key *key, const YamlNode *name) {
    CLEANUP_TEXT Text hint = {0};
    if (d->s->model == MODEL_TCPMUX && key->models == 0) {
        text_add(&hint, "it has no processes of its own: write it in the services that it reaches");
    } else {
        text_add(&hint, "it is for model ");
        schema_models_format(key->models, &hint);
    }
    reader_error(d->r, name, DIAG_CONFLICT, hint.s, "'%s' does not fit model %s", key->path,
                 model_to_string(d->s->model));
    d->bad = true;
}

static bool has_program(const ServiceDecoder *d) {
    return d->s->model != MODEL_FORWARD || is_given(d, "exec");
}

/* Whether @key says something of a program that there is not. */
static bool is_moot(const ServiceDecoder *d, const Key *key) {
    return d->model_known && (key->flags & KEY_OF_EXEC) && !has_program(d);
}

static void moot(ServiceDecoder *d, const Key *key, const YamlNode *name) {
    reader_error(d->r, name, DIAG_CONFLICT, "leave it out, or say with exec what to start",
                 "'%s' is about the program of exec, which the service does not have", key->path);
    d->bad = true;
}

/* Which of @v is the variable @name, counted from 1; 0: none. */
static uint32_t find_variable(char *const *v, const char *name) {
    size_t n = strlen(name);
    for (uint32_t i = 0; v && v[i]; i++)
        if (strncmp(v[i], name, n) == 0 && v[i][n] == '=')
            return i + 1;
    return 0;
}

static int add_one_origin(ServiceConfig *s, const ConfigOrigin *origin) {
    return config_origin_add(&s->origins, &s->n_origins, origin);
}

/* Of rules there may be very many: those that are looked for again, files and names, keep their places. */
static bool keeps_place(const Key *key, const YamlNode *item) {
    bool rule = key->part == KEY_PART_TERMS;
    return !rule ||
           (item->kind == YAML_SCALAR && item->text[strspn(item->text, "0123456789abcdefABCDEF:./")]);
}

/* Those of the items of its list; @origin is that of the key. */
static int add_item_origins(ServiceDecoder *d, const Key *key, const YamlNode *list, ConfigOrigin origin) {
    int k = 0;
    for (size_t i = 0; i < list->n && k == 0; i++) {
        if (!keeps_place(key, list->items[i]))
            continue;
        origin.pos = reader_pos(d->r, list->items[i]);
        origin.item = (uint32_t)i + 1;
        k = add_one_origin(d->s, &origin);
    }
    return k;
}

static int add_variable_origins(ServiceDecoder *d, const YamlNode *mapping, ConfigOrigin origin) {
    int k = 0;
    for (size_t i = 0; i < mapping->n && k == 0; i++) {
        origin.pos = reader_pos(d->r, mapping->pairs[i].value);
        origin.item = find_variable(d->s->environment, mapping->pairs[i].key->text);
        if (origin.item > 0)
            k = add_one_origin(d->s, &origin);
    }
    return k;
}

static int add_origin(ServiceDecoder *d, size_t i, const Slot *slot, bool from_defaults, bool ignored) {
    const Key *key = schema_key(i);
    const YamlNode *value = slot->value;
    const ConfigOrigin origin = {
        .pos = reader_pos(d->r, value),
        .key = (uint16_t)i,
        .from_defaults = from_defaults,
        .ignored = ignored,
    };
    int k = add_one_origin(d->s, &origin);
    if (k == 0 && (key->flags & KEY_PLACES) && value->kind == YAML_SEQUENCE && !ignored)
        k = add_item_origins(d, key, value, origin);
    if (k == 0 && key->type == KEY_ENVIRONMENT && value->kind == YAML_MAPPING)
        k = add_variable_origins(d, value, origin);
    return k;
}

static int decode_model(ServiceDecoder *d) {
    const Key *key = schema_find(KEY_SCOPE_SERVICE, "model");
    size_t i = schema_index(key);
    const Slot *slot = d->own[i].value ? &d->own[i] : &d->tree->defaults[i];
    if (!slot->value) {
        model_by_endpoints(d);
        return 0;
    }
    bool inherited = slot == &d->tree->defaults[i];
    bool quiet = d->r->quiet;
    d->r->quiet = quiet || inherited;
    int k = field_decode(d->r, key, slot->name, slot->value, d->s);
    d->r->quiet = quiet;
    d->model_known = k == 0;
    return note(d, k) < 0 ? -ENOMEM : add_origin(d, i, slot, inherited, false);
}

/* Per-connection services have an idle time over TCP alone. */
static bool has_no_idle(const ServiceDecoder *d, const Key *key) {
    if (d->s->model != MODEL_PER_CONNECTION || !streq(key->path, "timeouts.idle"))
        return false;
    for (size_t i = 0; i < d->s->n_listen; i++)
        if (d->s->listen[i].endpoint.kind != ENDPOINT_TCP &&
            d->s->listen[i].endpoint.kind != ENDPOINT_SYSTEMD)
            return true;
    return false;
}

/* The value of `defaults` for a key; what is wrong with it was told when `defaults` was judged. */
static int decode_inherited(ServiceDecoder *d, const Key *key, const Slot *slot) {
    bool fits = !d->model_known || (schema_fits_model(key, d->s->model) && !has_no_idle(d, key));
    if (!fits || is_moot(d, key))
        return add_origin(d, schema_index(key), slot, true, true);
    bool quiet = d->r->quiet;
    d->r->quiet = true;
    int k = field_decode(d->r, key, slot->name, slot->value, d->s);
    d->r->quiet = quiet;
    return note(d, k) < 0 ? -ENOMEM : add_origin(d, schema_index(key), slot, true, false);
}

static int decode_key(ServiceDecoder *d, size_t i) {
    const Key *key = schema_key(i);
    const Slot *own = &d->own[i], *inherited = &d->tree->defaults[i];
    bool adds = key->type == KEY_ENVIRONMENT;
    if (inherited->value && (key->flags & KEY_NO_DEFAULTS) == 0 && (adds || !own->value) &&
        decode_inherited(d, key, inherited) < 0)
        return -ENOMEM;
    if (!own->value)
        return 0;
    if (d->model_known && !schema_fits_model(key, d->s->model)) {
        no_fit(d, key, own->name);
        return 0;
    }
    if (is_moot(d, key)) {
        moot(d, key, own->name);
        return 0;
    }
    if (note(d, field_decode(d->r, key, own->name, own->value, d->s)) < 0)
        return -ENOMEM;
    return add_origin(d, i, own, false, false);
}

static bool is_field(const Key *key) {
    return key->scope == KEY_SCOPE_SERVICE && key->type != KEY_SECTION && key->type != KEY_LISTEN &&
           !streq(key->path, "model");
}

/* Whether a key that is not known may be meant for @key, so that one slip is told once. */
static bool is_misspelt(const YamlNode *mapping, const char *key) {
    for (size_t i = 0; i < mapping->n; i++) {
        const char *name = mapping->pairs[i].key->text;
        if (schema_child(KEY_SCOPE_SERVICE, NULL, name))
            continue;
        CLEANUP_TEXT Text hint = {0};
        CLEANUP_TEXT Text line = {0};
        text_addf(&line, "write: %s: ", key);
        if (foreign_key(name, mapping->pairs[i].value, &hint) && hint.s && line.s &&
            starts_with(hint.s, line.s))
            return true;
        if (suggest(name, &key, 1))
            return true;
    }
    return false;
}

static void missing_key(ServiceDecoder *d, const char *key, const char *hint) {
    d->bad = true;
    if (is_misspelt(d->node->value, key))
        return;
    reader_error(d->r, d->node->name, DIAG_MISSING_KEY, hint, "service '%s' has no '%s'", d->s->name, key);
}

/* Defaults that follow from other keys. */
static void decode_implied(ServiceDecoder *d) {
    ServiceConfig *s = d->s;
    bool on_demand = s->model == MODEL_ON_DEMAND;
    bool pool = s->model == MODEL_POOL, forward = s->model == MODEL_FORWARD;
    bool listeners = on_demand || pool || (forward && !service_config_accepts(s));
    if (!service_origin(s, "pass"))
        s->pass = listeners ? HANDOFF_LISTEN_FDS : HANDOFF_STDIO;
    if (!service_origin(s, "report"))
        s->report = (on_demand && s->pass == HANDOFF_LISTEN_FDS) || pool || forward ||
                    s->notify == NOTIFY_STATUS ||
                    (s->terms->timeout_watchdog_usec != USEC_INFINITY && s->notify != NOTIFY_SD_NOTIFY);
    if (!service_origin(s, "limits.refuse_with") && s->terms->banner.refused && *s->terms->banner.refused)
        service_config_terms(s)->limits.refuse_with = REFUSE_WITH_BANNER;
    if (s->terms->ban.sensor) { /* nothing is ever started of it */
        s->start_now = false;
        s->prespawn = 0;
        service_config_terms(s)->restart_policy = RESTART_NEVER;
    }
    const ConfigOrigin *exec = service_origin(s, "exec"), *user = service_origin(s, "user");
    const YamlNode *command = d->own[index_of(KEY_SCOPE_SERVICE, "exec")].value;
    bool list = command && command->kind == YAML_SEQUENCE && command->n > 0;
    s->exec_pos = list ? reader_pos(d->r, command->items[0]) : exec ? exec->pos : s->pos;
    s->user_pos = user ? user->pos : s->pos;
}

/* What it cannot be without. */
static void decode_needed(ServiceDecoder *d) {
    const ServiceConfig *s = d->s;
    bool processes = service_config_has_processes(s);
    if (d->model_known && s->model == MODEL_FORWARD) {
        if (!is_given(d, "to"))
            missing_key(d, "to", "where it is forwarded to: to: tcp:ADDRESS:PORT, or unix:/path");
    } else if (!is_given(d, "exec") && processes) {
        missing_key(d, "exec", "write: exec: [PROGRAM, ARGUMENT]");
    }
    if (d->r->context->euid == 0 && !service_origin(s, "user") && processes)
        missing_key(d, "user", "run by root, a service says who it runs as: user: nobody; or root, or self");
}

/* Makes of the fields what they mean; @own are the service's slots, NULL for `defaults` themselves. */
static int derive(Reader *r, const DerivedIndex *index, const Slot *own, const Slot *defaults,
                  ServiceConfig *s) {
    DerivedPlace places[_DERIVED_KEY_MAX];
    for (DerivedKey key = 0; key < _DERIVED_KEY_MAX; key++) {
        size_t i = index->of[key];
        const YamlNode *value = own ? own[i].value : NULL;
        places[key] = (DerivedPlace){
            .value = value ? value : defaults[i].value,
            .quiet = own && !value,
        };
    }
    /* What a preset gives is told at the preset, and nobody has judged it before. */
    if (own && !places[DERIVED_SECCOMP].value)
        places[DERIVED_SECCOMP] = (DerivedPlace){
            .value = own[index->preset].value ? own[index->preset].value : defaults[index->preset].value};
    return derive_service(r, places, s);
}

/* To read them out of their texts for each of ten thousand services takes longer than all the rest. */
static int copy_standards(ServiceDecoder *d) {
    size_t n = schema_n_keys();
    for (size_t i = 0; i < n; i++)
        if (schema_key(i)->scope == KEY_SCOPE_SERVICE &&
            field_copy_standard(schema_key(i), d->common->standards, d->s) < 0)
            return -ENOMEM;
    return 0;
}

static int decode_fields(ServiceDecoder *d) {
    if (copy_standards(d) < 0)
        return -ENOMEM;
    const Slot *listen = &d->own[index_of(KEY_SCOPE_SERVICE, "listen")];
    if (!listen->value && !is_given(d, "tcpmux"))
        missing_key(d, "listen", "write: listen: tcp:PORT");
    else if (listen->value &&
             (note(d, listen_decode(d->r, listen->name, listen->value, d->s)) < 0 ||
              add_origin(d, index_of(KEY_SCOPE_SERVICE, "listen"), listen, false, false) < 0))
        return -ENOMEM;
    if (decode_model(d) < 0)
        return -ENOMEM;
    size_t n = schema_n_keys();
    for (size_t i = 0; i < n; i++)
        if ((d->own[i].value || d->tree->defaults[i].value) && is_field(schema_key(i)) &&
            decode_key(d, i) < 0)
            return -ENOMEM;
    if (preset_apply(d->s) < 0)
        return -ENOMEM;
    if (note(d, derive(d->r, &d->common->derived, d->own, d->tree->defaults, d->s)) < 0)
        return -ENOMEM;
    decode_needed(d);
    decode_implied(d);
    return 0;
}

/* Decodes one service; *@ret stays NULL when there is nothing to look at. */
static int decode_service(Reader *r, const Tree *t, const ServiceNode *node, const Common *common, Slot *own,
                          ServiceConfig **ret) {
    CLEANUP_SERVICE ServiceConfig *s = service_config_new();
    if (!s)
        return -ENOMEM;
    ServiceDecoder d = {.r = r, .tree = t, .node = node, .common = common, .own = own, .s = s};
    if (decode_name(&d) < 0)
        return -ENOMEM;
    if (node->value->kind != YAML_MAPPING) {
        reader_error(r, field_place(node->name, node->value), DIAG_WRONG_TYPE,
                     "write at least listen and exec below it", "service '%s' takes keys of its own",
                     s->name);
        return 0;
    }
    CLEANUP_TEXT Text where = {0};
    text_addf(&where, "service '%s'", s->name);
    memset(own, 0, schema_n_keys() * sizeof(Slot));
    tree_walk(r, KEY_SCOPE_SERVICE, where.s ? where.s : "a service", node->value, own);
    if (decode_fields(&d) < 0)
        return -ENOMEM;
    if (!d.bad)
        validate_service(r, s);
    if (service_config_intern(s, r->interned) < 0)
        return -ENOMEM;
    *ret = TAKE_PTR(s);
    return 0;
}

/* Judges `defaults` once, so that each mistake in it is told once. */
static int judge_defaults(Reader *r, const Tree *t, const Common *common) {
    CLEANUP_SERVICE ServiceConfig *scratch = service_config_new();
    if (!scratch)
        return -ENOMEM;
    for (size_t i = 0; i < schema_n_keys(); i++) {
        const Key *key = schema_key(i);
        const Slot *slot = &t->defaults[i];
        if (!slot->value || key->type == KEY_SECTION)
            continue;
        if (key->flags & KEY_NO_DEFAULTS)
            reader_error(r, slot->name, DIAG_CONFLICT, "write it in each service",
                         "'%s' cannot stand in defaults", key->path);
        else if (field_decode(r, key, slot->name, slot->value, scratch) == -ENOMEM)
            return -ENOMEM;
    }
    return derive(r, &common->derived, NULL, t->defaults, scratch) == -ENOMEM ? -ENOMEM : 0;
}

static int decode_file(Reader *r, const Tree *t, Config *c) {
    for (size_t i = 0; i < schema_n_keys(); i++) {
        const Key *key = schema_key(i);
        const Slot *slot = &t->slots[i];
        if (!slot->value || key->scope != KEY_SCOPE_FILE || key->size == 0)
            continue;
        const ConfigOrigin origin = {.pos = reader_pos(r, slot->value), .key = (uint16_t)i};
        if (field_decode(r, key, slot->name, slot->value, c) == -ENOMEM ||
            config_origin_add(&c->origins, &c->n_origins, &origin) < 0)
            return -ENOMEM;
    }
    return 0;
}

static int common_init(Common *common) {
    *common = (Common){.standards = service_config_new()};
    for (DerivedKey key = 0; key < _DERIVED_KEY_MAX; key++)
        common->derived.of[key] = index_of(KEY_SCOPE_SERVICE, derived_key_path(key));
    common->derived.preset = index_of(KEY_SCOPE_SERVICE, "sandbox.preset");
    return common->standards && decode_standards(KEY_SCOPE_SERVICE, common->standards) == 0 ? 0 : -ENOMEM;
}

static void common_done(Common *common) {
    common->standards = service_config_unref(common->standards);
}

int decode_config(Reader *r, const Tree *t, Config *c) {
    CLEANUP(common_done) Common common;
    if (common_init(&common) < 0 || decode_standards(KEY_SCOPE_FILE, c) < 0 || decode_file(r, t, c) < 0 ||
        judge_defaults(r, t, &common) < 0)
        return -ENOMEM;
    CLEANUP_FREE Slot *own = calloc(schema_n_keys(), sizeof(Slot));
    c->services = (ServiceConfig **)calloc(t->n_services + 1, sizeof(ServiceConfig *));
    if (!own || !c->services)
        return -ENOMEM;
    for (size_t i = 0; i < t->n_services; i++) {
        ServiceConfig *s = NULL;
        if (decode_service(r, t, &t->services[i], &common, own, &s) < 0)
            return -ENOMEM;
        if (s)
            c->services[c->n_services++] = s;
    }
    return 0;
}

/* SPDX-License-Identifier: MIT */
#include "conf/load.h"

#include <stdlib.h>
#include <string.h>

#include "conf/config-build.h"
#include "conf/decode.h"
#include "conf/files.h"
#include "conf/resolve.h"
#include "conf/service-intern.h"
#include "conf/validate.h"

/* What is wrong with one service, on its way to the diagnostics. */
typedef struct Finding {
    Reader *r;
    ServiceConfig *s;
} Finding;

/* What is merely missing is a warning at start. */
static DiagSeverity severity_of(const Reader *r, DiagCode code) {
    bool missing = code == DIAG_NOT_FOUND || code == DIAG_NOT_ALLOWED;
    return missing && r->context->tolerate_missing ? DIAG_WARNING : DIAG_ERROR;
}

static void keep_problem(ServiceConfig *s, const Diag *d) {
    Diag *problem = calloc(1, sizeof(Diag));
    if (!problem)
        return;
    *problem = *d;
    problem->file = strdup(d->file ? d->file : "");
    problem->message = strdup(d->message ? d->message : "");
    problem->hint = strdup(d->hint ? d->hint : "");
    problem->excerpt = strdup(d->excerpt ? d->excerpt : "");
    problem->key = d->key ? strdup(d->key) : NULL;
    s->problem = problem;
    if (!problem->file || !problem->message || !problem->hint || !problem->excerpt)
        s->problem = diag_free(problem);
}

static void on_found(const char *key, const ConfigPos *pos, DiagCode code, const char *hint,
                     const char *message, void *userdata) {
    Finding *f = userdata;
    CLEANUP_TEXT Text text = {0};
    DiagSeverity severity = severity_of(f->r, code);
    size_t n = f->r->diags->n;
    text_addf(&text, "service '%s': %s", f->s->name, message);
    reader_diag_at(f->r, pos, severity, code, hint, text.s ? text.s : message);
    diag_list_about(f->r->diags, n, key);
    if (severity != DIAG_WARNING || f->s->problem)
        return;
    /* What `defaults` has wrong is warned of once, and yet is every service's problem. */
    const Diag same = {
        .severity = severity,
        .code = code,
        .file = (char *)(uintptr_t)pos->file,
        .line = pos->line,
        .column = pos->column,
        .end_column = pos->end_column,
        .message = text.s,
        .hint = (char *)(uintptr_t)hint,
        .key = (char *)(uintptr_t)key,
    };
    keep_problem(f->s, f->r->diags->n > n ? &f->r->diags->items[n] : &same);
}

static int resolve_services(Reader *r, Config *c, Lookups *lookups) {
    for (size_t i = 0; i < c->n_services; i++) {
        Finding finding = {.r = r, .s = c->services[i]};
        if (resolve_service(c->services[i], r->context, lookups, on_found, &finding) < 0 ||
            service_config_own_files(c->services[i]) < 0 || service_config_intern_found(c->services[i]) < 0)
            return -ENOMEM;
    }
    return 0;
}

static const Slot *file_slot(const Tree *t, const char *path) {
    return &t->slots[schema_index(schema_find(KEY_SCOPE_FILE, path))];
}

static void tell_missing(Reader *r, const YamlNode *node, const char *what, const char *name) {
    reader_diag(r, node, severity_of(r, DIAG_NOT_FOUND), DIAG_NOT_FOUND, NULL, "there is no %s '%s'", what,
                name);
}

static int resolve_control_group(Reader *r, const Tree *t, Config *c, Lookups *lookups) {
    const Slot *slot = file_slot(t, "control.group");
    if (!c->control_group || !slot->value)
        return 0;
    int k = lookups_group(lookups, c->control_group, &c->control_gid);
    if (k == -ENOMEM)
        return k;
    if (k < 0)
        tell_missing(r, slot->value, "group", c->control_group);
    return 0;
}

/* Of what is given and yet holds for nobody. */
static void tell_nobody(Reader *r, const YamlNode *node, const char *name, const char *what) {
    reader_diag(r, node, DIAG_WARNING, DIAG_NOT_ALLOWED,
                "give who is to manage a user or a group of their own",
                "control.manage: '%s' may change nothing: %s %u stands for all that the kernel cannot name",
                name, what, ID_NOBODY);
}

/* One entry of control.manage: a user, or %group. */
static int resolve_manager(Reader *r, const YamlNode *node, const char *name, Config *c, Lookups *lookups) {
    const UserEntry *entry = NULL;
    uid_t number = 0;
    int k;
    if (name[0] == '%') {
        k = lookups_group(lookups, name + 1, &c->manage_gids[c->n_manage_gids]);
        if (k == 0 && c->manage_gids[c->n_manage_gids++] == ID_NOBODY)
            tell_nobody(r, node, name, "group");
    } else {
        k = lookups_user(lookups, name, &entry);
        if (k == -ENOENT && lookups_is_number(name, &number))
            k = 0;
        uid_t uid = entry ? entry->uid : number;
        if (k == 0)
            c->manage_uids[c->n_manage_uids++] = uid;
        /* The daemon's own user may, whoever that is. */
        if (k == 0 && uid == ID_NOBODY && r->context->euid != ID_NOBODY)
            tell_nobody(r, node, name, "user");
    }
    if (k == -ENOMEM)
        return k;
    if (k < 0)
        tell_missing(r, node, name[0] == '%' ? "group" : "user", name[0] == '%' ? name + 1 : name);
    return 0;
}

static int resolve_manage(Reader *r, const Tree *t, Config *c, Lookups *lookups) {
    const Slot *slot = file_slot(t, "control.manage");
    char *const *names = c->control_manage;
    if (!slot->value || !names)
        return 0;
    size_t n = strv_length(names);
    c->manage_uids = calloc(n + 1, sizeof(uid_t));
    c->manage_gids = calloc(n + 1, sizeof(gid_t));
    if (!c->manage_uids || !c->manage_gids)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        const YamlNode *node = slot->value->kind == YAML_SEQUENCE ? slot->value->items[i] : slot->value;
        if (resolve_manager(r, node, names[i], c, lookups) < 0)
            return -ENOMEM;
    }
    return 0;
}

static int resolve_config(Reader *r, const Tree *t, Config *c) {
    if (resolve_control_group(r, t, c, r->lookups) < 0 || resolve_manage(r, t, c, r->lookups) < 0)
        return -ENOMEM;
    return resolve_services(r, c, r->lookups);
}

/* An included file may be read by several configs; which format it is in is for the main file to say. */
static int check_version(Reader *r, Config *c) {
    const YamlNode *root = yaml_file_root(r->files[0]);
    const YamlNode *version = root && root->kind == YAML_MAPPING ? yaml_get(root, "version") : NULL;
    if (version) {
        const Key *key = schema_find(KEY_SCOPE_FILE, "version");
        const ConfigOrigin origin = {.pos = reader_pos(r, version), .key = (uint16_t)schema_index(key)};
        return config_origin_add(&c->origins, &c->n_origins, &origin);
    }
    if (root && root->kind != YAML_MAPPING)
        return 0;
    const ConfigPos start = {.file = r->names[0], .line = 1, .column = 1, .end_column = 2};
    const ConfigPos pos = root && root->n > 0 ? reader_pos(r, root->pairs[0].key) : start;
    reader_diag_at(r, &pos, DIAG_ERROR, DIAG_MISSING_KEY, "begin with: version: 1",
                   "the file has no 'version'");
    return 0;
}

static int read_config(Reader *r, Tree *t, Config *c) {
    for (size_t i = 0; i < r->n_files; i++)
        tree_add(t, r, yaml_file_root(r->files[i]));
    tree_finish(t, r);
    if (check_version(r, c) < 0 || decode_config(r, t, c) < 0)
        return -ENOMEM;
    validate_config(r, c);
    return resolve_config(r, t, c);
}

/* A diagnostic with its place in the order of the files. */
typedef struct Placed {
    Diag diag;
    size_t file, index;
} Placed;

static int compare_placed(const void *a, const void *b) {
    const Placed *x = a, *y = b;
    /* Of files that the main one does not include, but names: those of rules. */
    const char *a_file = x->diag.file ? x->diag.file : "", *b_file = y->diag.file ? y->diag.file : "";
    if (x->file == y->file && !streq(a_file, b_file))
        return strcmp(a_file, b_file);
    const size_t keys[][2] = {
        {x->file, y->file},
        {x->diag.line, y->diag.line},
        {x->diag.column, y->diag.column},
        {x->index, y->index},
    };
    for (size_t i = 0; i < ELEMENTS(keys); i++)
        if (keys[i][0] != keys[i][1])
            return keys[i][0] < keys[i][1] ? -1 : 1;
    return 0;
}

/* Puts what was found, from @first on, into the order in which it is read in the files. */
static void sort_diags(const Reader *r, DiagList *diags, size_t first) {
    size_t n = diags->n - first;
    CLEANUP_FREE Placed *placed = calloc(n + 1, sizeof(Placed));
    for (size_t i = 0; placed && i < n; i++) {
        placed[i] = (Placed){.diag = diags->items[first + i], .index = i};
        const char *file = placed[i].diag.file;
        while (placed[i].file < r->n_files && file && !streq(r->names[placed[i].file], file))
            placed[i].file++;
    }
    if (!placed)
        return;
    qsort(placed, n, sizeof(Placed), compare_placed);
    for (size_t i = 0; i < n; i++)
        diags->items[first + i] = placed[i].diag;
}

int config_load(const char *path, const LoadContext *context, DiagList *diags, Config **ret) {
    CLEANUP_READER Reader r;
    int k = reader_init(&r, context, diags);
    Tree tree = {0};
    size_t errors = diags->n_errors, first = diags->n;
    CLEANUP_CONFIG Config *c = config_new();
    if (k == 0)
        k = c && (c->path = strdup(path)) ? files_read(&r, path) : -ENOMEM;
    if (k == 0)
        k = tree_init(&tree);
    if (k == 0 && r.n_files > 0)
        k = read_config(&r, &tree, c);
    if (k == 0 && r.no_memory)
        k = -ENOMEM;
    if (k == 0 && (diags->n_errors > errors || r.n_files == 0))
        k = -EINVAL;
    sort_diags(&r, diags, first);
    if (k == 0) {
        c->files = TAKE_PTR(r.names);
        *ret = TAKE_PTR(c);
    }
    tree_done(&tree);
    return k;
}

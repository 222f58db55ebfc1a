/* SPDX-License-Identifier: MIT */
#include "conf/resolve.h"

#include <linux/capability.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "conf/capability.h"
#include "conf/config-build.h"
#include "conf/decode.h"
#include "conf/derive.h"
#include "conf/path.h"
#include "conf/preset.h"
#include "conf/program.h"
#include "conf/target.h"
#include "daemon/base/text.h"

#define FORWARD_PROGRAM "mp-forward"
#define NEEDS_ROOT "only a daemon that runs as root can do that"

typedef struct Resolver {
    ServiceConfig *s;
    const LoadContext *context;
    Lookups *lookups;
    ResolveFound found;
    void *userdata;
    bool bad;
    bool groups_unknown; /* one at least: it may be the one that lets it in */
} Resolver;

/* The place of a key's value, or of the service's name. */
static const ConfigPos *place(const Resolver *v, const char *path) {
    const ConfigOrigin *origin = service_origin(v->s, path);
    return origin ? &origin->pos : &v->s->pos;
}

/* The place of item @i of the list that @path is. */
static const ConfigPos *item_place(const Resolver *v, const char *path, size_t i) {
    const ConfigOrigin *origin = service_item_origin(v->s, path, i);
    return origin ? &origin->pos : &v->s->pos;
}

/* @pos: NULL is that of @key. */
static void tell(Resolver *v, const char *key, const ConfigPos *pos, DiagCode code, const char *hint,
                 const char *format, ...) __attribute__((format(printf, 6, 7)));

static void tell(Resolver *v, const char *key, const ConfigPos *pos, DiagCode code, const char *hint,
                 const char *format, ...) {
    char message[512];
    va_list ap;
    va_start(ap, format);
    (void)vsnprintf(message, sizeof(message), format, ap);
    va_end(ap);
    v->bad = true;
    v->found(key, pos ? pos : place(v, key), code, hint, message, v->userdata);
}

static void tell_lookup(Resolver *v, const char *key, const ConfigPos *pos, const char *what,
                        const char *name, int error) {
    if (error == -ENOENT)
        tell(v, key, pos, DIAG_NOT_FOUND, NULL, "there is no %s '%s'", what, name);
    else
        tell(v, key, pos, DIAG_NOT_FOUND, NULL, "%s '%s' cannot be looked up: %s", what, name,
             strerror(-error));
}

static int keep_user(Resolved *to, const UserEntry *entry, const char *name) {
    to->user_name = strdup(entry ? entry->name : name);
    to->home = strdup(entry ? entry->home : "/");
    to->shell = strdup(entry ? entry->shell : "/bin/sh");
    return to->user_name && to->home && to->shell ? 0 : -ENOMEM;
}

/* The user's groups, with @gid in the place of the primary one, as initgroups(3) has it. */
static int keep_user_groups(Resolved *to, const UserEntry *entry) {
    if (!entry || entry->n_groups == 0)
        return 0;
    to->groups = calloc(entry->n_groups, sizeof(gid_t));
    if (!to->groups)
        return -ENOMEM;
    for (size_t i = 0; i < entry->n_groups; i++)
        to->groups[i] = entry->groups[i] == entry->gid ? to->gid : entry->groups[i];
    to->n_groups = entry->n_groups;
    return 0;
}

/* The groups that the daemon's own user has anyway: they are not set, but say what it can run. */
static int keep_own_groups(Resolver *v, const UserEntry *entry) {
    Resolved *to = &v->s->resolved;
    int n = v->context->euid == geteuid() ? getgroups(0, NULL) : 0;
    if (n <= 0)
        return keep_user_groups(to, entry);
    to->groups = calloc((size_t)n, sizeof(gid_t));
    if (!to->groups)
        return -ENOMEM;
    n = getgroups(n, to->groups);
    to->n_groups = n > 0 ? (size_t)n : 0;
    return 0;
}

static gid_t own_gid(const Resolver *v, const UserEntry *entry) {
    uid_t euid = v->context->euid;
    if (v->context->has_egid)
        return v->context->egid;
    return euid == geteuid() ? getegid() : entry ? entry->gid : (gid_t)euid;
}

static int keep_named_groups(Resolver *v, char *const *names) {
    Resolved *to = &v->s->resolved;
    to->groups = calloc(strv_length(names) + 1, sizeof(gid_t));
    if (!to->groups)
        return -ENOMEM;
    for (size_t i = 0; names[i]; i++) {
        if (!*names[i])
            continue; /* that is told by itself */
        int r = lookups_group(v->lookups, names[i], &to->groups[to->n_groups]);
        if (r == -ENOMEM)
            return r;
        if (r < 0)
            tell_lookup(v, "supplementary_groups", item_place(v, "supplementary_groups", i), "group",
                        names[i], r);
        v->groups_unknown = v->groups_unknown || r < 0;
        to->n_groups += r == 0;
    }
    return 0;
}

static int resolve_groups(Resolver *v, const UserEntry *entry) {
    ServiceConfig *s = v->s;
    if (s->group) {
        int r = lookups_group(v->lookups, s->group, &s->resolved.gid);
        if (r == -ENOMEM)
            return r;
        if (r < 0)
            tell_lookup(v, "group", NULL, "group", s->group, r);
        v->groups_unknown = r < 0;
    }
    if (v->context->euid == 0)
        return s->supplementary_groups ? keep_named_groups(v, s->supplementary_groups)
                                       : keep_user_groups(&s->resolved, entry);
    if (s->group && s->resolved.gid != own_gid(v, entry))
        tell(v, "group", NULL, DIAG_NOT_ALLOWED, NEEDS_ROOT, "it cannot run as group '%s'", s->group);
    if (s->supplementary_groups && s->supplementary_groups[0])
        tell(v, "supplementary_groups", NULL, DIAG_NOT_ALLOWED, NEEDS_ROOT, "it cannot have other groups");
    return keep_own_groups(v, entry);
}

static int resolve_self(Resolver *v) {
    Resolved *to = &v->s->resolved;
    uid_t euid = v->context->euid;
    const UserEntry *entry = NULL;
    char number[16];
    int r = lookups_uid(v->lookups, euid, &entry);
    if (r == -ENOMEM)
        return r;
    (void)snprintf(number, sizeof(number), "%u", (unsigned)euid);
    to->uid = euid;
    to->gid = own_gid(v, entry);
    to->change_ids = euid == 0 && (v->s->group || v->s->supplementary_groups);
    return keep_user(to, entry, number) < 0 ? -ENOMEM : resolve_groups(v, entry);
}

static int resolve_named(Resolver *v, const char *name) {
    ServiceConfig *s = v->s;
    const UserEntry *entry = NULL;
    uid_t number = 0;
    int r = lookups_user(v->lookups, name, &entry);
    if (r == -ENOMEM)
        return r;
    bool bare = r == -ENOENT && lookups_is_number(name, &number);
    if (r < 0 && !bare) {
        tell_lookup(v, "user", &s->user_pos, "user", name, r);
        return 0;
    }
    uid_t uid = entry ? entry->uid : number;
    if (uid == v->context->euid && uid != 0)
        return resolve_self(v);
    if (v->context->euid != 0) {
        tell(v, "user", &s->user_pos, DIAG_NOT_ALLOWED, NEEDS_ROOT, "it cannot run as user '%s'", name);
        return 0;
    }
    if (uid == 0 && !streq(name, "root")) {
        v->bad = true;
        if (lookups_is_number(name, &number))
            return 0; /* a rule of its own says so */
        tell(v, "user", &s->user_pos, DIAG_NOT_ALLOWED, "write user: root if that is meant",
             "user '%s' is root by another name", name);
        return 0;
    }
    if (!entry && !s->group) {
        tell(v, "user", &s->user_pos, DIAG_NOT_FOUND, "give its group, too",
             "user %s is not in the user data base, so its group is not known", name);
        v->groups_unknown = true;
    }
    s->resolved.uid = uid;
    s->resolved.gid = entry ? entry->gid : (gid_t)uid;
    s->resolved.change_ids = true;
    return keep_user(&s->resolved, entry, name) < 0 ? -ENOMEM : resolve_groups(v, entry);
}

static int resolve_identity(Resolver *v) {
    const char *user = v->s->user;
    return !user || streq(user, "self") ? resolve_self(v) : resolve_named(v, user);
}

static ProgramUser program_user(const ServiceConfig *s) {
    return (ProgramUser){
        .uid = s->resolved.uid,
        .gid = s->resolved.gid,
        .groups = s->resolved.groups,
        .n_groups = s->resolved.n_groups,
    };
}

/* All that a search for @word as the service's user depends on. */
static char *search_key(const Resolver *v, const char *what, const char *word) {
    const ServiceConfig *s = v->s;
    Text key = {0};
    text_add(&key, what);
    text_addc(&key, ' ');
    text_add_u64(&key, s->resolved.uid);
    text_addc(&key, ':');
    text_add_u64(&key, s->resolved.gid);
    for (size_t i = 0; i < s->resolved.n_groups; i++) {
        text_addc(&key, ':');
        text_add_u64(&key, s->resolved.groups[i]);
    }
    text_addc(&key, ' ');
    text_add_u64(&key, strlen(word));
    text_addc(&key, ' ');
    text_add(&key, word);
    text_add(&key, s->root_directory ? s->root_directory : "");
    return text_take(&key);
}

static void tell_directory(Resolver *v, const char *key, const char *path, int error) {
    if (error == -ENOENT)
        tell(v, key, NULL, DIAG_NOT_FOUND, NULL, "%s: there is no %s", key, path);
    else if (error == -ENOTDIR)
        tell(v, key, NULL, DIAG_NOT_FOUND, NULL, "%s: %s is not a directory", key, path);
    else
        tell(v, key, NULL, DIAG_NOT_ALLOWED, NULL, "%s: user '%s' cannot enter %s", key,
             v->s->resolved.user_name, path);
}

/* Whether its user can do it is not known as long as its groups are not. */
static bool may_be_allowed(const Resolver *v, int error) {
    return error == -EACCES && v->groups_unknown;
}

/* Returns whether the root directory is one to look into. */
static bool resolve_directories(Resolver *v) {
    const ServiceConfig *s = v->s;
    const ProgramUser user = program_user(s), root = {0};
    if (!s->root_directory && service_origin(s, "root_directory"))
        return false; /* it was told to be no path */
    if (s->root_directory) {
        int r = program_directory(s->root_directory, NULL, &root);
        if (r < 0)
            tell_directory(v, "root_directory", s->root_directory, r);
        if (v->context->euid != 0)
            tell(v, "root_directory", NULL, DIAG_NOT_ALLOWED, NEEDS_ROOT, "it cannot have a root_directory");
        if (r < 0)
            return false;
    }
    char *key CLEANUP_FREE = search_key(v, "directory", s->working_directory);
    if (key && lookups_known(v->lookups, key))
        return true;
    int r = program_directory(s->working_directory, s->root_directory, &user);
    if (may_be_allowed(v, r))
        return true;
    if (r < 0)
        tell_directory(v, "working_directory", s->working_directory, r);
    else if (key)
        lookups_keep(v->lookups, key, "");
    return true;
}

/* The program of its connections runs outside of a root_directory, which is the backend's. */
static int resolve_forward(Resolver *v) {
    ServiceConfig *s = v->s;
    const ProgramUser user = program_user(s);
    int r = program_find(FORWARD_PROGRAM, v->context->libexecdir, NULL, &user, &s->resolved.forward);
    if (r == 0 || r == -ENOMEM)
        return r;
    if (may_be_allowed(v, r))
        return 0;
    if (r == -EACCES)
        tell(v, "model", NULL, DIAG_NOT_ALLOWED, NULL,
             "model forward: user '%s' cannot run '" FORWARD_PROGRAM "'", s->resolved.user_name);
    else
        tell(v, "model", NULL, DIAG_NOT_FOUND, "it comes with mpinetd; install it again",
             "model forward: there is no program '" FORWARD_PROGRAM "'");
    return 0;
}

/* The daemon connects to a backend of its own, and looks nothing up. */
static void resolve_target(ServiceConfig *s) {
    Endpoint to;
    if (!s->to || !target_has_port_name(s->to) || target_parse(s->to, &to, NULL, NULL) < 0)
        return;
    const Addr a = endpoint_addr(&to, 0);
    s->resolved.to_port = addr_port(&a);
}

/* As program_find(), unless another service has had the answer already. */
static int find_program(Resolver *v, const char *word, const ProgramUser *user) {
    char **ret = &v->s->resolved.program;
    char *key CLEANUP_FREE = search_key(v, "program", word);
    const char *known = key ? lookups_known(v->lookups, key) : NULL;
    if (known)
        return (*ret = strdup(known)) ? 0 : -ENOMEM;
    int r = program_find(word, v->context->libexecdir, v->s->root_directory, user, ret);
    if (r == 0 && key)
        lookups_keep(v->lookups, key, *ret);
    return r;
}

static int resolve_program(Resolver *v) {
    ServiceConfig *s = v->s;
    const ProgramUser user = program_user(s);
    const char *word = s->exec[0], *root = s->root_directory ? s->root_directory : "";
    if (word[0] != '/' && strchr(word, '/'))
        return 0; /* a rule of its own says so */
    int r = find_program(v, word, &user);
    if (r == 0 || r == -ENOMEM)
        return r;
    if (may_be_allowed(v, r))
        return 0;
    const char *inside = *root ? " in " : "";
    if (r == -EISDIR)
        tell(v, "exec", &s->exec_pos, DIAG_NOT_ALLOWED, NULL, "exec: %s%s%s is not a regular file", word,
             inside, root);
    else if (r == -EACCES)
        tell(v, "exec", &s->exec_pos, DIAG_NOT_ALLOWED, NULL, "exec: user '%s' cannot run '%s'%s%s",
             s->resolved.user_name, word, inside, root);
    else if (word[0] == '/')
        tell(v, "exec", &s->exec_pos, DIAG_NOT_FOUND, "install it, or correct the path",
             "exec: there is no %s%s%s", word, inside, root);
    else
        tell(v, "exec", &s->exec_pos, DIAG_NOT_FOUND, "install it, or write its whole path",
             "exec: there is no program '%s'%s%s", word, inside, root);
    return 0;
}

/* The place of an option of endpoint @i. */
static const ConfigPos *option_place(const Resolver *v, const char *path, size_t i) {
    const ConfigOrigin *origin = service_listen_origin(v->s, path, i);
    return origin ? &origin->pos : &v->s->listen[i].pos;
}

/* The owners of UNIX sockets' nodes. */
static int resolve_listeners(Resolver *v) {
    for (size_t i = 0; i < v->s->n_listen; i++) {
        ListenConfig *l = &v->s->listen[i];
        const UserEntry *entry = NULL;
        uid_t number;
        int r = l->user_name ? lookups_user(v->lookups, l->user_name, &entry) : 0;
        if (r == -ENOMEM)
            return r;
        if (entry)
            l->user = entry->uid;
        else if (l->user_name && lookups_is_number(l->user_name, &number))
            l->user = number;
        else if (l->user_name)
            tell_lookup(v, "listen", option_place(v, "user", i), "user", l->user_name, r);
        if (l->user != (uid_t)-1 && l->user != v->context->euid && v->context->euid != 0)
            tell(v, "listen", option_place(v, "user", i), DIAG_NOT_ALLOWED, NEEDS_ROOT,
                 "its socket cannot belong to user '%s'", l->user_name);
        r = l->group_name ? lookups_group(v->lookups, l->group_name, &l->group) : 0;
        if (r == -ENOMEM)
            return r;
        if (r < 0)
            tell_lookup(v, "listen", option_place(v, "group", i), "group", l->group_name, r);
    }
    return 0;
}

/* It can hand on what it has itself, no more. */
static void resolve_capabilities(Resolver *v) {
    const SandboxConfig *sandbox = v->s->sandbox;
    if (!sandbox || !sandbox->capabilities || v->context->euid == 0)
        return;
    uint64_t missing = sandbox->capability_set;
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0}};
    if (v->context->euid == geteuid() && syscall(SYS_capget, &head, data) == 0)
        missing &= ~((uint64_t)data[1].permitted << 32 | data[0].permitted);
    for (size_t i = 0; sandbox->capabilities[i]; i++) {
        int c = capability_from_name(sandbox->capabilities[i]);
        if (c >= 0 && (missing >> c & 1))
            tell(v, "sandbox.capabilities", item_place(v, "sandbox.capabilities", i), DIAG_NOT_ALLOWED,
                 "run the daemon as root, or leave it out", "sandbox.capabilities: the daemon has no %s",
                 capability_name((unsigned)c));
    }
}

/* A program that was found by its name; of one with a path, and where all is hidden, a rule says so. */
static void resolve_out_of_sight(Resolver *v) {
    const ServiceConfig *s = v->s;
    const char *program = s->resolved.program;
    if (!s->sandbox || !program || s->exec[0][0] == '/')
        return;
    ssize_t i = path_find_above(program, s->sandbox->hidden);
    if (i >= 0 && path_find_above("/", s->sandbox->hidden) < 0)
        tell(v, "sandbox.hidden", item_place(v, "sandbox.hidden", (size_t)i), DIAG_CONFLICT,
             "leave that path out of hidden", "sandbox.hidden hides %s of exec", program);
}

/* A preset hides nothing that the service cannot do without. */
static void resolve_hidden(Resolver *v) {
    ServiceConfig *s = v->s;
    if (!s->sandbox)
        return;
    if (!s->root_directory) {
        preset_unhide(s, s->resolved.program);
        preset_unhide(s, s->working_directory);
    }
    char *const *const lists[] = {s->sandbox->read_write, s->sandbox->landlock_read,
                                  s->sandbox->landlock_write};
    for (size_t i = 0; i < ELEMENTS(lists); i++)
        for (char *const *item = lists[i]; item && *item; item++)
            preset_unhide(s, path_of_item(*item));
}

int resolve_service(ServiceConfig *s, const LoadContext *context, Lookups *lookups, ResolveFound found,
                    void *userdata) {
    Resolver v = {.s = s, .context = context, .lookups = lookups, .found = found, .userdata = userdata};
    resolved_done(&s->resolved);
    if (resolve_identity(&v) < 0 || resolve_listeners(&v) < 0)
        return -ENOMEM;
    /* Without a user it cannot be said who would run the program. */
    bool known = s->resolved.user_name;
    if (known && resolve_directories(&v) && s->exec && resolve_program(&v) < 0)
        return -ENOMEM;
    resolve_capabilities(&v);
    resolve_hidden(&v);
    resolve_out_of_sight(&v);
    bool forward = s->model == MODEL_FORWARD;
    if (known && forward && resolve_forward(&v) < 0)
        return -ENOMEM;
    if (forward)
        resolve_target(s);
    s->resolved.ok = !v.bad && (s->resolved.program || !s->exec) && (s->resolved.forward || !forward);
    return 0;
}

static void on_found(const char *key, const ConfigPos *pos, DiagCode code, const char *hint,
                     const char *message, void *userdata) {
    DiagList *diags = userdata;
    size_t n = diags->n;
    const DiagPos at = {
        .file = pos->file, .line = pos->line, .column = pos->column, .end_column = pos->end_column};
    diag_add(diags, DIAG_ERROR, code, &at, NULL, hint, "%s", message);
    diag_list_about(diags, n, key);
}

int service_config_resolve(ServiceConfig *s, const LoadContext *context) {
    CLEANUP_DIAGS DiagList diags = {0};
    CLEANUP_READER Reader r;
    s->digest[0] = s->digest[1] = 0;
    /* Without memory it stays as it was: with its problem, so that it does not run. */
    if (reader_init(&r, context, &diags) < 0 || (s->incomplete && derive_again(&r, s) == -ENOMEM) ||
        resolve_service(s, context, r.lookups, on_found, &diags) < 0)
        return -ENOMEM;
    Diag *problem = diags.n > 0 ? malloc(sizeof(Diag)) : NULL;
    if (diags.n > 0 && !problem)
        return -ENOMEM;
    diag_free(s->problem);
    s->problem = problem;
    if (!problem)
        return 0;
    *problem = diags.items[0];
    diags.items[0] = (Diag){0};
    return problem->code == DIAG_NOT_ALLOWED ? -EPERM : -ENOENT;
}

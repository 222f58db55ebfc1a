/* SPDX-License-Identifier: MIT */
#include "daemon/cgroup.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "daemon/cgroup-file.h"
#include "daemon/ledger.h"
#include "daemon/spawn.h"

/* The files of /proc that are read here are short, but for the list of mounts of a machine full of
 * containers. */
#define PROC_FILE_MAX ((size_t)1 << 20)
/* So far up it is looked whether a process is the daemon's. */
#define ANCESTORS_MAX 16
#define STANDARD_SOCKET "/run/mpinetd/control.sock"

int cgroup_problem(CgroupProblem *why, int error, const char *format, ...) {
    va_list args;
    va_start(args, format);
    (void)vsnprintf(why->text, sizeof(why->text), format, args);
    va_end(args);
    why->error = -error;
    return error;
}

/* Where it is */

static int read_whole(const char *path, Text *ret) {
    char buf[4096];
    CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : 1;
    while (n > 0 && ret->len < PROC_FILE_MAX) {
        n = read(fd, buf, sizeof(buf));
        if (n > 0)
            text_add_n(ret, buf, (size_t)n);
    }
    if (n < 0)
        return -errno;
    text_add(ret, "");
    return text_ok(ret) ? 0 : -ENOMEM;
}

/* The daemon's group: @path as the kernel calls it, @folder where it is seen. */
static int find_own(Text *path, Text *folder, CgroupProblem *why) {
    CLEANUP_TEXT Text own = {0}, mounts = {0};
    int r = read_whole("/proc/self/cgroup", &own);
    if (r >= 0)
        r = read_whole("/proc/self/mountinfo", &mounts);
    if (r < 0)
        return cgroup_problem(why, r, "/proc does not tell which control group the daemon is in: %s",
                              strerror(-r));
    r = cgroup_parse_membership(own.s ? own.s : "", path);
    if (r >= 0)
        r = cgroup_parse_mounts(mounts.s ? mounts.s : "", path->s ? path->s : "", folder);
    if (r == -ENODEV || r == -ENODATA)
        return cgroup_problem(why, -ENODEV, "no control groups of version 2 (cgroup2) are mounted here");
    if (r == -ENOENT)
        return cgroup_problem(why, r, "the control group that the daemon was started in has been removed");
    if (r < 0)
        return cgroup_problem(why, r, "the daemon's control group %s is not seen where cgroup2 is mounted",
                              path->s ? path->s : "");
    return 0;
}

/* systemd marks what it gives away: the second by what a daemon without privileges may read. */
static bool is_delegated(int dir) {
    static const char *const names[] = {"trusted.delegate", "user.delegate"};
    char value[4];
    for (size_t i = 0; i < ELEMENTS(names); i++)
        if (fgetxattr(dir, names[i], value, sizeof(value)) == 1 && value[0] == '1')
            return true;
    return false;
}

/* It is the daemon itself, or comes from it. */
static int is_ours(pid_t pid, void *userdata) {
    (void)userdata;
    for (unsigned i = 0; i < ANCESTORS_MAX && pid > 0; i++, pid = spawn_parent_of(pid))
        if (pid == getpid())
            return 0;
    return -EUSERS;
}

static bool has_file(int dir, const char *name) {
    return faccessat(dir, name, F_OK, 0) == 0;
}

static CgroupFacts facts_of(int dir, int parent, const char *path, bool in_leaf) {
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    bool parent_is_all = slash == path;
    return (CgroupFacts){
        .machine = !has_file(dir, "cgroup.type"),
        .delegated = is_delegated(dir),
        .namespace_root = streq(path, "/"),
        .alone = cgroup_each(dir, is_ours, NULL) >= 0,
        .unit = cgroup_is_unit(name),
        .in_leaf = streq(name, CGROUP_LEAF),
        .parent_delegated = in_leaf || (parent >= 0 && (is_delegated(parent) ||
                                                        (parent_is_all && has_file(parent, "cgroup.type")))),
    };
}

/* Whether groups can be made in @dir, and processes brought there. */
static int check_access(int dir, const char *folder, CgroupProblem *why) {
    int r = faccessat(dir, ".", W_OK, AT_EACCESS) < 0 ? -errno : 0;
    if (r >= 0 && has_file(dir, "cgroup.type") && faccessat(dir, "cgroup.procs", W_OK, AT_EACCESS) < 0)
        r = -errno;
    if (r == -EROFS)
        return cgroup_problem(
            why, r,
            "%s is read-only here: a unit with ProtectControlGroups=, or a container that must be "
            "given it writable",
            folder);
    if (r < 0)
        return cgroup_problem(why, r,
                              "the daemon may not divide its control group %s (%s): start it by a unit with "
                              "Delegate=yes, or in a group that its user owns",
                              folder, strerror(-r));
    return 0;
}

static int refuse(const char *folder, CgroupProblem *why) {
    return cgroup_problem(
        why, -EUSERS,
        "the control group %s is not the daemon's to divide: start it by a unit with Delegate=yes, or "
        "in a group of its own",
        folder);
}

/* What may be divided: opened, with its path, and how it came to that. */
typedef struct Found {
    int dir;
    Text folder;
    CgroupClaim claim;
    bool all_there_is; /* of a container: other daemons in it have no other */
} Found;

static void found_done(Found *f) {
    f->dir = fd_close(f->dir);
    text_done(&f->folder);
}

static int find(bool in_leaf, Found *f, CgroupProblem *why) {
    CLEANUP_TEXT Text path = {0};
    int r = find_own(&path, &f->folder, why);
    if (r < 0)
        return r;
    const char *slash = f->folder.s ? strrchr(f->folder.s, '/') : NULL;
    if (!path.s || !slash)
        return cgroup_problem(why, -ENOMEM, "%s", strerror(ENOMEM));
    f->dir = cgroup_open(AT_FDCWD, f->folder.s);
    if (f->dir < 0)
        return cgroup_problem(why, f->dir, "%s: %s", f->folder.s, strerror(-f->dir));
    CLEANUP_CLOSE int parent = streq(path.s, "/") ? -EBADF : cgroup_open(f->dir, "..");
    CgroupFacts facts = facts_of(f->dir, parent, path.s, in_leaf);
    f->claim = cgroup_claim(&facts);
    if (f->claim == CGROUP_CLAIM_NONE)
        return refuse(f->folder.s, why);
    f->all_there_is = f->claim == CGROUP_CLAIM_ABOVE ? strrchr(path.s, '/') == path.s : facts.namespace_root;
    if (f->claim == CGROUP_CLAIM_ABOVE) {
        text_cut(&f->folder, (size_t)(slash - f->folder.s));
        f->dir = fd_close(f->dir);
        f->dir = TAKE_FD(parent);
    }
    return check_access(f->dir, f->folder.s, why);
}

/* Taking it */

static int settle_in_leaf(CgroupTree *t, CgroupProblem *why) {
    CLEANUP_CLOSE int leaf = cgroup_make(t->base, CGROUP_LEAF, NULL);
    int r = leaf < 0 ? leaf : cgroup_move_all(t->base, leaf);
    return r < 0 ? cgroup_problem(why, r, "%s: the daemon cannot be moved to %s: %s", t->path, CGROUP_LEAF,
                                  strerror(-r))
                 : 0;
}

/* What tells daemons of one machine or container apart; 0: the one with the standard socket. */
static uint32_t number_of(const char *socket) {
    return !socket || streq(socket, STANDARD_SOCKET) ? 0 : (uint32_t)ledger_service(socket);
}

static int make_base(CgroupTree *t, const char *socket, CgroupProblem *why) {
    char *path = NULL;
    uint32_t number = number_of(socket);
    (void)snprintf(t->name, sizeof(t->name), number == 0 ? CGROUP_LEAF : CGROUP_LEAF "-%08" PRIx32, number);
    t->root = t->base;
    t->base = cgroup_make(t->root, t->name, NULL);
    if (t->base < 0)
        return cgroup_problem(why, t->base, "%s/%s: %s", t->path, t->name, strerror(-t->base));
    if (asprintf(&path, "%s/%s", t->path, t->name) < 0)
        return cgroup_problem(why, -ENOMEM, "%s", strerror(ENOMEM));
    free(t->path);
    t->path = path;
    return 0;
}

static unsigned controllers_of(int dir, const char *file) {
    char text[CGROUP_FILE_MAX];
    return cgroup_read(dir, file, text, sizeof(text)) < 0 ? 0 : cgroup_parse_controllers(text);
}

int cgroup_tree_new(bool in_leaf, const char *socket, CgroupTree **ret, CgroupProblem *why) {
    Found f CLEANUP(found_done) = {.dir = -EBADF};
    int r = find(in_leaf, &f, why);
    if (r < 0)
        return r;
    CgroupTree *t = calloc(1, sizeof(*t));
    if (!t)
        return cgroup_problem(why, -ENOMEM, "%s", strerror(ENOMEM));
    t->root = -EBADF;
    t->available = controllers_of(f.dir, "cgroup.controllers");
    t->base = TAKE_FD(f.dir);
    t->path = text_take(&f.folder);
    if (f.all_there_is && f.claim != CGROUP_CLAIM_BELOW && number_of(socket) != 0)
        (void)snprintf(t->mark, sizeof(t->mark), CGROUP_MARK, number_of(socket));
    if (!t->path)
        r = cgroup_problem(why, -ENOMEM, "%s", strerror(ENOMEM));
    else if (f.claim == CGROUP_CLAIM_BELOW)
        r = make_base(t, socket, why);
    else
        r = settle_in_leaf(t, why);
    if (r < 0) {
        (void)cgroup_tree_free(t);
        return r;
    }
    t->enabled = controllers_of(t->base, "cgroup.subtree_control");
    *ret = t;
    return 0;
}

void cgroup_tree_name(const CgroupTree *t, const char *service, Text *out) {
    text_add(out, t->mark);
    cgroup_format_name(service, out);
}

CgroupTree *cgroup_tree_free(CgroupTree *t) {
    if (!t)
        return NULL;
    if (t->root >= 0 && t->base >= 0)
        (void)unlinkat(t->root, t->name, AT_REMOVEDIR);
    (void)fd_close(t->base);
    (void)fd_close(t->root);
    free(t->path);
    free(t);
    return NULL;
}

/* Controllers */

int cgroup_enable(int dir, unsigned set) {
    for (unsigned i = 0; i < _CGROUP_CONTROLLER_MAX; i++) {
        char word[16];
        if (!(set & CGROUP_BIT(i)))
            continue;
        (void)snprintf(word, sizeof(word), "+%s", cgroup_controller_to_string((CgroupController)i));
        int r = cgroup_write(dir, "cgroup.subtree_control", word);
        if (r < 0)
            return r;
    }
    return 0;
}

static int check_available(unsigned available, unsigned set, const char *path, CgroupProblem *why) {
    CLEANUP_TEXT Text missing = {0};
    unsigned lacking = set & ~available;
    if (lacking == 0)
        return 0;
    cgroup_format_controllers(lacking, &missing);
    return cgroup_problem(
        why, -ENOENT,
        "the %s controller%s not there in %s: of systemd it is had by Delegate=yes, and not where "
        "version 1 of control groups has it",
        missing.s ? missing.s : "", (lacking & (lacking - 1)) == 0 ? " is" : "s are", path);
}

int cgroup_tree_enable(CgroupTree *t, unsigned set, CgroupProblem *why) {
    unsigned needed = set & ~t->enabled;
    if (needed == 0)
        return 0;
    int r = check_available(t->available, set, t->path, why);
    if (r < 0)
        return r;
    r = t->root >= 0 ? cgroup_enable(t->root, needed) : 0;
    if (r >= 0)
        r = cgroup_enable(t->base, needed);
    /* Somebody has come since. */
    if (r == -EBUSY && t->root < 0) {
        r = settle_in_leaf(t, why);
        if (r >= 0)
            r = cgroup_enable(t->base, needed);
    }
    if (r < 0) {
        CLEANUP_TEXT Text names = {0};
        cgroup_format_controllers(needed, &names);
        return cgroup_problem(why, r, "%s: the controllers %s cannot be given to services: %s", t->path,
                              names.s ? names.s : "", strerror(-r));
    }
    t->enabled |= needed;
    return 0;
}

int cgroup_tree_check(const CgroupTree *t, bool in_leaf, unsigned set, CgroupProblem *why) {
    if (t)
        return check_available(t->available, set, t->path, why);
    Found f CLEANUP(found_done) = {.dir = -EBADF};
    int r = find(in_leaf, &f, why);
    return r < 0 ? r : check_available(controllers_of(f.dir, "cgroup.controllers"), set, f.folder.s, why);
}

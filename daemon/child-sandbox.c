/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <linux/prctl.h>
#include <sched.h>
#include <stdint.h>
#include <sys/mount.h>

#include "daemon/child-private.h"

/* linux/mount.h and linux/fcntl.h: not to be had together with sys/mount.h everywhere. */
#define TREE_CLONE 1U
#define TREE_CLOEXEC (unsigned)O_CLOEXEC
#define TREE_RECURSIVE 0x8000U
#define MOVE_FROM_FD 0x4U
#define ATTRIBUTE_READ_ONLY 0x1U

typedef struct MountAttributes {
    uint64_t set, clear, propagation, user_fd;
} MountAttributes;

/* The trees that are out of the way, by slot. */
typedef struct Trees {
    int fds[SANDBOX_TREES_MAX];
} Trees;

static long mount_at(const char *source, const char *path, const char *type, unsigned long flags,
                     const char *options) {
    return rawcall(SYS_mount, (long)source, (long)path, (long)type, (long)flags, (long)options);
}

static long op_apart(const MountStep *m, Trees *t) {
    (void)t;
    return mount_at(NULL, m->path, NULL, MS_REC | MS_SLAVE, NULL);
}

static long op_bind(const MountStep *m, Trees *t) {
    (void)t;
    return mount_at(m->path, m->path, NULL, MS_BIND | MS_REC, NULL);
}

/* pivot_root(2), switch_root(8): the root before goes, so that chroot(2), which root may call in a user
 * namespace of its own, leads nowhere. Where that is the kernel's first one it can only be covered. */
static long op_root(const MountStep *m, Trees *t) {
    (void)t;
    long r = call1(SYS_chdir, (long)m->path);
    if (r < 0)
        return r;
    r = call2(SYS_pivot_root, (long)".", (long)".");
    if (r >= 0) {
        r = call2(SYS_umount2, (long)".", MNT_DETACH);
    } else if (r == -EINVAL) {
        r = mount_at(".", "/", NULL, MS_MOVE, NULL);
        if (r >= 0)
            r = call1(SYS_chroot, (long)".");
    }
    return r < 0 ? r : call1(SYS_chdir, (long)"/");
}

static long op_proc(const MountStep *m, Trees *t) {
    (void)t;
    return mount_at("proc", m->path, "proc", m->flags, NULL);
}

static long op_mqueue(const MountStep *m, Trees *t) {
    (void)t;
    return mount_at("mqueue", m->path, "mqueue", m->flags, NULL);
}

static long op_take(const MountStep *m, Trees *t) {
    long fd = call3(SYS_open_tree, AT_FDCWD, (long)m->path, TREE_CLONE | TREE_CLOEXEC | TREE_RECURSIVE);
    if (fd >= 0)
        t->fds[m->slot] = (int)fd;
    return fd;
}

static long op_place(const MountStep *m, Trees *t) {
    int fd = t->fds[m->slot];
    if (fd < 0)
        return 0;
    t->fds[m->slot] = -EBADF;
    long r = rawcall(SYS_move_mount, fd, (long)"", AT_FDCWD, (long)m->path, MOVE_FROM_FD);
    (void)call1(SYS_close, fd);
    return r;
}

/* The root is a mount as it is. */
static long op_read_only(const MountStep *m, Trees *t) {
    const MountAttributes attributes = {.set = ATTRIBUTE_READ_ONLY};
    bool is_root = m->path[0] == '/' && m->path[1] == '\0';
    long r = is_root ? 0 : op_bind(m, t);
    return r < 0 ? r
                 : rawcall(SYS_mount_setattr, AT_FDCWD, (long)m->path, AT_RECURSIVE, (long)&attributes,
                           sizeof(attributes));
}

static long op_tmpfs(const MountStep *m, Trees *t) {
    (void)t;
    return mount_at("tmpfs", m->path, "tmpfs", m->flags, m->source);
}

static long op_devpts(const MountStep *m, Trees *t) {
    (void)t;
    return mount_at("devpts", m->path, "devpts", m->flags, m->source);
}

static long op_node(const MountStep *m, Trees *t) {
    (void)t;
    long fd = rawcall(SYS_openat, AT_FDCWD, (long)m->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444, 0);
    if (fd < 0)
        return fd;
    (void)call1(SYS_close, fd);
    long r = mount_at(m->source, m->path, NULL, MS_BIND, NULL);
    if (r == -ENOENT)
        (void)call3(SYS_unlinkat, AT_FDCWD, (long)m->path, 0);
    return r;
}

static long op_folder(const MountStep *m, Trees *t) {
    (void)t;
    return call3(SYS_mkdirat, AT_FDCWD, (long)m->path, 0755);
}

static long op_link(const MountStep *m, Trees *t) {
    (void)t;
    return call3(SYS_symlinkat, (long)m->source, AT_FDCWD, (long)m->path);
}

static long op_detach(const MountStep *m, Trees *t) {
    (void)t;
    long r = call2(SYS_umount2, (long)m->path, MNT_DETACH);
    return r < 0 ? r : call3(SYS_unlinkat, AT_FDCWD, (long)m->path, AT_REMOVEDIR);
}

/* Of a folder nothing is left, and a file is an empty one. That the file is there is known by then: what is
 * missing is the device, and that is no reason to leave the file as it is. */
static long op_hide(const MountStep *m, Trees *t) {
    (void)t;
    long r = mount_at("tmpfs", m->path, "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
                      "mode=000,size=4k,nr_inodes=2");
    if (r != -ENOTDIR)
        return r;
    r = mount_at("/dev/null", m->path, NULL, MS_BIND, NULL);
    return r == -ENOENT ? -ENXIO : r;
}

static long (*const operations[_MOUNT_OP_MAX])(const MountStep *m, Trees *t) = {
    [MOUNT_OP_APART] = op_apart,         [MOUNT_OP_BIND] = op_bind,     [MOUNT_OP_ROOT] = op_root,
    [MOUNT_OP_PROC] = op_proc,           [MOUNT_OP_TAKE] = op_take,     [MOUNT_OP_PLACE] = op_place,
    [MOUNT_OP_READ_ONLY] = op_read_only, [MOUNT_OP_TMPFS] = op_tmpfs,   [MOUNT_OP_DEVPTS] = op_devpts,
    [MOUNT_OP_NODE] = op_node,           [MOUNT_OP_FOLDER] = op_folder, [MOUNT_OP_LINK] = op_link,
    [MOUNT_OP_DETACH] = op_detach,       [MOUNT_OP_HIDE] = op_hide,     [MOUNT_OP_MQUEUE] = op_mqueue,
};

long child_step_mounts(ChildPlan *p) {
    const SandboxPlan *plan = p->sandbox.plan;
    Trees trees;
    if (!plan || plan->n_mounts == 0)
        return 0;
    for (size_t i = 0; i < SANDBOX_TREES_MAX; i++)
        trees.fds[i] = -EBADF;
    for (size_t i = 0; i < plan->n_mounts; i++) {
        const MountStep *m = &plan->mounts[i];
        child_at(p, SANDBOX_PART_MOUNT, i);
        p->step = m->op == MOUNT_OP_ROOT || m->op == MOUNT_OP_BIND ? STEP_ROOT_DIRECTORY : STEP_NAMESPACES;
        long r = operations[m->op](m, &trees);
        if (r == -ENOENT && m->optional)
            i += m->n_skipped;
        else if (r < 0)
            return r;
    }
    for (size_t i = 0; i < SANDBOX_TREES_MAX; i++)
        if (trees.fds[i] >= 0)
            (void)call1(SYS_close, trees.fds[i]);
    child_at(p, SANDBOX_PART_NONE, 0);
    return 0;
}

static long enter(ChildPlan *p, int fd, int type, SandboxPart part) {
    if (fd < 0)
        return 0;
    child_at(p, part, 0);
    long r = call2(SYS_setns, fd, type);
    /* More capabilities, be it in there, are a change of user for the kernel. */
    if (r >= 0 && p->seclude && type == CLONE_NEWUSER)
        (void)rawcall(SYS_prctl, PR_SET_DUMPABLE, 0, 0, 0, 0);
    return r;
}

long child_step_namespaces(ChildPlan *p) {
    const SandboxPlan *plan = p->sandbox.plan;
    long r = 0;
    if (!plan)
        return 0;
    if (plan->users_first)
        r = enter(p, p->sandbox.user_fd, CLONE_NEWUSER, SANDBOX_PART_USERS);
    if (r >= 0)
        r = enter(p, p->sandbox.network_fd, CLONE_NEWNET, SANDBOX_PART_NETWORK);
    if (r >= 0 && plan->namespaces) {
        child_at(p, SANDBOX_PART_NAMESPACES, 0);
        r = call1(SYS_unshare, (long)plan->namespaces);
    }
    if (r >= 0)
        child_at(p, SANDBOX_PART_NONE, 0);
    return r;
}

long child_step_users(ChildPlan *p) {
    if (!p->sandbox.plan || p->sandbox.plan->users_first)
        return 0;
    long r = enter(p, p->sandbox.user_fd, CLONE_NEWUSER, SANDBOX_PART_USERS);
    if (r >= 0)
        child_at(p, SANDBOX_PART_NONE, 0);
    return r;
}

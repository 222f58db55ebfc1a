/* SPDX-License-Identifier: MIT */
#include "daemon/sandbox-mounts.h"

#include <string.h>
#include <sys/mount.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/text.h"

/* Memory that one process can fill: a tenth of the machine's. */
#define TMP_OPTIONS "mode=1777,size=10%,nr_inodes=400k"
#define DEV_OPTIONS "mode=755,size=64k,nr_inodes=128"
/* A number of its own, with the rights that login programs give; the group is not mapped everywhere. */
#define PTS_OPTIONS "newinstance,ptmxmode=0666,mode=620"

/* Where the machine's devices are while those that are needed are fetched from there. */
#define HOST_DEV "/dev/.host"
#define DEV_SLOT 0

static int add(SandboxPlan *p, const MountStep *step, const char *path) {
    MountStep *grown = reallocarray(p->mounts, p->n_mounts + 1, sizeof(*grown));
    if (!grown)
        return -ENOMEM;
    p->mounts = grown;
    grown[p->n_mounts] = *step;
    grown[p->n_mounts].path = strdup(path);
    return grown[p->n_mounts++].path ? 0 : -ENOMEM;
}

/* A word of the config: with "-" in front it may be missing. */
static int add_word(SandboxPlan *p, MountStep step, const char *word) {
    step.optional |= word[0] == '-';
    return add(p, &step, word + (word[0] == '-'));
}

static int add_words(SandboxPlan *p, const MountStep *step, char *const *words) {
    int r = 0;
    for (size_t i = 0; words && words[i] && r >= 0; i++)
        r = add_word(p, *step, words[i]);
    return r;
}

/* Each of them has a slot of its own, from @first on. */
static int add_slots(SandboxPlan *p, MountStep step, size_t first, char *const *words) {
    int r = 0;
    for (size_t i = 0; words && words[i] && r >= 0; i++) {
        if (first + i >= SANDBOX_TREES_MAX)
            return -E2BIG;
        step.slot = (uint8_t)(first + i);
        r = add_word(p, step, words[i]);
    }
    return r;
}

static int add_begin(SandboxPlan *p, const ServiceConfig *c) {
    const MountStep apart = {.op = MOUNT_OP_APART, .key = "mounts"};
    const MountStep bind = {.op = MOUNT_OP_BIND, .key = "root_directory"};
    const MountStep take = {.op = MOUNT_OP_TAKE, .key = "devices", .slot = DEV_SLOT, .optional = true};
    const MountStep root = {.op = MOUNT_OP_ROOT, .key = "root_directory"};
    int r = add(p, &apart, "/");
    if (r >= 0 && c->root_directory)
        r = add(p, &bind, c->root_directory);
    if (r >= 0 && c->sandbox->devices == SANDBOX_DEVICES_MINIMAL)
        r = add(p, &take, "/dev");
    return r >= 0 && c->root_directory ? add(p, &root, c->root_directory) : r;
}

/* Of the steps from @first on: those of a folder before those of what is below it, and of the same path as
 * they stand. So whatever is nearest to a file decides. */
static void order_by_depth(SandboxPlan *p, size_t first) {
    for (size_t i = first + 1; i < p->n_mounts; i++) {
        MountStep step = p->mounts[i];
        size_t at = i;
        for (; at > first && strlen(p->mounts[at - 1].path) > strlen(step.path); at--)
            p->mounts[at] = p->mounts[at - 1];
        p->mounts[at] = step;
    }
}

/* What may be written is kept as it was, and put back over what may not. */
static int add_paths(SandboxPlan *p, const ServiceConfig *c) {
    const SandboxConfig *s = c->sandbox;
    const MountStep proc = {.op = MOUNT_OP_PROC,
                            .key = "private_pids",
                            .optional = c->root_directory,
                            .flags = MS_NOSUID | MS_NODEV | MS_NOEXEC};
    const MountStep take = {.op = MOUNT_OP_TAKE, .key = "read_write"};
    const MountStep read_only = {.op = MOUNT_OP_READ_ONLY, .key = "read_only"};
    const MountStep place = {.op = MOUNT_OP_PLACE, .key = "read_write"};
    char *const *writable = s->read_only ? s->read_write : NULL;
    int r = s->private_pids ? add(p, &proc, "/proc") : 0;
    if (r >= 0)
        r = add_slots(p, take, DEV_SLOT + 1, writable);
    size_t first = p->n_mounts;
    if (r >= 0)
        r = add_words(p, &read_only, s->read_only);
    if (r >= 0)
        r = add_slots(p, place, DEV_SLOT + 1, writable);
    if (r >= 0)
        order_by_depth(p, first);
    return r;
}

static int add_tmp(SandboxPlan *p) {
    const MountStep tmp = {.op = MOUNT_OP_TMPFS,
                           .key = "private_tmp",
                           .source = TMP_OPTIONS,
                           .flags = MS_NOSUID | MS_NODEV,
                           .optional = true};
    int r = add(p, &tmp, "/tmp");
    return r < 0 ? r : add(p, &tmp, "/var/tmp");
}

#define DEVICES (MS_NOSUID | MS_NOEXEC)
#define NODE(name)                                                                                           \
    { {.op = MOUNT_OP_NODE, .source = HOST_DEV "/" name, .optional = true}, "/dev/" name }
#define LINK(name, to)                                                                                       \
    { {.op = MOUNT_OP_LINK, .source = (to)}, "/dev/" name }

static const struct {
    MountStep step;
    const char *path;
} minimal_devices[] = {
    /* Each node is a mount of its own: others that root might make are none. */
    {{.op = MOUNT_OP_TMPFS, .source = DEV_OPTIONS, .flags = DEVICES | MS_NODEV, .optional = true}, "/dev"},
    {{.op = MOUNT_OP_FOLDER}, HOST_DEV},
    {{.op = MOUNT_OP_PLACE, .slot = DEV_SLOT}, HOST_DEV},
    NODE("null"),
    NODE("zero"),
    NODE("full"),
    NODE("random"),
    NODE("urandom"),
    NODE("tty"),
    NODE("log"),
    {{.op = MOUNT_OP_DETACH}, HOST_DEV},
    {{.op = MOUNT_OP_FOLDER}, "/dev/pts"},
    {{.op = MOUNT_OP_DEVPTS, .source = PTS_OPTIONS, .flags = DEVICES}, "/dev/pts"},
    LINK("ptmx", "pts/ptmx"),
    {{.op = MOUNT_OP_FOLDER}, "/dev/shm"},
    {{.op = MOUNT_OP_TMPFS, .source = TMP_OPTIONS, .flags = DEVICES | MS_NODEV}, "/dev/shm"},
    LINK("fd", "/proc/self/fd"),
    LINK("stdin", "/proc/self/fd/0"),
    LINK("stdout", "/proc/self/fd/1"),
    LINK("stderr", "/proc/self/fd/2"),
};

/* The machine's message queues are files there, which a namespace of others does not take away. */
static int add_queues(SandboxPlan *p) {
    const MountStep queues = {.op = MOUNT_OP_MQUEUE,
                              .key = "private_ipc",
                              .flags = MS_NOSUID | MS_NODEV | MS_NOEXEC,
                              .optional = true};
    return add(p, &queues, "/dev/mqueue");
}

/* Without a /dev there is nothing to be left out of it. */
static int add_devices(SandboxPlan *p) {
    int r = 0;
    for (size_t i = 0; i < ELEMENTS(minimal_devices) && r >= 0; i++) {
        MountStep step = minimal_devices[i].step;
        step.key = "devices";
        step.n_skipped = i == 0 ? ELEMENTS(minimal_devices) - 1 : 0;
        r = add(p, &step, minimal_devices[i].path);
    }
    return r;
}

static bool needs_mounts(const SandboxConfig *s) {
    return s->read_only || s->hidden || s->private_tmp || s->private_pids || s->private_ipc ||
           s->devices == SANDBOX_DEVICES_MINIMAL;
}

int sandbox_draw_mounts(SandboxPlan *p, const ServiceConfig *config, unsigned *ret_which) {
    const SandboxConfig *s = config->sandbox;
    const MountStep hide = {.op = MOUNT_OP_HIDE, .key = "hidden"};
    if (!needs_mounts(s))
        return 0;
    int r = add_begin(p, config);
    if (r >= 0)
        r = add_paths(p, config);
    if (r >= 0 && s->private_tmp)
        r = add_tmp(p);
    if (r >= 0 && s->devices == SANDBOX_DEVICES_MINIMAL)
        r = add_devices(p);
    else if (r >= 0 && s->private_ipc)
        r = add_queues(p);
    if (r >= 0)
        r = add_words(p, &hide, s->hidden);
    if (r < 0)
        *ret_which = SANDBOX_WHICH(SANDBOX_PART_MOUNT, p->n_mounts > 0 ? p->n_mounts - 1 : 0);
    return r;
}

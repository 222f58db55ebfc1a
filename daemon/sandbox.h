/* SPDX-License-Identifier: MIT */
#pragma once
/* The plan of a service's isolation: what `sandbox` of its config means on this machine, worked out once for
 * a generation of the config, as ready data that a process between clone and exec only walks along. Owned by
 * the recipe. */
#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "conf/config.h"
#include "daemon/base/strtab.h"
#include "daemon/child.h"

/* Of mounts to be taken out of the way before they are put in again, so many are possible. */
#define SANDBOX_TREES_MAX 64

/* What one step does with the file system of a process that has mounts of its own. */
typedef enum MountOp {
    MOUNT_OP_APART,     /* nothing that is mounted goes out to the others */
    MOUNT_OP_BIND,      /* `path` becomes a mount, with all that is mounted below */
    MOUNT_OP_ROOT,      /* `path` becomes the root */
    MOUNT_OP_PROC,      /* at `path`, what there is of processes in its own namespace */
    MOUNT_OP_MQUEUE,    /* the same, of message queues */
    MOUNT_OP_TAKE,      /* the tree at `path` is kept in `slot`, as it is now */
    MOUNT_OP_PLACE,     /* what is in `slot` is put at `path` */
    MOUNT_OP_READ_ONLY, /* `path`, with all that is mounted below */
    MOUNT_OP_TMPFS,     /* at `path`, with the options `source` */
    MOUNT_OP_DEVPTS,    /* the same, of terminals */
    MOUNT_OP_NODE,      /* the file `source` at `path`, which is made for it */
    MOUNT_OP_FOLDER,
    MOUNT_OP_LINK,   /* to `source` */
    MOUNT_OP_DETACH, /* what is mounted at `path`, and the folder */
    MOUNT_OP_HIDE,   /* `path`: nothing is there */
    _MOUNT_OP_MAX,
} MountOp;

typedef struct MountStep {
    MountOp op;
    bool optional;      /* where there is no such path it is left out, */
    uint8_t n_skipped;  /* and with it so many that follow */
    uint8_t slot;       /* below SANDBOX_TREES_MAX */
    unsigned flags;     /* of mount(2) */
    const char *key;    /* of `sandbox`, for messages */
    char *path;         /* owned */
    const char *source; /* a literal */
} MountStep;

/* Landlock: what is below a path may be read, or changed as well. */
typedef struct LandlockRule {
    bool optional;
    uint64_t access; /* the kernel's bits, of a folder */
    const char *key;
    char *path; /* owned */
} LandlockRule;

typedef struct SandboxPlan {
    unsigned namespaces; /* CLONE_NEW…, that each process makes for itself */
    bool users_first;    /* an ordinary user's daemon: all of it is possible only in the user namespace */
    int user_fd;         /* a user namespace that was made ahead; -EBADF: none */
    int network_fd;      /* the same of a network */
    int init_fd;         /* mp-init, for a process namespace */
    MountStep *mounts;
    size_t n_mounts;
    bool limit_capabilities;
    uint64_t capabilities; /* 1 << CAP_x: those that it keeps */
    uint64_t landlock;     /* what is denied but by the rules; 0: nothing */
    LandlockRule *rules;
    size_t n_rules;
    struct sock_fprog filter; /* the config's; len 0: none */
    struct NamespaceMaker
        *maker;      /* while user_fd and network_fd are made; NULL: they are not, or are there */
    unsigned making; /* what of it takes its time: SANDBOX_WHICH() */
} SandboxPlan;

/* The parts of it that can fail, for messages. */
typedef enum SandboxPart {
    SANDBOX_PART_NONE,
    SANDBOX_PART_USERS,
    SANDBOX_PART_NETWORK,
    SANDBOX_PART_NAMESPACES,
    SANDBOX_PART_PIDS,
    SANDBOX_PART_INIT,
    SANDBOX_PART_MOUNT, /* with its number */
    SANDBOX_PART_CAPABILITIES,
    SANDBOX_PART_LANDLOCK,
    SANDBOX_PART_RULE, /* with its number */
    SANDBOX_PART_SECCOMP,
    _SANDBOX_PART_MAX,
} SandboxPart;

/* Which part, and which of it. */
#define SANDBOX_WHICH(part, number) ((unsigned)(part) | (unsigned)(number) << 8)

/* What the plan depends on beside the config. */
typedef struct SandboxContext {
    bool is_root;           /* the daemon */
    uid_t uid;              /* its own */
    gid_t gid;              /* the same */
    int landlock_abi;       /* landlock_abi(); 0: the kernel has none */
    const char *libexecdir; /* where mp-init is */
} SandboxContext;

/* Landlock's version in this kernel; 0: there is none. */
int landlock_abi(void);

/* The plan for @config, which has a sandbox, without what is to be made for it. Pure. 0, -ENOMEM, -E2BIG
 * (too many paths) or -EOPNOTSUPP (no Landlock); *ret_which then says where. */
int sandbox_plan_draw(const ServiceConfig *config, const SandboxContext *context, SandboxPlan **ret,
                      unsigned *ret_which);
/* The same, opens mp-init, and begins to make the namespaces that all processes of the service share: until
 * they are there the plan is under way, and nothing can be done by it. 0 or a negative errno, as above; what
 * there is of *ret is for sandbox_where(), and to be freed all the same. */
int sandbox_plan_new(const ServiceConfig *config, const SandboxContext *context, SandboxPlan **ret,
                     unsigned *ret_which);
bool sandbox_plan_is_under_way(const SandboxPlan *p);
/* Then: a descriptor that is readable when sandbox_plan_finish() has something to do, and the process that is
 * at it, which is the caller's to reap. */
int sandbox_plan_fd(const SandboxPlan *p);
pid_t sandbox_plan_pid(const SandboxPlan *p);
/* Takes what has been made. 0; -EAGAIN: it is still under way; or another negative errno, *ret_which says of
 * what. */
int sandbox_plan_finish(SandboxPlan *p, unsigned *ret_which);
/* It has taken too long. Returns what has. */
unsigned sandbox_plan_give_up(SandboxPlan *p);
/* The most descriptors that a plan for @config has for as long as it is there. Pure. */
size_t sandbox_descriptors(const ServiceConfig *config, bool is_root);
SandboxPlan *sandbox_plan_free(SandboxPlan *p); /* returns NULL; NULL is fine */
DEFINE_CLEANUP(SandboxPlan *, sandbox_plan_free);

/* The step that the part @which belongs to. Pure. */
SpawnStep sandbox_step(unsigned which);
/* What @which is, in words of the config: "read_only /srv/x"; "" of none. @plan may be NULL. Returns @buf. */
const char *sandbox_where(const SandboxPlan *plan, unsigned which, char *buf, size_t size);
/* What to do about @error (an errno) of @which; "" when that says all. */
const char *sandbox_hint(unsigned which, int error);
